"""Texts to tokens: offsets into the original string, the model's true limit, padding that changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from narrows.errors import InputError, ModelError
from narrows.example import Example
from narrows.models.blocks import text_config


@dataclass(frozen=True)
class Encoding:
    """One text as a model reads it.

    Attributes:
        features: Model inputs by name, one number per token.
        tokens: The tokens as the tokenizer spells them.
        offsets: Start and end in the text of the token's segment; None for a special token.
        segments: 0 for text, 1 for text_pair, None for a special token.
        truncated: Tokens that were cut off.
    """

    features: dict[str, list[int]]
    tokens: tuple[str, ...]
    offsets: tuple[tuple[int, int] | None, ...]
    segments: tuple[int | None, ...]
    truncated: int

    def __len__(self) -> int:
        return len(self.tokens)


def token_limit(model: nn.Module, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Find how many tokens a model takes.

    The tokenizer's own figure is often missing or too high. Models that count positions from after the padding index
    (RoBERTa) have fewer positions than rows in their table.

    Args:
        model: The model.
        tokenizer: Its tokenizer.

    Returns:
        The limit, or None if there is none.
    """
    limits = []
    positions = getattr(text_config(model), "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        limits.append(positions)
        for name, module in model.named_modules():
            if (
                isinstance(module, nn.Embedding)
                and name.endswith("position_embeddings")
                and module.padding_idx is not None
            ):
                limits.append(module.num_embeddings - module.padding_idx - 1)
    if tokenizer.model_max_length < 1_000_000:  # transformers writes 1e30 for "not known"
        limits.append(tokenizer.model_max_length)
    return min(limits, default=None)


def encode(tokenizer: PreTrainedTokenizerBase, example: Example, limit: int | None) -> Encoding:
    """Tokenize a text or a pair, by the tokenizer's own pair encoding.

    Args:
        tokenizer: A fast tokenizer; the others know no offsets.
        example: What to tokenize.
        limit: Longest encoding that the model takes; what is longer is cut, and counted.

    Returns:
        The encoding.

    Raises:
        ModelError: If the tokenizer knows no offsets.
        InputError: If not one token comes of the text.
    """
    if not tokenizer.is_fast:
        raise ModelError(f"{type(tokenizer).__name__} knows no offsets: a fast tokenizer is needed")
    texts = (example.text, example.text_pair)
    with _left_as_it_was(tokenizer):
        cut = full = tokenizer(*texts, verbose=False)
        if limit is not None and len(full["input_ids"]) > limit:
            cut = tokenizer(*texts, truncation="longest_first", max_length=limit, verbose=False)
    backend = cut.encodings[0]
    segments = tuple(
        None if special or segment is None else segment
        for special, segment in zip(backend.special_tokens_mask, backend.sequence_ids, strict=True)
    )
    if all(segment is None for segment in segments):
        raise InputError(f"the tokenizer makes no token of the text {example.text!r:.60}")
    return Encoding(
        features={name: list(values) for name, values in cut.items()},
        tokens=tuple(backend.tokens),
        offsets=tuple(None if s is None else offset for s, offset in zip(segments, backend.offsets, strict=True)),
        segments=segments,
        truncated=len(full["input_ids"]) - len(cut["input_ids"]),
    )


@contextmanager
def _left_as_it_was(tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    """Put back the truncation and padding of a fast tokenizer, which every call overwrites."""
    backend = tokenizer.backend_tokenizer
    truncation, padding = backend.truncation, backend.padding
    try:
        yield
    finally:
        backend.no_truncation()
        backend.no_padding()
        if truncation is not None:
            backend.enable_truncation(**truncation)
        if padding is not None:
            backend.enable_padding(**padding)


def padding_id(model: nn.Module, tokenizer: PreTrainedTokenizerBase) -> int:
    """Choose a padding token, also for models and tokenizers that have none.

    Args:
        model: The model; decoders find a text's last token by the padding token of their configuration.
        tokenizer: Its tokenizer.

    Returns:
        The model's padding token, else the tokenizer's, else the end of text, else 0. Padding is never attended.
    """
    own = getattr(text_config(model), "pad_token_id", None)
    candidates = (own, tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(candidate for candidate in candidates if candidate is not None)


def collate(encodings: Sequence[Encoding], padding: int, device: torch.device) -> dict[str, Tensor]:
    """Pad encodings to one length, on the right, where causal and absolute positions are not moved by it.

    Args:
        encodings: The texts of a batch.
        padding: The padding token.
        device: Where the tensors go.

    Returns:
        Model inputs by name, (batch, tokens) each, attention_mask always among them.
    """
    length = max(len(encoding) for encoding in encodings)
    rows: dict[str, list[list[int]]] = {"attention_mask": []}
    for encoding in encodings:
        gap = length - len(encoding)
        attended = encoding.features.get("attention_mask", [1] * len(encoding))
        rows["attention_mask"].append(attended + [0] * gap)
        for name, values in encoding.features.items():
            if name != "attention_mask":
                rows.setdefault(name, []).append(values + [padding if name == "input_ids" else 0] * gap)
    return {name: torch.tensor(values, device=device) for name, values in rows.items()}
