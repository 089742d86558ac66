"""Estimating a corpus prior: one forward pass per batch serves every layer."""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.bottleneck.prior import Prior
from narrows.data.example import Example
from narrows.data.source import read_items, rows_of
from narrows.errors import InputError, shown, strict
from narrows.models.cut.blocks import identify
from narrows.models.cut.network import Network
from narrows.models.cut.split import run_prefix
from narrows.models.cut.view import borrowed
from narrows.models.hub.given import check_model
from narrows.models.memory import TokenBudget
from narrows.models.padding import run_in_batches
from narrows.models.text.encoding import Encoding, check_rows, collate, encode, padding_id, token_limit


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

    def batches() -> Iterator[tuple[list[Tensor], Tensor]]:
        stream = strict(read_items(texts))
        while chunk := [encode(tokenizer, example, limit) for example in islice(stream, batch_size)]:
            check_rows(model, tokenizer, (token for encoding in chunk for token in encoding.features["input_ids"]))
            reader = (network.model, tokenizer)
            for _, states in run_in_batches(reader, budget, chunk, batch_size, partial(states_of, chunk)):
                yield states

    def states_of(chunk: list[Encoding], rows: list[int]) -> tuple[list[Tensor], Tensor]:
        inputs = collate([chunk[row] for row in rows], padding, network.model.device)
        prefix = run_prefix(network, inputs, range(len(network.blocks) + 1))
        return [prefix.activations[layer] for layer in sorted(prefix.activations)], inputs["attention_mask"].bool()

    return Prior.estimate(batches(), identify(network.model))
