from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.data.schema import RunSummary
from narrows.errors import DependencyError, InputError
from narrows.viz.canvas import figure_svg, save_figure
from narrows.viz.curves import (
    pareto_front,
    plot_comparison,
    plot_cost,
    plot_degradation,
    plot_rates,
)
from narrows.viz.panels import RANDOM_COLOUR, looks
from narrows.viz.sweeps import plot_sweep_curves, plot_sweep_line, plot_sweep_rates
from saved_results import HOSTILE
from saved_summaries import method, run, runs

pytest.importorskip("matplotlib")

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOTS: dict[str, Callable[[list[RunSummary]], Figure]] = {
    "degradation": plot_degradation,
    "comparison": plot_comparison,
    "cost": plot_cost,
    "sweep_curves": lambda summaries: plot_sweep_curves(summaries, "layer", {"fast": 1, "paper": 2}),
    "sweep_line": lambda summaries: plot_sweep_line(summaries, "beta", {"fast": 1e-5, "paper": 0.1}),
    "rates": plot_rates,
    "sweep_rates": lambda summaries: plot_sweep_rates(summaries, "layer", {"fast": 1, "paper": 2}),
}
every_plot = pytest.mark.parametrize("plot", PLOTS.values(), ids=list(PLOTS))


def panels_of(figure: Figure) -> list[Axes]:
    return [ax for ax in figure.axes if ax.get_title(loc="left")]


def lines_of(ax: Axes) -> dict[str, Any]:
    return {str(line.get_label()): line for line in ax.lines}


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_one_curve_per_method_and_one_panel_per_data_set() -> None:
    summaries = runs(4, 5)
    figure = plot_degradation(summaries)
    panels = panels_of(figure)
    assert [panel.get_title(loc="left") for panel in panels] == [
        "IMDB (n = 500)",
        "MNLI-m (n = 500)",
        "MNLI-mm (n = 500)",
        "AG News (n = 500)",
        "RTE (n = 500)",
    ]
    for panel, summary in zip(panels, summaries, strict=True):
        lines = lines_of(panel)
        assert list(lines) == [own["label"] for own in summary["methods"].values()]
        for own in summary["methods"].values():
            assert list(lines[own["label"]].get_xdata()) == pytest.approx([100 * step / 9 for step in range(10)])
            assert list(lines[own["label"]].get_ydata()) == own["curve_morf"]
    assert legend_of(figure) == [own["label"] for own in summaries[0]["methods"].values()]


def test_axes_are_named_once_per_row_and_column_with_their_units() -> None:
    panels = panels_of(plot_degradation(runs(3, 5)))
    assert [panel.get_ylabel() for panel in panels] == ["mean p(target)", "", "", "mean p(target)", ""]
    below = "content tokens removed (%),\nmost relevant first"
    assert [panel.get_xlabel() for panel in panels] == ["", "", below, below, below]
    assert len({panel.get_ylim() for panel in panels}) == 1


def test_other_measures_and_orders() -> None:
    summaries = runs(3, 1)
    own = summaries[0]["methods"]["fast"]
    (panel,) = panels_of(plot_degradation(summaries, "normalized"))
    assert list(lines_of(panel)["Evidence (fast)"].get_ydata()) == own["normalized"]
    steep = run("rte", [method("fast", "Evidence (fast)", 0.3, 10.0, normalized=[1.0, -4.0, *[None] * 7, 0.0])])
    flat, deep = panels_of(plot_degradation([*summaries, steep], "normalized"))
    assert deep.get_ylim()[0] < -4 < flat.get_ylim()[0]
    assert panel.get_ylabel() == "normalised p(target)"
    (panel,) = panels_of(plot_degradation(summaries, order="lerf"))
    assert list(lines_of(panel)["Evidence (fast)"].get_ydata()) == own["curve_lerf"]
    assert panel.get_xlabel().endswith("least relevant first")
    with pytest.raises(InputError, match="order='morf'"):
        plot_degradation(summaries, "normalized", "lerf")


def test_no_two_methods_look_alike_and_random_is_grey() -> None:
    found = looks(runs(datasets=1))
    assert len(found) == 12
    for feature in ("linestyle", "marker", "markerfacecolor"):  # each of them tells methods of one colour apart
        assert len({(look["color"], look.get(feature)) for look in found.values()}) == 12
    assert [name for name, look in found.items() if look["color"] == RANDOM_COLOUR] == ["random"]
    assert len({look["color"] for look in list(found.values())[:7]}) == 7


