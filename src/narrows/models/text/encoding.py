"""From texts to tokens: offsets into the original string, the model's true limit, padding that changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import BatchEncoding, PreTrainedTokenizerBase

from narrows.data.example import Example
from narrows.errors import InputError, ModelError
from narrows.models.cut.blocks import text_config


@dataclass(frozen=True)
class Encoding:
    """The tokens of one text, as the model gets them.

    Attributes:
        features: Model inputs by name, one number per token.
        tokens: The tokens as the tokenizer spells them.
        offsets: Start and end in the text of the token's segment; None for a special token.
        segments: 0 for text, 1 for text_pair, None for a special token.
        truncated: Number of tokens that were cut off.
    """

    features: dict[str, list[int]]
    tokens: tuple[str, ...]
    offsets: tuple[tuple[int, int] | None, ...]
    segments: tuple[int | None, ...]
    truncated: int

    def __len__(self) -> int:
        return len(self.tokens)


def token_limit(model: nn.Module, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the most tokens that a model takes, or None if there is no limit."""
    # The tokenizer's own number is often missing or too high. Models that count positions from after the padding index
    # (RoBERTa) have fewer positions than rows in their table.
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
    if tokenizer.model_max_length < 1_000_000:  # transformers writes 1e30 for "unknown"
        limits.append(tokenizer.model_max_length)
    return min(limits, default=None)


def encode(tokenizer: PreTrainedTokenizerBase, example: Example, limit: int | None) -> Encoding:
    """Tokenize a text or a pair, with the tokenizer's own pair encoding.

    A text that begins with its own first special token, as chat templates write it, gets no other special tokens.
    Special tokens that are written in a text are special like any other, except the mask token.

    Args:
        tokenizer: A fast tokenizer; others have no offsets.
        example: What to tokenize.
        limit: Longest encoding that the model takes; a longer one is cut, and the lost tokens are counted.

    Returns:
        The encoding.

    Raises:
        ModelError: If the tokenizer has no offsets.
        InputError: If the text has no tokens.

    Example:
        >>> encode(tokenizer, Example("a good film"), limit=512).tokens  # doctest: +SKIP
        ('[CLS]', 'a', 'good', 'film', '[SEP]')
    """
    _check_offsets(tokenizer)
    texts = (example.text, example.text_pair)
    starts = [token for token in (tokenizer.bos_token, tokenizer.cls_token) if token]
    add = not example.text.startswith(tuple(starts))
    with _left_as_it_was(tokenizer):
        cut = full = tokenizer(*texts, add_special_tokens=add, verbose=False)
        if limit is not None and len(full["input_ids"]) > limit:
            cut = tokenizer(*texts, add_special_tokens=add, truncation="longest_first", max_length=limit, verbose=False)
    return _as_encoding(tokenizer, cut, example, len(full["input_ids"]) - len(cut["input_ids"]))


def encode_plain(tokenizer: PreTrainedTokenizerBase, text: str) -> Encoding:
    """Tokenize a text without any special tokens."""
    _check_offsets(tokenizer)
    with _left_as_it_was(tokenizer):
        return _as_encoding(tokenizer, tokenizer(text, add_special_tokens=False, verbose=False), Example(text), 0)


def take(encoding: Encoding, positions: Sequence[int]) -> Encoding:
    """Keep only the tokens at these positions of an encoded text."""
    return Encoding(
        features={name: [values[i] for i in positions] for name, values in encoding.features.items()},
        tokens=tuple(encoding.tokens[i] for i in positions),
        offsets=tuple(encoding.offsets[i] for i in positions),
        segments=tuple(encoding.segments[i] for i in positions),
        truncated=encoding.truncated,
    )


def _check_offsets(tokenizer: PreTrainedTokenizerBase) -> None:
    if not tokenizer.is_fast:
        raise ModelError(
            f"{type(tokenizer).__name__} has no offsets, so its tokens cannot be found in the text: load a fast "
            "tokenizer, as AutoTokenizer.from_pretrained does if there is one (a tokenizer.json)"
        )


def _as_encoding(tokenizer: PreTrainedTokenizerBase, given: BatchEncoding, example: Example, cut: int) -> Encoding:
    """Convert a tokenizer's output for one text."""
    backend = (given.encodings or [])[0]
    ordinary = (tokenizer.mask_token_id, tokenizer.unk_token_id)
    marks = {
        index for index, token in tokenizer.added_tokens_decoder.items() if token.special and index not in ordinary
    }
    segments = tuple(
        None if special or segment is None or index in marks else segment
        for special, segment, index in zip(backend.special_tokens_mask, backend.sequence_ids, backend.ids, strict=True)
    )
    if all(segment is None for segment in segments):
        raise InputError(f"the tokenizer finds no token in the text {example.text!r:.60}")
    return Encoding(
        features={name: list(values) for name, values in given.items()},
        tokens=tuple(backend.tokens),
        offsets=tuple(None if s is None else offset for s, offset in zip(segments, backend.offsets, strict=True)),
        segments=segments,
        truncated=cut,
    )


@contextmanager
def _left_as_it_was(tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    """Restore the truncation and padding of a fast tokenizer, which every call overwrites."""
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
    """Return the padding token of the model, else of the tokenizer, else the end of text, else 0."""
    # Never attended, but decoders find a text's last token by the padding token of their configuration.
    own = getattr(text_config(model), "pad_token_id", None)
    candidates = (own, tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(candidate for candidate in candidates if candidate is not None)


def collate(encodings: Sequence[Encoding], padding: int, device: torch.device) -> dict[str, Tensor]:
    """Pad encodings on the right to (batch, tokens) per model input, always with an attention_mask."""
    # On the right, padding moves neither causal nor absolute positions.
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


def content_mask(encodings: Sequence[Encoding], device: torch.device) -> Tensor:
    """Return True where a token is neither special nor padding, (batch, tokens)."""
    length = max(len(encoding) for encoding in encodings)
    rows = [
        [segment is not None for segment in encoding.segments] + [False] * (length - len(encoding))
        for encoding in encodings
    ]
    return torch.tensor(rows, device=device)
