"""Figures of single results: running text, shaded token by token and wrapped to the column of a paper."""

import math
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from narrows.viz import canvas, caption
from narrows.viz.canvas import COLUMN_WIDTH, INK, LINES, PAGE_HEIGHT, PAGE_WIDTH, RED
from narrows.viz.shade import Scale, scales_of
from narrows.viz.spans import segments, shaded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE, _PAD, _RAMP = 8.0, 0.8, 60.0  # points: letters, what a shade reaches beyond them, the scale
_LABEL = 200  # characters of a heading
_MOST_LINES = 120  # of one text: two pages

Chunk = tuple[str, int]  # characters of one level, or a space
Piece = tuple[str, int, float, float]  # characters, level, x and width in points


def plot_map(attribution: AttributionDict, ax: "Axes | None" = None, scale: Scale | None = None) -> "Axes":
    """Draw one result as running text, shaded by its scores, with its scale and its sentence below."""
    canvas.check_matplotlib()
    pair = [(attribution, scale or scales_of([attribution])[0])]
    if ax is None:
        from matplotlib import pyplot

        sheet = Sheet(PAGE_WIDTH * 72, 10.0).fill(pair, None, _MOST_LINES)
        figure = pyplot.figure(figsize=(sheet.right / 72, sheet.top / 72), layout="none")
        return sheet.draw(figure.add_axes((0.0, 0.0, 1.0, 1.0)), sheet.right, sheet.top)
    box = ax.get_window_extent()
    width, height = (72 * pixels / ax.figure.dpi for pixels in (box.width, box.height))
    rest = Sheet(width, _SIZE).fill(pair, None, 0).top  # what stands above and below the text
    most = max(1, int((height - rest) / (1.75 * _SIZE)))
    return Sheet(width, _SIZE).fill(pair, None, most).draw(ax, width, height)


@canvas.paper_style()
def plot_text(
    attributions: Sequence[AttributionDict], names: Sequence[str] | None = None, shared: bool = True
) -> "Figure":
    """Draw results as running text below each other, shaded by their scores; `shared`: one scale per quantity, unit."""
    if not attributions:
        raise InputError("a figure of texts needs at least one attribution, got none")
    if names is not None and len(names) != len(attributions):
        raise InputError(f"a figure of texts needs one name for each, not {len(names)} for {len(attributions)}")
    pairs = list(zip(attributions, scales_of(attributions, shared), strict=True))
    return _drawn(Sheet(_width(attributions) * 72, _SIZE).fill(pairs, names, _MOST_LINES))


@canvas.paper_style()
def plot_pages(attributions: Sequence[AttributionDict]) -> "list[Figure]":
    """Draw results as `plot_text` does, all of their lines, on pages that can be printed."""
    pairs = list(zip(attributions, scales_of(attributions), strict=True))
    sheet = Sheet(_width(attributions) * 72, _SIZE).fill(pairs, None, sys.maxsize)
    return [_drawn(page) for page in sheet.pages(PAGE_HEIGHT * 72)]


def _width(attributions: Sequence[AttributionDict]) -> float:
    longest = max(sum(map(len, segments(result))) for result in attributions)
    return COLUMN_WIDTH if longest <= 700 else PAGE_WIDTH


def _drawn(sheet: "Sheet") -> "Figure":
    figure = canvas.new_figure(sheet.width / 72, sheet.top / 72)
    figure.set_layout_engine("none")
    sheet.draw(figure.add_axes((0.0, 0.0, 1.0, 1.0)), sheet.width, sheet.top)
    return figure


