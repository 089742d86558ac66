"""Goals against sums written out, and all at once against one by one."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.models.heads.goals import At, Goal, Near, OneOf, Present, Rather, Same, SameEach, Span, Together, judge

numbers = st.floats(-20, 20, width=32)
rows = st.lists(numbers, min_size=3, max_size=3)


def softmax(values: list[float]) -> list[float]:
    exps = [math.exp(value - max(values)) for value in values]
    return [value / sum(exps) for value in exps]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def of(goal: Goal, values: list[float]) -> float:
    return float(goal(torch.tensor([values], dtype=torch.float64))[0])


@given(values=rows, own=rows)
def test_goals_are_what_their_formulas_say(values: list[float], own: list[float]) -> None:
    p, q = softmax(own), softmax(values)
    mine = torch.tensor(own, dtype=torch.float64)
    expected = {
        OneOf(1): -math.log(q[1]),
        Rather(0, 2): -math.log(q[0] / (q[0] + q[2])),
        Present(2): -math.log(sigmoid(values[2])),
        Same(mine): sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)),
        SameEach(mine): sum(
            a * math.log(a / b) + (1 - a) * math.log((1 - a) / (1 - b))
            for a, b in ((sigmoid(x), sigmoid(y)) for x, y in zip(own, values, strict=True))
            if a < 1 and b < 1
        ),
        Near(own[0]): (values[0] - own[0]) ** 2 / 2,
    }
    for goal, value in expected.items():
        assert of(goal, values) == pytest.approx(value, rel=1e-5, abs=1e-6)


def test_a_divergence_from_what_the_model_itself_says_is_nothing() -> None:
    own = torch.tensor([1.0, -2.0, 0.5])
    for goal in (Same(own), SameEach(own), Near(1.0)):
        assert of(goal, own.tolist()) == pytest.approx(0, abs=1e-6)


def test_places_spans_and_several_goals() -> None:
    logits = torch.randn(2, 4, 3)
    at, other = At(2, OneOf(1)), At(0, Rather(0, 1))
    torch.testing.assert_close(at(logits), -logits[:, 2].log_softmax(-1)[:, 1])
    torch.testing.assert_close(Together((at, other))(logits), at(logits) + other(logits))
    ends = torch.randn(2, 6, 2)
    log_p = ends[:, :4].log_softmax(dim=1)  # two places of padding
    torch.testing.assert_close(Span(1, 3, 4)(ends), -log_p[:, 1, 0] - log_p[:, 3, 1])


def test_a_batch_at_once_gives_what_each_goal_gives() -> None:
    logits = torch.randn(3, 5, 4, dtype=torch.bfloat16)
    goals = [OneOf(1), OneOf(0), OneOf(3)]
    got = judge(goals, logits)
    assert (got.shape, got.dtype) == ((3, 5), torch.float32)
    torch.testing.assert_close(got, torch.stack([g(own.float()) for g, own in zip(goals, logits, strict=True)]))
    mixed = [OneOf(1), Rather(0, 2), OneOf(3)]
    torch.testing.assert_close(judge(mixed, logits)[::2], got[::2])
