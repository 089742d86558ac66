"""What the head reads of the last block, so that no more than that is computed.

The heads of BERT and its kin read one token, [CLS] at position 0. Of the last block its query, its output and its
feed-forward part are then needed for that token alone; keys and values, a sixth of the block's products, for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from narrows.models.cut.blocks import find_blocks

# Class of the model to those of its blocks and of what reads position 0. They are post-norm encoders, their blocks all
# written in the same terms. Exact names, because a class of the user's own may override any part.
FIRST_TOKEN = {
    "BertForSequenceClassification": ("BertLayer", "BertPooler"),
    "RobertaForSequenceClassification": ("RobertaLayer", "RobertaClassificationHead"),
    "XLMRobertaForSequenceClassification": ("XLMRobertaLayer", "XLMRobertaClassificationHead"),
    "CamembertForSequenceClassification": ("CamembertLayer", "CamembertClassificationHead"),
    "ElectraForSequenceClassification": ("ElectraLayer", "ElectraClassificationHead"),
}
KEYS_AND_VALUES = 1 / 6  # of the products of a block, where the feed-forward part is four times as wide as the rest
Hook = TypeVar("Hook", bound=Callable[..., Any])

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def passive(hook: Hook) -> Hook:
    """Mark a hook that only looks on: it does not mind if a block computes less than it could.

    Args:
        hook: The hook.

    Returns:
        The same hook.
    """
    hook.passive = True  # type: ignore[attr-defined]
    return hook


def share_computed(tokens: int, given: int) -> float:
    """Tell which share of a block was computed.

    Args:
        tokens: That it gave.
        given: That it was given.

    Returns:
        1 for all of them.

    Example:
        >>> share_computed(10, 10)
        1.0
        >>> round(share_computed(1, 10), 2)
        0.25
    """
    return tokens / given + (1 - tokens / given) * KEYS_AND_VALUES


@contextmanager
def as_read_by_head(model: nn.Module) -> Iterator[None]:
    """Let the last block compute only what the head reads, where that is known to be one token; else change nothing.

    The logits are the same but for rounding. A block that somebody else has hooked or patched is left alone.

    Args:
        model: The classifier, borrowed.

    Yields:
        Nothing.
    """
    last = _prunable_block(model)
    if last is None:
        yield
        return

    def forward(hidden_states: Tensor, attention_mask: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        if attention_mask is not None and attention_mask.ndim != 4:
            whole: Tensor = type(last).forward(last, hidden_states, attention_mask, *args, **kwargs)
            return whole  # the mask is in a kernel's own format
        return _first_token(last, hidden_states, attention_mask)

    last.__dict__["forward"] = forward
    try:
        yield
    finally:
        del last.__dict__["forward"]


def _first_token(block: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Compute a block for the first token.

    Args:
        block: Of BERT or its kin.
        hidden: Its input, (batch, tokens, hidden).
        mask: What each token attends to, (batch, 1, tokens or 1, tokens), or None.

    Returns:
        The first token of its output, (batch, 1, hidden).
    """
    attention = block.attention
    own = attention.self
    first = hidden[:, :1]

    def heads(values: Tensor) -> Tensor:
        return values.view(*values.shape[:-1], -1, own.attention_head_size).transpose(1, 2)

    seen = scaled_dot_product_attention(
        heads(own.query(first)),
        heads(own.key(hidden)),
        heads(own.value(hidden)),
        attn_mask=None if mask is None else mask[..., :1, :],
        scale=own.scaling,
    )
    mixed = attention.output(seen.transpose(1, 2).flatten(2), first)
    output: Tensor = block.feed_forward_chunk(mixed)
    return output


def _prunable_block(model: nn.Module) -> Any:
    """Find the last block, if it is one of which the head reads the first token, and nobody else anything."""
    if type(model).__name__ not in FIRST_TOKEN or not type(model).__module__.startswith("transformers."):
        return None
    block, head = FIRST_TOKEN[type(model).__name__]
    last = find_blocks(model)[-1]
    reads_first = any(type(module).__name__ == head for module in model.modules())
    return last if type(last).__name__ == block and reads_first and not _is_watched(last) else None


def _is_watched(block: nn.Module) -> bool:
    """Tell whether a block, or a part of it, is hooked or patched, or is part of a decoder."""
    if getattr(block, "is_decoder", False):
        return True
    for module in block.modules():
        hooks = [hook for name in _HOOKS for hook in getattr(module, name).values()]
        if "forward" in module.__dict__ or any(not getattr(hook, "passive", False) for hook in hooks):
            return True
    return False
