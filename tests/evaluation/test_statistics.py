"""Bootstrap and rank correlation against cases with a known answer."""

from __future__ import annotations

import itertools
import math
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import DependencyError, InputError
from narrows.evaluation import statistics
from narrows.evaluation.statistics import (
    bootstrap_interval,
    kendall_tau,
    mean_defined,
    paired_bootstrap,
)

Z95 = 1.959964


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_interval_of_three_texts_is_that_of_all_27_resamples(level: float) -> None:
    values = np.array([0.0, 1.0, 5.0])
    exact = sorted(sum(drawn) / 3 for drawn in itertools.product(values, repeat=3))
    low, high = bootstrap_interval(values, resamples=60_000, level=level)
    # The 27 means are steps of 1/27; the bounds fall inside of steps, so resampling error does not move them.
    assert low == pytest.approx(exact[math.floor(27 * (1 - level) / 2)])
    assert high == pytest.approx(exact[math.ceil(27 * (1 + level) / 2) - 1])


@pytest.mark.parametrize(
    ("values", "deviation"),
    [
        (np.random.default_rng(0).normal(3.0, 2.0, 900), None),
        (np.array([1.0] * 300 + [0.0] * 700), math.sqrt(0.3 * 0.7)),
    ],
    ids=["normal", "bernoulli"],
)
def test_the_interval_is_the_analytic_one_where_there_is_one(values: np.ndarray, deviation: float | None) -> None:
    half = Z95 * (values.std() if deviation is None else deviation) / math.sqrt(len(values))
    low, high = bootstrap_interval(values, resamples=10_000)
    assert low == pytest.approx(values.mean() - half, abs=0.06 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.06 * half)


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(5)
    held = 0
    for _ in range(300):
        low, high = bootstrap_interval(draw.exponential(1.0, 100), resamples=400)
        held += low <= 1.0 <= high
    assert 0.89 <= held / 300 <= 0.98  # a little below 0.95 is known of skewed values


def test_a_constant_has_no_spread() -> None:
    assert bootstrap_interval([0.25] * 50) == (0.25, 0.25)
    assert all(map(np.isnan, bootstrap_interval([0.7])))  # one text says nothing of how much texts differ


def test_a_higher_level_makes_a_wider_interval() -> None:
    values = np.random.default_rng(1).random(40)
    bounds = [bootstrap_interval(values, level=level) for level in (0.5, 0.9, 0.99)]
    assert bounds[2][0] < bounds[1][0] < bounds[0][0] < bounds[0][1] < bounds[1][1] < bounds[2][1]


def test_the_seed_decides_the_draws_and_the_size_of_the_pieces_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).random(37)
    whole = bootstrap_interval(values, 0, 500)
    assert bootstrap_interval(values, 0, 500) == whole
    assert bootstrap_interval(values, 1, 500) != whole
    for draws in (1, 100, 10_000):
        monkeypatch.setattr(statistics, "DRAWS", draws)
        assert bootstrap_interval(values, 0, 500) == pytest.approx(whole)


def test_memory_does_not_grow_with_texts_times_resamples() -> None:
    values = np.random.default_rng(2).random(25_000)
    tracemalloc.start()
    try:
        bootstrap_interval(values, resamples=200)  # 5,000,000 draws: 80 MB at once
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30e6


def test_a_pair_of_methods_is_resampled_by_the_same_draws() -> None:
    draw = np.random.default_rng(4)
    values, others = draw.random(30), draw.random(30)
    paired = paired_bootstrap(values, others, seed=7, resamples=300, level=0.9)
    assert paired.difference == pytest.approx(values.mean() - others.mean())
    assert paired.interval == bootstrap_interval(values - others, 7, 300, 0.9)


