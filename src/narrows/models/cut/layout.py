"""How a model lays out the activations inside its blocks, and how that becomes one row per token of the text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from narrows.errors import ModelError
from narrows.models.cut.blocks import text_config

Inputs = Mapping[str, Tensor]


class Layout(Protocol):
    """Both ways between a block's activation and (batch, tokens, hidden) in the order of the text."""

    def read(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        """Give a block's activation as (batch, tokens, hidden)."""

    def write(self, activation: Tensor, inputs: Inputs) -> Tensor:
        """Give (batch, tokens, hidden) as the block has it."""


@dataclass(frozen=True)
class Plain:
    """Most models: (batch, tokens, hidden) as it is."""

    def read(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        """Give a block's activation as it is.

        Args:
            hidden: (batch, tokens, hidden).
            inputs: The model's tensors by name, (batch, tokens) each.

        Returns:
            The same.

        Raises:
            ModelError: If it has another shape.
        """
        expected = tuple(inputs["input_ids"].shape)
        if hidden.ndim != 3 or tuple(hidden.shape[:2]) != expected:
            raise ModelError(
                f"a block gives {tuple(hidden.shape)} for {expected[0]} texts of {expected[1]} tokens: "
                "only blocks that keep one place per token can be explained"
            )
        return hidden

    def write(self, activation: Tensor, inputs: Inputs) -> Tensor:
        """Give an activation as it is."""
        return activation


@dataclass(frozen=True)
class TimeFirst:
    """XLNet: (tokens, batch, hidden)."""

    def read(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        """Put the texts first."""
        return Plain().read(hidden.transpose(0, 1), inputs)

    def write(self, activation: Tensor, inputs: Inputs) -> Tensor:
        """Put the tokens first."""
        return activation.transpose(0, 1)


@dataclass(frozen=True)
class Windowed:
    """Longformer: the model pads every text to a multiple of its attention window, and attends to none of that.

    Attributes:
        window: Of the widest block.
    """

    window: int

    def read(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        """Cut off the model's own padding."""
        return Plain().read(hidden[:, : inputs["input_ids"].shape[1]], inputs)

    def write(self, activation: Tensor, inputs: Inputs) -> Tensor:
        """Pad with zeros."""
        return pad(activation, (0, 0, 0, -activation.shape[1] % self.window))


@dataclass(frozen=True)
class Shifted:
    """The decoder of T5 and BART classifiers: it reads the text once more, each token one place later.

    In front of a text of n tokens stands a start token, and the last token is not read. Token t is taken from place
    t + 1, and the start token's place goes to the last token, so that every token of the text has one place here too.
    """

    def read(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        """Put every place at its token."""
        return _take(Plain().read(hidden, inputs), _shifted(inputs, 1))

    def write(self, activation: Tensor, inputs: Inputs) -> Tensor:
        """Put every token at its place."""
        return _take(activation, _shifted(inputs, -1))


def _shifted(inputs: Inputs, by: int) -> Tensor:
    """Move the places of each text around in a circle; those of its padding stay. (batch, tokens)."""
    attended = inputs["attention_mask"].bool()
    place = torch.arange(attended.shape[1], device=attended.device).expand(attended.shape)
    length = (torch.where(attended, place, 0).amax(dim=1, keepdim=True)) + 1
    return torch.where(place < length, (place + by) % length, place)


def _take(activation: Tensor, places: Tensor) -> Tensor:
    return activation.gather(1, places.unsqueeze(-1).expand_as(activation))


def find_layouts(model: nn.Module, stacks: int) -> tuple[Layout, ...]:
    """Tell how the blocks of a model lay out their activations.

    Args:
        model: A Hugging Face model.
        stacks: Number of its stacks of blocks.

    Returns:
        One layout per stack.
    """
    if stacks == 2:
        return Plain(), Shifted()
    config = text_config(model)
    match config.model_type:
        case "xlnet":
            return (TimeFirst(),)
        case "longformer":
            window = config.attention_window
            return (Windowed(window if isinstance(window, int) else max(window)),)
        case _:
            return (Plain(),)
