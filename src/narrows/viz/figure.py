"""Figures of single results for papers and talks, drawn with matplotlib, which is loaded only when one is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from narrows.viz import caption
from narrows.viz.canvas import Bar, draw_bars, draw_cells, draw_scale, drawable, finite, name_ticks, short_name
from narrows.viz.shade import Scale, is_signed
from narrows.viz.spans import check_layers, content, labels, unplaced

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_map(attribution: AttributionDict, ax: Axes | None = None, top: int = 30) -> Axes:
    """Draw the tokens of one result as bars, in reading order, in bits or whatever its method gives.

    Special tokens are hatched and listed last; they do not set the axis, and a bar that runs over it says its value.

    Args:
        attribution: A saved result.
        ax: Where to draw; None makes a figure whose height fits the tokens.
        top: How many tokens to show at most; of a longer text the strongest are taken, and the title says so.

    Returns:
        The axes that were drawn on.

    Raises:
        DependencyError: If matplotlib is not installed.
        InputError: If ``top`` is not positive.
    """
    if top < 1:
        raise InputError(f"top must be at least 1, not {top}")
    signed, method = is_signed([attribution]), caption.kind(attribution)
    spans = content(attribution)
    scale = Scale.of((span.score for span in spans), signed)
    kept = sorted(sorted(range(len(spans)), key=lambda position: -abs(finite(spans[position].score)))[:top])
    can_draw = drawable()
    rows = [Bar(short_name(spans[position].text, can_draw), spans[position].score, False) for position in kept]
    rows += [Bar(short_name(span.text, can_draw), span.score, True) for span in unplaced(attribution)]
    ax = ax or _new_axes(6.4, 1.3 + 0.24 * max(1, len(rows)))
    draw_bars(ax, rows, scale, method)
    where = caption.where(attribution)
    made = where if caption.in_bits(method) else short_name(caption.origin(attribution["method"], where), can_draw)
    title = f"target: {short_name(attribution['target'], can_draw)}, {made}"
    if len(kept) < len(spans):
        title += f" (the {len(kept)} strongest of {len(spans)} tokens)"
    ax.set_title(title, loc="left", fontsize=10, parse_math=False)
    ax.set_xlabel(caption.unit(signed, method))
    return ax


def plot_layers(attributions: Sequence[AttributionDict], ax: Axes | None = None) -> Axes:
    """Draw one text at several layers as a heat map: tokens down, layers across, a colour bar in bits.

    Args:
        attributions: One saved result per layer, all of the same text.
        ax: Where to draw; None makes a figure that fits the tokens and layers.

    Returns:
        The axes that were drawn on; the colour bar has its own, beside them.

    Raises:
        DependencyError: If matplotlib is not installed.
        InputError: If there are none, or they are of different texts.
    """
    check_layers(attributions)
    first, signed = attributions[0], is_signed(attributions)
    tokens = first["tokens"]
    scale = Scale.of((t["score"] for layer in attributions for t in layer["tokens"] if not t["special"]), signed)
    can_draw = drawable()
    ax = ax or _new_axes(2.8 + 0.42 * len(attributions), 1.2 + 0.24 * max(1, len(tokens)))
    cells = [[layer["tokens"][row]["score"] for layer in attributions] for row in range(len(tokens))]
    draw_cells(ax, cells or [[0.0] * len(attributions)], scale)
    name_ticks(ax.yaxis, [short_name(name, can_draw) for name in labels(first)], [t["special"] for t in tokens])
    ax.set_xticks(range(len(attributions)), [str(layer["layer"]) for layer in attributions])
    ax.set_xlabel("layer")
    ax.set_title(f"target: {short_name(first['target'], can_draw)}", loc="left", fontsize=10, parse_math=False)
    draw_scale(ax, cells, scale, caption.unit(signed, caption.kind(first)))
    return ax


def _new_axes(width: float, height: float) -> Axes:
    """Return axes in a new figure of this size in inches, within what a page can hold."""
    from matplotlib import pyplot

    _, ax = pyplot.subplots(figsize=(min(width, 16.0), min(height, 60.0)), layout="constrained")
    return ax
