"""Which texts may share a batch: those that each get what the model gives for the text alone."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.data.example import Example
from narrows.models.cut.blocks import text_config
from narrows.models.cut.head import same
from narrows.models.cut.network import Network
from narrows.models.cut.split import run_prefix
from narrows.models.cut.view import borrowed, origin
from narrows.models.memory import TokenBudget
from narrows.models.text.encoding import Encoding, collate, encode, padding_id

Result = TypeVar("Result")

# Heads that read the last position (XLNet, decoders without a padding token), convolutions (ConvBERT) and mixing
# without a mask (FNet) see padding.
PROBES = ("a b", "a b a b a b a b a b")  # the first runs alone and padded to the length of the second
_KNOWN: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def run_in_batches(
    reader: tuple[PreTrainedModel, PreTrainedTokenizerBase],
    budget: TokenBudget,
    encodings: Sequence[Encoding],
    batch_size: int,
    work: Callable[[list[int]], Result],
    copies: int = 1,
) -> Iterator[tuple[list[int], Result]]:
    """Run `TokenBudget.run` on texts that may share a batch; it yields their places and `work(places)`."""
    kinds = _kinds(*reader, encodings)
    for kind in sorted(set(kinds), reverse=True):
        group = [row for row, own in enumerate(kinds) if own == kind]

        def work_on(places: list[int], group: list[int] = group) -> Result:
            return work([group[place] for place in places])

        for places, result in budget.run([len(encodings[row]) for row in group], batch_size, work_on, copies):
            yield [group[place] for place in places], result


def sees_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Find out with two runs, once per model, whether padding changes what it computes by more than rounding."""
    if (known := _KNOWN.get(origin(model))) is not None:
        return known
    padding = padding_id(model, tokenizer)
    if padding == _counted_end(model):
        return _KNOWN.setdefault(origin(model), True)
    short, long = (encode(tokenizer, Example(text, text), None) for text in PROBES)
    network = Network.of(borrowed(model))
    layers = range(len(network.blocks) + 1)
    with torch.inference_mode(False), torch.no_grad():
        alone, padded = (
            run_prefix(network, collate(texts, padding, model.device), layers) for texts in ([short], [short, long])
        )
    # The logits alone may hide it, so every token is compared at every layer.
    pairs = [(alone.logits, padded.logits), *((alone.activations[i], padded.activations[i]) for i in layers)]
    found = not all(same(one[0], other[0][: len(one[0])]) for one, other in pairs)
    if found or not torch.equal(padded.logits[0], padded.logits[1]):  # a head of zeros tells nothing before training
        _KNOWN[origin(model)] = found
    return found


def _kinds(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, encodings: Sequence[Encoding]
) -> list[tuple[int, int]]:
    """Give texts that may share a batch the same key: their length, 0 if it does not matter, and their ends of text."""
    apart = len({len(encoding) for encoding in encodings}) > 1 and sees_padding(model, tokenizer)
    end = _counted_end(model)
    return [(len(own) if apart else 0, own.features["input_ids"].count(end)) for own in encodings]  # type: ignore[arg-type]


def _counted_end(model: nn.Module) -> int | None:
    """Return the end of text of an encoder with a decoder: its classifiers refuse rows with different numbers of it."""
    config = text_config(model)
    return config.eos_token_id if getattr(config, "is_encoder_decoder", False) else None
