from __future__ import annotations

import pytest
from test_curves import legend_of, lines_of, panels_of

from narrows.errors import InputError
from narrows.viz.curves import has_rate, plot_rates
from narrows.viz.panels import RANDOM_COLOUR
from narrows.viz.sweeps import plot_sweep_curves, plot_sweep_line, plot_sweep_rates
from saved_summaries import method, run, sweep

pytest.importorskip("matplotlib")


def test_curves_of_a_sweep_run_from_dark_to_light() -> None:
    from matplotlib.colors import to_rgb

    summaries, values = sweep("layer", range(1, 13))
    figure = plot_sweep_curves(summaries[::-1], "layer", dict(reversed(values.items())))
    for panel, summary in zip(panels_of(figure), summaries[::-1], strict=True):
        *curves, chance = panel.lines
        assert chance.get_label() == "random"
        assert chance.get_color() == RANDOM_COLOUR
        assert [list(line.get_ydata()) for line in curves] == [
            own["curve_morf"] for name, own in summary["methods"].items() if name in values
        ]
        lightness = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (to_rgb(line.get_color()) for line in curves)]
        assert lightness == sorted(set(lightness))
    (bar,) = (ax for ax in figure.axes if ax not in panels_of(figure))
    assert bar.get_ylabel() == "layer"
    assert [tick.get_text() for tick in bar.get_yticklabels()] == [str(layer) for layer in range(1, 13)]
    assert legend_of(figure) == ["random"]


def test_betas_are_written_as_they_are_typed_and_thinned_where_there_are_many() -> None:
    summaries, values = sweep("beta", [1e-7, 2.5e-5, 0.1, 10.0], 1)
    bar = plot_sweep_curves(summaries, "beta", values).axes[-1]
    assert [tick.get_text() for tick in bar.get_yticklabels()] == ["1e-7", "2.5e-5", "0.1", "10"]
    summaries, values = sweep("layer", range(49), 1)
    bar = plot_sweep_curves(summaries, "layer", values).axes[-1]
    assert [tick.get_text() for tick in bar.get_yticklabels()] == [str(layer) for layer in range(0, 49, 4)]


def test_the_drop_over_the_values_has_its_interval_as_a_band() -> None:
    summaries, values = sweep("beta", [0.1, 1e-7, 1e-3], 1)
    (panel,) = panels_of(figure := plot_sweep_line(summaries, "beta", values))
    line = lines_of(panel)["mean over the texts"]
    ordered = sorted((values[name], own) for name, own in summaries[0]["methods"].items() if name in values)
    assert list(line.get_xdata()) == [1e-7, 1e-3, 0.1]
    assert list(line.get_ydata()) == [own["drop_11"] for _, own in ordered]
    band = panel.collections[0].get_paths()[0].vertices
    for value, own in ordered:
        assert {y for x, y in band.tolist() if x == value} >= set(own["drop_11_interval"])
    assert set(lines_of(panel)["random"].get_ydata()) == {summaries[0]["methods"]["random"]["drop_11"]}
    assert panel.get_xscale() == "log"
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("beta", "drop of mean p(target)\nat 11 %")
    assert set(legend_of(figure)) == {"95 % interval", "mean over the texts", "random"}


def test_layers_are_linear_and_a_beta_of_nothing_has_a_place() -> None:
    summaries, values = sweep("layer", [1, 2, 3], 1)
    assert panels_of(plot_sweep_line(summaries, "layer", values))[0].get_xscale() == "linear"
    summaries, values = sweep("beta", [0.0, 1e-3, 0.1], 1)
    (panel,) = panels_of(plot_sweep_line(summaries, "beta", values))
    assert panel.get_xscale() == "symlog"
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["0", "1e-3", "0.1"]


def test_rates_are_drawn_of_methods_with_three_points_and_of_no_others() -> None:
    own = method("complete", "Evidence (complete)", 0.3, 20.0)
    two = method("fast", "Evidence (fast)", 0.3, 9.0, rate_bits=[1.0, 2.0], rate_probability=[0.5, 0.9])
    summaries = [run("imdb", [own, two, method("ig", "IG", 0.2, 20.0)]), run("rte", [two])]
    assert [has_rate(each) for each in summaries[0]["methods"].values()] == [True, False, False]
    first, second = panels_of(figure := plot_rates(summaries))
    (line,) = first.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == (own["rate_bits"], own["rate_probability"])
    assert not second.lines
    assert (first.get_xscale(), first.get_ylim()) == ("log", (0.0, 1.02))
    assert (first.get_xlabel(), first.get_ylabel()) == ("information that passes (bits)", "mean p(target) that is left")
    assert legend_of(figure) == ["Evidence (complete)"]
    with pytest.raises(InputError, match="three points"):
        plot_rates(summaries[1:])


def test_rates_of_a_sweep_run_from_dark_to_light_as_its_curves_do() -> None:
    summaries, values = sweep("layer", range(1, 7))
    figure, curves = plot_sweep_rates(summaries, "layer", values), plot_sweep_curves(summaries, "layer", values)
    for panel, like in zip(panels_of(figure), panels_of(curves), strict=True):
        drawn = [line.get_color() for line in panel.lines]
        assert drawn == [line.get_color() for line in like.lines if line.get_label() != "random"]
    assert {line.get_color() for line in panels_of(figure)[0].lines}.isdisjoint({RANDOM_COLOUR})
    (bar,) = (ax for ax in figure.axes if ax not in panels_of(figure))
    assert bar.get_ylabel() == "layer"
