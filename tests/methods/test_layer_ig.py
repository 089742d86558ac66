"""Integrated gradients at an inner layer against captum called by hand there."""

from __future__ import annotations

from typing import Any

import captum.attr
import numpy as np
import pytest

from asking import explain, scores
from by_hand import EXAMPLES, encoded, inputs_of, log_p_of, padded_ids, widened
from narrows.errors import InputError, LayerError
from narrows.methods.layer_ig import LayerIntegratedGradients
from tiny import Classifier


@pytest.mark.parametrize(("family", "path"), [("bert", "bert.encoder.layer.1"), ("gpt2", "transformer.h.1")])
def test_it_is_what_captum_does_at_that_layer(any_classifier: Classifier, path: str) -> None:
    classifier = widened(any_classifier)
    (attribution,) = explain(classifier, "layer_ig:layer=2:steps=7", [EXAMPLES[1]], [1])
    encoding = encoded(classifier, EXAMPLES[1])
    inputs = inputs_of(classifier, encoding)
    by_hand = captum.attr.LayerIntegratedGradients(
        log_p_of(classifier, inputs, 1), classifier[0].get_submodule(path)
    ).attribute(inputs["input_ids"], baselines=padded_ids(classifier, encoding), n_steps=7)
    np.testing.assert_allclose(attribution.scores, by_hand[0].sum(-1).detach(), atol=1e-9)
    assert attribution.layers == (2,)


def test_the_default_layer_is_at_three_quarters(bert: Classifier) -> None:
    own, other = (explain(bert, method, EXAMPLES[:1])[0] for method in ("layer_ig", "layer_ig:layer=3"))
    assert own.layers == other.layers == (3,)
    np.testing.assert_array_equal(own.scores, other.scores)


def test_at_the_embeddings_it_is_integrated_gradients_up_to_the_layer_norm(bert: Classifier) -> None:
    """Both end where the other does; between, LayerNorm bends one of the lines."""
    (layer,) = scores(bert, "layer_ig:layer=0:steps=60", EXAMPLES[1:2])
    (plain,) = scores(bert, "ig:steps=60", EXAMPLES[1:2])
    assert layer.sum() == pytest.approx(plain.sum(), abs=0.05 * np.abs(plain).sum())


@pytest.mark.parametrize("layer", [-1, 4])
def test_a_layer_out_of_range_is_refused(bert: Classifier, layer: int) -> None:
    with pytest.raises(LayerError, match="3"):
        scores(bert, LayerIntegratedGradients(layer=layer), EXAMPLES[:1])


@pytest.mark.parametrize("layer", ["2", (1, 4)])
def test_what_is_no_layer_is_refused(bert: Classifier, layer: Any) -> None:
    with pytest.raises(InputError, match="layer must be a whole number or none"):
        scores(bert, LayerIntegratedGradients(layer=layer), EXAMPLES[:1])
