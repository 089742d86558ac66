from __future__ import annotations

import math

import pytest

from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from narrows.viz.trace import plot_rate, plot_trace, rate_points
from saved_results import review, silent

pytest.importorskip("matplotlib")


def test_information_and_cross_entropy_have_a_panel_each_with_their_unit() -> None:
    saved = review()
    above, below = plot_trace({"ours": saved}).axes
    assert (above.get_ylabel(), below.get_ylabel()) == ("information (bits)", "cross-entropy (nats)")
    assert list(above.lines[0].get_ydata()) == [entry["information"] for entry in saved["trace"]]
    assert list(below.lines[0].get_ydata()) == [entry["cross_entropy"] for entry in saved["trace"]]


def test_several_are_told_apart_by_name_and_by_dash() -> None:
    above, _ = plot_trace({"beta 1": review(), "beta 2": review()}).axes
    legend = above.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["beta 1", "beta 2"]
    assert len({line.get_linestyle() for line in above.lines}) == 2


def test_a_method_without_steps_is_told() -> None:
    with pytest.raises(InputError, match="lime has no trace"):
        plot_trace({"lime": silent()})
    with pytest.raises(InputError, match="at least one attribution"):
        plot_trace({})


def at(total: float, cross_entropy: float) -> AttributionDict:
    trace = [{"step": 0, "cross_entropy": 0.0, "information": 9.0}]
    trace.append({"step": 1, "cross_entropy": cross_entropy, "information": total})
    return {**review(), "trace": trace}  # type: ignore[typeddict-item]


def test_a_rate_curve_runs_from_the_fewest_bits_to_the_most() -> None:
    series = [at(100.0, 0.0), at(1.0, math.log(2)), at(0.0, 1.0), silent(), at(10.0, math.nan)]
    assert rate_points(series) == [(1.0, pytest.approx(0.5)), (100.0, 1.0)]
    panel = plot_rate({"beta": series}).axes[0]
    assert list(panel.lines[0].get_xdata()) == [1.0, 100.0]
    assert panel.get_xscale() == "log"
    label = panel.xaxis.get_major_formatter()
    assert [label(bits, 0) for bits in (0.001, 1, 100, 1_000, 100_000)] == ["0.001", "1", "100", "1k", "100k"]
    with pytest.raises(InputError, match="at least two results"):
        plot_rate({"beta": [silent()]})
