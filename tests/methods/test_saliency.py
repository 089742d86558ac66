"""Saliency against the norm of a gradient by hand, and against captum."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
from torch import Tensor

from asking import scores
from by_hand import EXAMPLES, embedding_of, encoded, gradient_at_embedding, inputs_of, log_p_of, widened
from narrows.data.example import Example
from narrows.methods.embeddings import replaced_embeddings
from tiny import Classifier


@pytest.mark.parametrize("example", EXAMPLES[1:4], ids=lambda example: example.text)
def test_it_is_the_norm_of_the_gradient(any_classifier: Classifier, example: Example) -> None:
    classifier = widened(any_classifier)
    (ours,) = scores(classifier, "saliency", [example], [2])
    _, gradient = gradient_at_embedding(classifier, inputs_of(classifier, encoded(classifier, example)), 2)
    expected = [sum(float(value) ** 2 for value in token) ** 0.5 for token in gradient]
    np.testing.assert_allclose(ours, expected, atol=1e-9)
    inputs = inputs_of(classifier, encoded(classifier, example))
    embedded = embedding_of(classifier)(inputs["input_ids"]).detach().requires_grad_()

    def log_p(embeddings: Tensor) -> Tensor:
        with replaced_embeddings(classifier[0], inputs["input_ids"], embeddings):
            return log_p_of(classifier, inputs, 2)(inputs["input_ids"])

    by_captum = captum.attr.Saliency(log_p).attribute(embedded, abs=False)[0]
    np.testing.assert_allclose(ours, by_captum.norm(dim=-1).detach(), atol=1e-9)
    assert (ours > 0).any()
