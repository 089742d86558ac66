"""Figures of rate and distortion over data sets: what is left of the prediction when so many bits pass, on average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from narrows.data.schema import MethodSummary, RunSummary
from narrows.errors import InputError
from narrows.viz.canvas import paper_style, settle
from narrows.viz.panels import draw_legend, gaps, looks, make_panels, name_axes
from narrows.viz.sweeps import Parameter, ranked_values, sequence_colours, value_bar
from narrows.viz.trace import BITS_THAT_PASS, LEAST_POINTS, P_THAT_IS_LEFT, scale_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def has_rate(method: MethodSummary) -> bool:
    """Tell whether a method has a rate-distortion curve that is worth drawing.

    Args:
        method: Its summary; that of an earlier version has none.

    Returns:
        True if it has three points or more.
    """
    return len(method.get("rate_bits", ())) >= LEAST_POINTS


@paper_style()
def plot_rates(summaries: Sequence[RunSummary]) -> Figure:
    """Draw what is left of p(target) against the bits that pass, means over the texts: one curve per bottleneck.

    Args:
        summaries: One per data set. Methods without a curve of three points are left out.

    Returns:
        The figure; bits on logarithmic axes.

    Raises:
        DependencyError: If matplotlib is not installed.
        InputError: If there is nothing to draw.
    """
    look_of = looks(summaries)
    figure, panels = make_panels(summaries, sharey=True)
    for panel, summary in zip(panels, summaries, strict=True):
        for name, method in summary["methods"].items():
            if has_rate(method):
                _draw(panel, method, look_of[name].line())
    _check(panels)
    _name(panels)
    draw_legend(figure, panels)
    return settle(figure)


@paper_style()
def plot_sweep_rates(summaries: Sequence[RunSummary], parameter: Parameter, values: Mapping[str, float]) -> Figure:
    """Draw the same for one method at several layers or betas.

    Args:
        summaries: One per data set.
        parameter: What differs.
        values: From the name of a method to its layer or beta; others are left out.

    Returns:
        The figure, its colour bar beside the panels.

    Raises:
        DependencyError: If matplotlib is not installed.
        InputError: If there is nothing to draw.
    """
    ranked = ranked_values(summaries, values)
    colours = sequence_colours(len(ranked))
    figure, panels = make_panels(summaries, sharey=True)
    for panel, summary in zip(panels, summaries, strict=True):
        for name, method in summary["methods"].items():
            if name in values and has_rate(method):
                _draw(panel, method, {"color": colours[ranked.index(values[name])], "marker": "."})
    _check(panels)
    _name(panels)
    value_bar(figure, panels, parameter, ranked, colours)
    return settle(figure)


def _draw(panel: Axes, method: MethodSummary, look: Mapping[str, Any]) -> None:
    panel.plot(gaps(method["rate_bits"]), gaps(method["rate_probability"]), **look)


def _check(panels: Sequence[Axes]) -> None:
    if not any(panel.lines for panel in panels):
        raise InputError("a figure of rates needs a bottleneck whose path or optimisation has three points")


def _name(panels: Sequence[Axes]) -> None:
    for panel in panels:
        scale_rate(panel)
    name_axes(panels, BITS_THAT_PASS, f"mean {P_THAT_IS_LEFT}")
