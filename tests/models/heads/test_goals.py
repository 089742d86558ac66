"""Goals against sums written out, and all at once against one by one."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.models.heads.goals import (
    AnswerSpan,
    At,
    Goal,
    LogP,
    Near,
    OneOf,
    Present,
    Rather,
    Same,
    SameEach,
    Together,
    judge,
    judge_odds,
)

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
    torch.testing.assert_close(AnswerSpan(1, 3, 4)(ends), -log_p[:, 1, 0] - log_p[:, 3, 1])


def test_a_batch_at_once_gives_what_each_goal_gives() -> None:
    logits = torch.randn(3, 5, 4, dtype=torch.bfloat16)
    goals = [OneOf(1), OneOf(0), OneOf(3)]
    got = judge(goals, logits)
    assert (got.shape, got.dtype) == ((3, 5), torch.float32)
    torch.testing.assert_close(got, torch.stack([g(own.float()) for g, own in zip(goals, logits, strict=True)]))
    mixed = [OneOf(1), Rather(0, 2), OneOf(3)]
    torch.testing.assert_close(judge(mixed, logits)[::2], got[::2])


EVENTS = (OneOf(1), Rather(0, 2), Present(2))
WITHOUT_ODDS = (Same(torch.tensor([1.0, -2.0, 0.5])), SameEach(torch.tensor([1.0, -2.0, 0.5])), Near(0.5))


def odds(goal: Goal, values: list[float]) -> float:
    return float(goal.log_odds(torch.tensor([values], dtype=torch.float64))[0])


@given(values=rows)
def test_log_odds_are_what_their_formulas_say(values: list[float]) -> None:
    exps = [math.exp(value) for value in values]
    expected = {
        OneOf(1): values[1] - math.log(exps[0] + exps[2]),
        Rather(0, 2): values[0] - values[2],
        Present(2): values[2],
    }
    for goal, value in expected.items():
        assert goal.has_odds
        assert odds(goal, values) == pytest.approx(value, rel=1e-9, abs=1e-9)


@given(values=st.lists(st.floats(-4, 4), min_size=12, max_size=12))
def test_log_odds_of_events_together_are_those_of_the_product_of_their_probabilities(values: list[float]) -> None:
    places = torch.tensor([values], dtype=torch.float64).view(1, 4, 3)
    together = Together((At(0, OneOf(1)), At(1, Rather(0, 2)), At(3, Present(0))))
    first, second, third = values[0:3], values[3:6], values[9:12]
    p = softmax(first)[1] * sigmoid(second[0] - second[2]) * sigmoid(third[0])
    assert together.has_odds
    assert float(together.log_odds(places)[0]) == pytest.approx(math.log(p / (1 - p)), rel=1e-9, abs=1e-9)

    ends = torch.tensor([values], dtype=torch.float64).view(1, 6, 2)  # two places of padding
    p = softmax(values[0:8:2])[1] * softmax(values[1:8:2])[3]
    assert float(AnswerSpan(1, 3, 4).log_odds(ends)[0]) == pytest.approx(math.log(p / (1 - p)), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("goal", "shape"),
    [
        *((goal, (5, 3)) for goal in EVENTS),
        (At(1, OneOf(2)), (5, 2, 3)),
        (AnswerSpan(1, 2, 3), (5, 4, 2)),
        (Together((At(0, OneOf(1)), At(1, OneOf(0)), At(1, Present(2)))), (5, 2, 3)),
    ],
)
def test_the_gradient_is_that_of_log_p_divided_by_one_minus_p(goal: Goal, shape: tuple[int, ...]) -> None:
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    loss = goal(logits)
    (of_log_p,) = torch.autograd.grad(-loss.sum(), logits)
    (of_odds,) = torch.autograd.grad(goal.log_odds(logits).sum(), logits)
    rest = (1 - (-loss).exp()).view(-1, *[1] * (len(shape) - 1))
    torch.testing.assert_close(of_odds, of_log_p / rest)


@pytest.mark.parametrize("margin", [-200.0, 28.0, 200.0])  # p = 1 - 1e-12, and beyond
def test_log_odds_of_the_sure_are_finite_and_right_in_float32(margin: float) -> None:
    one, ends = torch.tensor([[margin, 0.0]]), torch.tensor([[[margin, 0.0], [0.0, margin]]])
    assert float(OneOf(0).log_odds(one)) == pytest.approx(margin, rel=1e-6)
    product = margin - math.log(2) if margin > 0 else 2 * margin  # 1 - p^2 is 2 (1 - p) where p is nearly 1
    for goal in (AnswerSpan(0, 1, 2), Together((At(0, OneOf(0)), At(1, OneOf(1))))):
        leaf = ends.clone().requires_grad_()
        got = goal.log_odds(leaf)
        assert got.item() == pytest.approx(product, rel=1e-6)
        (gradient,) = torch.autograd.grad(got.sum(), leaf)
        assert gradient.isfinite().all() and gradient.any()


def test_infinite_logits_and_a_choice_of_one_give_finite_log_odds() -> None:
    forbidden = torch.tensor([[0.0, -math.inf, -math.inf]], requires_grad=True)
    for goal in (OneOf(0), OneOf(1), Rather(0, 1), Present(1), Together((OneOf(0), OneOf(1)))):
        got = goal.log_odds(forbidden)
        (gradient,) = torch.autograd.grad(got.sum(), forbidden)
        assert got.isfinite().all() and gradient.isfinite().all(), goal
    assert OneOf(0).log_odds(torch.zeros(1, 1)).isfinite().all()


def test_a_goal_without_a_probability_counts_nats_of_its_loss() -> None:
    logits = torch.randn(4, 3)
    for goal in (*WITHOUT_ODDS, At(0, WITHOUT_ODDS[0]), Together((OneOf(1), WITHOUT_ODDS[1])), LogP(OneOf(1))):
        given_logits = logits.unsqueeze(1) if isinstance(goal, At) else logits
        assert not goal.has_odds
        torch.testing.assert_close(goal.log_odds(given_logits), -goal(given_logits))


def test_log_odds_of_a_batch_at_once_are_those_of_each_goal() -> None:
    logits = torch.randn(3, 5, 4, dtype=torch.bfloat16)
    goals = [OneOf(1), OneOf(0), OneOf(3)]
    got = judge_odds(goals, logits)
    assert (got.shape, got.dtype) == ((3, 5), torch.float32)
    each = [goal.log_odds(own.float()) for goal, own in zip(goals, logits, strict=True)]
    torch.testing.assert_close(got, torch.stack(each))
    mixed = [OneOf(1), Rather(0, 2), OneOf(3)]
    torch.testing.assert_close(judge_odds(mixed, logits)[::2], got[::2])
