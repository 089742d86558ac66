"""Traces and the rate curves that are made of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.bottleneck.trace import RatePoint, Trace, make_trace, mean_rate_curve, rate_curve, trace_dicts

nats, bits = st.floats(0, 50), st.floats(0, 1e6)
traces = st.integers(0, 5).flatmap(
    lambda points: st.lists(
        st.lists(st.tuples(nats, bits), min_size=points, max_size=points).map(
            lambda values: make_trace([own for own, _ in values], [own for _, own in values])
        ),
        min_size=1,
        max_size=4,
    )
)


def test_points_are_numbered_and_saved_as_they_are() -> None:
    trace = make_trace([0.5, 0.25], [8.0, 4.0])
    assert trace_dicts(trace) == [
        {"step": 0, "cross_entropy": 0.5, "information": 8.0, "error": 0.0},
        {"step": 1, "cross_entropy": 0.25, "information": 4.0, "error": 0.0},
    ]
    with pytest.raises(ValueError, match="shorter"):
        make_trace([0.5, 0.25], [8.0])


@given(traces=traces)
def test_a_rate_curve_has_every_point_once_the_fewest_bits_first(traces: list[Trace]) -> None:
    for trace in traces:
        curve = rate_curve(trace)
        assert [point.bits for point in curve] == sorted(point.bits for point in curve)
        expected = sorted((own["information"], math.exp(-own["cross_entropy"])) for own in trace_dicts(trace))
        assert sorted((point.bits, point.probability) for point in curve) == expected


@given(traces=traces)
def test_the_mean_curve_is_the_mean_over_the_texts(traces: list[Trace]) -> None:
    saved = [trace_dicts(trace) for trace in traces]
    steps = range(len(saved[0]))
    means = [
        (
            np.mean([own[step]["information"] for own in saved]),
            np.mean([math.exp(-own[step]["cross_entropy"]) for own in saved]),
        )
        for step in steps
    ]
    curve = mean_rate_curve(traces)
    assert [point.bits for point in curve] == sorted(point.bits for point in curve)
    found = sorted((point.bits, point.probability) for point in curve)
    assert len(found) == len(means)
    np.testing.assert_allclose(np.reshape(found, (-1, 2)), np.reshape(sorted(means), (-1, 2)), rtol=1e-9)


def test_texts_with_other_points_have_no_common_curve() -> None:
    assert mean_rate_curve([make_trace([0.0], [1.0]), ()]) == []
    assert mean_rate_curve([]) == []
    assert mean_rate_curve([make_trace([0.0], [1.0])]) == [RatePoint(1.0, 1.0, 1.0, 1.0)]


@given(nats=st.floats(0, 50), error=st.floats(0, 50))
def test_the_interval_is_that_of_the_mean_on_the_scale_of_nats(nats: float, error: float) -> None:
    (point,) = rate_curve(make_trace([nats], [1.0], [error]))
    assert point.low == pytest.approx(math.exp(-(nats + 1.96 * error)))
    assert point.high == pytest.approx(min(1.0, math.exp(-(nats - 1.96 * error))))
    assert 0 <= point.low <= point.probability <= point.high <= 1
    with pytest.raises(ValueError, match=r"short|long"):
        make_trace([nats], [1.0], [error, error])
