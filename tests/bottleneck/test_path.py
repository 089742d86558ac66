"""The straight path: against loops over the reference, complete, and the same for a text whatever stands beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from captum.attr import IntegratedGradients
from hypothesis import given
from hypothesis import strategies as st
from test_optimize import CLASSES, HIDDEN, PoolingHead
from torch import Tensor

import reference
from narrows import Explainer
from narrows.bottleneck.path import follow_path, gauss_legendre, van_der_corput
from narrows.bottleneck.prior import Gaussian, Prior
from narrows.bottleneck.rate import MASKS
from narrows.models.cut.blocks import find_blocks
from tiny import Classifier, register_on_output

PRIOR = Gaussian(torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64), torch.ones(HIDDEN, dtype=torch.float64))


def some_texts(lengths: list[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random activations of several texts, padded, and which tokens are real."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(lengths), max(lengths), HIDDEN, generator=generator, dtype=torch.float64)
    real = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    return x, real


def slow_evidence(head: PoolingHead, x: reference.Matrix, target: int, steps: int) -> list[float]:
    """Walk the path in small steps with lists: bits of log2 p(target) per token."""
    mean = PRIOR.mean.tolist()
    evidence = [0.0] * len(x)
    for step in range(steps):
        mask = (step + 0.5) / steps
        t = [[m + mask * (value - m) for value, m in zip(token, mean, strict=True)] for token in x]
        logits, back = head.plain(t)
        _, of_logits = reference.cross_entropy(logits, target)
        gradient = back(of_logits)
        for token, (own, slope) in enumerate(zip(x, gradient, strict=True)):
            # A token's mask moves it along x - mean; a lower cross-entropy is a higher log p.
            moved = sum(g * (value - m) for g, value, m in zip(slope, own, mean, strict=True))
            evidence[token] -= moved / steps / math.log(2)
    return evidence


@given(seed=st.integers(0, 100), target=st.integers(0, CLASSES - 1), tokens=st.integers(1, 5))
def test_the_evidence_is_that_of_a_slow_walk(seed: int, target: int, tokens: int) -> None:
    x, real = some_texts([tokens], seed)
    head = PoolingHead(seed)
    path = follow_path(head.nll(real, [target]), x, PRIOR, real, gauss_legendre(30))
    assert path.evidence[0].tolist() == pytest.approx(slow_evidence(head, x[0].tolist(), target, 500), abs=1e-4)


@given(seed=st.integers(0, 100), points=st.integers(1, 6))
def test_the_points_are_those_of_captum(seed: int, points: int) -> None:
    x, real = some_texts([4], seed)
    nll = PoolingHead(seed).nll(real, [1])
    start = PRIOR.mean.expand_as(x).contiguous()
    expected = IntegratedGradients(lambda t: -nll(t.unsqueeze(0))[0]).attribute(x, start, n_steps=points)
    path = follow_path(nll, x, PRIOR, real, gauss_legendre(points))
    assert path.evidence[0].tolist() == pytest.approx((expected[0].sum(dim=-1) / math.log(2)).tolist(), abs=1e-6)


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4), seed=st.integers(0, 50))
def test_the_evidence_adds_up_to_the_rise_of_log_p(lengths: list[int], seed: int) -> None:
    x, real = some_texts(lengths, seed)
    nll = PoolingHead(seed).nll(real, [0] * len(lengths))
    rise = nll(PRIOR.mean.expand_as(x).unsqueeze(1)) - nll(x.unsqueeze(1))
    path = follow_path(nll, x, PRIOR, real, gauss_legendre(60))
    assert path.evidence.sum(dim=1).tolist() == pytest.approx((rise[:, 0] / math.log(2)).tolist(), abs=1e-4)


@given(
    ends=st.tuples(st.integers(0, 9), st.integers(1, 10)).filter(lambda ends: ends[0] < ends[1]),
    seed=st.integers(0, 50),
)
def test_on_a_stretch_the_evidence_adds_up_to_the_rise_from_one_end_to_the_other(
    ends: tuple[int, int], seed: int
) -> None:
    x, real = some_texts([3, 5], seed)
    nll, mean = PoolingHead(seed).nll(real, [0, 1]), PRIOR.mean.expand_as(x)
    start, end = (nll((mean + place / 10 * (x - mean)).unsqueeze(1))[:, 0] for place in ends)
    masks, weights = gauss_legendre(60, (ends[0] / 10, ends[1] / 10))
    path = follow_path(nll, x, PRIOR, real, (masks, weights))
    assert path.evidence.sum(dim=1).tolist() == pytest.approx(((start - end) / math.log(2)).tolist(), abs=1e-4)
    assert ends[0] / 10 <= masks.min() < masks.max() <= ends[1] / 10


def test_padding_and_neighbours_have_no_part_in_it() -> None:
    x, real = some_texts([2, 5])
    x[0, 2:] = math.nan  # as some models leave it
    head = PoolingHead()
    together = follow_path(head.nll(real, [1, 2]), x, PRIOR, real, gauss_legendre(3))
    alone = follow_path(head.nll(real[:1, :2], [1]), x[:1, :2], PRIOR, real[:1, :2], gauss_legendre(3))
    assert together.evidence[0, :2].tolist() == pytest.approx(alone.evidence[0].tolist(), abs=1e-12)
    assert together.evidence[0, 2:].tolist() == [0.0] * 3
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
def test_points_of_the_sequence_lie_on_the_stretch_each_once(
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


TEXTS = ["good film", "a very bad film it is not", "the act"]


def test_the_map_of_several_layers_is_the_mean_of_theirs(
    any_classifier: Classifier, make_prior: Callable[..., Prior]
) -> None:
    model, tokenizer = any_classifier
    prior = make_prior(model)
    several = Explainer(model, tokenizer, [1, 2], prior, rounds=1)(TEXTS)
    for row, text in enumerate(TEXTS):
        parts = [Explainer(model, tokenizer, layer, prior, rounds=1)(text) for layer in (1, 2)]
        mean = (parts[0].scores + parts[1].scores) / 2
        assert several[row].scores.tolist() == pytest.approx(mean.tolist(), abs=1e-5)
        assert several[row].bits.tolist() == pytest.approx(abs(mean).tolist(), abs=1e-5)
        assert several[row].layers == (1, 2) and several[row].layer == 2


def test_evidence_adds_up_at_every_layer_of_a_transformer(
    any_classifier: Classifier, make_prior: Callable[..., Prior]
) -> None:
    model, tokenizer = any_classifier
    explainer = Explainer(model, tokenizer, prior=make_prior(model), preset="complete", points=300)
    inputs = tokenizer("a very bad film", return_tensors="pt")
    for attribution in explainer.across_layers("a very bad film", layers=range(1, explainer.blocks + 1)):
        mean = explainer.prior.at(attribution.layer).mean
        block = find_blocks(model)[attribution.layer - 1]
        with register_on_output(block, mean.expand_as), torch.no_grad():
            closed = model(**inputs).logits[0].log_softmax(dim=-1)
        label = list(attribution.probabilities).index(attribution.target)
        rise = math.log2(attribution.probabilities[attribution.target]) - float(closed[label]) / math.log(2)
        assert attribution.scores.sum() == pytest.approx(rise, abs=0.02)


def test_evidence_does_not_depend_on_the_seed(bert: Classifier) -> None:
    model, tokenizer = bert
    one, other = (Explainer(model, tokenizer, prior="instance", seed=seed)(TEXTS[1]) for seed in (0, 1))
    assert one.scores.tolist() == other.scores.tolist()
    assert one.scores.std() > 0


def test_the_trace_leads_from_the_open_mask_to_the_closed_one(bert: Classifier) -> None:
    model, tokenizer = bert
    attribution = Explainer(model, tokenizer, prior="instance", preset="complete", points=4)(TEXTS[1])
    information = [point.information for point in attribution.trace]
    assert len(information) == MASKS
    assert information == sorted(information, reverse=True)
    assert information[0] == attribution.carried_bits
    curve = attribution.rate_curve()
    assert [point.bits for point in curve] == information[::-1]
    assert curve[-1].probability == pytest.approx(attribution.probabilities[attribution.target], rel=0.05)


def test_a_stretch_may_be_a_list_as_json_has_it(bert: Classifier) -> None:
    attribution = Explainer(*bert, prior="instance", points=2, rounds=1, stretch=[0.0, 1.0])(TEXTS[1])  # type: ignore[arg-type]
    assert len(attribution.trace) == MASKS


@pytest.mark.parametrize("settings", [{}, {"preset": "best"}, {"preset": "complete", "stretch": (0.0, 0.9)}])
def test_no_rate_is_claimed_where_none_is_measured(bert: Classifier, settings: dict[str, Any]) -> None:
    model, tokenizer = bert
    attribution = Explainer(model, tokenizer, prior="instance", **settings)(TEXTS[1])
    (point,) = attribution.rate_curve()
    assert point.bits == attribution.carried_bits
    p = attribution.probabilities[attribution.target]
    assert math.exp(-attribution.trace[0].cross_entropy) == pytest.approx(p, rel=1e-5)


def test_the_preset_complete_adds_up_on_a_demo_model() -> None:
    explainer = Explainer.from_pretrained("sentiment", preset="complete")
    for text in ("The plot is thin, but the acting is superb.", "A gorgeous, witty film.", "The script is a mess."):
        attribution = explainer(text)
        place = list(attribution.probabilities).index(attribution.target)
        closed = []
        for layer in attribution.layers:
            mean = explainer.prior.at(layer).mean
            with register_on_output(find_blocks(explainer.model)[layer - 1], mean.expand_as), torch.no_grad():
                logits = explainer.model(**explainer.tokenizer(text, return_tensors="pt")).logits[0]
            closed.append(float(logits.log_softmax(dim=-1)[place]) / math.log(2))
        rise = math.log2(attribution.probabilities[attribution.target]) - sum(closed) / len(closed)
        assert attribution.scores.sum() == pytest.approx(rise, rel=0.1)
        # Behind the noise the closed mask leaves a guess, the open one the prediction.
        curve = attribution.rate_curve()
        assert curve[0].probability < 0.7 < 0.98 * attribution.probabilities[attribution.target] < curve[-1].probability
