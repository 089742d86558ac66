"""KernelSHAP against captum called by hand, and against exact Shapley values."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import captum.attr
import numpy as np
import pytest
import torch
from torch import Tensor

from asking import scores
from by_hand import encoded, widened
from narrows.bottleneck.optimize import text_seed
from narrows.data.example import Example
from tiny import Classifier
from without import EXAMPLES, TARGETS, content_of, p_without


def shapley(classifier: Classifier, example: Example, target: int) -> np.ndarray:
    """Every order counted: exact Shapley values."""
    content = content_of(classifier, example)
    worth = np.zeros(len(encoded(classifier, example)))
    for position in content:
        others = [other for other in content if other != position]
        for size in range(len(others) + 1):
            weight = factorial(size) * factorial(len(others) - size) / factorial(len(content))
            for present in combinations(others, size):
                gone = set(others) - set(present)
                gain = p_without(classifier, example, list(gone), "delete", target)
                gain -= p_without(classifier, example, [*gone, position], "delete", target)
                worth[position] += weight * gain
    return worth


@pytest.mark.parametrize("removal", ["delete", "attention"])
def test_it_is_what_captum_gives_by_hand(bert: Classifier, removal: str) -> None:
    classifier = widened(bert)
    maps = scores(classifier, f"kernel_shap:samples=25:removal={removal}:seed=4", EXAMPLES[2:], [2, 1])
    for example, own, target in zip(EXAMPLES[2:], maps, [2, 1], strict=True):
        content = content_of(classifier, example)

        def forward(present: Tensor, example: Example = example, target: int = target) -> float:
            places = content_of(classifier, example)
            gone = [p for p, there in zip(places, present[0], strict=True) if not there]
            return p_without(classifier, example, gone, removal, target)

        drawn = np.random.default_rng(text_seed(4, example.text, example.text_pair)).integers(2**63)
        torch.manual_seed(int(drawn))
        values = captum.attr.KernelShap(forward).attribute(torch.ones(1, len(content)), n_samples=25)
        np.testing.assert_allclose(own[content], values[0], atol=1e-5)


def test_it_comes_to_the_shapley_values(bert: Classifier) -> None:
    classifier, example = widened(bert), Example("a very good film")
    (own,) = scores(classifier, "kernel_shap:samples=2000", [example], [2])
    exact = shapley(classifier, example, 2)
    assert np.abs(exact).max() > 0.05
    np.testing.assert_allclose(own, exact, atol=0.01)


def test_the_scores_add_up_to_what_the_content_is_worth(bert: Classifier) -> None:
    classifier = widened(bert)
    maps = scores(classifier, "kernel_shap:samples=60", EXAMPLES, TARGETS)
    for example, own, target in zip(EXAMPLES, maps, TARGETS, strict=True):
        empty = p_without(classifier, example, content_of(classifier, example), "delete", target)
        whole = p_without(classifier, example, [], "delete", target)
        assert own.sum() == pytest.approx(whole - empty, abs=1e-4)


def test_the_seed_decides_and_nothing_global_does(bert: Classifier) -> None:
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # type: ignore[index]
    first = scores(bert, "kernel_shap:samples=15", EXAMPLES[2:], [0, 1])
    assert (np.random.get_state()[1] == before[0]).all()  # type: ignore[index]
    assert torch.equal(torch.get_rng_state(), before[1])
    torch.manual_seed(5)
    again = scores(bert, "kernel_shap:samples=15", EXAMPLES[2:], [0, 1])
    other = scores(bert, "kernel_shap:samples=15:seed=1", EXAMPLES[2:], [0, 1])
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.allclose(a, c)
