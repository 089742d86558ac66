"""A check that all parts after a cut pass the gradient on: whatever depends on the activation must carry its gradient.

Quantised layers compute without one. Where a residual stream leads past them, the gradient is not zero but wrong.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from threading import get_ident
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction

from narrows.errors import ModelError, first_line

INSTEAD = "methods without gradients (occlusion, lime, kernel_shap) explain it as it is, all others its float model"

# Steps that by their nature have no gradient.
STEPS = ("Round", "Floor", "Ceil", "Trunc", "Sign", "NotImplemented", "WarnNotImplemented")
STEP = 0.01  # of the activation's deviation


class _Place(NamedTuple):
    """What goes into a part of the model, or comes out of it."""

    part: str
    run: int  # of this part
    out: bool
    number: int  # among the tensors


class _Value(NamedTuple):
    value: Tensor
    carries: bool  # a gradient to the activation


def architecture(model: nn.Module) -> int:
    """Hash what decides where gradients flow: what all parts are and run, and the classes and dtypes of weights."""
    weights = ((part, weight) for part in model.modules() for weight in (None, *part._parameters.values()))
    kinds = ((type(part), part.__dict__.get("forward"), type(w), getattr(w, "dtype", None)) for part, w in weights)
    return hash(tuple(kinds))


def check_gradient(model: nn.Module, run: Callable[[Tensor], Tensor], activation: Tensor) -> None:
    """Raise a ModelError unless all that `run` computes of an activation, (1, tokens, hidden), carries its gradient."""
    start = activation.detach()
    noise = _noise(start) * start.float().std().to(start.dtype)
    seen, again = (_Recorder(model, each).follow(run) for each in (start, start + noise))
    # What differs between the two depends on the activation. The first without a gradient is where it was lost.
    for place, own in seen.items():
        other = again.get(place, own)
        if not (own.carries or other.carries or _equal(own.value, other.value)):
            raise _refusal(model, place.part if place.out else place.part.rpartition(".")[0])
    whole = start.clone().requires_grad_()
    try:
        (gradient,) = torch.autograd.grad(_weighted(run(whole)).sum(), whole)
    except RuntimeError as error:
        raise _failure(model, "", error) from error
    # Zero is right where everything is saturated, so that a small step changes nothing at all.
    if not gradient.any() and not _equal(run(start), run(start + STEP * noise)):
        raise _refusal(model, "")


class _Recorder:
    """Notes what goes into and comes out of all parts of a model, in order of time, when it runs on an activation."""

    def __init__(self, model: nn.Module, start: Tensor) -> None:
        self._model, self._start, self._thread = model, start.clone().requires_grad_(), get_ident()
        self._seen: dict[_Place, _Value] = {}
        self._runs: Counter[tuple[str, bool]] = Counter()
        self._begun: list[tuple[str, list[Tensor]]] = []  # the parts that run now, and what went into them
        self._live: dict[Any, bool] = {}  # whether a gradient passes from a node of the graph to the activation
        self._by_hand = False  # whether a backward pass was written by hand, so that it may give nothing

    def follow(self, run: Callable[[Tensor], Tensor]) -> dict[_Place, _Value]:
        """Run the part after the cut, and return what was noted."""
        try:
            with ExitStack() as hooks:
                for name, part in self._model.named_modules():
                    before, after = partial(self._before, name), self._after
                    hooks.enter_context(part.register_forward_pre_hook(before, with_kwargs=True))
                    hooks.enter_context(part.register_forward_hook(after))
                logits = run(self._start)
        except RuntimeError as error:
            raise _failure(self._model, self._begun[-1][0] if self._begun else "", error) from error
        self._note("", True, [logits], True)
        return self._seen

    def _before(self, name: str, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if get_ident() == self._thread:
            given = list(_floats((args, kwargs)))
            self._begun.append((name, given))
            self._note(name, False, given, True)

    def _after(self, _: nn.Module, __: tuple[Any, ...], output: Any) -> None:
        if get_ident() == self._thread:
            name, given = self._begun.pop()
            outputs = list(_floats(output))
            self._note(name, True, outputs, self._passes(given, outputs))

    def _note(self, name: str, out: bool, tensors: Sequence[Tensor], passes: bool) -> None:
        self._runs[name, out] += 1
        live = [self._carries(tensor) for tensor in tensors]
        for number, (tensor, own) in enumerate(zip(tensors, live, strict=True)):
            value = (tensor.dequantize() if tensor.is_quantized else tensor).detach().to(torch.float32, copy=True)
            # A result beside others may be cut off, as XLNet's memory is; if a part reads it, it is found there.
            carries = passes and (any(live) if out else own)
            self._seen[_Place(name, self._runs[name, out], out, number)] = _Value(value, carries)

    def _carries(self, tensor: Tensor) -> bool:
        """Tell whether a tensor is computed from the activation by steps that all have a gradient."""
        if tensor is self._start or tensor.grad_fn is None:
            return tensor is self._start
        waiting = [tensor.grad_fn]
        while waiting:
            node = waiting[-1]
            sources = [] if _is_step(node) else [source for source, _ in node.next_functions if source is not None]
            if node not in self._live and (new := [source for source in sources if source not in self._live]):
                waiting += new
                continue
            by_itself = getattr(node, "variable", None) is self._start
            self._live.setdefault(node, by_itself or any(self._live[source] for source in sources))
            self._by_hand |= isinstance(node, BackwardCFunction)
            waiting.pop()
        return self._live[tensor.grad_fn]

    def _passes(self, given: Sequence[Tensor], outputs: Sequence[Tensor]) -> bool:
        """Tell whether gradients pass a part, also where their way was written by hand."""
        inner, outer = ([tensor for tensor in some if self._carries(tensor)] for some in (given, outputs))
        if not inner or not outer or not self._by_hand:
            return True
        weighted = torch.stack([_weighted(tensor).sum().float() for tensor in outer]).sum()
        back = torch.autograd.grad(weighted, inner, retain_graph=True, allow_unused=True)
        return any(gradient is not None for gradient in back)


def _is_step(node: Any) -> bool:
    """Tell whether a node of the graph has no gradient, or one that is zero everywhere."""
    return node.name().rpartition("::")[2].rstrip("0123456789").removesuffix("Backward") in STEPS


def _weighted(value: Tensor) -> Tensor:
    """Weigh element by element: a plain sum over a normalised activation has no gradient at all."""
    return value * _noise(value)


def _floats(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of numbers that may have a gradient, or should, from arguments or results."""
    if isinstance(value, Tensor):
        if value.is_floating_point() or value.is_quantized:
            yield value
    elif isinstance(value, (Mapping, tuple, list)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _floats(part)


def _noise(like: Tensor) -> Tensor:
    """Draw standard normal numbers, always the same, and leave the caller's random numbers alone."""
    generator = torch.Generator("cpu").manual_seed(0)
    return torch.randn(like.shape, generator=generator, dtype=torch.float32, device="cpu").to(like)


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.isclose(one, other, rtol=0, atol=0, equal_nan=True).all())


def _refusal(model: nn.Module, name: str) -> ModelError:
    where = f"{_called(model, name)} passes no gradient back, so that a map would be wrong"
    return ModelError(f"{where}: {INSTEAD}, or one of which only the weights are quantised")


def _failure(model: nn.Module, name: str, error: RuntimeError) -> ModelError:
    reason = first_line(error).rstrip(".")
    return ModelError(f"{_called(model, name)} cannot run with a gradient ({reason}): {INSTEAD}")


def _called(model: nn.Module, name: str) -> str:
    """Name a part, its class, and the class of its weights if it is a special one."""
    part = model.get_submodule(name)
    kind = type(getattr(part, "weight", None))
    weights = f" with {kind.__name__}" if issubclass(kind, Tensor) and kind not in (Tensor, nn.Parameter) else ""
    return f"{name or 'the model'} ({part._get_name()}{weights})"  # type: ignore[no-untyped-call]
