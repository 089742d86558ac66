"""Figures of how bottlenecks narrowed: what the noise cost the prediction, step by step or setting by setting."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from narrows.data.schema import AttributionDict, TraceDict
from narrows.errors import InputError
from narrows.viz.canvas import COLOURS, COLUMN_WIDTH, DASHES, LINES, gaps, new_figure, paper_style, settle, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST_POINTS = 3  # of a curve: with two there is nothing to see
BITS_THAT_PASS, P_THAT_IS_LEFT = "information that passes (bits)", "p(target) that is left"


@paper_style()
def plot_trace(attributions: Mapping[str, AttributionDict]) -> "Figure":
    """Draw the optimisation of one text or of several settings, by name, over the steps: bits above, nats below."""
    if not attributions:
        raise InputError("a figure of traces needs at least one attribution, got none")
    for name, attribution in attributions.items():
        if len(attribution["trace"]) < 2:
            raise InputError(f"{name} has no trace: only an optimised bottleneck has steps to draw")
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(COLUMN_WIDTH, 2.9)
    above, below = figure.subplots(2, 1, sharex=True)
    for place, (name, attribution) in enumerate(attributions.items()):
        trace, look = attribution["trace"], _look(place, name)
        steps = [entry["step"] for entry in trace]
        above.plot(steps, gaps([entry["information"] for entry in trace]), **look)
        below.plot(steps, gaps([entry["cross_entropy"] for entry in trace]), **look)
    above.set_ylabel("information (bits)")
    below.set(xlabel="step", ylabel="cross-entropy (nats)")
    for panel in (above, below):
        panel.set_ylim(bottom=0)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(axis="y", linewidth=0.3, color=LINES, alpha=0.4)
    if len(attributions) > 1:
        above.legend()
    return settle(figure)


def curve_points(trace: Iterable[TraceDict]) -> list[tuple[float, float]]:
    """Return the bits that pass and p(target), the fewest bits first, where a logarithm can be drawn."""
    return sorted(
        (entry["information"], math.exp(-entry["cross_entropy"]))
        for entry in trace
        if 0 < entry["information"] < math.inf and math.isfinite(entry["cross_entropy"])
    )


def rate_points(attributions: Sequence[AttributionDict]) -> list[tuple[float, float]]:
    """Return the rate-distortion curve of a series of results of one text: the last mask of each is a point of it."""
    return curve_points(result["trace"][-1] for result in attributions if result["trace"])


@paper_style()
def plot_rate(series: Mapping[str, Sequence[AttributionDict]]) -> "Figure":
    """Draw what is left of the prediction against the bits that pass, a curve per named series of two or more betas."""
    figure = new_figure(COLUMN_WIDTH, 2.1)
    panel = figure.add_subplot()
    for place, (name, attributions) in enumerate(series.items()):
        points = rate_points(attributions)
        if len(points) < 2:
            raise InputError(f"{name}: a curve needs at least two results with a trace, got {len(points)}")
        panel.plot(*zip(*points, strict=True), **_look(place, name))
    scale_rate(panel)
    panel.set(xlabel=BITS_THAT_PASS, ylabel=P_THAT_IS_LEFT)
    if len(series) > 1:
        panel.legend()
    return settle(figure)


def scale_rate(panel: "Axes") -> None:
    """Scale the axes of a rate-distortion curve: bits logarithmic, p from 0 to 1."""
    from matplotlib.ticker import EngFormatter, FuncFormatter, NullFormatter

    panel.set_xscale("log")
    # Powers of ten would have to be parsed, which is off here, 100,000 runs into its neighbour, a thousandth is no m.
    short = EngFormatter(sep="")
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value) if value >= 1 else f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_ylim(0, 1.02)
    panel.grid(axis="y", linewidth=0.3, color=LINES, alpha=0.4)


def _look(place: int, name: str) -> dict[str, Any]:
    colour, dashes = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
    return {"color": colour, "linestyle": dashes, "marker": ".", "label": short_name(name)}
