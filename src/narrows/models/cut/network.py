"""A model as a row of blocks; encoder-decoders are cut on both sides at once: (batch, tokens, 2 * hidden), one mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from narrows.models.cut.blocks import find_stacks
from narrows.models.cut.layout import Inputs, Layout, find_layouts


class Place(NamedTuple):
    """Where an activation is found: the input (`given`) or the output of a block, counted from 0."""

    block: int
    given: bool


@dataclass(frozen=True)
class Network:
    """A model, its blocks in running order, and for each stack the index of its first block and its layout."""

    model: PreTrainedModel
    blocks: Sequence[nn.Module]
    stacks: tuple[tuple[int, Layout], ...]

    @classmethod
    def of(cls, model: PreTrainedModel) -> "Network":
        """Find the blocks of a model."""
        stacks = find_stacks(model)
        starts = [sum(map(len, stacks[:number])) for number in range(len(stacks))]
        layouts = find_layouts(model, len(stacks))
        return cls(model, [block for stack in stacks for block in stack], tuple(zip(starts, layouts, strict=True)))

    def cut(self, layer: int) -> "tuple[Place, ...]":
        """List the places that a cut after a layer runs through, one per stack."""
        starts = [start for start, _ in self.stacks]
        return tuple(
            Place(start, given=True) if layer <= start else Place(min(layer, end) - 1, given=False)
            for start, end in zip(starts, [*starts[1:], len(self.blocks)], strict=True)
        )

    def runs(self) -> dict[nn.Module, list[int]]:
        """Map each module to the blocks that it is, in the order of its runs."""
        runs: dict[nn.Module, list[int]] = {}
        for index, block in enumerate(self.blocks):
            runs.setdefault(block, []).append(index)
        return runs

    def read(self, parts: Sequence[Tensor], inputs: Inputs) -> Tensor:
        """Concatenate the activations at the places of a cut: (batch, tokens, hidden of all stacks)."""
        read = [layout.read(part, inputs) for part, (_, layout) in zip(parts, self.stacks, strict=True)]
        return read[0] if len(read) == 1 else torch.cat([part.to(read[0].device) for part in read], dim=-1)

    def write(self, activation: Tensor, inputs: Inputs) -> list[Tensor]:
        """Split (batch, tokens, hidden of all stacks) into what the blocks expect; undoes `read`."""
        parts = activation.chunk(len(self.stacks), dim=-1)
        return [layout.write(part, inputs) for part, (_, layout) in zip(parts, self.stacks, strict=True)]
