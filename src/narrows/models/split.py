"""Cutting a model in two at a layer: the prefix is run once, the suffix at every step.

Both run the model's own forward, so that its masks, position encodings, norms and head are its own. In the suffix
the blocks before the cut hand their input on unchanged and the activation is put in where they end; every block stays
at its place, for models that look at a block's index or attributes. Whatever is altered is put back on the way out,
also after an exception or Ctrl-C.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from narrows.errors import ModelError
from narrows.models.blocks import find_blocks, text_config
from narrows.models.head import as_read_by_head, passive

Inputs = Mapping[str, Tensor]
Forward = Callable[..., Any]


@dataclass(frozen=True)
class Network:
    """A model and its blocks.

    Attributes:
        model: The user's model.
        blocks: Its blocks; block 1 stands at index 0.
    """

    model: nn.Module
    blocks: Sequence[nn.Module]

    @classmethod
    def of(cls, model: nn.Module) -> Network:
        """Find the blocks of a model.

        Args:
            model: A Hugging Face model.

        Returns:
            The model with its blocks.
        """
        return cls(model, find_blocks(model))


@dataclass(frozen=True)
class Prefix:
    """What one plain forward pass gives.

    Attributes:
        activations: Layer to activation, (batch, tokens, hidden).
        logits: (batch, classes).
        tuple_sizes: Per block, the length of the tuple that it returns, 0 where it returns the bare tensor.
    """

    activations: dict[int, Tensor]
    logits: Tensor
    tuple_sizes: tuple[int, ...]


@contextmanager
def borrowed(model: nn.Module, padding_id: int) -> Iterator[None]:
    """Use a model as a guest does: in evaluation mode, weights frozen, padding known; all of it put back at the end.

    Args:
        model: The user's model.
        padding_id: Padding token for a configuration that names none; decoders need it to find a text's last token.

    Yields:
        Nothing.
    """
    training = [(module, module.training) for module in model.modules()]
    frozen = [parameter for parameter in model.parameters() if parameter.requires_grad]
    config = text_config(model)
    unpadded = getattr(config, "pad_token_id", None) is None
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


def forward_logits(model: nn.Module, inputs: Inputs) -> Tensor:
    """Run a classifier.

    Args:
        model: A model with a classification head.
        inputs: Its tensors by name, (batch, tokens) each.

    Returns:
        Logits, (batch, classes).

    Raises:
        ModelError: If its output holds no logits of that shape.
    """
    options: dict[str, Any] = {"return_dict": True}
    # A cache of keys would be filled by blocks that the suffix passes over; attentions and hidden states would be
    # collected from them if the configuration says so.
    accepted = inspect.signature(model.forward).parameters
    options |= {name: False for name in ("use_cache", "output_attentions", "output_hidden_states") if name in accepted}
    with as_read_by_head(model):
        logits = getattr(model(**inputs, **options), "logits", None)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise ModelError(
            f"{type(model).__name__} has no classification head: it gives no logits of shape (batch, classes)"
        )
    return logits


def run_prefix(network: Network, inputs: Inputs, layers: Sequence[int]) -> Prefix:
    """Run the model once as it is and keep the activations of some layers.

    Args:
        network: The model, borrowed.
        inputs: Its tensors by name, (batch, tokens) each.
        layers: The layers to keep.

    Returns:
        Activations and logits.
    """
    kept: dict[int, Tensor] = {}
    sizes = [0] * len(network.blocks)

    def keep_input(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kept[0] = _hidden_states(args, kwargs)

    def keep_output(index: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            sizes[index] = 0 if isinstance(output, Tensor) else len(output)
            if index + 1 in layers:
                kept[index + 1] = output if isinstance(output, Tensor) else output[0]

        return hook if index + 1 in layers else passive(hook)

    with torch.no_grad(), ExitStack() as hooks:
        if 0 in layers:
            hooks.callback(network.blocks[0].register_forward_pre_hook(keep_input, with_kwargs=True).remove)
        for index, block in enumerate(network.blocks):
            hooks.callback(block.register_forward_hook(keep_output(index)).remove)
        logits = forward_logits(network.model, inputs)
    return Prefix(kept, logits, tuple(sizes))


def run_suffix(network: Network, prefix: Prefix, inputs: Inputs, layer: int, activation: Tensor) -> Tensor:
    """Run what comes after a layer, on an activation of one's own.

    Args:
        network: The model, borrowed.
        prefix: A plain run of it, which tells what its blocks return.
        inputs: Its tensors by name, (batch, tokens) each, for the masks and the head.
        layer: The cut: 0 = after the embeddings, n = after the n-th block.
        activation: What to put in there, (batch, tokens, hidden).

    Returns:
        Logits, (batch, classes).
    """
    with ExitStack() as patches:
        for index, block in enumerate(network.blocks[:layer]):
            stand_in = _hand_on(activation if index == layer - 1 else None, prefix.tuple_sizes[index])
            patches.enter_context(_replaced_forward(block, stand_in))
        if layer == 0:
            patches.enter_context(_replaced_input(network.blocks[0], activation))
        return forward_logits(network.model, inputs)


def repeat_inputs(inputs: Inputs, copies: int) -> dict[str, Tensor]:
    """Repeat every row, for the noise copies: rows 0 to copies - 1 belong to the first text.

    Args:
        inputs: Tensors by name, (batch, tokens) each.
        copies: How often.

    Returns:
        Tensors by name, (batch * copies, tokens) each.
    """
    return {name: value.repeat_interleave(copies, dim=0) for name, value in inputs.items()}


def _hidden_states(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """Find the activation among the arguments of a block: the first by position, or by its name."""
    value = args[0] if args else kwargs.get("hidden_states")
    if not isinstance(value, Tensor):
        raise ModelError("a block takes its activation neither as first argument nor as 'hidden_states'")
    return value


def _hand_on(activation: Tensor | None, tuple_size: int) -> Forward:
    """Make the stand-in for a block before the cut: it returns an activation, or else its input, as the block would."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        output = _hidden_states(args, kwargs) if activation is None else activation
        return (output, *[None] * (tuple_size - 1)) if tuple_size else output

    return forward


@contextmanager
def _replaced_forward(block: nn.Module, forward: Forward) -> Iterator[None]:
    """Let a block compute something else, without the hooks that had their say in the prefix already."""
    attributes = {"forward": forward, "_forward_hooks": OrderedDict(), "_forward_pre_hooks": OrderedDict()}
    before = {name: block.__dict__[name] for name in attributes if name in block.__dict__}
    try:
        block.__dict__.update(attributes)
        yield
    finally:
        for name in attributes:
            del block.__dict__[name]
        block.__dict__.update(before)


@contextmanager
def _replaced_input(block: nn.Module, activation: Tensor) -> Iterator[None]:
    """Give a block another activation than the one that the model hands it."""

    def put_in(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (activation, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": activation}

    handle = block.register_forward_pre_hook(put_in, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
