"""LayerInformationBottleneck: the bottleneck on any module of torch, called like captum's layer methods.

It needs nothing of Hugging Face: the whole forward function runs at every step, and a hook inserts the bottleneck at
the layer's output. For transformers, `narrows.Explainer` does the same several times faster.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from threading import get_ident
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from narrows.bottleneck.channel import NATS_PER_BIT
from narrows.bottleneck.optimize import Optimization, optimize
from narrows.bottleneck.prior import Gaussian, Moments, floor_std, gaussian_of_each
from narrows.errors import InputError, ModelError, NumericsError, TargetError

Output = Literal["logits", "probabilities"]
Target = int | tuple[int, ...] | Tensor | Sequence[int] | Sequence[tuple[int, ...]] | None
"""As in captum: one class for all rows or one per row; a tuple picks from an output of more dimensions; or None."""


class LayerInformationBottleneck:
    """Attributes an output to the elements of a layer's activation, in bits.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).eval()
        >>> rows = torch.randn(100, 4)
        >>> prior = estimate_layer_prior(model, model[0], [rows])
        >>> bits = LayerInformationBottleneck(model, model[0], prior).attribute(rows[:5], target=1)
        >>> bits.shape
        torch.Size([5, 8])
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        layer: nn.Module,
        prior: Gaussian | None = None,
        optimization: Optimization = Optimization(),  # noqa: B008 - frozen
        output: Output | None = None,
    ) -> None:
        """Prepare to attribute.

        Args:
            forward_func: From the inputs to logits or log-probabilities, (batch, ..., classes), or to probabilities.
                With target None, to log p of what is explained, (batch,).
            layer: A module that the function runs once; it returns (batch, features), (batch, tokens, features) or
                (batch, channels, height, width).
            prior: From `estimate_layer_prior`; None = mean and deviation of each row over its own positions.
            optimization: Masks, steps, noise copies, beta, seed; the default is the paper's.
            output: What ``forward_func`` returns, ``"logits"`` (log-probabilities are logits too) or
                ``"probabilities"``; None = logits, and rows that might be either, none below 0 and the sum 1, are
                refused.

        Raises:
            InputError: If there is no such output.
        """
        if output not in (None, *get_args(Output)):
            raise InputError(f"output must be one of {', '.join(get_args(Output))}, or None, not {output!r}")
        self.forward_func = forward_func
        self.layer = layer
        self.prior = prior
        self.optimization = optimization
        self.output = output

    def __repr__(self) -> str:
        prior = "per row" if self.prior is None else "estimated"
        return f"LayerInformationBottleneck({type(self.layer).__name__}, prior {prior}, {self.optimization})"

    def attribute(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        target: Target = None,
        additional_forward_args: Any = None,
        internal_batch_size: int | None = None,
        attribute_to_layer_input: bool = False,
    ) -> Tensor:
        """Attribute an output to the layer's activation: bits per element, in its shape, for each row on its own.

        Args:
            inputs: (batch, ...), or a tuple of such tensors: the first arguments of ``forward_func``.
            target: What to explain for each row; None if ``forward_func`` returns one number per row.
            additional_forward_args: Its other arguments: one, or a tuple. Tensors of one row per input row are split.
            internal_batch_size: Most rows, noise copies included, that run together; None = all.
            attribute_to_layer_input: Put the bottleneck on the layer's input.

        Raises:
            ModelError: If the layer does not run exactly once, or returns another shape than those above.
            TargetError: If the target does not fit the output.
            InputError: If there is no prior and a row has only one position, from which none can be estimated; or if
                ``forward_func`` does not return what ``output`` says.
            NumericsError: If the result is not finite.
        """
        given = inputs if isinstance(inputs, tuple) else (inputs,)
        args = (*given, *_as_tuple(additional_forward_args))
        if not (rows := len(given[0])):
            raise InputError("there is no row to attribute")
        # Decided once: in a part of the rows, an argument that all share might have as many entries as there are rows.
        per_row = tuple(isinstance(value, Tensor) and value.ndim > 0 and len(value) == rows for value in args)
        targets = _one_per_row(target, rows)
        at_a_time = rows if internal_batch_size is None else max(internal_batch_size // self.optimization.samples, 1)
        parts = []
        with torch.inference_mode(False), torch.enable_grad():
            for start in range(0, rows, at_a_time):
                some = slice(start, min(start + at_a_time, rows))
                own = tuple(value[some] if split else value for value, split in zip(args, per_row, strict=True))
                parts.append(self._attribute_some(own, per_row, targets[some], attribute_to_layer_input))
        return torch.cat(parts)

    def _attribute_some(
        self, args: tuple[Any, ...], per_row: tuple[bool, ...], targets: list[Any], at_input: bool
    ) -> Tensor:
        """Attribute rows that run together."""
        with torch.no_grad(), _tapped(self.layer, at_input) as seen:
            self.forward_func(*args)
        (activation,) = _only(seen, self.layer)
        x = _to_tokens(activation)
        real = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        if self.prior is None and x.shape[1] == 1:
            raise InputError(
                "each row has only one position: a prior is needed, see narrows.bottleneck.module.estimate_layer_prior"
            )
        prior = gaussian_of_each(x, real) if self.prior is None else self.prior

        def nll(bottlenecked: Tensor) -> Tensor:
            samples = bottlenecked.shape[1]
            pairs = zip(args, per_row, strict=True)
            repeated = tuple(value.repeat_interleave(samples, dim=0) if split else value for value, split in pairs)
            put_in = _from_tokens(bottlenecked.flatten(0, 1), activation.shape)
            with _tapped(self.layer, at_input, put_in):
                output = self.forward_func(*repeated)
            split_up = zip(output.split(samples), targets, strict=True)
            return torch.stack([_loss(own, wanted, self.output) for own, wanted in split_up])

        own_rows = [value for value, split in zip(args, per_row, strict=True) if split]
        seeds = [_row_seed(self.optimization.seed, own_rows, row) for row in range(len(targets))]
        nats = optimize(nll, x, prior, real, self.optimization, seeds).nats
        bits = _from_tokens((nats / NATS_PER_BIT).clamp(min=0.0), activation.shape)
        if not torch.isfinite(bits).all():
            raise NumericsError("the optimisation gave NaN or infinity")
        return bits


def estimate_layer_prior(
    forward_func: Callable[..., Any],
    layer: nn.Module,
    batches: Iterable[Tensor | tuple[Any, ...]],
    attribute_to_layer_input: bool = False,
) -> Gaussian:
    """Estimate mean and deviation per feature of a layer's output, over all rows and positions of all batches.

    A batch is what ``forward_func`` takes: one argument, or a tuple. Without any: an `InputError`. With
    ``attribute_to_layer_input`` those of its input, for `LayerInformationBottleneck.attribute` with the same.

    Example:
        >>> layer = nn.Linear(4, 8)
        >>> estimate_layer_prior(layer, layer, [torch.randn(100, 4)]).mean.shape
        torch.Size([8])
    """
    moments: Moments | None = None
    for batch in batches:
        with torch.no_grad(), _tapped(layer, attribute_to_layer_input) as seen:
            forward_func(*_as_tuple(batch))
        x = _to_tokens(_only(seen, layer)[0])
        moments = moments or Moments(x.shape[-1])
        moments.update(x.flatten(0, 1))
    if moments is None:
        raise InputError("no batch to estimate a prior from")
    return Gaussian(moments.mean.float(), floor_std(moments.variance.sqrt()).float())


@contextmanager
def _tapped(layer: nn.Module, at_input: bool, put_in: Tensor | None = None) -> Iterator[list[Tensor]]:
    """Collect what a layer returns or is given, or replace it; in this thread only, others see nothing of it."""
    seen: list[Tensor] = []
    thread = get_ident()

    def exchange(value: Any) -> Any:
        if get_ident() != thread:
            return None
        first = value[0] if isinstance(value, tuple) else value
        seen.append(first)
        if put_in is None:
            return None
        return (put_in, *value[1:]) if isinstance(value, tuple) else put_in

    register = layer.register_forward_pre_hook if at_input else layer.register_forward_hook
    with register(lambda _, *values: exchange(values[-1])):
        yield seen


def _only(seen: list[Tensor], layer: nn.Module) -> list[Tensor]:
    if len(seen) != 1 or not isinstance(seen[0], Tensor):
        raise ModelError(f"{type(layer).__name__} must run once and return a tensor; it was run {len(seen)} times")
    return seen


def _to_tokens(activation: Tensor) -> Tensor:
    """Reshape an activation to (batch, positions, features)."""
    if activation.ndim not in (2, 3, 4):
        raise ModelError(f"a layer must return (batch, features), with positions or not, not {activation.shape}")
    if activation.ndim == 4:
        return activation.flatten(2).transpose(1, 2)
    return activation.unsqueeze(1) if activation.ndim == 2 else activation


def _from_tokens(tokens: Tensor, shape: torch.Size) -> Tensor:
    """Undo `_to_tokens` for any number of rows."""
    if len(shape) == 4:
        return tokens.transpose(1, 2).reshape(len(tokens), *shape[1:])
    return tokens.squeeze(1) if len(shape) == 2 else tokens


def _as_tuple(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _one_per_row(target: Target, rows: int) -> list[Any]:
    """Expand captum's forms of a target to a list, one per row."""
    if isinstance(target, Tensor):
        target = [int(value) for value in target.reshape(-1).tolist()]
        if len(target) == 1:
            target = target * rows
    if target is None or isinstance(target, (int, Integral, tuple)):
        return [target] * rows
    if len(target) != rows:
        raise TargetError(f"{rows} rows but {len(target)} targets")
    return list(target)


def _loss(output: Tensor, target: Any, kind: Output | None) -> Tensor:
    """Return -log p(target) in nats for one row's copies: (samples, ...) -> (samples,)."""
    wide = output.to(torch.promote_types(output.dtype, torch.float32))
    if target is None:
        if wide[0].numel() != 1:
            raise TargetError(f"a target is needed: forward_func returns {tuple(wide.shape[1:])} numbers per row")
        return -wide.reshape(-1)
    if wide.ndim < 2:
        raise TargetError(f"forward_func returns one number per row: target must be None, not {target!r}")
    *places, index = target if isinstance(target, tuple) else (target,)
    if len(places) != wide.ndim - 2 or not -wide.shape[-1] <= index < wide.shape[-1]:
        raise TargetError(f"target {target!r} does not fit an output of {tuple(wide.shape[1:])} per row")
    for place in places:
        wide = wide[:, place]
    return -_log_p(wide, kind)[:, index]


def are_probabilities(values: Tensor) -> bool:
    """Tell whether the rows of an output, (..., classes), are nowhere below 0 and sum to 1."""
    sums = values.detach().sum(dim=-1)
    return bool((values >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3)


def _log_p(wide: Tensor, kind: Output | None) -> Tensor:
    """Compute log-probabilities, (samples, classes), of what a forward function returns."""
    if kind is None and are_probabilities(wide):
        raise InputError("forward_func returns rows that sum to 1: say output='probabilities' or output='logits'")
    if kind == "probabilities":
        if not are_probabilities(wide):
            raise InputError("forward_func returns rows that are below 0 or do not sum to 1: they are no probabilities")
        return wide.clamp(min=torch.finfo(wide.dtype).tiny).log()
    return log_softmax(wide, dim=-1)


def _row_seed(seed: int, values: Sequence[Tensor], row: int) -> int:
    """Seed the noise of a row by its content, so that it is the same in any batch."""
    digest = hashlib.blake2b(str(seed).encode(), digest_size=8)
    for value in values:
        digest.update(value[row].detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return int.from_bytes(digest.digest(), "big") >> 1
