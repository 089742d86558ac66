"""Cutting a model in two at a layer: the prefix runs once, the suffix at every step.

Both run the model's own forward, so masks, position encodings, norms and the head are the model's own. In the suffix,
the blocks before the cut return their input unchanged, and the given activation is inserted where they end. Every block
stays in its list, for models that look at a block's index or attributes. All changes are undone at the end, also after
an exception or Ctrl-C.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from narrows.errors import ModelError
from narrows.models.cut.blocks import text_config
from narrows.models.cut.head import as_read_by_head, passive
from narrows.models.cut.layout import Inputs
from narrows.models.cut.network import Network, Place

Forward = Callable[..., Any]


@dataclass(frozen=True)
class Prefix:
    """The results of one ordinary forward pass.

    Attributes:
        activations: Layer to activation, (batch, tokens, hidden).
        logits: As `forward_head` returns them.
        others: For each block, what it returns beside the activation; None where it returns the bare tensor.
    """

    activations: dict[int, Tensor]
    logits: Tensor
    others: tuple[tuple[Any, ...] | None, ...]


@contextmanager
def borrowed(model: nn.Module, padding_id: int) -> Iterator[None]:
    """Use a model as a guest: evaluation mode, frozen weights, a padding token; all restored at the end."""
    training = [(module, module.training) for module in model.modules()]
    frozen = [parameter for parameter in model.parameters() if parameter.requires_grad]
    config = text_config(model)
    unpadded = getattr(config, "pad_token_id", None) is None  # decoders need it to find a text's last token
    try:
        model.eval()
        for parameter in frozen:
            parameter.requires_grad_(False)
        if unpadded:
            config.pad_token_id = padding_id
        yield
    finally:
        if unpadded:
            config.pad_token_id = None
        for parameter in frozen:
            parameter.requires_grad_(True)
        for module, was_training in training:
            module.training = was_training


def forward_head(model: nn.Module, inputs: Inputs) -> Tensor:
    """Return the logits of any head: (batch, classes), or (batch, tokens, classes); start and end as classes."""
    options: dict[str, Any] = {"return_dict": True}
    # The suffix skips blocks, which would otherwise have to fill a cache or return attentions and hidden states.
    accepted = inspect.signature(model.forward).parameters
    options |= {name: False for name in ("use_cache", "output_attentions", "output_hidden_states") if name in accepted}
    with as_read_by_head(model):
        output = model(**inputs, **options)
    start, end = getattr(output, "start_logits", None), getattr(output, "end_logits", None)
    logits = getattr(output, "logits", None) if start is None or end is None else torch.stack([start, end], dim=-1)
    if not isinstance(logits, Tensor):
        raise ModelError(
            f"{type(model).__name__} has no head that can be explained: it gives no logits (a classification "
            "head gives (batch, classes))"
        )
    return logits


def forward_logits(model: nn.Module, inputs: Inputs) -> Tensor:
    """Run a classifier and return its logits, (batch, classes)."""
    logits = forward_head(model, inputs)
    if logits.ndim != 2:
        raise ModelError(
            f"{type(model).__name__} has no classification head: it gives no logits of shape (batch, classes)"
        )
    return logits


def run_prefix(network: Network, inputs: Inputs, layers: Sequence[int]) -> Prefix:
    """Run the unchanged model once and keep the activations of some layers, (batch, tokens, hidden) each."""
    wanted = {place for layer in layers for place in network.cut(layer)}
    with torch.no_grad(), _watched(network, wanted) as (kept, others):
        logits = forward_head(network.model, inputs)
    idle = [index + 1 for index in range(len(network.blocks)) if index not in others]
    if idle:
        raise ModelError(
            f"block {idle[0]} of {type(network.model).__name__} does not run, so the model cannot be explained"
        )
    return Prefix(
        {layer: network.read([kept[place] for place in network.cut(layer)], inputs) for layer in layers},
        logits,
        tuple(others[index] for index in range(len(network.blocks))),
    )


def run_suffix(network: Network, prefix: Prefix, inputs: Inputs, layer: int, activation: Tensor) -> Tensor:
    """Run the part after a layer on a given activation, (batch, tokens, hidden), and return the logits."""
    # The activation may have several rows per row of the prefix, as `repeat_inputs` makes them.
    put_in = dict(zip(network.cut(layer), network.write(activation, inputs), strict=True))
    rest = [_repeat_rows(others, len(prefix.logits), len(activation)) for others in prefix.others]
    passed = _passed(network, layer)
    with ExitStack() as patches:
        for block, indices in network.runs().items():
            stand_ins = [
                _hand_on(put_in.get(Place(index, given=False)), rest[index]) if index in passed else None
                for index in indices
            ]
            if any(stand_ins):
                patches.enter_context(_replaced_forward(block, stand_ins))
        for place, hidden in put_in.items():
            if place.given:
                patches.enter_context(_replaced_input(network.blocks[place.block], hidden))
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
    """Repeat every row, for the noise copies: rows 0 to copies - 1 belong to the first text.

    Args:
        inputs: Tensors by name, (batch, tokens) each.
        copies: How often.

    Returns:
        Tensors by name, (batch * copies, tokens) each.
    """
    return {name: value.repeat_interleave(copies, dim=0) for name, value in inputs.items()}


@contextmanager
def _watched(
    network: Network, wanted: Set[Place], passed: Set[int] = frozenset()
) -> Iterator[tuple[dict[Place, Tensor], dict[int, tuple[Any, ...] | None]]]:
    """Yield place to activation, and block to what it returned beside it; one run of the model fills both."""
    kept: dict[Place, Tensor] = {}
    others: dict[int, tuple[Any, ...] | None] = {}

    def watch(block: nn.Module, indices: Sequence[int]) -> Iterator[RemovableHandle]:
        begun, done = iter(indices), iter(indices)

        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            place = Place(_next_run(begun, block), given=True)
            if place in wanted:
                kept[place] = _hidden_states(args, kwargs)

        def after(_: nn.Module, __: Any, output: Any) -> None:
            index = _next_run(done, block)
            others[index] = None if isinstance(output, Tensor) else tuple(output[1:])
            if Place(index, given=False) in wanted:
                kept[Place(index, given=False)] = output if isinstance(output, Tensor) else output[0]

        looked_at = any(Place(index, given=False) in wanted for index in indices)
        yield block.register_forward_pre_hook(passive(before), with_kwargs=True)
        yield block.register_forward_hook(after if looked_at else passive(after))

    with ExitStack() as hooks:
        for block, indices in network.runs().items():
            for handle in watch(block, [index for index in indices if index not in passed]):
                hooks.callback(handle.remove)
        yield kept, others


def _passed(network: Network, layer: int) -> set[int]:
    """List the blocks before a cut."""
    return {
        index
        for place, (start, _) in zip(network.cut(layer), network.stacks, strict=True)
        for index in range(start, place.block + (not place.given))
    }


def _next_run(runs: Iterator[int], block: nn.Module) -> int:
    index = next(runs, None)
    if index is None:
        raise ModelError(f"{type(block).__name__} runs more often than the configuration counts it as a block")
    return index


def _hidden_states(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """Find the activation among a block's arguments: the first by position, or the one of that name."""
    value = args[0] if args else kwargs.get("hidden_states")
    if not isinstance(value, Tensor):
        raise ModelError("a block gets its activation neither as first argument nor as 'hidden_states'")
    return value


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
    per_text = [isinstance(other, Tensor) and other.ndim > 0 and len(other) == texts for other in others]
    return tuple(
        other.repeat_interleave(rows // texts, dim=0) if repeated else other
        for other, repeated in zip(others, per_text, strict=True)
    )


def _hand_on(activation: Tensor | None, others: tuple[Any, ...] | None) -> Forward:
    """Make the stand-in for a block before the cut: it returns `activation`, or its input if that is None."""

    # What the block returned beside the activation is returned again: T5 passes its position bias from block to block.
    def forward(*args: Any, **kwargs: Any) -> Any:
        output = _hidden_states(args, kwargs) if activation is None else activation
        return output if others is None else (output, *others)

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


@contextmanager
def _replaced_input(block: nn.Module, activation: Tensor) -> Iterator[None]:
    """Give a block, in its first run, this activation instead of the one from the model."""
    pending = [activation]

    def put_in(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not pending:
            return args, kwargs
        given = pending.pop()
        return ((given, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": given})

    handle = block.register_forward_pre_hook(put_in, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
