"""Figures of running text, shaded token by token and wrapped to the column of a paper."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from narrows.viz import caption
from narrows.viz.canvas import (
    COLUMN_WIDTH,
    INK,
    LINES,
    PAGE_WIDTH,
    drawable,
    new_figure,
    paper_style,
    short_name,
)
from narrows.viz.shade import Scale, is_signed, shade
from narrows.viz.spans import content, cut, segments, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = 8.0  # points, as the text of a paper's figures
_LINE = 1.75 * _SIZE  # from one line of print to the next
_PAD = 0.8  # points that a shade reaches beyond its letters
_LEGEND = 17.0  # points
_GAP = 14.0  # between two texts
_NO_GLYPH = "\ufffd"
_MOST_LINES = 120  # of one text: two pages


@dataclass(frozen=True)
class _Piece:
    """Characters of one level that stand on one line."""

    text: str
    level: int
    x: float
    width: float
    line: int


@dataclass(frozen=True)
class _Paragraph:
    """One result: a heading and its text, laid out."""

    heading: str
    pieces: tuple[_Piece, ...]
    lines: int
    scale: Scale
    method: str


@paper_style()
def plot_text(attributions: Sequence[AttributionDict], names: Sequence[str] | None = None) -> Figure:
    """Draw results as running text, shaded by their scores: one map, or several methods or labels below each other.

    Every text has a scale of its own, its ends written beside it, for methods and layers differ in size; only a signed
    one diverges. Special tokens are left out.

    Args:
        attributions: Saved results, at least one.
        names: What to call each; None = by target and method.

    Returns:
        The figure: as wide as a column, or as a page where a text would need more than a dozen lines.

    Raises:
        DependencyError: If matplotlib is not installed.
        InputError: If there is nothing to draw, or names and results differ in number.
    """
    if not attributions:
        raise InputError("a figure of texts needs at least one attribution, got none")
    if names is not None and len(names) != len(attributions):
        raise InputError(f"a figure of texts needs one name for each, not {len(names)} for {len(attributions)}")
    can_draw, measure = drawable(), _measure()
    longest = max(sum(map(len, segments(result))) for result in attributions)
    width = COLUMN_WIDTH if longest <= 700 else PAGE_WIDTH
    paragraphs = [
        _lay_out(result, None if names is None else names[place], width * 72, can_draw, measure)
        for place, result in enumerate(attributions)
    ]
    height = sum((paragraph.lines + 1) * _LINE + _LEGEND + _GAP for paragraph in paragraphs) - _GAP
    figure = new_figure(width, height / 72)
    figure.set_layout_engine("none")
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set_axis_off()
    ax.set_xlim(0, width * 72)
    ax.set_ylim(height, 0)
    top = 0.0
    for paragraph in paragraphs:
        top = _draw(ax, paragraph, top)
    return figure


def heading(attribution: AttributionDict) -> str:
    """Return what a map is of: the target with its probability, and by which method.

    Args:
        attribution: A saved result.

    Returns:
        One line, not escaped.
    """
    p = caption.probability(attribution)
    made = caption.origin(attribution["method"], caption.where(attribution))
    return f"{attribution['target']}{p and f' ({p})'}, {made}"


def _measure() -> Callable[[str], float]:
    """Return a function from a text to its width in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font: Any = FontProperties(family="DejaVu Sans", size=_SIZE)
    return lambda text: float(text_to_path.get_text_width_height_descent(text, font, False)[0]) if text else 0.0


def _lay_out(
    attribution: AttributionDict,
    name: str | None,
    width: float,
    can_draw: Callable[[str], bool],
    measure: Callable[[str], float],
) -> _Paragraph:
    scale = Scale.of((span.score for span in content(attribution)), is_signed([attribution]))
    written = short_name(heading(attribution) if name is None else name, can_draw, int(width / 4.4))
    pieces: list[_Piece] = []
    line = 0
    for segment in range(len(segments(attribution))):
        chunks = _chunks(attribution, segment, scale, can_draw)
        own = list(_wrap(chunks, width - 2 * _PAD - 1, line, measure))
        pieces += own
        line = max((piece.line for piece in own), default=line) + 1
    if line > _MOST_LINES:
        pieces = [piece for piece in pieces if piece.line < _MOST_LINES]
        written += f" (the first {_MOST_LINES} of {line} lines)"
    return _Paragraph(written, tuple(pieces), min(line, _MOST_LINES), scale, caption.kind(attribution))


