"""Cut a model at a layer: the prefix runs once, the suffix at every step without its blocks, on a private view."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from narrows.data.example import Example
from narrows.errors import ModelError, NumericsError
from narrows.models.cut.calling import call, find_logits
from narrows.models.cut.head import as_read_by_head, passive
from narrows.models.cut.layout import Inputs
from narrows.models.cut.network import Network, Place

Forward = Callable[..., Any]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Prefix:
    """The results of one ordinary forward pass."""

    activations: dict[int, Tensor]  # of each layer, (batch, tokens, hidden)
    logits: Tensor  # as `forward_head` returns them
    others: tuple[tuple[Any, ...] | None, ...]  # what each block returns beside the activation; None = nothing


def forward_head(model: nn.Module, inputs: Inputs) -> Tensor:
    """Return the logits of any head: (batch, classes), or (batch, tokens, classes); start and end as classes."""
    with as_read_by_head(model):
        return find_logits(model, call(model, inputs))


def forward_logits(model: nn.Module, inputs: Inputs) -> Tensor:
    """Run a classifier and return its logits, (batch, classes)."""
    logits = forward_head(model, inputs)
    if logits.ndim != 2:
        called = type(model).__name__
        raise ModelError(f"{called} has no classification head: it gives no logits of shape (batch, classes)")
    return logits


def run_prefix(network: Network, inputs: Inputs, layers: Sequence[int]) -> Prefix:
    """Run the unchanged model once and keep the activations of some layers, (batch, tokens, hidden) each."""
    activations, others, logits = _run(network, inputs, layers, lambda: forward_head(network.model, inputs))
    return Prefix(activations, logits, others)


def check_finite(prefix: Prefix, real: Tensor, examples: Sequence[Example]) -> None:
    """Raise a NumericsError unless logits and the activations of real tokens, (batch, tokens), are finite."""
    sound = {
        f"activations after layer {layer}": (torch.isfinite(activation).all(dim=-1) | ~real).all(dim=1)
        for layer, activation in sorted(prefix.activations.items())
    }
    finite = torch.isfinite(prefix.logits).all(dim=-1)  # (batch,), or of each position
    if finite.shape == real.shape:  # nobody reads at padding
        finite = finite | ~real
    for what, rows in {**sound, "logits": finite.flatten(1).all(dim=1) if finite.ndim > 1 else finite}.items():
        if not rows.all():
            text = examples[int(rows.int().argmin())].text
            raise NumericsError(f"the model's {what} hold NaN or infinity for {text!r:.60}")


def run_states(network: Network, inputs: Inputs, layers: Sequence[int]) -> dict[int, Tensor]:
    """Run the unchanged model once for the activations of some layers alone: a language model computes no logits."""
    with _speechless(network.model):
        return _run(network, inputs, layers, lambda: call(network.model, inputs))[0]


def _run(
    network: Network, inputs: Inputs, layers: Sequence[int], forward: Callable[[], Result]
) -> tuple[dict[int, Tensor], tuple[Any, ...], Result]:
    """Run the model once: the activations of some layers, what each block returns beside them, and the output."""
    wanted = {place for layer in layers for place in network.cut(layer)}
    with torch.no_grad(), _watched(network, wanted) as (kept, others):
        output = forward()
    if idle := [index + 1 for index in range(len(network.blocks)) if index not in others]:
        called = type(network.model).__name__
        raise ModelError(f"block {idle[0]} of {called} does not run, so the model cannot be explained")
    activations = {layer: network.read([kept[place] for place in network.cut(layer)], inputs) for layer in layers}
    return activations, tuple(others[index] for index in range(len(network.blocks))), output


@contextmanager
def _speechless(model: Any) -> Iterator[None]:
    """Let the output embedding of a view compute the logits of no position: vocabularies are large."""
    # A class of the user's own may do something with its logits.
    head = model.get_output_embeddings() if type(model).__module__.startswith("transformers.") else None
    if head is None:
        yield
        return
    with head.register_forward_pre_hook(lambda _, args: (args[0][..., :0, :], *args[1:])):
        yield


def run_suffix(network: Network, prefix: Prefix, inputs: Inputs, layer: int, activation: Tensor) -> Tensor:
    """Run the part after a layer on a given activation, (batch, tokens, hidden), and return the logits."""
    put_in = dict(zip(network.cut(layer), network.write(activation, inputs), strict=True))
    stand_ins = {
        index: _hand_on(
            put_in.get(Place(index, given=False)),
            _repeat_rows(prefix.others[index], len(prefix.logits), len(activation)),
        )
        for index in _passed(network, layer)
    }
    with ExitStack() as patches:
        for block, indices in network.runs().items():
            if not stand_ins.keys().isdisjoint(indices):
                patches.enter_context(_replaced_forward(block, [stand_ins.get(index) for index in indices]))
        for place, hidden in put_in.items():
            if place.given:
                register = network.blocks[place.block].register_forward_pre_hook
                patches.enter_context(register(_putting(hidden), with_kwargs=True))
        return forward_head(network.model, inputs)


def carry(
    network: Network, prefix: Prefix, inputs: Inputs, layer: int, activation: Tensor, layers: Sequence[int]
) -> dict[int, Tensor]:
    """Run the part after a layer on a given activation, (batch, tokens, hidden), and keep that of deeper layers."""
    cuts = {deeper: network.cut(deeper) for deeper in layers}
    # A decoder that also reads the text may be cut at its input both times; the given activation is kept there.
    put_in = dict(zip(network.cut(layer), network.write(activation, inputs), strict=True))
    wanted = {place for cut in cuts.values() for place in cut} - set(put_in)
    with torch.no_grad(), _watched(network, wanted, _passed(network, layer)) as (kept, _):
        run_suffix(network, prefix, inputs, layer, activation)
    found = {**put_in, **kept}
    return {deeper: network.read([found[place] for place in cut], inputs) for deeper, cut in cuts.items()}


def repeat_inputs(inputs: Inputs, copies: int) -> dict[str, Tensor]:
    """Repeat every row, for the noise copies: (batch, tokens) -> (batch * copies, tokens), the first text's first."""
    return {name: value.repeat_interleave(copies, dim=0) for name, value in inputs.items()}


