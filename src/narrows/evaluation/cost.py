"""The cost of a method on a model: seconds, and passes through its blocks, however it runs them."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from narrows.models.cut.blocks import find_blocks
from narrows.models.cut.head import passive, share_computed


@dataclass
class Cost:
    """What was measured."""

    seconds: float = 0.0  # of wall clock
    forwards: float = 0.0  # texts that went through the blocks; through half of them counts half
    backwards: float = 0.0  # texts whose gradient went back through the blocks, likewise

    @property
    def forward_equivalents(self) -> float:
        """Forwards and backwards together; each through all blocks counts 1 per text."""
        return self.forwards + self.backwards


@contextmanager
def measured(model: nn.Module) -> Iterator[Cost]:
    """Measure the cost of a ``with`` block: passes by rows and share of the blocks run; all zero until its end."""
    blocks = find_blocks(model)
    forwards: list[float] = []  # texts, by block and batch
    backwards: list[float] = []

    def after_block(_: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        hidden: Tensor = output if isinstance(output, Tensor) else output[0]
        texts = len(hidden) * (share_computed(hidden.shape[1], given[0].shape[1]) if given else 1.0)
        forwards.append(texts)
        # The block's last operation runs backward if and only if the gradient goes back into the block. A hook on its
        # input could not tell: one tensor may be the input of several runs, and run_suffix replaces it.
        if hidden.grad_fn is not None:
            hidden.grad_fn.register_hook(lambda *_: backwards.append(texts))

    cost = Cost()
    with ExitStack() as cleanup:
        for block in dict.fromkeys(blocks):  # one hook per module, also for one that stands for several blocks
            cleanup.enter_context(block.register_forward_hook(passive(after_block)))
        start = _now(model)
        try:
            yield cost
        finally:
            cost.seconds = _now(model) - start
            cost.forwards, cost.backwards = sum(forwards) / len(blocks), sum(backwards) / len(blocks)


def _now(model: nn.Module) -> float:
    """Read the clock when the model's device has finished."""
    device = next(model.parameters()).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
