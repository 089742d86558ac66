"""Figures of one text seen several times: before and after the bottleneck, or over a series of settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from narrows.viz import caption
from narrows.viz.canvas import (
    COLUMN_WIDTH,
    LINES,
    PAGE_WIDTH,
    Bar,
    draw_bars,
    draw_cells,
    draw_scale,
    drawable,
    finite,
    name_ticks,
    new_figure,
    paper_style,
    settle,
    short_name,
)
from narrows.viz.shade import Scale, is_signed
from narrows.viz.spans import content, labels, same_tokens, unplaced

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ScaleOf = Literal["all", "row"]

_PER_STRIP = 24  # tokens that fit a page, side by side
_TOKEN_LENGTH = 14  # characters
_CELL, _ROW = 0.2, 0.16  # inches
_LEAST_HEIGHT = 2.0  # inches; the label of the colour bar fits
_BAR = 2.0  # height of the colour bar, inches


@paper_style()
def plot_before_after(before: AttributionDict, after: AttributionDict, top: int = 30) -> Figure:
    """Draw what each token carries through the open mask beside what is left of it (the paper's figure 3).

    Args:
        before: A result whose bits are those of the open mask.
        after: The same text after the optimisation.
        top: How many tokens to show at most; of a longer text those with the most bits after.

    Returns:
        The figure: two panels of bars, tokens down; each has a scale of its own, in bits.

    Raises:
        DependencyError: If matplotlib is not installed.
        InputError: If the two are of different texts, or ``top`` is not positive.
    """
    if top < 1:
        raise InputError(f"top must be at least 1, not {top}")
    _check([before, after])
    spans = content(after)
    kept = sorted(sorted(range(len(spans)), key=lambda position: -finite(spans[position].bits))[:top])
    can_draw = drawable()
    height = 0.85 + 0.155 * max(1, len(kept) + len(unplaced(after)))
    figure = new_figure(PAGE_WIDTH * 0.8, height)
    for column, (result, when) in enumerate(((before, "before (mask open)"), (after, "after optimisation"))):
        ax = figure.add_subplot(1, 2, column + 1)
        own = content(result)
        bars = [Bar(short_name(own[position].text, can_draw), own[position].bits, False) for position in kept]
        bars += [Bar(short_name(span.text, can_draw), span.bits, True) for span in unplaced(result)]
        draw_bars(ax, bars, Scale.of((span.bits for span in own), signed=False))
        for text in ax.texts:
            text.set_fontsize(7)
        ax.tick_params(labelleft=column == 0)
        ax.set_title(f"{when}: {caption.bits(result['total_bits'])} bits in all")
        ax.set_xlabel(caption.unit(signed=False))
    title = f"target: {short_name(after['target'], can_draw)}, {caption.where(after)}"
    if len(kept) < len(spans):
        title += f" (the {len(kept)} strongest of {len(spans)} tokens)"
    figure.suptitle(title, x=0.01, ha="left", fontsize=8)
    return settle(figure)


@paper_style()
def plot_series(
    attributions: Sequence[AttributionDict],
    rows: Sequence[str],
    what: str,
    scale_of: ScaleOf = "row",
    limit: int = 96,
) -> Figure:
    """Draw one text over a series of settings as a heat map, tokens across, a row per setting (the paper's figure 5).

    A text that is longer than the page is wide goes on below, as lines of print do.

    Args:
        attributions: One saved result per setting, all of the same text.
        rows: What to call each, for instance ``1e-4``.
        what: What differs between them, for instance ``beta``.
        scale_of: ``all``: one scale, the same colour is as many bits in all rows. ``row``: the strongest content token
            of each row has the strongest colour, and the row says how many bits that is.
        limit: Tokens to show at most; of a longer text the first ones, and the title says so.

    Returns:
        The figure.

    Raises:
        DependencyError: If matplotlib is not installed.
        InputError: If there is nothing to draw, names and results differ in number, or results are of different texts.
    """
    if len(rows) != len(attributions):
        raise InputError(f"a series needs one name for each attribution, not {len(rows)} for {len(attributions)}")
    if limit < 1:
        raise InputError(f"limit must be at least 1, not {limit}")
    _check(attributions)
    first, signed, can_draw = attributions[0], is_signed(attributions), drawable()
    scales = [Scale.of(_content_scores(result), signed) for result in attributions]
    names = [short_name(row, can_draw) for row in rows]
    cells = [[finite(token["score"]) for token in result["tokens"]] for result in attributions]
    label = _unit(attributions, signed)
    if scale_of == "row":
        most = [
            caption.amount(own.largest, method=caption.kind(result))
            for own, result in zip(scales, attributions, strict=True)
        ]
        names = [f"{name} (up to {amount})" for name, amount in zip(names, most, strict=True)]
        cells = [[cell / (own.largest or 1.0) for cell in row] for own, row in zip(scales, cells, strict=True)]
        label = f"{label},\nshare of the row's largest"
    scale = Scale(1.0 if scale_of == "row" else max(own.largest for own in scales), signed)
    count = min(limit, len(first["tokens"]))
    figure, strips = _strips(count, len(rows), max(map(len, names)))
    per_strip = math.ceil(count / len(strips))
    tokens = [short_name(name, can_draw, _TOKEN_LENGTH) for name in labels(first)]
    special = [token["special"] for token in first["tokens"]]
    for strip, start in zip(strips, range(0, count, per_strip), strict=True):
        part = slice(start, min(start + per_strip, count))
        draw_cells(strip, [row[part] for row in cells], scale)
        _name_strip(strip, tokens[part], special[part], names)
        strip.set_xlim(-0.5, per_strip - 0.5)  # cells are as wide in the last strip, which may have fewer
        strip.set_ylabel(short_name(what, can_draw))
    title = f"target: {short_name(first['target'], can_draw)}"
    if count < len(tokens):
        title += f" (the first {count} of {len(tokens)} tokens)"
    strips[0].set_title(title)
    shrink = min(1.0, _BAR / figure.get_figheight())
    draw_scale(strips, [row[:count] for row in cells], scale, label, shrink)
    return settle(figure)


def _check(attributions: Sequence[AttributionDict]) -> None:
    """Make sure that results can be compared token by token.

    Args:
        attributions: The results.

    Raises:
        InputError: If there are none, or two of them are of different tokens.
    """
    if not attributions or not attributions[0]["tokens"]:
        raise InputError("a picture of a series needs at least one attribution with at least one token, got none")
    for place, other in enumerate(attributions[1:], start=2):
        if not same_tokens(attributions[0], other):
            raise InputError(f"a picture of a series needs one text; number {place} is of another text or other tokens")


def _content_scores(attribution: AttributionDict) -> list[float]:
    return [token["score"] for token in attribution["tokens"] if not token["special"]]


def _unit(attributions: Sequence[AttributionDict], signed: bool) -> str:
    """Return the unit of all, or the plain word where they have several."""
    found = {caption.unit(signed, caption.kind(attribution)) for attribution in attributions}
    return found.pop() if len(found) == 1 else "score"


def _strips(count: int, rows: int, longest: int) -> tuple[Figure, list[Axes]]:
    """Make a figure of heat maps below each other, each as wide as a page at most.

    Args:
        count: Tokens.
        rows: Rows of each.
        longest: Letters in the longest name of a row.

    Returns:
        The figure and the axes of the heat maps.
    """
    down = math.ceil(count / _PER_STRIP)
    width = min(PAGE_WIDTH, max(COLUMN_WIDTH, 1.4 + 0.06 * longest + _CELL * count))
    figure = new_figure(width, max(_LEAST_HEIGHT, 0.4 + down * (0.6 + _ROW * rows)))
    return figure, [figure.add_subplot(down, 1, strip + 1) for strip in range(down)]


def _name_strip(strip: Axes, tokens: Sequence[str], special: Sequence[bool], rows: Sequence[str]) -> None:
    name_ticks(strip.xaxis, tokens, special)
    for tick in strip.get_xticklabels():
        tick.set(rotation=60, ha="right", rotation_mode="anchor")
    name_ticks(strip.yaxis, rows, [False] * len(rows))
    between = [place + 0.5 for place in range(len(rows) - 1)]
    strip.hlines(between, -0.5, len(tokens) - 0.5, color=LINES, linewidth=0.3)
    strip.spines[:].set_visible(False)