def test_a_method_looks_the_same_in_all_panels_though_some_miss_it() -> None:
    first = run("imdb", [method("ig", "IG", 0.2, 20.0), method("lime", "LIME", 0.1, 100.0)])
    second = run("rte", [method("lime", "LIME", 0.1, 100.0), method("fast", "Evidence (fast)", 0.3, 60.0)])
    one, other = map(lines_of, panels_of(plot_degradation([first, second])))
    assert one["LIME"].get_color() == other["LIME"].get_color()
    assert set(other) == {"LIME", "Evidence (fast)"}
    assert legend_of(plot_degradation([first, second])) == ["IG", "LIME", "Evidence (fast)"]
    assert legend_of(plot_cost([first, second])) == ["IG", "LIME", "Evidence (fast)"]


def test_names_that_are_cut_to_the_same_stay_apart() -> None:
    long = [method(f"file:path={end}", f"file, path {'/very' * 10}/{end}", 0.1, 1.0) for end in ("a", "b")]
    labels = [look["label"] for look in looks([run("imdb", long)]).values()]
    assert labels[1] == f"{labels[0]} (2)"
    assert legend_of(plot_degradation([run("imdb", long)])) == labels


def test_comparison_sorts_by_the_mean_over_the_data_sets() -> None:
    first = run("imdb", [method("ig", "IG", 0.1, 20.0), method("lime", "LIME", 0.2, 100.0)])
    second = run("rte", [method("ig", "IG", 0.4, 20.0), method("lime", "LIME", 0.2, 100.0)])
    panels = panels_of(plot_comparison([first, second]))
    assert [tick.get_text() for tick in panels[0].get_yticklabels()] == ["IG", "LIME"]
    for panel, summary in zip(panels, [first, second], strict=True):
        assert panel.get_xlabel() == "drop of mean p(target) at 11 %"
        assert panel.get_ylim()[0] > panel.get_ylim()[1]  # the best on top
        for place, name in enumerate(("ig", "lime")):
            own = summary["methods"][name]
            drawn = [line for line in panel.lines if list(line.get_ydata()) in ([place], [place, place])]
            assert [list(line.get_xdata()) for line in drawn] == [own["drop_11_interval"], [own["drop_11"]]]


