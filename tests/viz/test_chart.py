from __future__ import annotations

import pytest

from narrows.viz.chart import HEIGHT, WIDTH, Axis, Curve, chart


@pytest.mark.parametrize(
    ("axis", "written"),
    [
        (Axis("p", 0, 1), ["0", "0.5", "1"]),
        (Axis("tokens", 0, 11), ["0", "5", "10"]),
        (Axis("tokens", 0, 1), ["0", "0.5", "1"]),
        (Axis("step", 0, 10), ["0", "5", "10"]),
        (Axis("bits", 1, 1000, log=True), ["1", "10", "100", "1,000"]),
        (Axis("bits", 2, 8, log=True), ["2", "8"]),
        (Axis("bits", 0.5, 2e6, log=True), ["1", "100", "10,000", "1,000k"]),
    ],
)
def test_an_axis_has_a_few_round_numbers_where_they_belong(axis: Axis, written: list[str]) -> None:
    ticks = axis.ticks()
    assert [text for _, text in ticks] == written
    assert all(0 <= at <= 1 for at, _ in ticks)
    assert [at for at, _ in ticks] == sorted(at for at, _ in ticks)


def test_points_lie_in_the_box_and_what_is_beyond_an_end_is_put_there() -> None:
    drawn = chart([Curve("a", [(0, 0), (5, 0.5), (10, 2)])], Axis("x", 0, 10), Axis("p", 0, 1), "said")
    (curve,) = drawn["curves"]
    middle = (f"{WIDTH / 2:.1f}", f"{HEIGHT / 2:.1f}")
    assert curve["points"] == [("0.0", f"{HEIGHT:.1f}"), middle, (f"{WIDTH:.1f}", "0.0")]
    assert (drawn["x"], drawn["y"], drawn["said"]) == ("x", "p", "said")


def test_an_axis_without_length_is_no_error() -> None:
    assert Axis("x", 0, 0).place(3) == 0
    assert Axis("x", 0, 0).ticks()
