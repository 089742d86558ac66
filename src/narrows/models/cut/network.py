"""A model as a row of blocks, and where a cut after a layer goes through it.

A model with an encoder and a decoder that both read the text (T5, BART) is cut in both: up to the last block of the
encoder the cut also goes through the decoder's input, after that also through the encoder's output. The activations
of both sides stand side by side, (batch, tokens, 2 * hidden), so that a token has one mask and nothing of it gets past.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from narrows.models.cut.blocks import find_stacks
from narrows.models.cut.layout import Inputs, Layout, find_layouts


class Place(NamedTuple):
    """Where an activation is: what a block, counted from 0, is given or gives."""

    block: int
    given: bool


@dataclass(frozen=True)
class Network:
    """A model and its blocks.

    Attributes:
        model: The user's model.
        blocks: Its blocks; block 1 stands at index 0. A module that runs several times stands there as often.
        stacks: For each stack of blocks, the index of its first block and its layout.
    """

    model: PreTrainedModel
    blocks: Sequence[nn.Module]
    stacks: tuple[tuple[int, Layout], ...]

    @classmethod
    def of(cls, model: PreTrainedModel) -> Network:
        """Find the blocks of a model.

        Args:
            model: A Hugging Face model.

        Returns:
            The model with its blocks.
        """
        stacks = find_stacks(model)
        starts = [sum(map(len, stacks[:number])) for number in range(len(stacks))]
        layouts = find_layouts(model, len(stacks))
        return cls(model, [block for stack in stacks for block in stack], tuple(zip(starts, layouts, strict=True)))

    def cut(self, layer: int) -> tuple[Place, ...]:
        """Tell where a cut goes through.

        Args:
            layer: 0 = after the embeddings, n = after the n-th block.

        Returns:
            One place per stack.
        """
        ends = [start for start, _ in self.stacks[1:]] + [len(self.blocks)]
        places = []
        for (start, _), end in zip(self.stacks, ends, strict=True):
            block = min(max(layer, start), end) - 1
            places.append(Place(start, given=True) if block < start else Place(block, given=False))
        return tuple(places)

    def runs(self) -> dict[nn.Module, list[int]]:
        """Tell for every module which blocks it is, in the order of its runs."""
        runs: dict[nn.Module, list[int]] = {}
        for index, block in enumerate(self.blocks):
            runs.setdefault(block, []).append(index)
        return runs

    def read(self, parts: Sequence[Tensor], inputs: Inputs) -> Tensor:
        """Put the activations at the places of a cut side by side, in the order of the text.

        Args:
            parts: One per stack, as the blocks have them.
            inputs: The model's tensors by name, (batch, tokens) each.

        Returns:
            (batch, tokens, hidden of all stacks).
        """
        read = [layout.read(part, inputs) for part, (_, layout) in zip(parts, self.stacks, strict=True)]
        return read[0] if len(read) == 1 else torch.cat([part.to(read[0].device) for part in read], dim=-1)

    def write(self, activation: Tensor, inputs: Inputs) -> list[Tensor]:
        """Undo `read`.

        Args:
            activation: (batch, tokens, hidden of all stacks).
            inputs: The model's tensors by name, (batch, tokens) each.

        Returns:
            One activation per stack, as the blocks have them.
        """
        parts = activation.chunk(len(self.stacks), dim=-1)
        return [layout.write(part, inputs) for part, (_, layout) in zip(parts, self.stacks, strict=True)]
