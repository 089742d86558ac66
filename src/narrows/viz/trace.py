"""Figures of how bottlenecks closed: what the noise cost the prediction, step by step or setting by setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from narrows.viz.canvas import COLUMN_WIDTH, LINES, drawable, new_figure, paper_style, settle, short_name
from narrows.viz.panels import COLOURS, DASHES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST_POINTS = 3  # of a curve: with two, as one round of one point leaves, there is nothing to see
BITS_THAT_PASS, P_THAT_IS_LEFT = "information that passes (bits)", "p(target) that is left"


@paper_style()
def plot_trace(attributions: Mapping[str, AttributionDict]) -> Figure:
    """Draw the optimisation of one text or of several settings: information left and cross-entropy, over the steps.

    Args:
        attributions: From the name of a curve to a saved result of the bottleneck.

    Returns:
        The figure, as wide as a column: bits above, nats below.

    Raises:
        DependencyError: If matplotlib is not installed.
        InputError: If there is nothing to draw.
    """
    if not attributions:
        raise InputError("a figure of traces needs at least one attribution, got none")
    for name, attribution in attributions.items():
        if len(attribution["trace"]) < 2:
            raise InputError(f"{name} has no trace: only an optimised bottleneck has steps to draw")
    can_draw = drawable()
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(COLUMN_WIDTH, 2.9)
    above = figure.add_subplot(2, 1, 1)
    below = figure.add_subplot(2, 1, 2, sharex=above)
    for place, (name, attribution) in enumerate(attributions.items()):
        steps = [entry["step"] for entry in attribution["trace"]]
        look = {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place % len(DASHES)], "marker": "."}
        label = short_name(name, can_draw)
        above.plot(steps, [_drawn(entry["information"]) for entry in attribution["trace"]], label=label, **look)
        below.plot(steps, [_drawn(entry["cross_entropy"]) for entry in attribution["trace"]], label=label, **look)
    above.set_ylabel("information (bits)")
    below.set_ylabel("cross-entropy (nats)")
    below.set_xlabel("step")
    above.tick_params(labelbottom=False)
    for panel in (above, below):
        panel.set_ylim(bottom=0)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(axis="y", linewidth=0.3, color=LINES, alpha=0.4)
    if len(attributions) > 1:
        above.legend()
    return settle(figure)


def rate_points(attributions: Sequence[AttributionDict]) -> list[tuple[float, float]]:
    """Read the rate-distortion curve off a series of results: each is a point of it.

    Args:
        attributions: Saved results of one text, each with a weight of the information of its own.

    Returns:
        Bits that pass the bottleneck and p(target) through it, mean over the noise, the fewest bits first; results
        without a trace, or without any bits, give no point.
    """
    points = [
        (attribution["trace"][-1]["information"], math.exp(-attribution["trace"][-1]["cross_entropy"]))
        for attribution in attributions
        if attribution["trace"] and attribution["trace"][-1]["information"] > 0
    ]
    return sorted(point for point in points if all(map(math.isfinite, point)))


@paper_style()
def plot_rate(series: Mapping[str, Sequence[AttributionDict]]) -> Figure:
    """Draw what is left of the prediction against the bits that pass: the rate-distortion curve of one or more series.

    Args:
        series: From the name of a curve to results of one text over a series of betas.

    Returns:
        The figure, as wide as a column; bits on a logarithmic axis.

    Raises:
        DependencyError: If matplotlib is not installed.
        InputError: If a series has fewer than two points.
    """
    can_draw = drawable()
    figure = new_figure(COLUMN_WIDTH, 2.1)
    panel = figure.add_subplot()
    for place, (name, attributions) in enumerate(series.items()):
        points = rate_points(attributions)
        if len(points) < 2:
            raise InputError(f"{name}: a curve needs at least two results with a trace, got {len(points)}")
        bits, p = zip(*points, strict=True)
        look = {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place % len(DASHES)], "marker": "."}
        panel.plot(bits, p, label=short_name(name, can_draw), **look)
    scale_rate(panel)
    panel.set_xlabel(BITS_THAT_PASS)
    panel.set_ylabel(P_THAT_IS_LEFT)
    if len(series) > 1:
        panel.legend()
    return settle(figure)


def scale_rate(panel: Axes) -> None:
    """Scale the axes of a rate-distortion curve: bits logarithmic, p from 0 to 1.

    Args:
        panel: Where it is drawn.
    """
    from matplotlib.ticker import EngFormatter, FuncFormatter, NullFormatter

    panel.set_xscale("log")
    # Powers of ten would have to be parsed, which is off here, 100,000 runs into its neighbour, a thousandth is no m.
    short = EngFormatter(sep="")
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value) if value >= 1 else f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_ylim(0, 1.02)
    panel.grid(axis="y", linewidth=0.3, color=LINES, alpha=0.4)


def _drawn(value: float) -> float:
    """Return a number, or a gap in the curve for one that is not finite."""
    return value if math.isfinite(value) else math.nan
