"""Integrated gradients against captum called by hand, and adding up to what the content says."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

from asking import scores
from by_hand import (
    EXAMPLES,
    TARGETS,
    embedding_of,
    encoded,
    inputs_of,
    log_p_of,
    padded_ids,
    widened,
    without_content,
)
from narrows.data.example import Example
from narrows.errors import InputError, ModelError
from narrows.explainer import Explainer
from narrows.methods.ig import IntegratedGradients
from narrows.methods.layer_ig import LayerIntegratedGradients
from tiny import Classifier


@pytest.mark.parametrize("example", EXAMPLES[1:4], ids=lambda example: example.text)
def test_it_is_what_captum_gives_by_hand(any_classifier: Classifier, example: Example) -> None:
    """RoBERTa gives [PAD] another position, so by hand too only the embedding sees the baseline."""
    classifier = widened(any_classifier)
    (ours,) = scores(classifier, "ig", [example], [2])
    encoding = encoded(classifier, example)
    inputs = inputs_of(classifier, encoding)
    by_hand = captum.attr.LayerIntegratedGradients(log_p_of(classifier, inputs, 2), embedding_of(classifier))
    blank = padded_ids(classifier, encoding)
    expected = by_hand.attribute(inputs["input_ids"], baselines=blank, n_steps=10)[0].sum(-1).detach()
    np.testing.assert_allclose(ours, expected, atol=1e-9)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_the_mask_token_can_be_the_baseline(any_classifier: Classifier) -> None:
    classifier = widened(any_classifier)
    (ours,) = scores(classifier, "ig:steps=4:baseline=mask", [EXAMPLES[3]], [0])
    encoding = encoded(classifier, EXAMPLES[3])
    inputs = inputs_of(classifier, encoding)
    blank = without_content(inputs["input_ids"], encoding, classifier[1].mask_token_id)
    by_hand = captum.attr.LayerIntegratedGradients(log_p_of(classifier, inputs, 0), embedding_of(classifier))
    expected = by_hand.attribute(inputs["input_ids"], baselines=blank, n_steps=4)[0].sum(-1).detach()
    np.testing.assert_allclose(ours, expected, atol=1e-9)


@pytest.mark.parametrize("method", ["ig:steps=100", "layer_ig:layer=0:steps=100", "layer_ig:layer=2:steps=100"])
def test_with_many_steps_the_scores_add_up_to_what_the_content_says(any_classifier: Classifier, method: str) -> None:
    classifier = widened(any_classifier)
    with torch.no_grad():
        for parameter in classifier[0].parameters():  # a smoother model needs fewer steps
            parameter.mul_(0.7 if parameter.ndim > 1 else 1)
    for example, own, target in zip(
        EXAMPLES[3:], scores(classifier, method, EXAMPLES[3:], [1, 2]), [1, 2], strict=True
    ):
        encoding = encoded(classifier, example)
        inputs = inputs_of(classifier, encoding)
        log_p, embedding = log_p_of(classifier, inputs, target), embedding_of(classifier)
        blank = embedding(padded_ids(classifier, encoding))
        with torch.no_grad():
            full = log_p(inputs["input_ids"])
            handle = embedding.register_forward_hook(lambda *_, blank=blank: blank)
            empty = log_p(inputs["input_ids"])
            handle.remove()
        kinked = classifier[0].config.model_type == "distilbert"  # the only head with a ReLU
        tolerance = (0.02 if kinked else 2e-3) * np.abs(own).sum()
        assert own.sum() == pytest.approx(float(full - empty), abs=tolerance)


@pytest.mark.parametrize("method", ["ig", "layer_ig:layer=0:steps=3", "gradient_shap:samples=2"])
def test_special_tokens_get_0_where_the_baseline_keeps_them(any_classifier: Classifier, method: str) -> None:
    classifier = widened(any_classifier)
    for example, own in zip(EXAMPLES, scores(classifier, method, EXAMPLES, TARGETS), strict=True):
        special = [place for place, segment in enumerate(encoded(classifier, example).segments) if segment is None]
        np.testing.assert_array_equal(own[special], 0)


@pytest.mark.parametrize("method", ["ig", "layer_ig"])
def test_small_passes_give_the_same_and_stay_within_the_budget(bert: Classifier, method: str) -> None:
    classifier = widened(bert)
    example = EXAMPLES[1]
    (plain,) = scores(classifier, method, [example], [1])
    sizes: list[tuple[int, ...]] = []
    head = classifier[0].classifier
    tokens = len(encoded(classifier, example))
    handle = head.register_forward_pre_hook(lambda _, args: sizes.append(tuple(args[0].shape)))
    in_small = Explainer(*classifier, method, "instance", max_tokens_per_batch=36)(example, 1).scores
    handle.remove()
    assert max(rows for rows, _ in sizes) == 36 // tokens == 2
    np.testing.assert_allclose(in_small, plain, atol=1e-9)


@pytest.mark.parametrize("method", [IntegratedGradients, LayerIntegratedGradients])
@pytest.mark.parametrize("change", [{"steps": 0}, {"steps": "ten"}, {"steps": 1.5}, {"baseline": "zero"}], ids=str)
def test_a_setting_out_of_range_is_refused(method: type, change: dict[str, object]) -> None:
    ((name, value),) = change.items()
    with pytest.raises(InputError, match=f"{name} must be .*{value!r}"):
        method(**change)


@pytest.mark.parametrize("method", ["ig", "layer_ig", "gradient_shap"])
def test_a_tokenizer_without_mask_token_cannot_give_that_baseline(gpt2: Classifier, method: str) -> None:
    with pytest.raises(ModelError, match=r"has no mask token.*baseline=pad"):
        scores(gpt2, f"{method}:baseline=mask", EXAMPLES[:1])


@pytest.mark.parametrize("method", ["ig", "saliency", "gradient_shap", "layer_ig"])
def test_a_model_that_passes_its_embedding_by_is_refused(bert: Classifier, method: str) -> None:
    spare = nn.Embedding.from_pretrained(embedding_of(bert).weight.detach())  # type: ignore[arg-type]
    bert[0].get_input_embeddings = lambda: spare
    with pytest.raises(ModelError, match="does not call its input embedding"):
        scores(bert, method, EXAMPLES[:1])
