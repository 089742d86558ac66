"""A degradation curve in one number per text, (texts, 10) -> (texts,): column k stands for k/9 of the tokens."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from narrows.evaluation.degradation import POINTS, SHARES, Array, Curves

ROUNDING = 1e-5  # p of one text differs by up to 4e-7 between batches in float32; less than this is no difference


def drop(morf: Array) -> Array:
    """Compute the fall of p(target) without the most relevant ninth: the paper's Table 1."""
    return morf[:, 0] - morf[:, 1]


def drops(curves: Curves) -> dict[str, Array]:
    """Compute the fall of p(target) without the most relevant 5, 11, 20, 33 and 50 %, by percent, (texts,) each."""
    return {name: curves.morf[:, 0] - curves.shares[:, column] for column, name in enumerate(SHARES)}


def area(curve: Array) -> Array:
    """Average p(target) over the ten points; low is good for MoRF, high for LeRF."""
    return np.asarray(curve.mean(axis=1))


def comprehensiveness(morf: Array) -> Array:
    """Average the loss of p(target) without the most relevant k/9, k = 1..8 (DeYoung et al. 2020); high is good."""
    return np.asarray(morf[:, 0] - morf[:, 1:-1].mean(axis=1))


def sufficiency(lerf: Array) -> Array:
    """Average the loss of p(target) with only the most relevant k/9, k = 1..8 (DeYoung et al. 2020); low is good."""
    return comprehensiveness(lerf)  # the most relevant k/9 are left at point 9 - k of LeRF


def flips(decisions: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell whether the predicted class changes without the first ninth."""
    return np.asarray(decisions[:, 1] != decisions[:, 0])


def normalized(curve_means: Mapping[str, Array]) -> dict[str, Array]:
    """Scale mean curves, (10,) each, to 1 for whole texts and 0 for the lowest without tokens; NaN where both agree."""
    lowest = min((float(curve[POINTS - 1]) for curve in curve_means.values()), default=0.0)
    heights = {name: float(curve[0]) - lowest for name, curve in curve_means.items()}
    heights = {name: height if abs(height) > ROUNDING else np.nan for name, height in heights.items()}
    return {name: (curve - lowest) / heights[name] for name, curve in curve_means.items()}
