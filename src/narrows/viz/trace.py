"""Figures of how one bottleneck closed: what the noise cost the prediction, step by step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from narrows.errors import InputError
from narrows.schema import AttributionDict
from narrows.viz.canvas import COLUMN_WIDTH, LINES, drawable, new_figure, paper_style, settle, short_name
from narrows.viz.panels import COLOURS, DASHES

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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


def _drawn(value: float) -> float:
    """Return a number, or a gap in the curve for one that is not finite."""
    return value if math.isfinite(value) else math.nan