def _chunks(
    attribution: AttributionDict, segment: int, scale: Scale, can_draw: Callable[[str], bool]
) -> Iterator[tuple[str, int]]:
    """Cut a text where a line may break: after white space, and where the level changes.

    Yields:
        Characters that the font can draw, and their level.
    """
    for span in cut(attribution, segment):
        level = scale.level(span.score) if span.tokens else 0
        text = "".join(c if c.isspace() or can_draw(c) else _NO_GLYPH for c in visible(span.text))
        for chunk in re.findall(r"\s+|\S+", text):
            yield (" ", 0) if chunk.isspace() else (chunk, level)


def _wrap(
    chunks: Iterator[tuple[str, int]], width: float, line: int, measure: Callable[[str], float]
) -> Iterator[_Piece]:
    """Set chunks into lines; what stands together without white space stays together if it fits a line."""
    space = measure("n n") - measure("nn")
    x = 0.0
    for word in _words(chunks):
        widths = [measure(text) for text, _ in word]
        if x > 0 and x + sum(widths) > width:
            x, line = 0.0, line + 1
        for (text, level), wide in zip(word, widths, strict=True):
            for part in _broken(text, width, measure) if wide > width else [text]:
                long = measure(part)
                if x > 0 and x + long > width:
                    x, line = 0.0, line + 1
                yield _Piece(part, level, x, long, line)
                x += long
        x += space


def _words(chunks: Iterator[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    word: list[tuple[str, int]] = []
    for text, level in chunks:
        if text != " ":
            word.append((text, level))
        elif word:
            yield word
            word = []
    if word:
        yield word


def _broken(text: str, width: float, measure: Callable[[str], float]) -> Iterator[str]:
    """Break a chunk that is longer than a line, in pieces of equal numbers of letters."""
    count = math.ceil(1.1 * measure(text) / width)
    size = max(1, math.ceil(len(text) / count))
    return (text[start : start + size] for start in range(0, len(text), size))


def _draw(ax: Axes, paragraph: _Paragraph, top: float) -> float:
    """Draw a paragraph below a height, in points, and return where it ends."""
    plain: dict[str, Any] = {"va": "baseline", "parse_math": False, "color": INK}
    ax.text(1, top + 1.1 * _SIZE, paragraph.heading, fontsize=_SIZE, fontweight="bold", **plain)
    first = top + _LINE
    for piece in paragraph.pieces:
        base = first + piece.line * _LINE + 1.15 * _SIZE
        colours = shade(piece.level)
        if piece.level:
            _patch(ax, piece.x + 1, base - _SIZE, piece.width, 1.32 * _SIZE, colours.background)
        style = {**plain, "color": colours.foreground if piece.level else INK}
        ax.text(piece.x + 1 + _PAD, base, piece.text, fontsize=_SIZE, **style)
    bottom = first + paragraph.lines * _LINE
    _draw_legend(ax, paragraph, bottom + 3)
    return bottom + _LEGEND + _GAP


def _patch(ax: Axes, x: float, y: float, width: float, height: float, colour: str) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((x, y), width + 2 * _PAD, height, facecolor=colour, linewidth=0))


def _draw_legend(ax: Axes, paragraph: _Paragraph, top: float) -> None:
    """Draw the scale of a paragraph: its unit, its ends and its colours."""
    scale, method = paragraph.scale, paragraph.method
    style: dict[str, Any] = {"va": "baseline", "parse_math": False, "color": LINES, "fontsize": _SIZE - 1}
    base = top + _SIZE
    unit = caption.unit(scale.signed, method)
    if not scale.largest:
        ax.text(1, base, f"{unit}: {caption.amount(0, method=method)} everywhere", **style)
        return
    measure = _measure()
    low = caption.number(-scale.largest, True, method) if scale.signed else "0"
    x = 1 + (_SIZE - 1) / _SIZE * measure(f"{unit}: {low} ") + 3
    ax.text(1, base, f"{unit}: {low}", **style)
    levels = scale.levels()
    cell = 60.0 / len(levels)
    for place, level in enumerate(levels):
        _patch(ax, x + place * cell - _PAD, base - 0.75 * _SIZE, cell, 0.85 * _SIZE, shade(level).background)
    ax.plot(
        [x - _PAD, x + 60 + _PAD, x + 60 + _PAD, x - _PAD, x - _PAD],
        [base + y * _SIZE for y in (-0.75, -0.75, 0.1, 0.1, -0.75)],
        color=LINES,
        linewidth=0.4,
    )
    ax.text(x + 64, base, caption.number(scale.largest, scale.signed, method), **style)
