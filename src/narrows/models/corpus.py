"""Estimating a corpus prior: one forward pass per batch serves every layer."""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.bottleneck.prior import Prior
from narrows.bottleneck.sinks import Run, Sinks, find_sinks
from narrows.data.example import Example
from narrows.data.source import read_items, rows_of
from narrows.errors import InputError, shown, strict
from narrows.models.cut.blocks import identify
from narrows.models.cut.layout import Inputs
from narrows.models.cut.network import Network
from narrows.models.cut.split import run_states
from narrows.models.cut.view import borrowed, origin, weights_state
from narrows.models.hub.given import check_model
from narrows.models.memory import TokenBudget
from narrows.models.padding import run_in_batches
from narrows.models.text.encoding import Encoding, check_rows, collate, encode, padding_id, token_limit

TEXTS = (
    "The committee will publish its report on the new bridge next week, and the mayor has promised to read it.",
    "My sister bought a small house near the river; she says that the garden is full of old apple trees.",
    "Prices rose by 3.5 percent in March, more than most economists had expected.",
    "I did not like the second film as much as the first one, but the music was wonderful!",
    "Water boils at a lower temperature in the mountains because the air pressure is lower there.",
    "When the train finally arrived, nobody on the platform was surprised that it was already full.",
)
_SINKS: WeakKeyDictionary[nn.Module, tuple[Any, Sinks]] = WeakKeyDictionary()  # with the state of the weights


def estimate_prior(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Iterable[Example | str], batch_size: int = 32
) -> Prior:
    """Estimate the mean and deviation of every layer's activations over the real tokens of a corpus, read once.

    Args:
        model: A Hugging Face model; left unchanged.
        tokenizer: Its tokenizer.
        examples: The corpus: a list, a stream or a table of texts, as `Explainer` takes them.
        batch_size: Texts per forward pass.

    Returns:
        The prior of all layers, from 0, the embeddings, to the last block; a PriorError if the corpus is empty.

    Example:
        >>> estimate_prior(model, tokenizer, ["a good film", "a bad film"]).save("p.safetensors")  # doctest: +SKIP
    """
    check_model(model, tokenizer)
    if (texts := rows_of(examples)) is None:
        raise InputError(f"a corpus is a list, a stream or a table of texts, not {shown(examples)}")
    padding, limit, budget = padding_id(model, tokenizer), token_limit(model, tokenizer), TokenBudget.of(model)
    network = Network.of(borrowed(model))

    def runs() -> Iterator[Run]:
        stream = strict(read_items(texts))
        while chunk := [encode(tokenizer, example, limit) for example in islice(stream, batch_size)]:
            check_rows(model, tokenizer, (token for encoding in chunk for token in encoding.features["input_ids"]))
            reader = (network.model, tokenizer)
            for _, states in run_in_batches(reader, budget, chunk, batch_size, partial(states_of, chunk)):
                yield states

    def states_of(chunk: list[Encoding], rows: list[int]) -> Run:
        return run_layers(network, collate([chunk[row] for row in rows], padding, network.model.device))

    return Prior.estimate(runs(), identify(network.model))


def run_layers(network: Network, inputs: Inputs) -> Run:
    """Run a model on some texts and keep the activations of every layer."""
    layers = range(len(network.blocks) + 1)
    states = run_states(network, inputs, layers)
    return [states[layer] for layer in layers], inputs["input_ids"], inputs["attention_mask"].bool()


def sinks_of(network: Network, tokenizer: PreTrainedTokenizerBase) -> Sinks:
    """Find the sinks of a model in a few texts of our own, where there is no corpus; once while it stays as it is."""
    state, known = weights_state(network.model), _SINKS.get(origin(network.model))
    if known is not None and known[0] == state:
        return known[1]
    view = Network.of(borrowed(network.model))
    padding, limit, device = padding_id(view.model, tokenizer), token_limit(view.model, tokenizer), view.model.device
    runs = []
    pairs = zip(TEXTS, (*TEXTS[1:], TEXTS[0]), strict=True)  # for heads that answer questions, as decoders read it too
    for text in (encode(tokenizer, Example(*pair), limit) for pair in pairs):
        try:
            check_rows(view.model, tokenizer, text.features["input_ids"])
        except InputError:  # a word that the model lacks; the user's own texts may do without it
            continue
        with torch.inference_mode(False), torch.no_grad():
            runs.append(run_layers(view, collate([text], padding, device)))
    _SINKS[origin(network.model)] = state, (found := find_sinks(runs) if runs else Sinks())
    return found
