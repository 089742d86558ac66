"""Figures of single results: running text, shaded token by token and wrapped to the column of a paper."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
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
    check_matplotlib,
    drawable,
    new_figure,
    paper_style,
    printable,
    short_name,
)
from narrows.viz.shade import Scale, scales_of
from narrows.viz.spans import cut, segments, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = 8.0  # points, as the text of a paper's figures
_PAD = 0.8  # points that a shade reaches beyond its letters
_MOST_LINES = 120  # of one text: two pages

Chunk = tuple[str, int]  # characters of one level, or a space


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
    """One result: a heading, its text laid out, and what is to be said about it alone."""

    heading: str
    pieces: tuple[_Piece, ...]
    lines: int
    scale: Scale
    attribution: AttributionDict
    note: str


@dataclass(frozen=True)
class _Page:
    """Where texts are laid out."""

    width: float  # points
    size: float  # of the type, points

    @property
    def line(self) -> float:
        """Points from one line of print to the next."""
        return 1.75 * self.size

    def measure(self, text: str, smaller: float = 0.0) -> float:
        """Return the width of a text in points."""
        from matplotlib.font_manager import FontProperties
        from matplotlib.textpath import text_to_path

        font: Any = FontProperties(family="DejaVu Sans", size=self.size - smaller)
        return float(text_to_path.get_text_width_height_descent(text, font, False)[0]) if text else 0.0


def plot_map(attribution: AttributionDict, ax: Axes | None = None, scale: Scale | None = None) -> Axes:
    """Draw one result as running text, shaded by its scores, with its scale and its sentence below.

    Args:
        attribution: A saved result.
        ax: Where to draw; a text with more lines than fit is cut, and the heading says so. None makes a figure as wide
            as a page and as high as the text needs.
        scale: The scale that it shares with other maps (`narrows.viz.shade.scales_of`); None = its own.

    Returns:
        The axes that were drawn on.

    Raises:
        DependencyError: If matplotlib is not installed.
    """
    check_matplotlib()
    scale = scale or scales_of([attribution])[0]
    most = _MOST_LINES
    if ax is None:
        page = _Page(PAGE_WIDTH * 72, 10.0)
    else:
        box = ax.get_window_extent()
        width, height = (72 * pixels / ax.figure.dpi for pixels in (box.width, box.height))
        page = _Page(width, _SIZE)
        most = max(1, int(height / page.line) - 2 - len(_footer([attribution], page)))
    paragraph = _lay_out(attribution, None, scale, page, most)
    if ax is None:
        from matplotlib import pyplot

        height = _height([paragraph], page)
        figure = pyplot.figure(figsize=(PAGE_WIDTH, height / 72), layout="none")
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    _draw_all(ax, [paragraph], page, height)
    return ax


@paper_style()
def plot_text(
    attributions: Sequence[AttributionDict], names: Sequence[str] | None = None, shared: bool = True
) -> Figure:
    """Draw results as running text, shaded by their scores: one map, or several methods or labels below each other.

    Every text has its scale below it; only a signed one diverges. Special tokens are left out.

    Args:
        attributions: Saved results, at least one.
        names: What to call each; None = by target and method.
        shared: Whether results of one quantity and unit share one scale; otherwise each has its own.

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
    longest = max(sum(map(len, segments(result))) for result in attributions)
    width = COLUMN_WIDTH if longest <= 700 else PAGE_WIDTH
    page = _Page(width * 72, _SIZE)
    paragraphs = [
        _lay_out(result, None if names is None else names[place], scale, page, _MOST_LINES)
        for place, (result, scale) in enumerate(zip(attributions, scales_of(attributions, shared), strict=True))
    ]
    height = _height(paragraphs, page)
    figure = new_figure(width, height / 72)
    figure.set_layout_engine("none")
    _draw_all(figure.add_axes((0.0, 0.0, 1.0, 1.0)), paragraphs, page, height)
    return figure


def _lay_out(attribution: AttributionDict, name: str | None, scale: Scale, page: _Page, most: int) -> _Paragraph:
    can_draw = drawable()
    letters = int(page.width / (0.55 * page.size))
    heading = short_name(caption.heading(attribution) if name is None else name, can_draw, letters)
    pieces: list[_Piece] = []
    line = 0
    for segment in range(len(segments(attribution))):
        own = list(_wrap(_chunks(attribution, segment, scale), page, line))
        pieces += own
        line = max((piece.line for piece in own), default=line) + 1
    if line > most:
        pieces = [piece for piece in pieces if piece.line < most]
        heading += f" (the first {most} of {line} lines)"
    return _Paragraph(heading, tuple(pieces), min(line, most), scale, attribution, caption.already(attribution) or "")


def _chunks(attribution: AttributionDict, segment: int, scale: Scale) -> Iterator[Chunk]:
    """Cut a text where a line may break: at white space, and where the level changes."""
    can_draw = drawable()
    for span in cut(attribution, segment):
        level = scale.level(span.score) if span.tokens else 0
        for chunk in re.findall(r"\s+|\S+", printable(visible(span.text), can_draw)):
            yield (" ", 0) if chunk.isspace() else (chunk, level)


def _wrap(chunks: Iterable[Chunk], page: _Page, line: int, smaller: float = 0.0) -> Iterator[_Piece]:
    """Set chunks into lines; what stands together without white space stays together if it fits a line."""
    width = page.width - 2 * _PAD - 1
    space = page.measure("n n", smaller) - page.measure("nn", smaller)
    x = 0.0
    for word in _words(chunks):
        widths = [page.measure(text, smaller) for text, _ in word]
        if x > 0 and x + sum(widths) > width:
            x, line = 0.0, line + 1
        for (text, level), wide in zip(word, widths, strict=True):
            for part in _broken(text, wide, width) if wide > width else [text]:
                long = page.measure(part, smaller)
                if x > 0 and x + long > width:
                    x, line = 0.0, line + 1
                yield _Piece(part, level, x, long, line)
                x += long
        x += space


