"""The straight path: against loops over the reference, complete, and the same for a text whatever stands beside it."""

from __future__ import annotations

import math

import pytest
import torch
from captum.attr import IntegratedGradients
from hypothesis import given
from hypothesis import strategies as st
from test_optimize import CLASSES, HIDDEN, PoolingHead
from torch import Tensor

import reference
from narrows.bottleneck.path import LogOdds, Slopes, StraightPath, gauss_legendre, look, look_for_each, van_der_corput
from narrows.bottleneck.prior import Gaussian
from narrows.models.heads.goals import Goal, Near, OneOf, Present, Rather, Same, judge_odds

PRIOR = Gaussian(torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64), torch.ones(HIDDEN, dtype=torch.float64))
MEAN = PRIOR.mean.tolist()


def some_texts(lengths: list[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random activations of several texts, padded, and which tokens are real."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(lengths), max(lengths), HIDDEN, generator=generator, dtype=torch.float64)
    real = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    return x, real


def opened(x: reference.Matrix, masks: list[float]) -> reference.Matrix:
    """T = mean + lambda (X - mean), one lambda per token, by loops."""
    return [
        [m + mask * (value - m) for value, m in zip(token, MEAN, strict=True)]
        for token, mask in zip(x, masks, strict=True)
    ]


def follow_path(odds: LogOdds, x: Tensor, prior: Gaussian, real: Tensor, points: tuple[Tensor, Tensor]) -> StraightPath:
    """Look at all points, and integrate."""
    masks, weights = points
    return look(odds, x, prior, real, masks, features=True).weigh(weights)


def slow_walk(head: PoolingHead, x: reference.Matrix, target: int, steps: int) -> tuple[list[float], list[float]]:
    """Walk the path in small steps with lists: bits of log2 odds and of log2 p, each from its own gradient."""
    odds, log_p = [0.0] * len(x), [0.0] * len(x)
    for step in range(steps):
        logits, back = head.plain(opened(x, [(step + 0.5) / steps] * len(x)))
        for bits, of_logits in (
            (odds, reference.log_odds(logits, target)[1]),
            (log_p, [-slope for slope in reference.cross_entropy(logits, target)[1]]),
        ):
            for token, (own, slope) in enumerate(zip(x, back(of_logits), strict=True)):
                # A token's mask moves it along x - mean.
                moved = sum(g * (value - m) for g, value, m in zip(slope, own, MEAN, strict=True))
                bits[token] += moved / steps / math.log(2)
    return odds, log_p


@given(seed=st.integers(0, 100), target=st.integers(0, CLASSES - 1), tokens=st.integers(1, 5))
def test_both_scales_are_those_of_a_slow_walk(seed: int, target: int, tokens: int) -> None:
    x, real = some_texts([tokens], seed)
    head = PoolingHead(seed)
    path = follow_path(head.odds(real, [target]), x, PRIOR, real, gauss_legendre(30))
    odds, log_p = slow_walk(head, x[0].tolist(), target, 500)
    assert path.evidence[0].tolist() == pytest.approx(odds, abs=1e-4)
    assert path.log_p[0].tolist() == pytest.approx(log_p, abs=1e-4)


@given(seed=st.integers(0, 100), target=st.integers(0, CLASSES - 1), mask=st.floats(0.0, 1.0))
def test_at_one_point_both_scales_are_finite_differences(seed: int, target: int, mask: float) -> None:
    """Each token's mask moved alone, up and down, where all stand together."""
    x, real = some_texts([3], seed)
    head, plain, step = PoolingHead(seed), x[0].tolist(), 1e-5
    point = torch.tensor([mask], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    path = follow_path(head.odds(real, [target]), x, PRIOR, real, point)
    for token in range(3):
        moved = []
        for sign in (1, -1):
            masks = [mask + (sign * step if other == token else 0.0) for other in range(3)]
            logits, _ = head.plain(opened(plain, masks))
            moved.append((reference.log_odds(logits, target)[0], -reference.cross_entropy(logits, target)[0]))
        odds, log_p = ((up - down) / (2 * step) / math.log(2) for up, down in zip(*moved, strict=True))
        assert float(path.evidence[0, token]) == pytest.approx(odds, abs=1e-7, rel=1e-6)
        assert float(path.log_p[0, token]) == pytest.approx(log_p, abs=1e-7, rel=1e-6)


@given(seed=st.integers(0, 100), points=st.integers(1, 6))
def test_the_points_are_those_of_captum(seed: int, points: int) -> None:
    x, real = some_texts([4], seed)
    odds = PoolingHead(seed).odds(real, [1])
    start = PRIOR.mean.expand_as(x).contiguous()
    expected = IntegratedGradients(lambda t: odds(t.unsqueeze(0))[0]).attribute(x, start, n_steps=points)
    path = follow_path(odds, x, PRIOR, real, gauss_legendre(points))
    assert path.evidence[0].tolist() == pytest.approx((expected[0].sum(dim=-1) / math.log(2)).tolist(), abs=1e-6)


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4), seed=st.integers(0, 50))
def test_over_the_whole_path_both_scales_add_up_to_their_rise(lengths: list[int], seed: int) -> None:
    x, real = some_texts(lengths, seed)
    head, targets = PoolingHead(seed), [0] * len(lengths)
    start, end = PRIOR.mean.expand_as(x).unsqueeze(1), x.unsqueeze(1)
    path = follow_path(head.odds(real, targets), x, PRIOR, real, gauss_legendre(60))
    for bits, scale in ((path.evidence, head.odds(real, targets)), (path.log_p, head.nll(real, targets))):
        rise = abs(scale(end) - scale(start))[:, 0] / math.log(2)
        assert abs(bits.sum(dim=1)).tolist() == pytest.approx(rise.tolist(), abs=1e-4)


@given(seed=st.integers(0, 50), ends=st.sampled_from([(0.0, 0.4), (0.2, 0.8), (0.9, 1.0)]))
def test_an_interval_of_the_path_has_the_rise_between_its_ends(seed: int, ends: tuple[float, float]) -> None:
    x, real = some_texts([4, 2], seed)
    odds = PoolingHead(seed).odds(real, [1, 2])
    mean = PRIOR.mean.expand_as(x)
    start, end = (odds((mean + place * (x - mean)).unsqueeze(1))[:, 0] for place in ends)
    masks, weights = gauss_legendre(60, ends)
    path = follow_path(odds, x, PRIOR, real, (masks, weights))
    assert path.evidence.sum(dim=1).tolist() == pytest.approx(((end - start) / math.log(2)).tolist(), abs=1e-4)
    assert ends[0] <= masks.min() < masks.max() <= ends[1]


GOALS: list[Goal] = [Present(1), Rather(0, 2), OneOf(2), Near(0.3), Same(torch.tensor([0.2, -1.0, 0.5]))]


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: type(goal).__name__)
def test_a_goal_without_odds_has_its_loss_shared_out(goal: Goal) -> None:
    """Over the whole path: bits of the log-odds where there is a p, else minus the loss, divided by ln 2."""
    x, real = some_texts([4], seed=2)
    head = PoolingHead(2)

    def scale(t: Tensor) -> Tensor:
        return judge_odds([goal], head.logits_of(t, real))

    path = follow_path(scale, x, PRIOR, real, gauss_legendre(60))
    ends = [head.logits_of(t.unsqueeze(1), real)[0] for t in (PRIOR.mean.expand_as(x), x)]
    start, end = (float(goal.log_odds(own) if goal.has_odds else -goal(own)) for own in ends)
    assert goal.has_odds == isinstance(goal, Present | Rather | OneOf)
    assert float(path.evidence.sum()) == pytest.approx((end - start) / math.log(2), abs=1e-4)


