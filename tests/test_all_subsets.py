"""What is computed from all subsets of the words of a text agrees with every order, one after the other."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from all_subsets import judge, limits, shapley

WORDS = 4


@pytest.fixture
def odds() -> np.ndarray:
    return np.random.default_rng(3).normal(size=1 << WORDS) * 2


def after_each(values: np.ndarray, order: tuple[int, ...]) -> list[float]:
    """Values as words are removed one by one, in this order."""
    gone, found = 0, []
    for word in order:
        gone |= 1 << word
        found.append(float(values[gone]))
    return found


def test_the_limits_are_those_of_the_best_and_the_worst_order(odds: np.ndarray) -> None:
    sums = [sum(after_each(odds, order)) for order in permutations(range(WORDS))]
    assert limits(odds, WORDS) == pytest.approx((min(sums), max(sums)))


def test_the_best_order_has_1_the_worst_has_0(odds: np.ndarray) -> None:
    p = 1 / (1 + np.exp(-odds))
    orders = list(permutations(range(WORDS)))
    sums = np.array([sum(after_each(p, order)) for order in orders])
    found = [judge(odds, order, np.zeros(WORDS))["aopc"] for order in orders]
    assert found[int(sums.argmin())] == pytest.approx(1) and found[int(sums.argmax())] == pytest.approx(0)
    assert np.argsort(found).tolist() == np.argsort(-sums).tolist()


def test_shapley_values_are_means_over_all_orders(odds: np.ndarray) -> None:
    orders, means = list(permutations(range(WORDS))), np.zeros(WORDS)
    for order in orders:
        curve = [float(odds[0]), *after_each(odds, order)]
        for step, word in enumerate(order):
            means[word] += (curve[step] - curve[step + 1]) / len(orders)
    np.testing.assert_allclose(shapley(odds, WORDS), means)


def test_scores_that_add_up_for_every_subset_are_the_shapley_values() -> None:
    scores = np.array([3.0, -1.0, 0.5, 2.0])
    kept = ((np.arange(1 << WORDS)[:, None] >> np.arange(WORDS)) & 1) == 0
    odds = kept @ scores - 2
    np.testing.assert_allclose(shapley(odds, WORDS), scores)
    found = judge(odds, (0, 3, 2, 1), scores)
    assert found["lds"] == pytest.approx(1) and found["shapley"] == pytest.approx(1)
    assert found["aopc"] == pytest.approx(1)
