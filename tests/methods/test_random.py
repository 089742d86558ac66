"""Chance: what it draws depends on the seed and the text only."""

from __future__ import annotations

import numpy as np

from asking import scores
from by_hand import EXAMPLES
from narrows.data.example import Example
from tiny import Classifier


def test_scores_depend_on_seed_and_text_only(bert: Classifier) -> None:
    items = [*EXAMPLES, Example("superb", "film")]
    drawn = scores(bert, "random:seed=4", items, [0] * 6)
    for own, other in zip(scores(bert, "random:seed=4", items[::-1], [1] * 6)[::-1], drawn, strict=True):
        np.testing.assert_array_equal(own, other)
    assert not np.array_equal(scores(bert, "random:seed=5", items)[1], drawn[1])
    single, pair = scores(bert, "random", [Example("good film"), Example("good", "film")])
    assert not np.array_equal(single[:2], pair[:2])  # the same words, but a pair


def test_scores_are_uniform_from_0_to_1(bert: Classifier) -> None:
    drawn = np.concatenate(scores(bert, "random", [f"good film {number}" for number in range(400)]))
    quantiles = np.quantile(drawn, np.linspace(0, 1, 11))
    np.testing.assert_allclose(quantiles, np.linspace(0, 1, 11), atol=0.04)
