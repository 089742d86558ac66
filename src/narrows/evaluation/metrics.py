"""A degradation curve in one number per text; means and intervals are in `narrows.evaluation.statistics`.

Columns are those of `narrows.evaluation.degradation.Curves`: column k stands for k/9 of the content tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from narrows.evaluation.degradation import POINTS, SHARES, Array, Curves

ROUNDING = 1e-5  # p of one text differs by up to 4e-7 between batches in float32; less than this is no difference


def drop(morf: Array) -> Array:
    """Compute the fall of p(target) without the most relevant ninth, (texts, 10) -> (texts,): the paper's Table 1.

    Example:
        >>> drop(np.array([[0.9, 0.4] + [0.1] * 8]))
        array([0.5])
    """
    return morf[:, 0] - morf[:, 1]


def drops(curves: Curves) -> dict[str, Array]:
    """Compute the fall of p(target) without the most relevant 5, 11, 20, 33 and 50 %, by percent, (texts,) each."""
    return {name: curves.morf[:, 0] - curves.shares[:, column] for column, name in enumerate(SHARES)}


def area(curve: Array) -> Array:
    """Average p(target) over the ten points, (texts, 10) -> (texts,); low is good for MoRF, high for LeRF.

    Example:
        >>> area(np.array([[1.0] * 5 + [0.0] * 5]))
        array([0.5])
    """
    means: Array = curve.mean(axis=1)
    return means


def comprehensiveness(morf: Array) -> Array:
    """Average the loss of p(target) without the most relevant tokens (DeYoung et al. 2020, ERASER); high is good.

    The mean over k = 1..8 of p(x) - p(x without its k/9 most relevant tokens). ERASER takes the shares 1, 5, 10, 20 and
    50 % instead. Without any token all rankings are the same: point 9 is left out.

    Args:
        morf: p(target), most relevant first, (texts, 10).

    Returns:
        The mean loss, (texts,).

    Example:
        >>> comprehensiveness(np.array([[0.9] + [0.1] * 9])).round(3)
        array([0.8])
    """
    loss: Array = morf[:, 0] - morf[:, 1:-1].mean(axis=1)
    return loss


def sufficiency(lerf: Array) -> Array:
    """Average the loss of p(target) with only the most relevant tokens (DeYoung et al. 2020, ERASER); low is good.

    The mean over k = 1..8 of p(x) - p(the k/9 most relevant tokens of x), which are left at point 9 - k of LeRF.

    Args:
        lerf: p(target), least relevant first, (texts, 10).

    Returns:
        The mean loss, (texts,); below 0 where the kept tokens give a higher p than the whole text.

    Example:
        >>> sufficiency(np.array([[0.9] * 9 + [0.1]])).round(3)
        array([0.])
    """
    loss: Array = lerf[:, 0] - lerf[:, 1:-1].mean(axis=1)
    return loss


def flips(decisions: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell whether the predicted class changes without the first ninth, (texts, 10) -> (texts,).

    Example:
        >>> flips(np.array([[1, 0] + [0] * 8, [1, 1] + [0] * 8]))
        array([ True, False])
    """
    flipped: NDArray[np.bool_] = decisions[:, 1] != decisions[:, 0]
    return flipped


def normalized(curve_means: Mapping[str, Array]) -> dict[str, Array]:
    """Scale mean curves as the paper's figures do: (p - m) / (o - m).

    o is the mean of p of the whole texts, m the lowest mean of all methods without any token.

    Args:
        curve_means: By method, the mean over texts of p(target), (10,).

    Returns:
        By method, the curve from 1 (whole texts) down to 0 (no token), (10,); NaN where o = m.

    Example:
        >>> normalized({"a": np.linspace(0.9, 0.1, 10), "b": np.linspace(0.9, 0.3, 10)})["b"][[0, -1]].round(3)
        array([1.  , 0.25])
    """
    lowest = min((float(curve[POINTS - 1]) for curve in curve_means.values()), default=0.0)
    return {name: _scaled(curve, lowest) for name, curve in curve_means.items()}


def _scaled(curve: Array, lowest: float) -> Array:
    height = float(curve[0]) - lowest
    return (curve - lowest) / height if abs(height) > ROUNDING else np.full(len(curve), np.nan)
