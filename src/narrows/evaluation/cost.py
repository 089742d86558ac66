"""The cost of a method on a model: seconds, and passes through its blocks, however it runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from narrows.models.cut.blocks import find_blocks
from narrows.models.cut.head import passive, share_computed


@dataclass
class Cost:
    """What was measured; all zero until the measured part of the program ends."""

    seconds: float = 0.0  # of wall clock
    # texts that went forward through the blocks; a text that went through half of them counts half
    forwards: float = 0.0
    backwards: float = 0.0  # texts whose gradient went back through the blocks, likewise

    @property
    def forward_equivalents(self) -> float:
        """Forwards and backwards together; each through all blocks counts 1 per text."""
        return self.forwards + self.backwards


@contextmanager
def measured(model: nn.Module) -> Iterator[Cost]:
    """Measure the cost of what is done with a model in a ``with`` block.

    Every forward through a block counts by the rows of its batch, divided by the number of blocks; so does every
    backward. A last block of which only what the head reads is computed (`models.cut.head`) counts by that share.
    Blocks that `narrows.models.cut.split.run_suffix` skips do not count; nor do padding and the length of the texts.
    Work outside of the blocks counts only in the seconds.

    Args:
        model: A Hugging Face model; the hooks on its blocks are removed at the end, also after an error.

    Yields:
        The cost, all zero until the end.

    Raises:
        LayerError: If the blocks cannot be found.
    """
    blocks = find_blocks(model)
    rows: dict[str, float] = {"forward": 0.0, "backward": 0.0}
    cost = Cost()
    with ExitStack() as cleanup:
        for block in dict.fromkeys(blocks):  # one hook per module, also for one that stands for several blocks
            cleanup.callback(block.register_forward_hook(_count_into(rows)).remove)
        start = _now(model)
        try:
            yield cost
        finally:
            cost.seconds = _now(model) - start
            cost.forwards = rows["forward"] / len(blocks)
            cost.backwards = rows["backward"] / len(blocks)


def _count_into(rows: dict[str, float]) -> Callable[[nn.Module, Any, Any], None]:
    """Make the hook that counts the forwards and backwards of a block."""

    def after_block(_: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        hidden: Tensor = output if isinstance(output, Tensor) else output[0]
        texts = len(hidden) * (share_computed(hidden.shape[1], given[0].shape[1]) if given else 1.0)
        rows["forward"] += texts

        def after_backward(_: Any, __: Any) -> None:
            rows["backward"] += texts

        # The block's last operation runs backward if and only if the gradient goes back into the block. A hook on its
        # input could not tell: one tensor may be the input of several runs, and run_suffix replaces it.
        if hidden.grad_fn is not None:
            hidden.grad_fn.register_hook(after_backward)

    return passive(after_block)


def _now(model: nn.Module) -> float:
    """Read the clock when the model's device has finished."""
    device = next(model.parameters()).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
