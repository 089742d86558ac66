"""Adaptive Simpson's rule: against closed forms, as exact as asked, with no more points than allowed."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from narrows.bottleneck.simpson import BEGUN, LEAST, place_steps

Curve = Callable[[Tensor], tuple[Tensor, Tensor]]  # from points to values and slopes


def jump(at: float, width: float, height: float = 8.0) -> Curve:
    """A smooth step, as the log-odds of a model that makes up its mind."""

    def curve(x: Tensor) -> tuple[Tensor, Tensor]:
        s = torch.sigmoid((x - at) / width)
        return height * s, height * s * (1 - s) / width

    return curve


def integrate(curves: list[Curve], tolerance: float, most: int) -> tuple[list[float], list[set[float]], int]:
    """The integral of the slopes of each text, the points that count, and how often there was a look."""
    seen: list[tuple[Tensor, Tensor]] = []

    def look(masks: Tensor) -> tuple[Tensor, Tensor]:
        assert masks.shape[0] == len(curves) and masks.min() >= 0 and masks.max() <= 1
        values, slopes = zip(*(curve(row) for curve, row in zip(curves, masks, strict=True)), strict=True)
        seen.append((masks, torch.stack(slopes)))
        return torch.stack(values), torch.stack(slopes)

    weights = place_steps(look, len(curves), tolerance, most)
    sums = sum((own * slopes).sum(dim=1) for own, (_, slopes) in zip(weights, seen, strict=True))
    assert isinstance(sums, Tensor)
    rows = range(len(curves))
    points = [{float(m) for own, (masks, _) in zip(weights, seen, strict=True) for w, m in zip(own[row], masks[row], strict=True) if w > 0} for row in rows]  # fmt: skip  # noqa: E501
    assert sum(own.sum(dim=1) for own in weights).tolist() == pytest.approx([1.0] * len(curves))  # type: ignore[union-attr]
    return sums.tolist(), points, len(seen)


def rise(curve: Curve) -> float:
    """What the integral is."""
    values, _ = curve(torch.tensor([0.0, 1.0], dtype=torch.float64))
    return float(values[1] - values[0])


@given(
    places=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=4),
    width=st.sampled_from([0.3, 0.05, 0.01]),
    tolerance=st.sampled_from([0.5, 0.05, 0.001]),
)
def test_the_sum_misses_the_rise_by_less_than_was_asked(places: list[float], width: float, tolerance: float) -> None:
    curves = [jump(at, width) for at in places]
    sums, points, _ = integrate(curves, tolerance, 2000)
    for curve, found, own in zip(curves, sums, points, strict=True):
        assert abs(found - rise(curve)) <= tolerance and len(own) < 2000


@given(places=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=4), most=st.integers(LEAST, 40))
def test_a_text_has_the_same_points_alone_and_beside_others_and_not_too_many(places: list[float], most: int) -> None:
    curves = [jump(at, 0.02) for at in places]
    sums, points, _ = integrate(curves, 0.01, most)
    for curve, total, own in zip(curves, sums, points, strict=True):
        (alone,), (of_alone,), _ = integrate([curve], 0.01, most)
        assert own == of_alone and total == pytest.approx(alone)
        assert len(own) <= most


def test_points_stand_where_the_value_jumps() -> None:
    _, (points,), looks = integrate([jump(0.3, 0.01)], 0.05, 200)
    assert 2 * sum(0.2 < place < 0.4 for place in points) > len(points) > 2 * BEGUN + 1
    assert looks > 2


def test_a_cubic_needs_no_more_than_the_first_look() -> None:
    """Simpson's rule is exact for slopes up to degree 3."""

    def curve(x: Tensor) -> tuple[Tensor, Tensor]:
        return x**4 - 2 * x**3 + x, 4 * x**3 - 6 * x**2 + 1

    (total,), (points,), looks = integrate([curve], 1e-9, 100)
    assert looks == 1 and len(points) == 2 * BEGUN + 1 and total == pytest.approx(0.0, abs=1e-12)


def test_of_several_targets_the_worst_one_decides() -> None:
    easy, hard = jump(0.5, 0.5), jump(0.5, 0.01)
    seen: list[Tensor] = []

    def look(masks: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(masks)
        both = [curve(masks) for curve in (easy, hard)]
        return torch.stack([own[0] for own in both], dim=-1), torch.stack([own[1] for own in both], dim=-1)

    place_steps(look, 1, 0.05, 200)
    _, (points,), _ = integrate([hard], 0.05, 200)
    assert {float(m) for masks in seen for m in masks.flatten()} == points


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_ends_too(value: float) -> None:
    def curve(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full_like(x, value), torch.full_like(x, value)

    _, (points,), _ = integrate([curve], 0.05, 50)
    assert len(points) <= 50


def test_rounding_is_not_chased() -> None:
    """Values of half precision are off by more than the tolerance: no number of points would mend that."""
    exact = jump(0.4, 0.1, 40.0)

    def rounded(x: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = exact(x)
        return value.bfloat16().double(), slope.bfloat16().double()

    seen: list[int] = []

    def look(masks: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(masks.shape[1])
        return rounded(masks)

    place_steps(look, 1, 0.01, 500, rounding=torch.finfo(torch.bfloat16).eps)
    careful = sum(seen)
    seen.clear()
    place_steps(look, 1, 0.01, 500)
    assert careful < 60 < sum(seen)
