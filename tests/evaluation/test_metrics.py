"""Numbers that sum up curves, against loops over texts and points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from narrows.data.example import Example
from narrows.data.units import by_score
from narrows.evaluation.degradation import Curves
from narrows.evaluation.metrics import (
    area,
    comprehensiveness,
    drop,
    drops,
    flips,
    normalized,
    sufficiency,
)
from narrows.models.predict import predict
from narrows.models.text.encoding import encode
from narrows.models.text.removal import remove
from removing import degrade_classes
from tiny import Classifier

CURVES = arrays(np.float64, st.tuples(st.integers(1, 4), st.just(10)), elements=st.floats(0, 1))
DECISIONS = arrays(np.int64, st.tuples(st.integers(1, 4), st.just(10)), elements=st.integers(0, 2))


@given(curves=CURVES)
def test_numbers_of_curves_are_those_of_a_loop_over_the_points(curves: np.ndarray) -> None:
    for text, curve in enumerate(curves):
        assert drop(curves)[text] == curve[0] - curve[1]
        assert area(curves)[text] == pytest.approx(sum(curve) / 10)
        removed = [curve[0] - curve[k] for k in range(1, 9)]
        assert comprehensiveness(curves)[text] == pytest.approx(sum(removed) / 8)
        kept = [curve[0] - curve[9 - k] for k in range(1, 9)]
        assert sufficiency(curves)[text] == pytest.approx(sum(kept) / 8)


def test_drops_are_those_from_the_whole_text() -> None:
    morf, shares = np.full((2, 10), 0.9), np.array([[0.9, 0.8, 0.7, 0.6, 0.5], [0.1, 0.1, 0.1, 0.1, 0.1]])
    decisions = np.zeros((2, 10), int)
    found = drops(Curves(morf, morf, decisions, decisions, shares))
    assert list(found) == ["5", "11", "20", "33", "50"]
    assert found["20"] == pytest.approx([0.2, 0.8])


def test_no_number_but_the_area_looks_at_the_point_without_any_token() -> None:
    rng = np.random.default_rng(0)
    one = rng.random((3, 10))
    other = one.copy()
    other[:, 9] = rng.random(3)
    for number in (drop, comprehensiveness, sufficiency):
        assert number(one).tolist() == number(other).tolist()
    assert (area(one) != area(other)).all()


def test_comprehensiveness_and_sufficiency_are_what_removing_and_keeping_the_best_tokens_does(bert: Classifier) -> None:
    model, tokenizer = bert
    encoding = encode(tokenizer, Example("the very good film is not a bad act"), None)
    content = range(1, len(encoding) - 1)
    assert len(content) == 9  # so k/9 of the tokens are k tokens
    scores = np.random.default_rng(1).random(len(encoding))
    best = sorted(content, key=lambda position: -scores[position])

    def p(gone: list[int]) -> float:
        return float(predict(model, tokenizer, [remove(encoding, gone, "delete", tokenizer)])[0, 2])

    curves = degrade_classes(bert, [encoding], [by_score(scores, encoding.segments)], [2])
    without_best = [p([]) - p(best[:k]) for k in range(1, 9)]
    best_alone = [p([]) - p(best[k:]) for k in range(1, 9)]
    assert comprehensiveness(curves.morf) == pytest.approx([np.mean(without_best)], abs=1e-6)
    assert sufficiency(curves.lerf) == pytest.approx([np.mean(best_alone)], abs=1e-6)


@given(decisions=DECISIONS)
def test_flips_are_those_of_a_loop_over_the_points(decisions: np.ndarray) -> None:
    for text, own in enumerate(decisions):
        assert bool(flips(decisions)[text]) == bool(own[1] != own[0])


def test_the_normalised_curve_goes_from_one_to_zero_at_the_least_of_all_methods() -> None:
    curves = {"a": np.linspace(0.8, 0.3, 10), "b": np.linspace(0.8, 0.2, 10), "c": np.full(10, 0.8)}
    scaled = normalized(curves)
    assert list(scaled) == ["a", "b", "c"]
    for name, curve in curves.items():
        assert scaled[name] == pytest.approx([(p - 0.2) / (0.8 - 0.2) for p in curve])
    assert scaled["b"][[0, -1]] == pytest.approx([1.0, 0.0])


def test_the_least_is_taken_where_everything_is_removed_not_along_the_way() -> None:
    dip = np.array([0.9, 0.1, *[0.5] * 8])
    assert normalized({"dip": dip})["dip"] == pytest.approx((dip - 0.5) / 0.4)


@pytest.mark.parametrize("noise", [0.0, 1e-8])
def test_where_removing_everything_changes_nothing_there_is_no_normalised_curve(noise: float) -> None:
    flat = np.full(10, 0.5)
    flat[-1] -= noise
    assert np.isnan(normalized({"flat": flat})["flat"]).all()
    assert normalized({}) == {}
