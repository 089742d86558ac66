"""Padding that a model does see: texts that must then not share a batch with longer ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.example import Example
from narrows.models.encoding import batches_by_length, collate, encode, padding_id
from narrows.models.split import borrowed, forward_head

PROBES = ("a b", "a b a b a b a b a b")  # the first is run by itself and padded to the length of the second
_KNOWN: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def batches_for(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    lengths: Sequence[int],
    batch_size: int,
    token_limit: int,
) -> Iterator[list[int]]:
    """Put texts into batches, of one length each where the model computes something else of a padded text.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        lengths: Tokens of each text.
        batch_size: Most texts in a batch.
        token_limit: Most tokens in a batch, padding included; a longer text goes alone.

    Yields:
        Positions of the texts of one batch.
    """
    if len(set(lengths)) < 2 or not sees_padding(model, tokenizer):
        yield from batches_by_length(lengths, batch_size, token_limit)
        return
    rows_of: dict[int, list[int]] = defaultdict(list)
    for row, length in enumerate(lengths):
        rows_of[length].append(row)
    for length in sorted(rows_of, reverse=True):
        rows = rows_of[length]
        for batch in batches_by_length([length] * len(rows), batch_size, token_limit):
            yield [rows[member] for member in batch]


def sees_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Find out, by two runs, whether padding changes what a model computes of a text.

    Heads that read the last position (XLNet), convolutions (ConvBERT) and mixing without a mask (FNet) see it.

    Args:
        model: The model; asked once, then remembered.
        tokenizer: Its tokenizer.

    Returns:
        True if the logits differ by more than rounding.
    """
    if model not in _KNOWN:
        padding = padding_id(model, tokenizer)
        short, long = (encode(tokenizer, Example(text, text), None) for text in PROBES)
        with borrowed(model, padding), torch.no_grad():
            alone = forward_head(model, collate([short], padding, model.device))[0]
            padded = forward_head(model, collate([short, long], padding, model.device))[0]
        if alone.ndim == 2:  # one row per token
            padded = padded[: len(alone)]
        rounding = torch.finfo(alone.dtype).eps ** 0.5 * alone.abs().max()
        _KNOWN[model] = bool((alone - padded).abs().max() > rounding)
    return _KNOWN[model]
