"""How sure a mean over texts is, by the percentile bootstrap (Efron and Tibshirani 1993), and how two maps compare."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from narrows.errors import DependencyError, InputError
from narrows.evaluation.degradation import Array
from narrows.evaluation.metrics import ROUNDING

DRAWS = 1_000_000  # texts drawn at once: some 20 MB, however many texts and resamples there are


@dataclass(frozen=True)
class Comparison:
    """One method against another on the same texts; a higher value is taken to be better.

    Attributes:
        difference: Mean of the first minus mean of the second.
        interval: Of the difference: its lower and its upper bound.
        win_rate: Share of the texts on which the first is better, ties counted half.
        ties: Share of the texts on which both are equal.
        other_sign: Share of the resamples whose difference is 0 or has the other sign; 1 if the difference is 0. A
            one-sided bootstrap p-value.
    """

    difference: float
    interval: tuple[float, float]
    win_rate: float
    ties: float
    other_sign: float


def bootstrap_interval(
    values: ArrayLike, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Bound the mean over texts by the percentile bootstrap.

    Args:
        values: One per text, (texts,).
        seed: Of the resampling; values of as many texts are resampled alike.
        resamples: How often texts are drawn, as many as there are, with replacement.
        level: Share of the resampled means between the bounds.

    Returns:
        The lower and the upper bound.

    Raises:
        InputError: If there is no value, a value is not finite, or a setting is out of its range.

    Example:
        >>> bootstrap_interval([0.5, 0.5, 0.5])
        (0.5, 0.5)
    """
    means = resampled_means(_per_text(values), seed, resamples)
    return _middle(means, level)


def paired_bootstrap(
    values: ArrayLike, others: ArrayLike, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> Comparison:
    """Compare two methods on the same texts; both are resampled by the same draws.

    Args:
        values: Of the first method, one per text, (texts,); higher is better: turn the sign of a measure that is good
            when it is low.
        others: Of the second, (texts,).
        seed: Of the resampling.
        resamples: How often texts are drawn.
        level: Share of the resampled differences between the bounds.

    Returns:
        The comparison.

    Raises:
        InputError: If the texts are not as many, there is none, a value is not finite, or a setting is out of range.

    Example:
        >>> paired_bootstrap([0.4, 0.5, 0.6], [0.1, 0.2, 0.3]).win_rate
        1.0
    """
    differences = _differences(values, others)
    means = resampled_means(differences, seed, resamples)
    difference = float(differences.mean())
    turned = means <= 0 if difference > 0 else means >= 0
    return Comparison(
        difference=difference,
        interval=_middle(means, level),
        win_rate=_share_won(differences),
        ties=float((np.abs(differences) <= ROUNDING).mean()),
        other_sign=1.0 if difference == 0 else float(turned.mean()),
    )


def win_rate(values: ArrayLike, others: ArrayLike) -> float:
    """Tell on which share of the texts the first method is better.

    Args:
        values: Of the first method, one per text, (texts,); higher is better.
        others: Of the second, (texts,).

    Returns:
        The share, from 0 to 1; ties count half, and what differs by rounding only is a tie.

    Raises:
        InputError: If the texts are not as many, there is none, or a value is not finite.

    Example:
        >>> win_rate([1, 2, 3, 4], [0, 2, 9, 0])
        0.625
    """
    return _share_won(_differences(values, others))


def resampled_means(values: Array, seed: int, resamples: int) -> Array:
    """Draw texts with replacement, as many as there are, again and again.

    Args:
        values: One per text, (texts,).
        seed: Of the draws.
        resamples: How often.

    Returns:
        The mean of each resample, (resamples,).

    Raises:
        InputError: If there is not at least one resample.
    """
    if resamples < 1:
        raise InputError(f"resamples must be at least 1, not {resamples}")
    generator = np.random.default_rng(seed)
    rows = max(1, DRAWS // len(values))
    means = np.empty(resamples)
    for start in range(0, resamples, rows):
        part = means[start : start + rows]
        part[:] = values[generator.integers(0, len(values), (len(part), len(values)))].mean(axis=1)
    return means


def kendall_tau(scores: ArrayLike, others: ArrayLike) -> float:
    """Compare the order of tokens in two maps by Kendall's tau-b (Kendall 1945), which allows for ties.

    Args:
        scores: One map, (tokens,).
        others: Another map of the same text, (tokens,).

    Returns:
        1 for the same order, -1 for the reverse, about 0 for unrelated maps; NaN where a map has no order: it is
        constant, or the text has fewer than two tokens.

    Raises:
        InputError: If the maps are not as long.
        DependencyError: If scipy is missing.

    Example:
        >>> kendall_tau([0.1, 0.2, 0.9], [1, 2, 3])
        1.0
    """
    a, b = np.asarray(scores, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if a.shape != b.shape:
        raise InputError(f"maps of one text have as many scores, not {a.size} and {b.size}")
    if a.size < 2:
        return float("nan")  # scipy says so too, with a warning
    try:
        stats = importlib.import_module("scipy.stats")
    except ImportError as error:
        raise DependencyError('Kendall\'s tau needs scipy: pip install "narrows[evaluate]"') from error
    return float(stats.kendalltau(a, b).statistic)


def mean_defined(values: Sequence[float] | Array) -> float:
    """Average what is defined.

    Args:
        values: Numbers, some of them NaN.

    Returns:
        The mean of the others; NaN if there are none.

    Example:
        >>> mean_defined([0.5, float("nan")])
        0.5
    """
    numbers = np.asarray(values, dtype=np.float64)
    defined = numbers[~np.isnan(numbers)]
    return float(defined.mean()) if defined.size else float("nan")


def _per_text(values: ArrayLike) -> Array:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not numbers.size:
        raise InputError(f"expected one value per text, at least one; got shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise InputError("a value is NaN or infinite: leave out the texts for which there is none")
    return numbers


def _differences(values: ArrayLike, others: ArrayLike) -> Array:
    first, second = _per_text(values), _per_text(others)
    if len(first) != len(second):
        raise InputError(f"methods are compared on the same texts, not on {len(first)} and {len(second)}")
    return first - second


def _share_won(differences: Array) -> float:
    won, lost = (differences > ROUNDING).mean(), (differences < -ROUNDING).mean()
    return float(0.5 + (won - lost) / 2)


def _middle(means: Array, level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise InputError(f"level must be between 0 and 1, not {level}")
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