def test_pairing_narrows_the_interval_where_texts_are_hard_or_easy_for_both() -> None:
    draw = np.random.default_rng(6)
    hardness = draw.normal(0, 1, 200)
    values, others = hardness + draw.normal(0.1, 0.1, 200), hardness + draw.normal(0, 0.1, 200)
    paired = paired_bootstrap(values, others)
    apart = [bootstrap_interval(own) for own in (values, others)]
    assert paired.interval[1] - paired.interval[0] < 0.3 * (apart[0][1] - apart[0][0])
    assert paired.interval[0] > 0  # the difference of 0.1 is sure,
    assert apart[0][0] < apart[1][1]  # though the intervals of the means overlap


def test_turning_the_comparison_round_turns_everything_round() -> None:
    draw = np.random.default_rng(8)
    values, others = draw.random(25), draw.random(25)
    there, back = paired_bootstrap(values, others), paired_bootstrap(others, values)
    assert back.difference == -there.difference
    assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]))
    assert back.win_rate == pytest.approx(1 - there.win_rate)


def test_a_method_against_itself_is_a_tie_everywhere() -> None:
    values = np.random.default_rng(9).random(12)
    paired = paired_bootstrap(values, values)
    assert (paired.difference, paired.interval, paired.win_rate) == (0.0, (0.0, 0.0), 0.5)


@given(pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20))
def test_the_win_rate_counts_texts_one_by_one(pairs: list[tuple[int, int]]) -> None:
    expected = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)
    values, others = [a for a, _ in pairs], [b for _, b in pairs]
    assert paired_bootstrap(values, others, resamples=10).win_rate == pytest.approx(expected)


def test_rounding_wins_nothing() -> None:
    assert paired_bootstrap([0.3 + 2e-8, 0.5], [0.3, 0.5 + 3e-8]).win_rate == 0.5


@pytest.mark.parametrize("compare", [bootstrap_interval, lambda values: paired_bootstrap(values, values)])
@pytest.mark.parametrize("values", [[], [[0.1, 0.2]], [0.1, float("nan")], [float("inf")]])
def test_values_that_are_none_are_refused(compare: Callable[..., Any], values: list[Any]) -> None:
    with pytest.raises(InputError, match=r"value"):
        compare(values)


def test_settings_out_of_range_and_other_texts_are_refused() -> None:
    with pytest.raises(InputError, match=r"resamples must be at least 1.*not 0"):
        bootstrap_interval([0.1], resamples=0)
    with pytest.raises(InputError, match=r"level between 0 and 1, not .* 95"):
        bootstrap_interval([0.1], level=95)
    with pytest.raises(InputError, match="same texts, not on 2 and 3"):
        paired_bootstrap([0.1, 0.2], [0.1, 0.2, 0.3])


def tau_by_hand(a: list[int], b: list[int]) -> float:
    """Kendall's tau-b, pair by pair."""
    concordance = ties_a = ties_b = 0
    pairs = list(itertools.combinations(range(len(a)), 2))
    for i, j in pairs:
        first, second = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
        concordance += first * second
        ties_a += first == 0
        ties_b += second == 0
    return float(concordance / math.sqrt((len(pairs) - ties_a) * (len(pairs) - ties_b)))


@given(pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=0, max_size=12))
def test_tau_counts_pairs_of_tokens_in_like_order(pairs: list[tuple[int, int]]) -> None:
    a, b = [first for first, _ in pairs], [second for _, second in pairs]
    if len(set(a)) < 2 or len(set(b)) < 2:
        assert math.isnan(kendall_tau(a, b))
    else:
        assert kendall_tau(a, b) == pytest.approx(tau_by_hand(a, b))


def test_maps_of_different_texts_have_no_tau() -> None:
    with pytest.raises(InputError, match="not 1 and 2"):
        kendall_tau([1], [1, 2])


def test_without_scipy_there_is_one_line_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(DependencyError, match=r'pip install "narrows\[evaluate\]"'):
        kendall_tau([1, 2], [2, 1])


def test_the_mean_is_over_what_is_defined() -> None:
    assert mean_defined([1.0, float("nan"), 2.0]) == 1.5
    assert math.isnan(mean_defined([float("nan")]))
    assert math.isnan(mean_defined([]))