def test_features_add_up_to_their_token() -> None:
    x, real = some_texts([4, 2])
    path = follow_path(PoolingHead().odds(real, [1, 2]), x, PRIOR, real, gauss_legendre(5))
    assert path.features.shape == x.shape
    torch.testing.assert_close(path.features.sum(dim=-1), path.evidence)
    assert path.features.std() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_sums_are_float32_or_wider_and_a_sure_model_has_evidence_still(dtype: torch.dtype) -> None:
    """Where p is 1 to the last digit, log p is flat and the log-odds are not."""
    x, real = some_texts([3])
    weights = torch.tensor([1.0, -2.0, 0.5])

    def odds(t: Tensor) -> Tensor:
        assert t.dtype == dtype
        return 30 + t.float().mean(dim=2) @ weights

    path = follow_path(odds, x.to(dtype), PRIOR, real, gauss_legendre(3))
    assert path.evidence.dtype == path.log_p.dtype == torch.float32
    expected = (x[0] - PRIOR.mean) @ weights.double() / 3 / math.log(2)
    assert path.evidence[0].tolist() == pytest.approx(expected.tolist(), rel=0.02, abs=0.02)
    assert 0 < path.log_p.abs().max() < 1e-6


def test_padding_and_neighbours_have_no_part_in_it() -> None:
    x, real = some_texts([2, 5])
    x[0, 2:] = math.nan  # as some models leave it
    head = PoolingHead()
    together = follow_path(head.odds(real, [1, 2]), x, PRIOR, real, gauss_legendre(3))
    alone = follow_path(head.odds(real[:1, :2], [1]), x[:1, :2], PRIOR, real[:1, :2], gauss_legendre(3))
    for own, other in ((together.evidence, alone.evidence), (together.log_p, alone.log_p)):
        assert own[0, :2].tolist() == pytest.approx(other[0].tolist(), abs=1e-12)
        assert own[0, 2:].tolist() == [0.0] * 3
    assert together.features[0, :2].flatten().tolist() == pytest.approx(alone.features.flatten().tolist(), abs=1e-12)


