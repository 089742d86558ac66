"""Compute the last block only at position 0, which BERT's heads read; keys and values are needed at all positions."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks

from narrows.models.cut.blocks import find_blocks, text_config
from narrows.models.cut.view import borrowed, is_view, origin

# The model's class to the class of its blocks, and the place and class of the part that reads position 0. All are
# post-norm encoders whose blocks have the same attributes. Names must match exactly: a subclass may override any part.
FIRST_TOKEN = {
    "BertForSequenceClassification": ("BertLayer", "bert.pooler", "BertPooler"),
    "RobertaForSequenceClassification": ("RobertaLayer", "classifier", "RobertaClassificationHead"),
    "XLMRobertaForSequenceClassification": ("XLMRobertaLayer", "classifier", "XLMRobertaClassificationHead"),
    "CamembertForSequenceClassification": ("CamembertLayer", "classifier", "CamembertClassificationHead"),
    "ElectraForSequenceClassification": ("ElectraLayer", "classifier", "ElectraClassificationHead"),
}
STOCK = ("transformers.models.", "transformers.activations", "torch.nn.modules.")  # where code is as published
PROBE = (2, 6)  # texts and tokens of the run that decides whether the logits agree
KEYS_AND_VALUES = 1 / 6  # of the products of a block, where the feed-forward part is four times as wide as the rest

P = ParamSpec("P")
T = TypeVar("T")
_OBSERVED: ContextVar[bool] = ContextVar("observed", default=True)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_KEPT = "_narrows_tail"  # where a view keeps what was found out
_AGREES: WeakKeyDictionary[nn.Module, dict[tuple[Any, ...], bool]] = WeakKeyDictionary()


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
    else:
        with _computing_first(last):
            yield


@contextmanager
def _computing_first(last: nn.Module) -> Iterator[None]:
    """Let a block compute only its first token."""

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


@dataclass(frozen=True)
class _Tail:
    """The last block of a view, and everything that its output goes through or that holds it."""

    last: nn.Module
    parts: tuple[nn.Module, ...]


def _prunable_block(model: nn.Module) -> nn.Module | None:
    """Return the last block of a view if its head reads only the first token and nothing else uses, hooks, patches."""
    if not is_view(model) or module_hooks._global_forward_hooks or module_hooks._global_forward_pre_hooks:
        return None
    if _KEPT not in model.__dict__:
        model.__dict__[_KEPT] = _find_tail(model)
    tail: _Tail | None = model.__dict__[_KEPT]
    return None if tail is None or any(map(_is_touched, tail.parts)) or not _agrees(model, tail) else tail.last


def _find_tail(model: nn.Module) -> _Tail | None:
    """Find the last block if all code from there on is as published; what comes before it may be anything."""
    if type(model).__name__ not in FIRST_TOKEN or not _is_stock(model):
        return None
    block, place, head = FIRST_TOKEN[type(model).__name__]
    *others, last = find_blocks(model)
    names = {name: type(module).__name__ for name, module in model.named_modules()}
    if type(last).__name__ != block or names.get(place) != head or last in others:
        return None
    before = {part for module in (*others, model.base_model.embeddings) for part in module.modules()}  # type: ignore[union-attr]
    parts = tuple(module for module in model.modules() if module not in before)
    decodes = bool(getattr(last, "is_decoder", False))
    return None if decodes or not all(map(_is_stock, parts)) else _Tail(last, parts)


def _is_stock(module: nn.Module) -> bool:
    return type(module).__module__.startswith(STOCK)


def _is_touched(module: nn.Module) -> bool:
    """Tell whether a module is patched, or has hooks that do more than observe."""
    own = module.__dict__
    hooks = [hook for name in _HOOKS if own[name] for hook in own[name].values()]
    return "forward" in own or any(not getattr(hook, "passive", False) for hook in hooks)


def _agrees(view: nn.Module, tail: _Tail) -> bool:
    """Compare the logits of two texts with those of a plain run, once per model and again when its code changes."""
    model: Any = origin(view)
    code = tuple((type(part), type(part).forward) for part in tail.parts)
    known = _AGREES.setdefault(model, {})
    if (structure := (*code, text_config(model)._attn_implementation)) not in known:
        fresh: Any = borrowed(model)
        ids = torch.arange(3, 3 + math.prod(PROBE), device=model.device) % fresh.get_input_embeddings().num_embeddings
        inputs = {"input_ids": ids.view(PROBE), "attention_mask": torch.ones(PROBE, dtype=torch.long).to(ids.device)}
        inputs["attention_mask"][1, PROBE[1] // 2 :] = 0
        with torch.inference_mode(False), torch.no_grad(), unobserved():
            whole = fresh(**inputs).logits
            with _computing_first(find_blocks(fresh)[-1]):
                known[structure] = same(fresh(**inputs).logits, whole)
    return known[structure]


def same(one: Tensor, other: Tensor) -> bool:
    """Tell whether tensors of one shape differ only by rounding; NaN differs from everything."""
    eps = torch.finfo(one.dtype).eps
    return bool((one - other).abs().max() <= min(100 * eps, eps**0.5) * one.abs().max())
