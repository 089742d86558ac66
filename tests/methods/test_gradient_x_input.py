"""Gradient x input against the product by hand."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest

from asking import scores
from by_hand import EXAMPLES, embedding_of, encoded, gradient_at_embedding, inputs_of, log_p_of, widened
from narrows.data.example import Example
from narrows.errors import ModelError
from tiny import Classifier


@pytest.mark.parametrize("example", EXAMPLES[1:4], ids=lambda example: example.text)
def test_it_is_the_gradient_times_the_embedding(any_classifier: Classifier, example: Example) -> None:
    classifier = widened(any_classifier)
    (ours,) = scores(classifier, "gradient_x_input", [example], [2])
    inputs = inputs_of(classifier, encoded(classifier, example))
    embedded, gradient = gradient_at_embedding(classifier, inputs, 2)
    np.testing.assert_allclose(ours, (embedded * gradient).sum(dim=-1), atol=1e-9)
    by_captum = captum.attr.LayerGradientXActivation(log_p_of(classifier, inputs, 2), embedding_of(classifier))
    np.testing.assert_allclose(ours, by_captum.attribute(inputs["input_ids"])[0].sum(-1).detach(), atol=1e-9)
    assert np.abs(ours).max() > 1e-3


def test_a_model_that_embeds_other_tokens_than_it_is_given_is_refused(bert: Classifier) -> None:
    embedding_of(bert).register_forward_pre_hook(lambda _, args: (args[0].flip(1),))
    with pytest.raises(ModelError, match="rearranges its tokens"):
        scores(bert, "gradient_x_input", EXAMPLES[:1])
