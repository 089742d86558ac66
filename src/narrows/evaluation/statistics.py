"""How sure a mean over texts is, by the percentile bootstrap, and how two methods or two maps compare."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from narrows.errors import InputError, need
from narrows.evaluation.degradation import Array
from narrows.evaluation.metrics import ROUNDING

DRAWS = 1_000_000  # values drawn at once, some 20 MB


@dataclass(frozen=True)
class Comparison:
    """One method against another on the same texts; a higher value is better."""

    difference: float  # mean of the first minus mean of the second
    interval: tuple[float, float]  # of the difference: its lower and its upper bound; NaN for one text
    win_rate: float  # share of the texts on which the first is better; ties count half


def bootstrap_interval(
    values: ArrayLike, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Bound the mean over texts from below and above by the percentile bootstrap (Efron and Tibshirani 1993).

    Args:
        values: One per text, (texts,), all finite.
        seed: Of the resampling; the same number of texts is resampled alike.
        resamples: How often texts are drawn with replacement, as many as there are.
        level: Share of the resampled means between the bounds.

    Returns:
        The lower and the upper bound; NaN for one text, which says nothing of how much texts differ.

    Example:
        >>> bootstrap_interval([0.5, 0.5, 0.5])
        (0.5, 0.5)
    """
    numbers = _per_text(values)
    if resamples < 1 or not 0 < level < 1:
        raise InputError(f"resamples must be at least 1 and level between 0 and 1, not {resamples} and {level}")
    if len(numbers) == 1:
        return math.nan, math.nan
    draw, batch = np.random.default_rng(seed), max(1, DRAWS // len(numbers))
    means = [
        numbers[draw.integers(0, len(numbers), (min(batch, resamples - done), len(numbers)))].mean(axis=1)
        for done in range(0, resamples, batch)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_bootstrap(
    values: ArrayLike, others: ArrayLike, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> Comparison:
    """Compare two methods on the same texts by the bootstrap of their differences.

    Args:
        values: Of the first method, one per text, (texts,); higher is better: negate a measure that is good when low.
        others: Of the second, (texts,).
        seed: Of the resampling.
        resamples: How often texts are drawn.
        level: Share of the resampled differences between the bounds.

    Example:
        >>> paired_bootstrap([0.4, 0.5, 0.6], [0.1, 0.2, 0.3]).win_rate
        1.0
    """
    first, second = _per_text(values), _per_text(others)
    if first.shape != second.shape:
        raise InputError(f"methods are compared on the same texts, not on {first.size} and {second.size}")
    differences = first - second
    interval = bootstrap_interval(differences, seed, resamples, level)
    won, lost = (differences > ROUNDING).mean(), (differences < -ROUNDING).mean()
    return Comparison(float(differences.mean()), interval, float(0.5 + (won - lost) / 2))


def kendall_tau(scores: ArrayLike, others: ArrayLike) -> float:
    """Compare two maps of one text by Kendall's tau-b (1945); NaN if one is constant or has fewer than two tokens.

    Example:
        >>> kendall_tau([0.1, 0.2, 0.9], [1, 2, 3])
        1.0
    """
    a, b = np.asarray(scores, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if a.shape != b.shape:
        raise InputError(f"two maps of one text have the same number of scores, not {a.size} and {b.size}")
    if a.size < 2:
        return float("nan")  # scipy returns the same, with a warning
    statistics = need("scipy.stats", 'Kendall\'s tau needs scipy: pip install "narrows[evaluate]"')
    return float(statistics.kendalltau(a, b).statistic)


def mean_defined(values: Sequence[float] | Array) -> float:
    """Average the numbers that are not NaN; NaN if there are none."""
    numbers = np.asarray(values, dtype=np.float64)
    defined = numbers[~np.isnan(numbers)]
    return float(defined.mean()) if defined.size else float("nan")


def _per_text(values: ArrayLike) -> Array:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not numbers.size:
        raise InputError(f"expected one value per text, at least one; got shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise InputError("a value is NaN or infinite: leave out the texts without a value")
    return numbers