def _words(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    word: list[Chunk] = []
    for text, level in chunks:
        if text != " ":
            word.append((text, level))
        elif word:
            yield word
            word = []
    if word:
        yield word


def _broken(text: str, wide: float, width: float) -> Iterator[str]:
    """Break a chunk that is longer than a line, in pieces of equal numbers of letters."""
    size = max(1, math.ceil(len(text) / math.ceil(1.1 * wide / width)))
    return (text[start : start + size] for start in range(0, len(text), size))


def _footer(attributions: Sequence[AttributionDict], page: _Page) -> list[str]:
    """Return the lines of the sentences that are true of all results, or of those by one method."""
    listed = caption.sentences(attributions[0]) if len(attributions) == 1 else []
    sentences = dict.fromkeys([*(visible(result["method"]["caption"]) for result in attributions), *listed])
    return [line for sentence in sentences for line in _note_lines(sentence, page)]


def _note_lines(text: str, page: _Page) -> list[str]:
    chunks = [chunk for word in printable(text, drawable()).split() for chunk in ((word, 0), (" ", 0))]
    lines: dict[int, list[str]] = {}
    for piece in _wrap(chunks, page, 0, smaller=1.0):
        lines.setdefault(piece.line, []).append(piece.text)
    return [" ".join(words) for words in lines.values()]


def _height(paragraphs: Sequence[_Paragraph], page: _Page) -> float:
    footer = _footer([paragraph.attribution for paragraph in paragraphs], page)
    return sum(_paragraph_height(p, page) for p in paragraphs) + page.line * 0.8 * len(footer) + 0.5 * page.size


def _paragraph_height(paragraph: _Paragraph, page: _Page) -> float:
    notes = 0.8 * len(_note_lines(paragraph.note, page))
    return (paragraph.lines + 1 + notes) * page.line + 3.2 * page.size


def _draw_all(ax: Axes, paragraphs: Sequence[_Paragraph], page: _Page, height: float) -> None:
    ax.set_axis_off()
    ax.set_xlim(0, page.width)
    ax.set_ylim(height, 0)
    top = 0.0
    for paragraph in paragraphs:
        _draw(ax, paragraph, page, top)
        top += _paragraph_height(paragraph, page)
    _draw_notes(ax, _footer([paragraph.attribution for paragraph in paragraphs], page), page, top - 0.4 * page.size)


def _draw(ax: Axes, paragraph: _Paragraph, page: _Page, top: float) -> None:
    """Draw a paragraph below a height, in points."""
    plain: dict[str, Any] = {"va": "baseline", "parse_math": False, "family": "DejaVu Sans"}
    ax.text(1, top + 1.1 * page.size, paragraph.heading, fontsize=page.size, fontweight="bold", color=INK, **plain)
    first = top + page.line
    for piece in paragraph.pieces:
        base = first + piece.line * page.line + 1.15 * page.size
        colours = paragraph.scale.shade(piece.level)
        if piece.level:
            _patch(ax, piece.x + 1, base - page.size, piece.width, 1.32 * page.size, colours.background)
        ink = colours.foreground if piece.level else INK
        ax.text(piece.x + 1 + _PAD, base, piece.text, fontsize=page.size, color=ink, **plain)
    bottom = first + paragraph.lines * page.line
    _draw_legend(ax, paragraph, page, bottom + 1.4 * page.size)
    _draw_notes(ax, _note_lines(paragraph.note, page), page, bottom + 1.6 * page.size, INK)


def _draw_notes(ax: Axes, lines: Sequence[str], page: _Page, top: float, colour: str = LINES) -> None:
    style: dict[str, Any] = {"va": "baseline", "parse_math": False, "family": "DejaVu Sans", "fontsize": page.size - 1}
    for place, line in enumerate(lines):
        ax.text(1, top + (0.8 * place + 0.7) * page.line, line, color=colour, **style)


def _patch(ax: Axes, x: float, y: float, width: float, height: float, colour: str) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((x, y), width + 2 * _PAD, height, facecolor=colour, linewidth=0))


def _draw_legend(ax: Axes, paragraph: _Paragraph, page: _Page, base: float) -> None:
    """Draw the scale of a paragraph: its quantity, its ends and its colours."""
    scale, attribution = paragraph.scale, paragraph.attribution
    style: dict[str, Any] = {"va": "baseline", "parse_math": False, "color": LINES, "family": "DejaVu Sans"}
    style["fontsize"] = page.size - 1
    unit, quantity = (
        printable(visible(t), drawable()) for t in (attribution["method"]["unit"], caption.quantity(attribution))
    )
    if not scale.largest:
        ax.text(1, base, f"{quantity}: {caption.amount(0, unit)} everywhere", **style)
        return
    low = f"{quantity}: {caption.number(-scale.largest, True) if scale.signed else '0'}"
    x = 1 + page.measure(f"{low} ", smaller=1.0) + 3
    ax.text(1, base, low, **style)
    levels = scale.levels()
    cell = 60.0 / len(levels)
    up, down = 0.75 * page.size, 0.1 * page.size
    for place, level in enumerate(levels):
        _patch(ax, x + place * cell - _PAD, base - up, cell, up + down, scale.shade(level).background)
    left, right = x - _PAD, x + 60 + _PAD
    corners = ([left, right, right, left, left], [base - up, base - up, base + down, base + down, base - up])
    ax.plot(*corners, color=LINES, linewidth=0.4)
    ax.text(x + 64, base, caption.number(scale.largest, scale.signed), **style)