@contextmanager
def _watched(
    network: Network, wanted: Set[Place], passed: Set[int] = frozenset()
) -> Iterator[tuple[dict[Place, Tensor], dict[int, tuple[Any, ...] | None]]]:
    """Yield place to activation, and block to what it returned beside it; one run of the model fills both."""
    kept: dict[Place, Tensor] = {}
    others: dict[int, tuple[Any, ...] | None] = {}

    def watch(block: nn.Module, indices: Sequence[int]) -> Iterator[Any]:
        begun, done = iter(indices), iter(indices)
        looked_at = any(Place(index, given=False) in wanted for index in indices)

        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            place = Place(_next_run(begun, block), given=True)
            if place in wanted:
                kept[place] = _hidden_states(args, kwargs)

        def after(_: nn.Module, __: Any, output: Any) -> None:
            place, bare = Place(_next_run(done, block), given=False), isinstance(output, Tensor)
            others[place.block] = None if bare else tuple(output[1:])
            if place in wanted:
                kept[place] = output if bare else output[0]

        yield block.register_forward_pre_hook(passive(before), with_kwargs=True)
        yield block.register_forward_hook(after if looked_at else passive(after))

    with ExitStack() as hooks:
        for block, indices in network.runs().items():
            for handle in watch(block, [index for index in indices if index not in passed]):
                hooks.enter_context(handle)
        yield kept, others


def _passed(network: Network, layer: int) -> set[int]:
    """List the blocks before a cut."""
    return {
        index
        for place, (start, _) in zip(network.cut(layer), network.stacks, strict=True)
        for index in range(start, place.block + (not place.given))
    }


def _next_run(runs: Iterator[int], block: nn.Module) -> int:
    if (index := next(runs, None)) is not None:
        return index
    raise ModelError(f"{type(block).__name__} runs more often than the configuration counts it as a block")


def _hidden_states(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """Find the activation among a block's arguments: the first by position, or the one of that name."""
    if isinstance(value := args[0] if args else kwargs.get("hidden_states"), Tensor):
        return value
    raise ModelError("a block gets its activation neither as first argument nor as 'hidden_states'")


def take_rows(prefix: Prefix, inputs: Inputs, rows: Sequence[int]) -> tuple[Prefix, dict[str, Tensor]]:
    """Pick some texts of a plain run: what `run_suffix` needs for activations of these alone."""
    count = len(prefix.logits)

    def pick(value: Any) -> Any:
        return value[rows] if isinstance(value, Tensor) and value.ndim > 0 and len(value) == count else value

    others = tuple(None if own is None else tuple(map(pick, own)) for own in prefix.others)
    return Prefix({}, prefix.logits[rows], others), {name: pick(value) for name, value in inputs.items()}


def _repeat_rows(others: tuple[Any, ...] | None, texts: int, rows: int) -> tuple[Any, ...] | None:
    """Repeat what a block returned beside the activation for the copies of the texts, if it has a row per text."""
    if others is None or rows == texts:
        return others
    repeated = [isinstance(other, Tensor) and other.ndim > 0 and len(other) == texts for other in others]
    pairs = zip(others, repeated, strict=True)
    return tuple(other.repeat_interleave(rows // texts, dim=0) if per_text else other for other, per_text in pairs)


def _hand_on(activation: Tensor | None, others: tuple[Any, ...] | None) -> Forward:
    """Make the stand-in for a block before the cut: it returns `activation`, else its input, and `others`."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        output = _hidden_states(args, kwargs) if activation is None else activation
        return output if others is None else (output, *others)  # T5 passes its position bias from block to block

    return forward


@contextmanager
def _replaced_forward(block: nn.Module, stand_ins: Sequence[Forward | None]) -> Iterator[None]:
    """Let a block run a stand-in in each of its runs (None = itself), without the hooks that ran in the prefix."""
    runs = iter(stand_ins)

    def forward(*args: Any, **kwargs: Any) -> Any:
        stand_in = next(runs, None)
        if stand_in is not None:
            return stand_in(*args, **kwargs)
        with _attributes_of(block, before):
            return block(*args, **kwargs)

    attributes = {"forward": forward, "_forward_hooks": OrderedDict(), "_forward_pre_hooks": OrderedDict()}
    with _attributes_of(block, attributes) as before:
        yield


@contextmanager
def _attributes_of(block: nn.Module, attributes: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Set a block's own forward and hooks, yield those that it had, and restore them at the end."""
    names = ("forward", "_forward_hooks", "_forward_pre_hooks")

    def exchange(new: Mapping[str, Any]) -> dict[str, Any]:
        old = {name: block.__dict__.pop(name) for name in names if name in block.__dict__}
        block.__dict__.update(new)
        return old

    before = exchange(attributes)
    try:
        yield before
    finally:
        exchange(before)


def _putting(activation: Tensor) -> Forward:
    """Make the hook that gives a block, in its first run, this activation instead of the one from the model."""
    pending = [activation]

    def put_in(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not pending:
            return args, kwargs
        given = pending.pop()
        return ((given, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": given})

    return put_in
