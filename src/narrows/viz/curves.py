"""Figures of runs over data sets, a panel for each: degradation curves, methods beside each other, what they cost."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from narrows.data.schema import MethodSummary, RunSummary
from narrows.errors import InputError
from narrows.viz.canvas import COLOURS, INK, LINES, gaps, paper_style, settle
from narrows.viz.panels import RANDOM_COLOUR, finish, is_random, looks, make_panels, name_axes
from narrows.viz.trace import BITS_THAT_PASS, LEAST_POINTS, P_THAT_IS_LEFT, scale_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Measure = Literal["probability", "normalized"]
Order = Literal["morf", "lerf"]

_PERCENT = [100 * step / 9 for step in range(10)]
DROP_UP = "drop of mean p(target)\nat 11 %"
_ORDERS = {"morf": "most relevant first", "lerf": "least relevant first"}
_MEANS = {"probability": "mean p(target)", "normalized": "normalised p(target)"}


@paper_style()
def plot_degradation(
    summaries: Sequence[RunSummary], measure: Measure = "probability", order: Order = "morf"
) -> "Figure":
    """Draw what removing tokens did: one panel per data set, one curve per method (the paper's figure 1)."""
    if measure == "normalized" and order == "lerf":
        raise InputError("the normalised curve is that of the most relevant tokens first: choose order='morf'")
    look_of = looks(summaries)
    # p has one scale; where it hardly falls in the end, a normalised curve is many times as high as on other data.
    figure, panels = make_panels(summaries, sharey=measure == "probability")
    draw_curves(panels, summaries, look_of, measure, order)
    return finish(figure, panels)


@paper_style()
def plot_comparison(summaries: Sequence[RunSummary]) -> "Figure":
    """Draw the drop at 11 % of every method as a point with its 95 % interval, one panel per data set."""
    look_of = looks(summaries)
    lines = {name: line for line, name in enumerate(_sorted_methods(summaries))}
    figure, panels = make_panels(summaries, sharey=True, height=0.75 + 0.155 * len(lines))
    for panel, summary in zip(panels, summaries, strict=True):
        panel.axvline(0, color=INK, linewidth=0.6)
        for name, method in summary["methods"].items():
            colour = RANDOM_COLOUR if is_random(name) else COLOURS[0]
            panel.plot(gaps(method["drop_11_interval"] or [None] * 2), [lines[name]] * 2, color=colour, linewidth=1.0)
            panel.plot(gaps([method["drop_11"]]), [lines[name]], "o", color=colour, label=name)
        panel.set_yticks(range(len(lines)), [look_of[name]["label"] for name in lines], parse_math=False)
        panel.set_ylim(len(lines) - 0.4, -0.6)
        panel.tick_params(axis="y", length=0)
        panel.grid(axis="y", color="#e6e9ee", linewidth=0.6)
        panel.set_axisbelow(True)
    name_axes(panels, "drop of mean p(target) at 11 %", "")
    return settle(figure)


@paper_style()
def plot_cost(summaries: Sequence[RunSummary]) -> "Figure":
    """Draw what methods find against what they cost: drop at 11 % over forward-equivalents per text, logarithmic."""
    look_of = looks(summaries)
    figure, panels = make_panels(summaries, sharey=False, height=2.0)
    for panel, summary in zip(panels, summaries, strict=True):
        costs = {name: method["forward_equivalents"] for name, method in summary["methods"].items()}
        known = {name: cost for name, cost in costs.items() if cost is not None}
        points = {name: (cost, summary["methods"][name]["drop_11"]) for name, cost in known.items()}
        for name, (cost, drop) in points.items():
            panel.plot([cost], gaps([drop]), **{**look_of[name], "linestyle": "none"})
        front = pareto_front(point for point in points.values() if point[0] > 0)
        if len(front) > 1:
            panel.step(*zip(*front, strict=True), where="post", color=LINES, alpha=0.2, linewidth=2.5, zorder=0.5)
        panel.margins(y=0.15)
        right = 2.0 * max([2.0, *(cost for cost, _ in points.values() if math.isfinite(cost))])
        panel.set_xscale("symlog", linthresh=1, linscale=0.4)
        panel.set_xlim(-0.2, right)
        ticks = [0.0, *(10.0**power for power in range(math.floor(math.log10(right)) + 1))]
        panel.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
        panel.set_xticks([], minor=True)
    name_axes(panels, "forward-equivalents per text", DROP_UP)
    return finish(figure, panels)


@paper_style()
def plot_rates(summaries: Sequence[RunSummary]) -> "Figure":
    """Draw what is left of p(target) against the bits that pass, means over the texts: one curve per bottleneck."""
    look_of = looks(summaries)
    figure, panels = make_panels(summaries, sharey=True)
    draw_rates(panels, summaries, look_of)
    return finish(figure, panels)


def has_rate(method: MethodSummary) -> bool:
    """Tell whether a method has a rate-distortion curve of three points or more."""
    return len(method["rate_bits"]) >= LEAST_POINTS


def draw_rates(panels: "Sequence[Axes]", summaries: Sequence[RunSummary], look_of: Mapping[str, Any]) -> None:
    """Draw the rate-distortion curves of the methods that have a look; `InputError` if there is none."""
    for panel, summary in zip(panels, summaries, strict=True):
        for name, method in summary["methods"].items():
            if name in look_of and has_rate(method):
                panel.plot(gaps(method["rate_bits"]), gaps(method["rate_probability"]), **look_of[name])
        scale_rate(panel)
    if not any(panel.lines for panel in panels):
        raise InputError("a figure of rates needs a bottleneck whose path or optimisation has three points")
    name_axes(panels, BITS_THAT_PASS, f"mean {P_THAT_IS_LEFT}")


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Pick the (cost, gain) than which no other costs at most as much and gains more, by rising cost and gain."""
    front: list[tuple[float, float]] = []
    for cost, gain in sorted((p for p in points if all(map(math.isfinite, p))), key=lambda p: (p[0], -p[1])):
        if not front or gain > front[-1][1]:
            front.append((cost, gain))
    return front


def draw_curves(
    panels: "Sequence[Axes]",
    summaries: Sequence[RunSummary],
    look_of: Mapping[str, Any],
    measure: Measure,
    order: Order,
) -> None:
    """Draw the degradation curves of the methods that have a look."""
    for panel, summary in zip(panels, summaries, strict=True):
        for name, method in summary["methods"].items():
            morf: Sequence[float | None] = method["normalized"] if measure == "normalized" else method["curve_morf"]
            if name in look_of:
                panel.plot(_PERCENT, gaps(morf if order == "morf" else method["curve_lerf"]), **look_of[name])
        panel.set_xticks([0, 25, 50, 75, 100])
        panel.set_xlim(-2, 102)
    name_axes(panels, f"content tokens removed (%),\n{_ORDERS[order]}", _MEANS[measure])


def _sorted_methods(summaries: Sequence[RunSummary]) -> list[str]:
    """Sort methods by their mean drop over the data sets that they were run on, the highest first."""
    drops: dict[str, list[float]] = {}
    for name, method in (pair for summary in summaries for pair in summary["methods"].items()):
        drops.setdefault(name, []).extend(filter(math.isfinite, [method["drop_11"]]))
    return sorted(drops, key=lambda name: -sum(drops[name]) / len(drops[name]) if drops[name] else math.inf)
