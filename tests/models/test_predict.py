"""Probabilities of many texts at once: those of one after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from narrows.data.example import Example
from narrows.errors import ModelError
from narrows.models import predict as module
from narrows.models.predict import predict
from narrows.models.text.encoding import Encoding, encode, padding_id
from narrows.models.text.removal import remove
from tiny import Classifier

TEXTS = ["good", "the film is not bad, it is good", "a bad act", "very very good film", "a bad act"]


def encoded(classifier: Classifier) -> list[Encoding]:
    _, tokenizer = classifier
    return [encode(tokenizer, Example(text), None) for text in TEXTS]


def one_by_one(classifier: Classifier) -> np.ndarray:
    """One plain forward per text."""
    model, _ = classifier
    rows = []
    for encoding in encoded(classifier):
        with torch.no_grad():
            logits = model(**{name: torch.tensor([values]) for name, values in encoding.features.items()}).logits
        rows.append(logits.double().softmax(-1)[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize(("texts", "tokens"), [(128, 8192), (2, 8192), (128, 20), (1, 1)])
def test_batched_probabilities_are_those_of_one_text_after_the_other(
    any_classifier: Classifier, monkeypatch: pytest.MonkeyPatch, texts: int, tokens: int
) -> None:
    monkeypatch.setattr(module, "BATCH_SIZE", texts)
    monkeypatch.setattr(module, "BATCH_TOKENS", tokens)
    found = predict(*any_classifier, encoded(any_classifier))
    assert found == pytest.approx(one_by_one(any_classifier), abs=1e-6)
    assert found.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-12)


def test_pairs_are_read_as_pairs(bert: Classifier) -> None:
    model, tokenizer = bert
    pair = encode(tokenizer, Example("good film", "bad act"), None)
    inputs = tokenizer("good film", "bad act", return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs).logits.double().softmax(-1)[0].numpy()
    assert predict(model, tokenizer, [pair])[0] == pytest.approx(expected, abs=1e-6)


def test_no_texts_have_no_probabilities(bert: Classifier) -> None:
    assert predict(*bert, []).shape == (0, 3)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_text_of_which_nothing_is_left_is_a_padding_token(
    make_classifier: Callable[..., Classifier], attention: str
) -> None:
    """Decoders add no special tokens; what a row of nothing but padding gives depends on its neighbours' lengths."""
    model, tokenizer = make_classifier("gpt2")
    model.set_attn_implementation(attention)
    texts = encoded((model, tokenizer))
    nothing = remove(texts[0], range(len(texts[0])), "delete", tokenizer)
    assert len(nothing) == 0
    with torch.no_grad():
        expected = (
            model(input_ids=torch.tensor([[padding_id(model, tokenizer)]])).logits.double().softmax(-1)[0].numpy()
        )
    for batch in ([nothing], [nothing, texts[0]], [*texts, nothing, nothing]):
        assert predict(model, tokenizer, batch)[batch.index(nothing)] == pytest.approx(expected, abs=1e-6)


def test_the_model_is_left_as_it_was(bert: Classifier) -> None:
    model, _ = bert
    model.train()
    found = predict(*bert, encoded(bert))
    assert model.training
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert found == pytest.approx(predict(*bert, encoded(bert)))  # dropout had no say


def test_models_that_do_not_choose_one_class_are_refused(bert: Classifier) -> None:
    model, tokenizer = bert
    model.config.problem_type = "multi_label_classification"
    with pytest.raises(ModelError, match="does not choose one class of several"):
        predict(model, tokenizer, [encode(tokenizer, Example("good"), None)])