@given(points=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_the_pareto_front_is_what_no_other_point_beats(points: list[tuple[int, int]]) -> None:
    def beaten(cost: int, gain: int) -> bool:
        return any((c <= cost and g > gain) or (c < cost and g >= gain) for c, g in points)

    assert pareto_front(points) == sorted({point for point in points if not beaten(*point)})


def test_cost_is_logarithmic_and_what_costs_nothing_is_no_part_of_the_front() -> None:
    summary = runs(12, 1)[0]
    (panel,) = panels_of(figure := plot_cost([summary]))
    lines = lines_of(panel)
    for own in summary["methods"].values():
        line = lines[own["label"]]
        assert (list(line.get_xdata()), list(line.get_ydata())) == ([own["forward_equivalents"]], [own["drop_11"]])
    assert panel.get_xscale() == "symlog"  # random costs nothing
    assert panel.get_xlabel() == "forward-equivalents per text"
    assert legend_of(figure) == [own["label"] for own in summary["methods"].values()]
    (front,) = [line for line in panel.lines if len(line.get_xdata()) > 1]
    assert min(front.get_xdata()) == 2.0  # not random, which costs nothing
    costly = run("imdb", [method("ig", "IG", 0.1, 20.0), method("lime", "LIME", 0.2, 1500.0)])
    ticks = [tick.get_text() for tick in panels_of(plot_cost([costly]))[0].get_xticklabels()]
    assert ticks == ["0", "1", "10", "100", "1,000"]


@every_plot
def test_nothing_to_draw(plot: Callable[[list[RunSummary]], Figure]) -> None:
    for summaries in ([], [run("imdb", [])]):
        with pytest.raises(InputError, match=r"at least one run|run of one of its methods"):
            plot(summaries)


@every_plot
def test_one_method_and_one_text(plot: Callable[[list[RunSummary]], Figure]) -> None:
    only = method("fast", "Evidence (fast)", 0.3, 60.0, drop_11_interval=None, instances=1)
    figure = plot([run("imdb", [only], instances=1)])
    assert [panel.get_title(loc="left") for panel in panels_of(figure)] == ["IMDB (n = 1)"]
    assert figure_svg(figure).count("<path") > 10


@every_plot
def test_broken_numbers_leave_gaps(plot: Callable[[list[RunSummary]], Figure]) -> None:
    nan, inf = math.nan, math.inf
    broken = method(
        "fast", "Evidence (fast)", 0.3, nan, drop_11=nan, drop_11_interval=[nan, inf], normalized=[nan] * 10
    )
    broken["rate_bits"] = [1.0, nan, 10.0, inf]
    broken["curve_morf"] = [0.9, nan, inf, *broken["curve_morf"][3:]]
    figure = plot([run("imdb", [broken, method("paper", "IBA", 0.2, 60.0)])])
    assert "nan" not in figure_svg(figure).lower()
    for panel in panels_of(figure):
        assert all(map(math.isfinite, (*panel.get_xlim(), *panel.get_ylim())))


@every_plot
def test_hostile_names_are_drawn_as_they_are(plot: Callable[[list[RunSummary]], Figure]) -> None:
    methods = [method("fast", HOSTILE, 0.3, 60.0), method("iba", "$\\frac{$", 0.2, 60.0)]
    figure = plot([run(HOSTILE, methods)])
    assert "<script>" not in figure_svg(figure)
    assert all("\x1b" not in text.get_text() for panel in panels_of(figure) for text in [panel.title, *panel.texts])


@every_plot
def test_the_same_figure_is_the_same_text(plot: Callable[[list[RunSummary]], Figure]) -> None:
    summaries = runs(2, 1)
    first = figure_svg(plot(summaries))
    assert figure_svg(plot(summaries)) == first
    assert "<dc:date>" not in first


def test_files_are_the_same_bytes(tmp_path: Path) -> None:
    figure = plot_degradation(runs(3, 2))
    first = [path.read_bytes() for path in save_figure(figure, tmp_path / "a.1")]
    assert [path.read_bytes() for path in save_figure(figure, tmp_path / "b")] == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.1.png", "a.1.svg", "b.png", "b.svg"]
    assert first[0].startswith(b"\x89PNG")
    width, height = (int.from_bytes(first[0][start : start + 4], "big") for start in (16, 20))
    assert (width, height) == pytest.approx(tuple(200 * figure.get_size_inches()), abs=1)
    assert first[1].decode() == figure_svg(figure)


@every_plot
def test_type_is_large_enough_to_be_read_and_figures_fit_a_page(plot: Callable[[list[RunSummary]], Figure]) -> None:
    from matplotlib.text import Text

    figure = plot(runs(2, 3))
    assert figure.get_figwidth() <= 7.0
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7


def test_the_users_settings_do_not_change_a_figure() -> None:
    import matplotlib

    expected = figure_svg(plot_degradation(runs(2, 1)))
    with matplotlib.rc_context(
        {"font.size": 20, "axes.facecolor": "black", "svg.fonttype": "none", "text.usetex": True}
    ):
        assert figure_svg(plot_degradation(runs(2, 1))) == expected
        assert matplotlib.rcParams["font.size"] == 20


def test_a_figure_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        save_figure(plot_cost(runs(2, 1)), tmp_path / "missing" / "figure")


@every_plot
def test_without_matplotlib_the_extra_is_named(
    plot: Callable[[list[RunSummary]], Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DependencyError, match=r"narrows\[plot\]"):
        plot(runs(2, 1))


def test_neither_matplotlib_nor_pyplot_is_loaded_unasked() -> None:
    code = """
import sys
import narrows.viz.curves, narrows.viz.series, narrows.viz.report, narrows.viz.summary
print('matplotlib' in sys.modules)
sys.path.insert(0, {folder!r})
from saved_summaries import runs
narrows.viz.curves.plot_comparison(runs(2, 1))
print('matplotlib.pyplot' in sys.modules)
"""
    code = code.replace("{folder!r}", repr(str(Path(__file__).parents[1] / "support")))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
