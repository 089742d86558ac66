"""From texts to tokens: offsets into the original string, the model's true limit, padding that changes nothing."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from narrows.data.example import Example
from narrows.errors import InputError, ModelError
from narrows.models.cut.blocks import count_embeddings, text_config

_LOCKS: WeakKeyDictionary[PreTrainedTokenizerBase, Lock] = WeakKeyDictionary()
_OWN: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[tuple[int, str], Tokenizer]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Encoding:
    """The tokens of one text, as the model gets them."""

    features: dict[str, list[int]]  # model inputs by name, one number per token
    tokens: tuple[str, ...]  # as the tokenizer spells them
    offsets: tuple[tuple[int, int] | None, ...]  # in the text of the token's segment; None for a special token
    segments: tuple[int | None, ...]  # 0 for text, 1 for text_pair, None for a special token
    truncated: int  # tokens that were cut off
    unknown_id: int | None = None  # of the token that stands for what the vocabulary lacks

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def unknown(self) -> int:
        """How many tokens of the text the vocabulary lacks."""
        pairs = zip(self.features["input_ids"], self.segments, strict=True)
        return sum(index == self.unknown_id and segment is not None for index, segment in pairs)


def token_limit(model: nn.Module, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the most tokens that a model takes, or None if there is no limit."""
    # The tokenizer's own number is often missing or too high. RoBERTa counts positions from after the padding index.
    limits = []
    positions = getattr(text_config(model), "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        limits.append(positions)
        tables = [module for name, module in model.named_modules() if name.endswith("position_embeddings")]
        offset = [table for table in tables if isinstance(table, nn.Embedding) and table.padding_idx is not None]
        limits += [table.num_embeddings - (table.padding_idx or 0) - 1 for table in offset]
    if tokenizer.model_max_length < 1_000_000:  # transformers writes 1e30 for "unknown"
        limits.append(tokenizer.model_max_length)
    return min(limits, default=None)


def take(encoding: Encoding, positions: Sequence[int]) -> Encoding:
    """Keep only the tokens at these positions of an encoded text."""
    features = {name: [values[i] for i in positions] for name, values in encoding.features.items()}
    rows = [(encoding.tokens[i], encoding.offsets[i], encoding.segments[i]) for i in positions]
    tokens, offsets, segments = zip(*rows, strict=True) if rows else ((), (), ())
    return replace(encoding, features=features, tokens=tokens, offsets=offsets, segments=segments)


def nothing(like: Encoding, padding: int) -> Encoding:
    """Make what stands for a text without tokens: one padding token, which the model sees."""
    features = {name: [{"input_ids": padding, "attention_mask": 1}.get(name, 0)] for name in like.features}
    return replace(like, features=features, tokens=("",), offsets=(None,), segments=(None,))


def join(first: Encoding, second: Encoding) -> Encoding:
    """Put the tokens of two encodings with the same model inputs one after the other."""
    features = {name: [*own, *second.features[name]] for name, own in first.features.items()}
    parts = {name: getattr(first, name) + getattr(second, name) for name in ("tokens", "offsets", "segments")}
    return replace(first, features=features, **parts)


def encode(tokenizer: PreTrainedTokenizerBase, example: Example, limit: int | None) -> Encoding:
    """Tokenize a text or a pair, with special tokens; one beyond the limit is cut, and the lost tokens are counted."""
    if not tokenizer.is_fast:
        advice = "load a fast tokenizer, as AutoTokenizer.from_pretrained does if there is one (a tokenizer.json)"
        lack = f"{type(tokenizer).__name__} has no offsets, so its tokens cannot be found in the text"
        raise ModelError(f"{lack}: {advice}")
    texts = (example.text, example.text_pair)
    # A text that begins with its own start token, as chat templates of decoders write it, gets no second one.
    begun = tokenizer.cls_token is None and example.text.startswith(tokenizer.bos_token or "\0")
    options: dict[str, Any] = {"verbose": False, **({"add_special_tokens": False} if begun else {})}
    with private_tokenizer(tokenizer) as own:
        cut = full = own(*texts, **options)
        if limit is not None and len(full["input_ids"]) > limit:
            cut = own(*texts, truncation="longest_first", max_length=limit, **options)
    backend = (cut.encodings or [])[0]
    # Special tokens that are written in a text are special like any other, except the mask token.
    ordinary = (tokenizer.mask_token_id, tokenizer.unk_token_id)
    marks = {id_ for id_, token in tokenizer.added_tokens_decoder.items() if token.special and id_ not in ordinary}
    columns = (backend.special_tokens_mask, backend.sequence_ids, backend.ids, backend.offsets)
    segments = tuple(
        None if special or segment is None or index in marks or not _is_own(example, segment, offset) else segment
        for special, segment, index, offset in zip(*columns, strict=True)
    )
    if all(segment is None for segment in segments):
        raise InputError(f"the tokenizer finds no token in the text {example.text!r:.60}")
    features = {name: list(values) for name, values in cut.items()}
    offsets = tuple(None if s is None else offset for s, offset in zip(segments, backend.offsets, strict=True))
    lost = len(full["input_ids"]) - len(cut["input_ids"])
    return Encoding(features, tuple(backend.tokens), offsets, segments, lost, tokenizer.unk_token_id)


def _is_own(example: Example, segment: int, offset: tuple[int, int]) -> bool:
    """Tell whether a token is of the user's own text, not of the template of a chat around it."""
    if example.parts is None or segment != 0:
        return True
    return any(start < offset[1] and offset[0] < end for start, end in example.parts)


def check_rows(model: nn.Module, tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> None:
    """Raise an InputError if the model has no embedding for one of these tokens, on which a GPU would abort."""
    rows = count_embeddings(model)
    if rows is not None and (highest := max(ids, default=0)) >= rows:
        token = tokenizer.convert_ids_to_tokens(highest)
        lacks = f"{type(model).__name__} has {rows} embeddings, and none for the token {token!r} with id {highest}"
        raise InputError(f"{lacks}: it needs its own tokenizer, or model.resize_token_embeddings and training")


@contextmanager
def private_tokenizer(tokenizer: PreTrainedTokenizerBase) -> Iterator[Any]:
    """Give a private tokenizer: each call sets truncation and padding, which other callers would see or change."""
    # Vocabulary and rules are shared with the user's and taken anew each time. Only tokens that were added are copied,
    # when there are new ones: 6,000 take a tenth of a second. A thread waits while another one tokenizes.
    shared: Any = tokenizer.backend_tokenizer
    with _LOCKS.setdefault(tokenizer, Lock()):
        state = shared.get_vocab_size(), str(shared.normalizer)
        known, own = _OWN.get(tokenizer, (None, shared))
        if known != state:
            own, added = Tokenizer(shared.model), shared.get_added_tokens_decoder()
            if shared.normalizer is not None:
                own.normalizer = shared.normalizer
            own.add_tokens([added[index] for index in sorted(added)])
            if own.get_added_tokens_decoder() != added:  # numbered otherwise
                own = copy.deepcopy(shared)
            _OWN[tokenizer] = state, own
        for part in ("pre_tokenizer", "post_processor", "decoder"):
            setattr(own, part, getattr(shared, part))
        twin: Any = object.__new__(type(tokenizer))
        twin.__dict__.update(tokenizer.__dict__, _tokenizer=own)
        yield twin


def padding_id(model: nn.Module, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the padding token of the model, else of the tokenizer, else the end of text, else 0: one with a row."""
    # Never attended, but decoders find a text's last token by the padding token of their configuration.
    config = text_config(model)
    rows = getattr(config, "vocab_size", None) or len(tokenizer)
    candidates = (getattr(config, "pad_token_id", None), tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(candidate for candidate in candidates if candidate is not None and 0 <= candidate < rows)


def collate(encodings: Sequence[Encoding], padding: int, device: torch.device) -> dict[str, Tensor]:
    """Pad encodings on the right to (batch, tokens) per model input, always with an attention_mask."""
    # On the right, padding moves neither causal nor absolute positions.
    length = max(len(encoding) for encoding in encodings)
    rows: dict[str, list[list[int]]] = {}
    for encoding in encodings:
        for name, values in {"attention_mask": [1] * len(encoding), **encoding.features}.items():
            filling = [padding if name == "input_ids" else 0] * (length - len(encoding))
            rows.setdefault(name, []).append(values + filling)
    return {name: torch.tensor(values, device=device) for name, values in rows.items()}


def content_mask(encodings: Sequence[Encoding], device: torch.device) -> Tensor:
    """Return True where a token is neither special nor padding, (batch, tokens)."""
    rows = [torch.tensor([segment is not None for segment in encoding.segments]) for encoding in encodings]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
