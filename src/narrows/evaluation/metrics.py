"""What a degradation curve says in one number per text.

Columns are those of `narrows.evaluation.degradation.Curves`: column k stands after k/9 of the content tokens. Means
over texts, and how sure they are, belong to `narrows.evaluation.statistics`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from narrows.evaluation.degradation import POINTS, Array

ROUNDING = 1e-5  # p of one text differs by up to 4e-7 from one batch to another in float32; less than this is nothing


def drop(morf: Array) -> Array:
    """Tell how far p(target) falls when the most relevant ninth is gone: the figure of the paper's Table 1.

    Args:
        morf: p(target), most relevant first, (texts, 10).

    Returns:
        p at 0 minus p at 1/9, (texts,); high is good.

    Example:
        >>> drop(np.array([[0.9, 0.4] + [0.1] * 8]))
        array([0.5])
    """
    return morf[:, 0] - morf[:, 1]


def area(curve: Array) -> Array:
    """Average a curve over its ten points; p is not normalised.

    Args:
        curve: p(target), (texts, 10).

    Returns:
        The mean, (texts,); low is good most relevant first, high is good least relevant first.

    Example:
        >>> area(np.array([[1.0] * 5 + [0.0] * 5]))
        array([0.5])
    """
    means: Array = curve.mean(axis=1)
    return means


def comprehensiveness(morf: Array) -> Array:
    """Tell how much of p(target) is lost when the most relevant tokens are removed (DeYoung et al. 2020, ERASER).

    mean over k = 1..8 of p(x) - p(x without its k/9 most relevant tokens): points 1 to 8 of the MoRF curve. ERASER
    takes the shares 1, 5, 10, 20 and 50 % instead. Point 9 is left out: without any token every map is the same.

    Args:
        morf: p(target), most relevant first, (texts, 10).

    Returns:
        The mean loss, (texts,); high is good.

    Example:
        >>> comprehensiveness(np.array([[0.9] + [0.1] * 9])).round(3)
        array([0.8])
    """
    loss: Array = morf[:, 0] - morf[:, 1:-1].mean(axis=1)
    return loss


def sufficiency(lerf: Array) -> Array:
    """Tell how much of p(target) is lost when only the most relevant tokens are kept (DeYoung et al. 2020, ERASER).

    mean over k = 1..8 of p(x) - p(the k/9 most relevant tokens of x). Keeping k/9 is removing the other (9-k)/9, least
    relevant first: point 9-k of the LeRF curve, so points 8 down to 1 of it. Tokens of equal score are removed by
    position in both orders, so among them those kept here are not those that `comprehensiveness` removes.

    Args:
        lerf: p(target), least relevant first, (texts, 10).

    Returns:
        The mean loss, (texts,); low is good, below 0 where the kept tokens say more than the whole text.

    Example:
        >>> sufficiency(np.array([[0.9] * 9 + [0.1]])).round(3)
        array([0.])
    """
    loss: Array = lerf[:, 0] - lerf[:, 1:-1].mean(axis=1)
    return loss


def flips(decisions: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell whether removing the first ninth changes the decision.

    Args:
        decisions: Index of the predicted class after each removal, (texts, 10).

    Returns:
        True where the class at 1/9 is not that at 0, (texts,).

    Example:
        >>> flips(np.array([[1, 0] + [0] * 8, [1, 1] + [0] * 8]))
        array([ True, False])
    """
    flipped: NDArray[np.bool_] = decisions[:, 1] != decisions[:, 0]
    return flipped


def fraction_to_flip(decisions: NDArray[np.int64]) -> Array:
    """Find the smallest share of the tokens whose removal changes the decision.

    A decision that never changes counts as 1.0, as one that changes only with the last token: so the mean is over the
    same texts for every method. Leaving such texts out would favour the method that turns only the easy ones.

    Args:
        decisions: Index of the predicted class after each removal, (texts, 10).

    Returns:
        k/9 with the smallest k that gives another class than k = 0, (texts,).

    Example:
        >>> fraction_to_flip(np.array([[1, 1, 1, 0] + [1] * 6, [1] * 10])).round(3)
        array([0.333, 1.   ])
    """
    changed = decisions[:, 1:] != decisions[:, :1]
    first = np.where(changed.any(axis=1), changed.argmax(axis=1) + 1, POINTS - 1)
    return first / (POINTS - 1)


def normalized(curve_means: Mapping[str, Array]) -> dict[str, Array]:
    """Scale mean curves as the paper's figures do: (p - m) / (o - m).

    o is the mean of p before anything is removed, m the least mean of all methods after everything is.

    Args:
        curve_means: By method, the mean over texts of p(target), (10,).

    Returns:
        By method, the curve from 1 (as before) down to 0 (as without any token), (10,); NaN where o = m, where removing
        everything changes nothing and there is nothing to scale by.

    Example:
        >>> normalized({"a": np.linspace(0.9, 0.1, 10), "b": np.linspace(0.9, 0.3, 10)})["b"][[0, -1]].round(3)
        array([1.  , 0.25])
    """
    lowest = min((float(curve[-1]) for curve in curve_means.values()), default=0.0)
    return {name: _scaled(curve, lowest) for name, curve in curve_means.items()}


def _scaled(curve: Array, lowest: float) -> Array:
    height = float(curve[0]) - lowest
    return (curve - lowest) / height if abs(height) > ROUNDING else np.full(len(curve), np.nan)
