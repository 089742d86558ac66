"""How many tokens a model processes together: as many as memory holds, found without losing any work."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from narrows.errors import MemoryLimitError, count, first_line
from narrows.models.cut.blocks import block_count, text_config

Result = TypeVar("Result")

# Enough to keep a processor busy. On CPUs more costs memory and time: tensors of 8,192 tokens come page by page from
# the system instead of from the allocator's own memory.
MOST_TOKENS = {"cpu": 4_096}
MOST_TOKENS_ELSEWHERE = 65_536
# Values that a block keeps for the backward pass, per token and hidden feature, without attention weights, which fused
# kernels do not keep: Korthikanti et al. (2022), "Reducing Activation Recomputation in Large Transformer Models".
KEPT_PER_FEATURE = 17
SHARE = 0.5  # of the free memory; the rest is for what the estimate leaves out
# Messages of allocators that have no exception of their own for a lack of memory.
COMPLAINTS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


class TokenBudget:
    """The most tokens, padding included, that go through a model together; halved whenever memory runs out."""

    def __init__(self, tokens: int) -> None:
        """Start with this many tokens; raise an InputError if there are none."""
        self.tokens = count("max_tokens_per_batch", tokens)

    @classmethod
    def of(cls, model: nn.Module) -> "TokenBudget":
        """Choose the number for a Hugging Face model by the memory that is free now."""
        device = next(model.parameters()).device
        most, free = MOST_TOKENS.get(device.type, MOST_TOKENS_ELSEWHERE), free_memory(device)
        if free is None:
            return cls(most)
        bytes_per_token = KEPT_PER_FEATURE * text_config(model).hidden_size * block_count(model) * 4
        return cls(int(min(max(SHARE * free / bytes_per_token, 1), most)))

    def run(
        self, lengths: Sequence[int], batch_size: int, work: Callable[[list[int]], Result], copies: int = 1
    ) -> Iterator[tuple[list[int], Result]]:
        """Yield positions and `work(positions)` for batches of similar length, longest first; halve if need be."""
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        while order:
            longest = max(lengths[order[0]], 1)
            rows = order[: max(min(self.tokens // (longest * copies), batch_size), 1)]
            try:
                result = work(rows)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                lack = no_memory(longest, error)
            else:
                yield rows, result
                order = order[len(rows) :]
                continue
            # The memory held by the exception's frames is free only from here on.
            if len(rows) == 1:
                raise lack
            self.tokens = min(self.tokens, len(rows) // 2 * longest * copies)  # another thread may have halved it more


def no_memory(tokens: int, error: Exception) -> MemoryLimitError:
    """Say that memory does not suffice for one text of so many tokens."""
    complaint = first_line(error)
    return MemoryLimitError(f"no memory for a text of {tokens} tokens, shorten it with max_tokens: {complaint}")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception of Python or torch, on any device, says that memory ran out."""
    if isinstance(error, RuntimeError) and any(complaint in str(error).lower() for complaint in COMPLAINTS):
        return True
    if isinstance(error, MemoryLimitError):  # a smaller batch was tried already
        return False
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError)


def free_memory(device: torch.device) -> int | None:
    """Return the free bytes of a device, or None if they are not known."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu":
        return None
    with suppress(OSError, StopIteration):  # Linux: includes caches, which the system would give back
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return None