class Sheet:
    """Lines of text and shades, set from the top down; all lengths are points."""

    def __init__(self, width: float, size: float) -> None:
        self.width, self.size = width, size
        self.top = self.right = 0.0  # how far it is filled
        self.texts: list[tuple[float, float, str, float, str, str]] = []  # x, y, text, size, colour, weight
        self.patches: list[tuple[float, float, float, float, str, str]] = []  # x, y, width, height, face, edge
        self.lines: list[float] = []  # of each patch, the y of the text on it

    def fill(self, pairs: Sequence[tuple[AttributionDict, Scale]], names: Sequence[str] | None, most: int) -> "Sheet":
        """Set results with at most so many lines of text each, below them the sentences about them."""
        for place, (attribution, scale) in enumerate(pairs):
            p = caption.probability(attribution)
            target = f"{caption.target_name(attribution)}{p and f' ({p})'}" if names is None else names[place]
            self.write(canvas.short_name(target, _LABEL), self.size, INK, bold=True)
            if names is None:
                self.write(canvas.short_name(caption.origin(attribution), _LABEL), self.size - 1)
            hidden = self.shaded(attribution, scale, most)
            self.legend(attribution, scale)
            note = [f"Only the first {most} lines of the text are shown."] if hidden else []
            for said in (*note, *caption.notes(attribution)):
                self.write(said, self.size - 1, INK)
            self.write(caption.doubtful(attribution) or "", self.size - 1, RED, bold=True)
            self.top += self.size
        first = caption.sentences(pairs[0][0]) if len(pairs) == 1 else []
        for said in dict.fromkeys([*(attribution["method"]["caption"] for attribution, _ in pairs), *first]):
            self.write(said, self.size - 1)
        self.top += 0.5 * self.size
        return self

    def write(self, text: str, size: float, colour: str = LINES, bold: bool = False) -> None:
        """Set a sentence in as many lines as it needs."""
        chunks = [chunk for word in canvas.printable(text).split() for chunk in ((word, 0), (" ", 0))]
        wider = 1.15 if bold else 1.0
        for line in _lines(chunks, 0.97 * self.width / wider - 4, size):
            self.top += 1.4 * size
            self.put(1.0, " ".join(piece[0] for piece in line), size, wider * (line[-1][2] + line[-1][3]), colour, bold)

    def put(self, x: float, text: str, size: float, width: float, colour: str = LINES, bold: bool = False) -> None:
        """Set letters of a width at x on the line that was begun last."""
        self.texts.append((x, self.top, text, size, colour, "bold" if bold else "normal"))
        self.right = max(self.right, x + 1.03 * width + 4)  # drawn on a grid of pixels, it may be wider

    def shaded(self, attribution: AttributionDict, scale: Scale, most: int) -> bool:
        """Set the text; tell whether lines are left out."""
        texts = [_chunks(attribution, segment, scale) for segment in range(len(segments(attribution)))]
        lines = [line for chunks in texts for line in _lines(chunks, 0.97 * self.width - 4, self.size)]
        for line in lines[:most]:
            self.top += 1.75 * self.size
            for text, level, x, width in line:
                colours = scale.shade(level)
                if level:
                    self.patch(x + 1.8 - _PAD, -self.size, width + 2 * _PAD, 1.32 * self.size, colours.background)
                self.put(x + 1.8, text, self.size, width, colours.foreground if level else INK)
        return len(lines) > most

    def legend(self, attribution: AttributionDict, scale: Scale) -> None:
        """Set the scale: its quantity, its ends and its colours."""
        self.top += 1.9 * self.size
        size, quantity = self.size - 1, canvas.short_name(caption.quantity(attribution), _LABEL)
        if not scale.largest:
            text = f"{quantity}: {caption.amount(0, canvas.short_name(attribution['method']['unit']))} everywhere"
            self.put(1.0, text, size, _measure(text, size))
            return
        written = f"{quantity}: {caption.number(-scale.largest, True) if scale.signed else '0'}"
        x, cell = 5 + 1.03 * _measure(f"{written} ", size), _RAMP / len(scale.levels())
        self.put(1.0, written, size, x)
        for place, level in enumerate(scale.levels()):
            background = scale.shade(level).background
            self.patch(x + place * cell, -0.75 * self.size, cell + 0.5, 0.85 * self.size, background)
        self.patch(x, -0.75 * self.size, _RAMP + 0.5, 0.85 * self.size, "none", LINES)
        high = caption.number(scale.largest, scale.signed)
        self.put(x + _RAMP + 4, high, size, _measure(high, size))

    def patch(self, x: float, y: float, width: float, height: float, face: str, edge: str = "none") -> None:
        """Fill a rectangle whose y counts from the line that was begun last."""
        self.patches.append((x, self.top + y, width, height, face, edge))
        self.lines.append(self.top)

    def pages(self, height: float) -> "list[Sheet]":
        """Cut the sheet between lines into sheets of at most this height."""
        found: list[Sheet] = []
        start = 0.0  # of the page, on this sheet
        texts, patches = defaultdict(list), defaultdict(list)  # by the y of their line
        for text in self.texts:
            texts[text[1]].append(text)
        for at, patch in zip(self.lines, self.patches, strict=True):
            patches[at].append(patch)
        for line in sorted(texts):
            if not found or line + self.size - start > height:
                start = line - 2 * self.size if found else 0.0
                found.append(Sheet(self.width, self.size))
            page = found[-1]
            page.top, page.right = line + self.size - start, self.right
            page.texts += [(own[0], own[1] - start, *own[2:]) for own in texts[line]]
            page.patches += [(own[0], own[1] - start, *own[2:]) for own in patches[line]]
        return found

    def draw(self, ax: "Axes", width: float, height: float) -> "Axes":
        """Draw all of it on axes of so many points."""
        from matplotlib.patches import Rectangle

        ax.set_axis_off()
        ax.set_xlim(0, width)
        ax.set_ylim(height, 0)
        for x, y, wide, high, face, edge in self.patches:
            line = 0.4 * (edge != "none")
            ax.add_patch(Rectangle((x, y), wide, high, facecolor=face, edgecolor=edge, linewidth=line))
        plain: dict[str, Any] = {"va": "baseline", "parse_math": False, "family": "DejaVu Sans"}
        for x, y, text, size, colour, weight in self.texts:
            ax.text(x, y, text, fontsize=size, color=colour, fontweight=weight, **plain)
        return ax


