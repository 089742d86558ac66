"""Padding that a model does see: texts that must then not share a batch with longer ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.data.example import Example
from narrows.models.cut.network import Network
from narrows.models.cut.split import borrowed, run_prefix
from narrows.models.memory import TokenBudget
from narrows.models.text.encoding import collate, encode, padding_id

Result = TypeVar("Result")

PROBES = ("a b", "a b a b a b a b a b")  # the first is run by itself and padded to the length of the second
_KNOWN: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def run_in_batches(
    reader: tuple[PreTrainedModel, PreTrainedTokenizerBase],
    budget: TokenBudget,
    lengths: Sequence[int],
    batch_size: int,
    work: Callable[[list[int]], Result],
    copies: int = 1,
) -> Iterator[tuple[list[int], Result]]:
    """Do some work on batches of texts, of one length each where the model computes something else of a padded text.

    Args:
        reader: The model and its tokenizer.
        budget: Most tokens that go through the model together.
        lengths: Tokens of each text.
        batch_size: Most texts in a batch.
        work: From the positions of some texts to what comes of them.
        copies: How often it takes each text through the model at once.

    Yields:
        Positions and what came of them, longest texts first.
    """
    if len(set(lengths)) < 2 or not sees_padding(*reader):
        yield from budget.run(lengths, batch_size, work, copies)
        return
    rows_of: dict[int, list[int]] = defaultdict(list)
    for row, length in enumerate(lengths):
        rows_of[length].append(row)
    for length in sorted(rows_of, reverse=True):
        yield from _run_some(budget, rows_of[length], length, batch_size, work, copies)


def _run_some(
    budget: TokenBudget,
    rows: Sequence[int],
    length: int,
    batch_size: int,
    work: Callable[[list[int]], Result],
    copies: int,
) -> Iterator[tuple[list[int], Result]]:
    """Do the work on texts of one length."""

    def at(places: list[int]) -> Result:
        return work([rows[place] for place in places])

    for places, result in budget.run([length] * len(rows), batch_size, at, copies):
        yield [rows[place] for place in places], result


def sees_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Find out, by two runs, whether padding changes what a model computes of a text.

    Heads that read the last position (XLNet), convolutions (ConvBERT) and mixing without a mask (FNet) see it.

    Args:
        model: The model; asked once, then remembered.
        tokenizer: Its tokenizer.

    Returns:
        True if activations or logits differ by more than rounding.
    """
    if model not in _KNOWN:
        padding = padding_id(model, tokenizer)
        short, long = (encode(tokenizer, Example(text, text), None) for text in PROBES)
        network = Network.of(model)
        layers = range(len(network.blocks) + 1)
        with borrowed(model, padding), torch.no_grad():
            alone = run_prefix(network, collate([short], padding, model.device), layers)
            padded = run_prefix(network, collate([short, long], padding, model.device), layers)
        # The logits alone may hide it: what every token has, at every layer, is compared.
        _KNOWN[model] = any(
            _differ(alone.activations[layer][0], padded.activations[layer][0, : len(short)]) for layer in layers
        ) or _differ(alone.logits[0], padded.logits[0][: len(alone.logits[0])])
    return _KNOWN[model]


def _differ(one: Tensor, other: Tensor) -> bool:
    eps = torch.finfo(one.dtype).eps
    return bool((one - other).abs().max() > min(100 * eps, eps**0.5) * one.abs().max())
