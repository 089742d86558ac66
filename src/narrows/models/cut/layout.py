"""How a model arranges the activations inside its blocks, and how to get one row per token of the text."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from narrows.errors import ModelError
from narrows.models.cut.blocks import text_config

Inputs = Mapping[str, Tensor]


class Layout:
    """Converts a block's activation to (batch, tokens, hidden) in the order of the text, which most have, and back."""

    def read(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        """Return a block's activation as (batch, tokens, hidden)."""
        expected = tuple(inputs["input_ids"].shape)
        if hidden.ndim != 3 or tuple(hidden.shape[:2]) != expected:
            given = f"a block gives {tuple(hidden.shape)} for {expected[0]} texts of {expected[1]} tokens"
            raise ModelError(f"{given}: only blocks that keep one position per token can be explained")
        return hidden

    def write(self, activation: Tensor, inputs: Inputs) -> Tensor:
        """Return (batch, tokens, hidden) as the block expects it."""
        return activation


class _TimeFirst(Layout):
    """XLNet: (tokens, batch, hidden)."""

    def read(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        return super().read(hidden.transpose(0, 1), inputs)

    def write(self, activation: Tensor, inputs: Inputs) -> Tensor:
        return activation.transpose(0, 1)


@dataclass(frozen=True)
class _Windowed(Layout):
    """Longformer: the model pads every text with unattended positions to a multiple of its widest window."""

    window: int

    def read(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        return super().read(hidden[:, : inputs["input_ids"].shape[1]], inputs)

    def write(self, activation: Tensor, inputs: Inputs) -> Tensor:
        return nn.functional.pad(activation, (0, 0, 0, -activation.shape[1] % self.window))


class _Shifted(Layout):
    """The decoder of T5 and BART classifiers: it reads the text again, each token one position later."""

    # It gets a start token first and does not read the last token. So token t is at position t + 1, and the start
    # token's position is used for the last token: every token of the text has a position here too.
    def read(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        return _rotated(super().read(hidden, inputs), inputs, 1)

    def write(self, activation: Tensor, inputs: Inputs) -> Tensor:
        return _rotated(activation, inputs, -1)


def _rotated(activation: Tensor, inputs: Inputs, by: int) -> Tensor:
    """Rotate the positions of each text, (batch, tokens, hidden); those of its padding stay."""
    attended = inputs["attention_mask"].bool()
    position = torch.arange(attended.shape[1], device=attended.device).expand(attended.shape)
    length = torch.where(attended, position, 0).amax(dim=1, keepdim=True) + 1
    source = torch.where(position < length, (position + by) % length, position)
    return activation.gather(1, source.unsqueeze(-1).expand_as(activation))


def find_layouts(model: nn.Module, stacks: int) -> tuple[Layout, ...]:
    """Return the layout of each stack of blocks."""
    if stacks == 2:
        return Layout(), _Shifted()
    config = text_config(model)
    match config.model_type:
        case "xlnet":
            return (_TimeFirst(),)
        case "longformer":
            window = config.attention_window
            return (_Windowed(window if isinstance(window, int) else max(window)),)
    return (Layout(),)