@cache
def _measure(text: str, size: float) -> float:  # points
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font: Any = FontProperties(family="DejaVu Sans", size=size)
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0]) if text else 0.0


def _chunks(attribution: AttributionDict, segment: int, scale: Scale) -> Iterator[Chunk]:
    """Cut a text where a line may break: at white space, and where the level changes."""
    for span in shaded(attribution, segment):
        level = scale.level(span.score) if span.tokens else 0
        for chunk in re.findall(r"\s+|\S+", canvas.printable(span.text)):
            yield (" " if chunk.isspace() else chunk, level)


def _lines(chunks: Iterable[Chunk], width: float, size: float) -> list[list[Piece]]:
    """Set chunks into lines; what stands together without white space stays together if it fits a line."""
    lines: list[list[Piece]] = [[]]
    space, x, gap = _measure("n n", size) - _measure("nn", size), 0.0, 0
    for blank, group in groupby(chunks, lambda chunk: chunk[0] == " "):
        word = list(group)
        if blank:
            gap = word[0][1]  # white space within a unit is shaded as it is
            continue
        widths = [_measure(text, size) for text, _ in word]
        if x > 0 and x + sum(widths) > width:
            x = 0.0
            lines.append([])
        elif x > 0 and gap:
            lines[-1].append((" ", gap, x - space, space))
        for (text, level), wide in zip(word, widths, strict=True):
            # A chunk that is longer than a line is broken into pieces of equal numbers of letters.
            length = len(text) if wide <= width else max(1, math.ceil(len(text) / math.ceil(1.1 * wide / width)))
            for part in (text[start : start + length] for start in range(0, len(text), length)):
                if x > 0 and x + _measure(part, size) > width:
                    x = 0.0
                    lines.append([])
                lines[-1].append((part, level, x, _measure(part, size)))
                x += _measure(part, size)
        x += space
    return [line for line in lines if line]
