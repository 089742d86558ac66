"""Models that do see padding: their texts must not share a batch with longer ones."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.data.example import Example
from narrows.models.cut.head import same
from narrows.models.cut.network import Network
from narrows.models.cut.split import run_prefix
from narrows.models.cut.view import borrowed, origin
from narrows.models.memory import TokenBudget
from narrows.models.text.encoding import collate, encode, padding_id

Result = TypeVar("Result")

# Heads that read the last position (XLNet), convolutions (ConvBERT) and mixing without a mask (FNet) see padding.
PROBES = ("a b", "a b a b a b a b a b")  # the first runs alone and padded to the length of the second
_KNOWN: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def run_in_batches(
    reader: tuple[PreTrainedModel, PreTrainedTokenizerBase],
    budget: TokenBudget,
    lengths: Sequence[int],
    batch_size: int,
    work: Callable[[list[int]], Result],
    copies: int = 1,
) -> Iterator[tuple[list[int], Result]]:
    """Run `TokenBudget.run`, with batches of one length each if padding changes what the model computes."""
    apart = len(set(lengths)) > 1 and sees_padding(*reader)
    groups: Sequence[int | None] = sorted(set(lengths), reverse=True) if apart else [None]
    for length in groups:
        group = [row for row, own in enumerate(lengths) if length in (None, own)]

        def work_on(places: list[int], group: list[int] = group) -> Result:
            return work([group[place] for place in places])

        for places, result in budget.run([lengths[row] for row in group], batch_size, work_on, copies):
            yield [group[place] for place in places], result


def sees_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Find out with two runs, once per model, whether padding changes what it computes by more than rounding."""
    if (known := _KNOWN.get(origin(model))) is None:
        padding = padding_id(model, tokenizer)
        short, long = (encode(tokenizer, Example(text, text), None) for text in PROBES)
        network = Network.of(borrowed(model, padding))
        layers = range(len(network.blocks) + 1)
        with torch.inference_mode(False), torch.no_grad():
            alone, padded = (
                run_prefix(network, collate(texts, padding, model.device), layers) for texts in ([short], [short, long])
            )
        # The logits alone may hide it, so every token is compared at every layer.
        pairs = [(alone.logits, padded.logits), *((alone.activations[i], padded.activations[i]) for i in layers)]
        known = _KNOWN[origin(model)] = not all(same(one[0], other[0][: len(one[0])]) for one, other in pairs)
    return known
