"""Occlusion against leaving out one token at a time by hand; and what all methods that remove tokens share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import planted
from asking import explain, lent_batch, scores
from by_hand import encoded, widened
from narrows.data.example import Example
from narrows.errors import InputError, ModelError, NarrowsWarning
from narrows.methods.kernel_shap import KernelShap
from narrows.methods.lime import Lime
from narrows.methods.occlusion import Occlusion
from narrows.methods.perturbation import predict_present
from narrows.models.predict import predict
from tiny import Classifier
from without import EXAMPLES, TARGETS, leave_one_out, p_without

REMOVERS = ("occlusion", "kernel_shap:samples=20", "lime:samples=20")


@pytest.mark.parametrize("removal", ["delete", "mask", "attention"])
def test_it_is_what_one_token_is_worth(bert: Classifier, removal: str) -> None:
    classifier = widened(bert)
    maps = scores(classifier, f"occlusion:removal={removal}", EXAMPLES, TARGETS)
    for example, own, target in zip(EXAMPLES, maps, TARGETS, strict=True):
        assert np.abs(own).max() > 1e-4
        np.testing.assert_allclose(own, leave_one_out(classifier, example, removal, target), atol=1e-12)


def test_a_text_of_which_nothing_is_left_is_padding(gpt2: Classifier) -> None:
    """GPT-2 adds no special tokens; where all tokens are gone, no position would be left to read."""
    classifier = widened(gpt2)
    present = np.array([[False] * 11, [False] * 11, [True] * 11])
    with lent_batch(classifier, ["z", "a good film"], [0, 1]) as batch:
        p = predict_present(batch, [0, 1, 1], present, "delete")
        expected = [predict(*classifier, [encoding]) for encoding in batch.encodings]
    with torch.no_grad():
        empty = classifier[0](input_ids=torch.tensor([[0]])).logits.softmax(dim=-1)[0]
    np.testing.assert_allclose(p, [empty[0], empty[1], expected[1][0, 1]], atol=1e-12)


@pytest.mark.parametrize("method", REMOVERS)
def test_special_tokens_get_0(any_classifier: Classifier, method: str) -> None:
    for attribution in explain(any_classifier, method, EXAMPLES, TARGETS):
        assert not attribution.scores[list(attribution.special)].any()


@pytest.mark.parametrize("removal", ["delete", "mask", "attention"])
@pytest.mark.parametrize("name", ["occlusion", "kernel_shap:samples=40", "lime:samples=50"])
def test_a_planted_word_comes_first_and_last_for_the_other_class(name: str, removal: str) -> None:
    loaded = planted.planted_classifier()
    classifier = loaded.model, loaded.tokenizer
    method = f"{name}:removal={removal}"
    rows = len(planted.EXAMPLES)
    own = scores(classifier, method, planted.EXAMPLES, [planted.TARGET] * rows)
    against = scores(classifier, method, planted.EXAMPLES, [1 - planted.TARGET] * rows)
    for example, speaks, opposes in zip(planted.EXAMPLES, own, against, strict=True):
        word = planted.planted_positions(encoded(classifier, example))
        assert [int(speaks.argmax())] == [int(opposes.argmin())] == word


def test_the_planted_word_alone_decides() -> None:
    loaded = planted.planted_classifier()
    classifier = loaded.model, loaded.tokenizer
    for example in planted.EXAMPLES:
        encoding = encoded(classifier, example)
        word = planted.planted_positions(encoding)
        assert p_without(classifier, example, [], "delete", planted.TARGET) > 0.9
        assert p_without(classifier, example, word, "delete", planted.TARGET) < 0.1
        others = [p for p, own in enumerate(encoding.segments) if own is not None and p not in word]
        assert p_without(classifier, example, others, "delete", planted.TARGET) > 0.9


@pytest.mark.parametrize("method", REMOVERS)
def test_a_model_that_computes_nan_is_named_by_the_text(bert: Classifier, method: str) -> None:
    """The whole text is fine; without its first tokens the model would compute NaN."""
    model, tokenizer = bert
    good = tokenizer.convert_tokens_to_ids("good")

    def spoil(_: Any, __: Any, kwargs: Any, output: Any) -> None:
        gone = (kwargs["input_ids"] != good).all(dim=1)
        output.logits[gone] = torch.nan

    model.register_forward_hook(spoil, with_kwargs=True)
    with pytest.warns(NarrowsWarning, match="none of 1 .*NaN for 'a good film' or a part"):
        explain(bert, method, EXAMPLES[:1], [0])


@pytest.mark.parametrize("method", [Occlusion, KernelShap, Lime])
def test_a_removal_that_does_not_exist_is_refused(method: type) -> None:
    with pytest.raises(InputError, match="delete, mask, attention, replace, not 'erase'"):
        method(removal="erase")


@pytest.mark.parametrize("method", [KernelShap, Lime])
@pytest.mark.parametrize("samples", [1, 0, -3, 10.5, "many", True])
def test_a_number_of_samples_is_refused_at_once(method: type, samples: Any) -> None:
    with pytest.raises(InputError, match="samples must be a whole number of at least 2"):
        method(samples=samples)


@pytest.mark.parametrize("name", ["occlusion", "kernel_shap", "lime"])
def test_a_tokenizer_without_mask_token_is_refused(gpt2: Classifier, name: str) -> None:
    with pytest.raises(ModelError, match="no mask token"):
        scores(gpt2, f"{name}:removal=mask", EXAMPLES)


def test_one_token_has_it_all(bert: Classifier) -> None:
    classifier = widened(bert)
    expected = leave_one_out(classifier, Example("good"), "delete", 2)
    assert abs(expected[1]) > 1e-3
    for method in ("occlusion", "kernel_shap"):
        np.testing.assert_allclose(scores(classifier, method, ["good"], [2])[0], expected, atol=1e-12)
