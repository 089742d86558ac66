"""Compute the last block only at position 0, which BERT's heads read; keys and values are needed at all positions."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from torch import Tensor, nn

from narrows.models.cut.blocks import find_blocks

# The model's class to the classes of its blocks and of the part that reads position 0. All are post-norm encoders whose
# blocks have the same attributes. The names must match exactly, because a subclass may override any part.
FIRST_TOKEN = {
    "BertForSequenceClassification": ("BertLayer", "BertPooler"),
    "RobertaForSequenceClassification": ("RobertaLayer", "RobertaClassificationHead"),
    "XLMRobertaForSequenceClassification": ("XLMRobertaLayer", "XLMRobertaClassificationHead"),
    "CamembertForSequenceClassification": ("CamembertLayer", "CamembertClassificationHead"),
    "ElectraForSequenceClassification": ("ElectraLayer", "ElectraClassificationHead"),
}
KEYS_AND_VALUES = 1 / 6  # of the products of a block, where the feed-forward part is four times as wide as the rest

P = ParamSpec("P")
T = TypeVar("T")
_OBSERVED: ContextVar[bool] = ContextVar("observed", default=True)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def passive(hook: Callable[P, T]) -> Callable[P, T | None]:
    """Mark a hook that only observes, so that the block may still compute less than it could."""

    def observe(*args: P.args, **kwargs: P.kwargs) -> T | None:
        return hook(*args, **kwargs) if _OBSERVED.get() else None

    observe.passive = True  # type: ignore[attr-defined]
    return observe


@contextmanager
def unobserved() -> Iterator[None]:
    """Run a model for a check of ours: what observes the blocks sees nothing of it, and no cost is counted."""
    token = _OBSERVED.set(False)
    try:
        yield
    finally:
        _OBSERVED.reset(token)


def share_computed(tokens: int, given: int) -> float:
    """Return the share of a block's products that was computed for so many of its tokens."""
    return tokens / given + (1 - tokens / given) * KEYS_AND_VALUES


@contextmanager
def as_read_by_head(model: nn.Module) -> Iterator[None]:
    """Let the last block compute only the token that the head reads, if that is known to be just one."""
    last = _prunable_block(model)
    if last is None:
        yield
        return

    def forward(hidden_states: Tensor, attention_mask: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        if attention_mask is not None and getattr(attention_mask, "ndim", None) != 4:
            whole: Tensor = type(last).forward(last, hidden_states, attention_mask, *args, **kwargs)
            return whole  # the mask has the format of a special kernel
        return _first_token(last, hidden_states, attention_mask)

    last.__dict__["forward"] = forward
    try:
        yield
    finally:
        del last.__dict__["forward"]


def _first_token(block: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Compute the first token of a block's output: (batch, tokens, hidden) -> (batch, 1, hidden)."""
    own, first = block.attention.self, hidden[:, :1]
    q, k, v = (
        values.view(*values.shape[:-1], -1, own.attention_head_size).transpose(1, 2)
        for values in (own.query(first), own.key(hidden), own.value(hidden))
    )
    seen_by = None if mask is None else mask[..., :1, :]
    seen = nn.functional.scaled_dot_product_attention(q, k, v, seen_by, scale=own.scaling)
    output: Tensor = block.feed_forward_chunk(block.attention.output(seen.transpose(1, 2).flatten(2), first))
    return output


def _prunable_block(model: nn.Module) -> Any:
    """Return the last block if the head reads only its first token and nothing else uses, hooks or patches it."""
    if type(model).__name__ not in FIRST_TOKEN or not type(model).__module__.startswith("transformers."):
        return None
    block, head = FIRST_TOKEN[type(model).__name__]
    last = find_blocks(model)[-1]
    reads_first = any(type(module).__name__ == head for module in model.modules())
    return last if type(last).__name__ == block and reads_first and not _is_watched(last) else None


def _is_watched(block: nn.Module) -> bool:
    """Tell whether a block or a part of it is hooked, patched, no stock code, or part of a decoder."""
    hooks = [hook for module in block.modules() for name in _HOOKS for hook in getattr(module, name).values()]
    patched = any("forward" in module.__dict__ for module in block.modules())
    hooked = any(not getattr(hook, "passive", False) for hook in hooks)
    # Others may look at all tokens at once, as layers do that quantise activations by the largest of all.
    stock = all(
        type(module).__module__.startswith(("transformers.", "torch.nn.modules.")) for module in block.modules()
    )
    return patched or hooked or not stock or bool(getattr(block, "is_decoder", False))