@pytest.mark.parametrize("points", [1, 2, 5])
def test_a_rule_of_n_points_is_exact_for_polynomials_of_degree_2n_minus_1(points: int) -> None:
    masks, weights = gauss_legendre(points)
    for degree in range(2 * points):
        assert float((weights * masks**degree).sum()) == pytest.approx(1 / (degree + 1), rel=1e-12)
    assert masks.tolist() == sorted(masks.tolist())


def test_the_sequence_starts_in_the_middle_and_halves_what_is_left() -> None:
    found = [float(van_der_corput(range(number, number + 1))[0]) for number in range(7)]
    assert found == [1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8, 3 / 8, 7 / 8]


@given(start=st.integers(0, 40), points=st.integers(1, 40), ends=st.sampled_from([(0.0, 1.0), (0.2, 0.8), (0.5, 0.6)]))
def test_points_of_the_sequence_lie_on_the_interval_each_once(
    start: int, points: int, ends: tuple[float, float]
) -> None:
    masks, weights = van_der_corput(range(start, start + points), ends)
    assert masks.tolist() == sorted(set(masks.tolist())) and len(masks) == points
    assert ends[0] < masks.min() and masks.max() < ends[1]
    assert float(weights.sum()) == pytest.approx(ends[1] - ends[0])


@pytest.mark.parametrize("points", range(1, 33))
def test_wherever_the_sequence_stops_no_part_of_the_way_is_left_out(points: int) -> None:
    masks, _ = van_der_corput(range(points))
    gaps = torch.diff(masks, prepend=torch.zeros(1), append=torch.ones(1))
    assert gaps.max() <= 2 / (points + 1)  # twice as far as if all were equal


def test_each_text_may_have_points_of_its_own() -> None:
    x, real = some_texts([3, 5])
    odds = PoolingHead().odds(real, [1, 2])
    masks, weights = torch.tensor([[0.1, 0.7], [0.3, 0.4]]), torch.tensor([[0.2, 0.8], [0.5, 0.0]])
    together = look(odds, x, PRIOR, real, masks).weigh(weights)
    for row in range(2):
        alone = look(odds, x, PRIOR, real, masks[row]).weigh(weights[row])
        assert together.evidence[row].tolist() == pytest.approx(alone.evidence[row].tolist(), abs=1e-12)
        assert together.log_p[row].tolist() == pytest.approx(alone.log_p[row].tolist(), abs=1e-12)
    assert together.features.shape == (2, 5, 0)
    assert (
        look(odds, x, PRIOR, real, masks).features.untyped_storage().nbytes() == 0
    )  # no view of what was not asked for


def test_several_targets_have_what_each_has_alone() -> None:
    x, real = some_texts([4, 2])
    head = PoolingHead()

    def each(t: Tensor) -> Tensor:
        return torch.stack([head.odds(real, [target] * 2)(t) for target in range(CLASSES)], dim=-1)

    masks, weights = gauss_legendre(3)
    together = look_for_each(each, x, PRIOR, real, masks)
    path = together.weigh(weights)
    for target in range(CLASSES):
        alone = look(head.odds(real, [target] * 2), x, PRIOR, real, masks)
        torch.testing.assert_close(together.odds[..., target], alone.odds)
        torch.testing.assert_close(path.evidence[:, target], alone.weigh(weights).evidence)


def test_joined_parts_are_what_one_pass_gives() -> None:
    x, real = some_texts([4, 2])
    odds, (masks, weights) = PoolingHead().odds(real, [1, 2]), gauss_legendre(5)
    parts = [look(odds, x, PRIOR, real, masks[rows], features=True) for rows in (slice(0, 2), slice(2, 5))]
    whole = look(odds, x, PRIOR, real, masks, features=True)
    torch.testing.assert_close(Slopes.join(parts).weigh(weights).features, whole.weigh(weights).features)
