"""A corpus prior: all layers in one pass over a stream of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tiny
from narrows.bottleneck.prior import Prior, floor_std
from narrows.data.example import Example
from narrows.errors import InputError, PriorError
from narrows.models.corpus import estimate_prior
from narrows.models.cut.blocks import identify
from tiny import Classifier

TEXTS = ["a good film", "bad", "the acting is superb it is", "not a good film not bad"]


def plain_states(classifier: Classifier, texts: list[str]) -> list[np.ndarray]:
    """Every layer's activations over all tokens, text by text, by the model's own means; before any last norm."""
    model, tokenizer = classifier
    layers: list[list[np.ndarray]] = [[] for _ in range(tiny.BLOCKS + 1)]
    last: list[torch.Tensor] = []
    blocks = next(m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == tiny.BLOCKS)
    handle = blocks[-1].register_forward_hook(
        lambda _, __, output: last.append(output if isinstance(output, torch.Tensor) else output[0])
    )
    with torch.no_grad():
        for text in texts:
            states = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
            for layer, state in enumerate([*states[:-1], last.pop()]):
                layers[layer].append(state[0].double().numpy())
    handle.remove()
    return [np.concatenate(parts) for parts in layers]


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_the_prior_holds_the_moments_of_every_layer_without_padding(
    any_classifier: Classifier, batch_size: int
) -> None:
    model, tokenizer = any_classifier
    prior = estimate_prior(model, tokenizer, TEXTS, batch_size)
    states = plain_states(any_classifier, TEXTS)
    assert prior.count == len(states[0])
    assert prior.mean.shape == (tiny.BLOCKS + 1, tiny.HIDDEN)
    for layer, state in enumerate(states):
        np.testing.assert_allclose(prior.mean[layer], state.mean(axis=0), rtol=1e-4, atol=1e-5)
        std = floor_std(torch.from_numpy(state.std(axis=0)))
        np.testing.assert_allclose(prior.std[layer], std, rtol=1e-4, atol=1e-5)


def test_the_corpus_is_read_as_a_stream_once(bert: Classifier) -> None:
    read: list[int] = []

    def stream() -> Iterator[Example]:
        for number, text in enumerate(TEXTS * 3):
            read.append(number)
            yield Example(text)

    prior = estimate_prior(*bert, stream(), batch_size=5)
    assert read == list(range(12))
    again = estimate_prior(*bert, TEXTS * 3)
    torch.testing.assert_close(prior.mean, again.mean, rtol=1e-4, atol=1e-5)


def test_the_prior_belongs_to_its_model_and_to_its_bfloat16_copy(
    bert: Classifier, make_classifier: Callable[..., Classifier]
) -> None:
    model, tokenizer = bert
    prior = estimate_prior(model, tokenizer, TEXTS)
    prior.check_model(identify(model))
    prior.check_model(identify(model.to(torch.bfloat16)))
    with pytest.raises(PriorError, match="another model"):
        prior.check_model(identify(make_classifier("bert", 1)[0]))


def test_a_prior_of_bfloat16_activations_is_close_to_that_of_float32(bert: Classifier) -> None:
    model, tokenizer = bert
    full = estimate_prior(model, tokenizer, TEXTS)
    half = estimate_prior(model.to(torch.bfloat16), tokenizer, TEXTS)
    assert half.mean.dtype == half.std.dtype == torch.float32
    torch.testing.assert_close(half.std, full.std, rtol=0.1, atol=0.1)


def test_a_text_longer_than_the_model_takes_does_not_stop_it(bert: Classifier) -> None:
    assert estimate_prior(*bert, ["good " * 500]).count == 64


def test_a_text_of_a_corpus_that_cannot_be_read_is_named(bert: Classifier) -> None:
    with pytest.raises(InputError, match=r"^texts\[1\]: text is empty"):
        estimate_prior(*bert, ["good", " ", "bad"])


def test_an_empty_corpus_is_refused(bert: Classifier) -> None:
    with pytest.raises(PriorError, match="corpus is empty"):
        estimate_prior(*bert, [])


@pytest.mark.parametrize("corpus", [["good", "  "], ["good", 3]])
def test_the_model_is_as_it_was_after_an_error_in_the_corpus(bert: Classifier, corpus: list[str]) -> None:
    model, tokenizer = bert
    model.train()
    with pytest.raises(InputError):
        estimate_prior(model, tokenizer, corpus)
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_model_that_computes_nan_gives_no_prior(bert: Classifier) -> None:
    model, tokenizer = bert
    with torch.no_grad():
        next(model.parameters())[:] = float("nan")
    with pytest.raises(PriorError, match="NaN"):
        estimate_prior(model, tokenizer, TEXTS)


def test_a_prior_survives_its_file(bert: Classifier, tmp_path: Path) -> None:
    prior = estimate_prior(*bert, TEXTS)
    prior.save(tmp_path / "prior.safetensors")
    Prior.load(tmp_path / "prior.safetensors").check_model(identify(bert[0]))
