"""Figures of runs over data sets: degradation curves, methods beside each other, what they find for their cost.

One panel per data set, laid out for the page of a paper. A method has the same look in all panels of a figure.
Without matplotlib they raise `DependencyError`, with nothing to draw `InputError`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from narrows.data.schema import MethodSummary, RunSummary
from narrows.errors import InputError
from narrows.viz.canvas import COLOURS, INK, LINES, gaps, paper_style, settle
from narrows.viz.panels import RANDOM_COLOUR, draw_legend, is_random, looks, make_panels, name_axes
from narrows.viz.trace import BITS_THAT_PASS, LEAST_POINTS, P_THAT_IS_LEFT, scale_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Measure = Literal["probability", "normalized"]
Order = Literal["morf", "lerf"]

PERCENT = [100 * step / 9 for step in range(10)]
DROP_UP = "drop of mean p(target)\nat 11 %"
_ORDERS = {"morf": "most relevant first", "lerf": "least relevant first"}
_MEANS = {"probability": "mean p(target)", "normalized": "normalised p(target)"}


@paper_style()
def plot_degradation(
    summaries: Sequence[RunSummary], measure: Measure = "probability", order: Order = "morf"
) -> Figure:
    """Draw what removing tokens did: one panel per data set, one curve per method (the paper's figure 1).

    Seven methods have colours of their own; from the eighth on colours come again, with other dashes and hollow marks.
    The random method is grey.

    Args:
        summaries: One per data set.
        measure: ``probability``, mean p(target), or ``normalized``, the paper's (p - m) / (o - m), with o the mean of
            the untouched texts and m the least mean of all methods.
        order: ``morf``, most relevant tokens first, or ``lerf``, least relevant first.

    Returns:
        The figure.

    Raises:
        InputError: If there is nothing to draw, or the normalised curve is asked for in the other order.
    """
    if measure == "normalized" and order == "lerf":
        raise InputError("the normalised curve is that of the most relevant tokens first: choose order='morf'")
    look_of = looks(summaries)
    # p has one scale; where it hardly falls in the end, a normalised curve is many times as high as on other data.
    figure, panels = make_panels(summaries, sharey=measure == "probability")
    for panel, summary in zip(panels, summaries, strict=True):
        for name, method in summary["methods"].items():
            panel.plot(PERCENT, gaps(curve_of(method, measure, order)), **look_of[name])
    name_curves(panels, measure, order)
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
        panel.set_yticks(range(len(lines)), [look_of[name]["label"] for name in lines], parse_math=False)
        panel.set_ylim(len(lines) - 0.4, -0.6)
        panel.tick_params(axis="y", length=0)
        panel.grid(axis="y", color="#e6e9ee", linewidth=0.6)
        panel.set_axisbelow(True)
    name_axes(panels, "drop of mean p(target) at 11 %", "")
    return settle(figure)


@paper_style()
def plot_cost(summaries: Sequence[RunSummary]) -> Figure:
    """Draw what methods find against what they cost: drop at 11 % over forward-equivalents per text, logarithmic.

    A line joins the Pareto front: the methods than which none is both as cheap and better. Methods that cost nothing,
    such as a file of scores, stand at 0, where the axis is linear, and take no part in the front.

    Args:
        summaries: One per data set.

    Returns:
        The figure.
    """
    look_of = looks(summaries)
    figure, panels = make_panels(summaries, sharey=False, height=2.0)
    for panel, summary in zip(panels, summaries, strict=True):
        points = {name: (m["forward_equivalents"], m["drop_11"]) for name, m in summary["methods"].items()}
        for name, (cost, drop) in points.items():
            panel.plot([cost], gaps([drop]), **{**look_of[name], "linestyle": "none"})
        front = pareto_front(point for point in points.values() if point[0] > 0)
        if len(front) > 1:
            panel.step(*zip(*front, strict=True), where="post", color=LINES, alpha=0.2, linewidth=2.5, zorder=0.5)
        panel.margins(y=0.15)
        _cost_axis(panel, [cost for cost, _ in points.values()])
    name_axes(panels, "forward-equivalents per text", DROP_UP)
    draw_legend(figure, panels)
    return settle(figure)


@paper_style()
def plot_rates(summaries: Sequence[RunSummary]) -> Figure:
    """Draw what is left of p(target) against the bits that pass, means over the texts: one curve per bottleneck.

    Args:
        summaries: One per data set. Methods without a curve of three points are left out.

    Returns:
        The figure; bits on logarithmic axes.
    """
    look_of = looks(summaries)
    figure, panels = make_panels(summaries, sharey=True)
    for panel, summary in zip(panels, summaries, strict=True):
        for name, method in summary["methods"].items():
            if has_rate(method):
                panel.plot(gaps(method["rate_bits"]), gaps(method["rate_probability"]), **look_of[name])
    name_rates(panels)
    draw_legend(figure, panels)
    return settle(figure)


def has_rate(method: MethodSummary) -> bool:
    """Tell whether a method has a rate-distortion curve of three points or more."""
    return len(method["rate_bits"]) >= LEAST_POINTS


def name_rates(panels: Sequence[Axes]) -> None:
    """Name and scale the axes of rate-distortion curves; `InputError` if there is none."""
    if not any(panel.lines for panel in panels):
        raise InputError("a figure of rates needs a bottleneck whose path or optimisation has three points")
    for panel in panels:
        scale_rate(panel)
    name_axes(panels, BITS_THAT_PASS, f"mean {P_THAT_IS_LEFT}")


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Pick the (cost, gain) than which no other costs at most as much and gains more, by rising cost and gain."""
    front: list[tuple[float, float]] = []
    for cost, gain in sorted((p for p in points if all(map(math.isfinite, p))), key=lambda p: (p[0], -p[1])):
        if not front or gain > front[-1][1]:
            front.append((cost, gain))
    return front


def curve_of(method: MethodSummary, measure: Measure, order: Order) -> Sequence[float | None]:
    """Pick one curve of a method: ten values, the first one of untouched texts."""
    if measure == "normalized":
        return method["normalized"]
    return method["curve_morf"] if order == "morf" else method["curve_lerf"]


def name_curves(panels: Sequence[Axes], measure: Measure, order: Order) -> None:
    """Name and scale the axes of degradation curves."""
    name_axes(panels, f"content tokens removed (%),\n{_ORDERS[order]}", _MEANS[measure])
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


def _cost_axis(panel: Axes, costs: Sequence[float]) -> None:
    """Scale an axis to the costs, in powers of ten, linear below 1."""
    right = 2.0 * max([2.0, *(cost for cost in costs if math.isfinite(cost))])
    panel.set_xscale("symlog", linthresh=1, linscale=0.4)
    panel.set_xlim(-0.2, right)
    ticks = [0.0, *(10.0**power for power in range(math.floor(math.log10(right)) + 1))]
    panel.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    panel.set_xticks([], minor=True)
