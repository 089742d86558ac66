"""Saliency against the norm of a gradient by hand."""

from __future__ import annotations

import numpy as np
import pytest

from asking import scores
from by_hand import EXAMPLES, encoded, gradient_at_embedding, inputs_of, widened
from narrows.data.example import Example
from tiny import Classifier


@pytest.mark.parametrize("example", EXAMPLES[1:4], ids=lambda example: example.text)
def test_it_is_the_norm_of_the_gradient(any_classifier: Classifier, example: Example) -> None:
    classifier = widened(any_classifier)
    (ours,) = scores(classifier, "saliency", [example], [2])
    _, gradient = gradient_at_embedding(classifier, inputs_of(classifier, encoded(classifier, example)), 2)
    expected = [sum(float(value) ** 2 for value in token) ** 0.5 for token in gradient]
    np.testing.assert_allclose(ours, expected, atol=1e-9)
    assert (ours > 0).any()
