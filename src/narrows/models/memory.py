"""How many tokens go through a model together: as many as memory holds, found out without ever losing work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from narrows.errors import InputError, MemoryLimitError
from narrows.models.cut.blocks import text_config

Result = TypeVar("Result")

# What a processor is kept busy with. On CPUs, more costs memory and time: tensors of 8,192 tokens no longer come out of
# what the allocator holds but page by page from the system, which halved the speed (docs/performance.md).
MOST_TOKENS = {"cpu": 4_096}
MOST_TOKENS_ELSEWHERE = 65_536
# Values that a block keeps for the way back, per token and hidden feature, without attention weights, which fused
# kernels do not keep: Korthikanti et al. (2022), "Reducing Activation Recomputation in Large Transformer Models".
KEPT_PER_FEATURE = 17
SHARE = 0.5  # of the free memory is planned for; the rest is for what the estimate leaves out
# What allocators say when there is nothing left, where they have no exception of their own for it.
COMPLAINTS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


class TokenBudget:
    """The most tokens, padding included, that go through a model together; halved whenever memory runs out.

    Attributes:
        tokens: How many.

    Example:
        >>> budget = TokenBudget(100)
        >>> list(budget.run([3, 9, 4], batch_size=2, work=len))
        [([1, 2], 2), ([0], 1)]
    """

    def __init__(self, tokens: int) -> None:
        """Start with a number.

        Args:
            tokens: How many.

        Raises:
            InputError: If there are none.
        """
        if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
            raise InputError(f"a batch must hold at least 1 token, not {tokens!r}")
        self.tokens = tokens

    @classmethod
    def of(cls, model: nn.Module) -> TokenBudget:
        """Choose a number by the memory that is free now.

        Args:
            model: A Hugging Face model.

        Returns:
            The budget.
        """
        device = next(model.parameters()).device
        most = MOST_TOKENS.get(device.type, MOST_TOKENS_ELSEWHERE)
        free = free_memory(device)
        if free is None:
            return cls(most)
        config = text_config(model)
        bytes_per_token = KEPT_PER_FEATURE * config.hidden_size * config.num_hidden_layers * 4
        return cls(int(min(max(SHARE * free / bytes_per_token, 1), most)))

    def run(
        self, lengths: Sequence[int], batch_size: int, work: Callable[[list[int]], Result], copies: int = 1
    ) -> Iterator[tuple[list[int], Result]]:
        """Do some work on batches of texts of like length; what does not fit into memory is done in smaller ones.

        Args:
            lengths: Tokens of each text.
            batch_size: Most texts in a batch.
            work: From the positions of some texts to what comes of them.
            copies: How often it takes each text through the model at once.

        Yields:
            Positions and what came of them, longest texts first, so that a lack of memory shows at once; a text that
            is longer than the budget goes alone.

        Raises:
            MemoryLimitError: If a single text does not fit.
        """
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        while order:
            longest = max(lengths[order[0]], 1)
            rows = order[: max(min(self.tokens // (longest * copies), batch_size), 1)]
            try:
                result = work(rows)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                complaint = str(error).partition("\n")[0]
            else:
                yield rows, result
                order = order[len(rows) :]
                continue
            # Only here, where the exception is gone, is what its frames held free again.
            if len(rows) == 1:
                raise MemoryLimitError(f"no memory for a text of {longest} tokens, cut it with max_tokens: {complaint}")
            self.tokens = len(rows) // 2 * longest * copies


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception says that memory ran out.

    Args:
        error: The exception.

    Returns:
        True for those of Python and torch, whatever the device.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("MPS backend out of memory"))
        (True, True)
        >>> is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
        False
    """
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(complaint in str(error).lower() for complaint in COMPLAINTS)


def free_memory(device: torch.device) -> int | None:
    """Look up how much memory can be had.

    Args:
        device: Where.

    Returns:
        Bytes, or None where that cannot be told.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu":
        return None
    try:  # counts what the system would give back, caches among it; Linux alone tells
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
