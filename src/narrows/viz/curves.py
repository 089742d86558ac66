"""Figures of runs over data sets: degradation curves, sweeps over layers or beta, methods beside each other.

One panel per data set, laid out for the page of a paper. A method has the same look in all panels of a figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from narrows.errors import InputError
from narrows.schema import MethodSummary, RunSummary
from narrows.viz.canvas import INK, LINES, paper_style, save_figure, settle
from narrows.viz.labels import place_labels
from narrows.viz.panels import (
    COLOURS,
    DASHES,
    RANDOM_COLOUR,
    draw_legend,
    gaps,
    is_random,
    looks,
    make_panels,
    name_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "plot_comparison",
    "plot_cost",
    "plot_degradation",
    "plot_sweep_curves",
    "plot_sweep_line",
    "save_figure",
]

Measure = Literal["probability", "normalized"]
Order = Literal["morf", "lerf"]
Parameter = Literal["layer", "beta"]

_PERCENT = [100 * step / 9 for step in range(10)]
_DROP = "drop of mean p(target) at 11 %"
_DROP_UP = "drop of mean p(target)\nat 11 %"
_ORDERS = {"morf": "most relevant first", "lerf": "least relevant first"}
_MEANS = {"probability": "mean p(target)", "normalized": "normalised p(target)"}


@paper_style()
def plot_degradation(
    summaries: Sequence[RunSummary], measure: Measure = "probability", order: Order = "morf"
) -> Figure:
    """Draw what removing tokens did: one panel per data set, one curve per method (the paper's figure 1).

    Eight methods can be told apart without effort; from the eighth on colours come again, with other dashes and hollow
    marks. The random method is grey.

    Args:
        summaries: One per data set.
        measure: ``probability``, mean p(target), or ``normalized``, the paper's (p - m) / (o - m), with o the mean of
            the untouched texts and m the least mean of all methods.
        order: ``morf``, most relevant tokens first, or ``lerf``, least relevant first.

    Returns:
        The figure.

    Raises:
        DependencyError: If matplotlib is not installed.
        InputError: If there is nothing to draw, or the normalised curve is asked for in the other order.
    """
    if measure == "normalized" and order == "lerf":
        raise InputError("the normalised curve is that of the most relevant tokens first: choose order='morf'")
    look_of = looks(summaries)
    figure, panels = make_panels(summaries, sharey=True)
    for panel, summary in zip(panels, summaries, strict=True):
        for name, method in summary["methods"].items():
            panel.plot(_PERCENT, gaps(_curve(method, measure, order)), **look_of[name].line())
    name_axes(panels, f"content tokens removed (%),\n{_ORDERS[order]}", _MEANS[measure])
    _percent_axis(panels)
    draw_legend(figure, panels)
    return settle(figure)


@paper_style()
def plot_sweep_curves(
    summaries: Sequence[RunSummary], parameter: Parameter, values: Mapping[str, float], measure: Measure = "probability"
) -> Figure:
    """Draw the degradation curves of one method at several layers or betas (the paper's figures 2a, 2b and 4).

    Args:
        summaries: One per data set.
        parameter: What differs.
        values: From the name of a method to its layer or beta. Others are left out, but for random, which is grey.
        measure: As in `plot_degradation`.

    Returns:
        The figure, its colour bar beside the panels.

    Raises:
        DependencyError: If matplotlib is not installed.
        InputError: If there is nothing to draw.
    """
    ranked = _ranked(summaries, values)
    colours = _sequence(len(ranked))
    figure, panels = make_panels(summaries, sharey=True)
    for panel, summary in zip(panels, summaries, strict=True):
        for name, method in summary["methods"].items():
            if name in values:
                line: dict[str, Any] = {"color": colours[ranked.index(values[name])], "zorder": 2}
            elif is_random(name):
                line = {"color": RANDOM_COLOUR, "linestyle": DASHES[3], "label": "random", "zorder": 3}
            else:
                continue
            panel.plot(_PERCENT, gaps(_curve(method, measure, "morf")), **line)
    name_axes(panels, f"content tokens removed (%),\n{_ORDERS['morf']}", _MEANS[measure])
    _percent_axis(panels)
    _value_bar(figure, panels, parameter, ranked, colours)
    draw_legend(figure, panels)
    return settle(figure)


@paper_style()
def plot_sweep_line(summaries: Sequence[RunSummary], parameter: Parameter, values: Mapping[str, float]) -> Figure:
    """Draw the drop at 11 % against the layer or beta, its 95 % interval as a band.

    Args:
        summaries: One per data set.
        parameter: What differs; beta has a logarithmic axis (linear below the least beta above 0, if one is 0).
        values: From the name of a method to its layer or beta. Others are left out, but for random: a grey line.

    Returns:
        The figure.

    Raises:
        DependencyError: If matplotlib is not installed.
        InputError: If there is nothing to draw.
    """
    ranked = _ranked(summaries, values)
    figure, panels = make_panels(summaries, sharey=False)
    for panel, summary in zip(panels, summaries, strict=True):
        found = [(values[name], method) for name, method in summary["methods"].items() if name in values]
        _draw_sweep(panel, sorted(found, key=lambda pair: pair[0]))
        for method in (method for name, method in summary["methods"].items() if is_random(name)):
            panel.axhline(method["drop_11"], color=RANDOM_COLOUR, linestyle=DASHES[3], label="random")
        _value_axis(panel, parameter, ranked)
    name_axes(panels, parameter, _DROP_UP)
    draw_legend(figure, panels)
    return settle(figure)


@paper_style()
def plot_comparison(summaries: Sequence[RunSummary]) -> Figure:
    """Draw the drop at 11 % of every method as a point with its 95 % interval, one panel per data set.

    Methods are sorted by their mean over the data sets, so that a method is on the same line in all panels.

    Args:
        summaries: One per data set.

    Returns:
        The figure.

    Raises:
        DependencyError: If matplotlib is not installed.
        InputError: If there is nothing to draw.
    """
    look_of = looks(summaries)
    lines = {name: line for line, name in enumerate(_sorted_methods(summaries))}
    figure, panels = make_panels(summaries, sharey=True, height=0.75 + 0.155 * len(lines))
    for panel, summary in zip(panels, summaries, strict=True):
        panel.axvline(0, color=INK, linewidth=0.6)
        for name, method in summary["methods"].items():
            colour = RANDOM_COLOUR if is_random(name) else COLOURS[0]
            panel.plot(gaps(method["drop_11_interval"]), [lines[name]] * 2, color=colour, linewidth=1.0)
            panel.plot(gaps([method["drop_11"]]), [lines[name]], "o", color=colour, label=name)
        panel.set_yticks(range(len(lines)), [look_of[name].label for name in lines], parse_math=False)
        panel.set_ylim(len(lines) - 0.4, -0.6)
        panel.tick_params(axis="y", length=0)
        panel.grid(axis="y", color="#e6e9ee", linewidth=0.6)
        panel.set_axisbelow(True)
    name_axes(panels, _DROP, "")
    return settle(figure)


@paper_style()
def plot_cost(summaries: Sequence[RunSummary]) -> Figure:
    """Draw what methods find against what they cost: drop at 11 % over forward-equivalents per text, logarithmic.

    A line joins the Pareto front: the methods than which none is both as cheap and better. Where a method costs
    nothing, the axis is linear below 1. Intervals are left to `plot_comparison`.

    Args:
        summaries: One per data set.

    Returns:
        The figure; names stand at the points.

    Raises:
        DependencyError: If matplotlib is not installed.
        InputError: If there is nothing to draw.
    """
    look_of = looks(summaries)
    figure, panels = make_panels(summaries, sharey=False, height=2.5, columns=2)
    for panel, summary in zip(panels, summaries, strict=True):
        for name, method in summary["methods"].items():
            cost = method["forward_equivalents"]
            panel.plot([cost], gaps([method["drop_11"]]), **look_of[name].marks())
        front = pareto_front([(m["forward_equivalents"], m["drop_11"]) for m in summary["methods"].values()])
        if len(front) > 1:
            panel.step(*zip(*front, strict=True), where="post", color=LINES, alpha=0.2, linewidth=2.5, zorder=0.5)
        panel.margins(y=0.15)
        _cost_axis(panel, [method["forward_equivalents"] for method in summary["methods"].values()])
    name_axes(panels, "forward-equivalents per text", _DROP_UP)
    settle(figure)
    for panel, summary in zip(panels, summaries, strict=True):
        points = {
            look_of[name].label: (method["forward_equivalents"], method["drop_11"])
            for name, method in summary["methods"].items()
        }
        place_labels(panel, points)
    return figure


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Pick the points than which no other costs at most as much and gains more.

    Args:
        points: Cost and gain; those that are not finite are left out.

    Returns:
        The front, by rising cost and gain.

    Example:
        >>> pareto_front([(8.0, 0.3), (1.0, 0.1), (20.0, 0.2), (8.0, 0.2)])
        [(1.0, 0.1), (8.0, 0.3)]
    """
    front: list[tuple[float, float]] = []
    for cost, gain in sorted((p for p in points if all(map(math.isfinite, p))), key=lambda p: (p[0], -p[1])):
        if not front or gain > front[-1][1]:
            front.append((cost, gain))
    return front


def _curve(method: MethodSummary, measure: Measure, order: Order) -> list[float]:
    if measure == "normalized":
        return method["normalized"]
    return method["curve_morf"] if order == "morf" else method["curve_lerf"]


def _percent_axis(panels: Sequence[Axes]) -> None:
    for panel in panels:
        panel.set_xticks([0, 25, 50, 75, 100])
        panel.set_xlim(-2, 102)


def _sorted_methods(summaries: Sequence[RunSummary]) -> list[str]:
    """Sort methods by their mean drop over the data sets that they were run on, the highest first."""
    drops: dict[str, list[float]] = {}
    for summary in summaries:
        for name, method in summary["methods"].items():
            drops.setdefault(name, []).extend(value for value in [method["drop_11"]] if math.isfinite(value))
    return sorted(drops, key=lambda name: -sum(drops[name]) / len(drops[name]) if drops[name] else math.inf)


def _ranked(summaries: Sequence[RunSummary], values: Mapping[str, float]) -> list[float]:
    """Return the layers or betas that there is something to draw of, in ascending order."""
    found = {values[name] for summary in summaries for name in summary["methods"] if name in values}
    if not found:
        known = ", ".join(values) or "no method"
        raise InputError(f"a figure of a sweep needs a run of one of its methods; values are given for {known}")
    return sorted(found)


def _sequence(count: int) -> list[str]:
    """Return colours from dark to light, equally far apart in lightness, none too light for white paper."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["viridis"](0.9 * place / max(1, count - 1))) for place in range(count)]


def _value_bar(figure: Figure, panels: list[Axes], parameter: str, ranked: list[float], colours: list[str]) -> None:
    """Draw a bar with one colour per value beside the panels."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    norm = BoundaryNorm(range(len(ranked) + 1), len(ranked))
    bar = figure.colorbar(ScalarMappable(norm, ListedColormap(colours)), ax=panels, label=parameter, aspect=25)
    shown = range(0, len(ranked), math.ceil(len(ranked) / 13))
    bar.set_ticks([place + 0.5 for place in shown], labels=[_written(ranked[place]) for place in shown])
    bar.minorticks_off()
    bar.ax.tick_params(length=0)


def _draw_sweep(panel: Axes, found: Sequence[tuple[float, MethodSummary]]) -> None:
    places = [value for value, _ in found]
    low, high = (gaps([method["drop_11_interval"][end] for _, method in found]) for end in (0, 1))
    drops = gaps([method["drop_11"] for _, method in found])
    panel.axhline(0, color=INK, linewidth=0.6)
    panel.fill_between(places, low, high, color=COLOURS[0], alpha=0.2, linewidth=0, label="95 % interval")
    panel.plot(places, drops, "o-", color=COLOURS[0], label="mean over the texts")


def _value_axis(panel: Axes, parameter: Parameter, ranked: Sequence[float]) -> None:
    """Scale an axis to the layers or betas and write as many of them as have room."""
    if parameter == "beta":
        positive = [value for value in ranked if value > 0] or [1.0]
        if min(ranked) > 0:
            panel.set_xscale("log")
        else:
            panel.set_xscale("symlog", linthresh=positive[0])
    shown = [ranked[place] for place in range(0, len(ranked), math.ceil(len(ranked) / 6))]
    panel.set_xticks(shown, [_written(value) for value in shown])
    panel.set_xticks([], minor=True)


def _cost_axis(panel: Axes, costs: Sequence[float]) -> None:
    """Scale an axis to the costs, in powers of ten; linear below 1 if one of them is 0."""
    known = [cost for cost in costs if math.isfinite(cost)] or [1.0]
    right = 15.0 * max(2.0, *known)  # room for a name
    free = min(known) <= 0
    lowest = 1.0 if free else 10.0 ** math.floor(math.log10(min(known)))
    if free:
        panel.set_xscale("symlog", linthresh=1, linscale=0.4)
    else:
        panel.set_xscale("log")
    panel.set_xlim(-0.2 if free else 0.7 * lowest, right)
    powers = range(round(math.log10(lowest)), math.floor(math.log10(right)) + 1)
    ticks = [*([0.0] if free else []), *(10.0**power for power in powers)]
    panel.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    panel.set_xticks([], minor=True)


def _written(value: float) -> str:
    """Write a layer or a beta: 9, 0.1, 1e-5."""
    if value == 0 or 0.01 <= abs(value) < 10000:
        return f"{value:g}"
    mantissa, _, exponent = f"{value:e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"
