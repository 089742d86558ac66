"""The heat map of a response: output tokens by the words, or tokens, before them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from narrows.data.schema import OutputDict
from narrows.errors import InputError
from narrows.viz import canvas, caption
from narrows.viz.canvas import (
    LINES,
    PAGE_WIDTH,
    FigureFormat,
    figure_bytes,
    new_figure,
    paper_style,
    settle,
    short_name,
)
from narrows.viz.generation import Picture, render_generation_page
from narrows.viz.series import mapped, name_strip
from narrows.viz.shade import Scale
from narrows.viz.spans import labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

By = Literal["word", "token"]
MOST_COLUMNS, MOST_ROWS = 40, 60  # a page holds no more that can be read
_LENGTH = 14  # characters of a name
_CELL, _ROW, _TOP = 0.165, 0.155, 0.9  # inches; the last holds the names of the columns
_FIGURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class _Column:
    name: str
    tokens: tuple[int, ...]
    response: bool
    special: bool


def render_generation_file(picture: Picture, suffix: str) -> bytes:
    """Draw a response as the content of a file: a heat map, or a page."""
    if suffix == ".html":
        return render_generation_page(picture).encode()
    if suffix not in _FIGURES:
        raise InputError(f"exports end in {', '.join((*_FIGURES, '.html', '.json'))}, not {suffix!r}")
    with paper_style():
        figure = new_figure(*_size(picture, "word"))
        _draw(picture, figure.add_subplot(), "word")
        return figure_bytes(settle(figure), cast("FigureFormat", suffix[1:]))


def plot_generation(picture: Picture, ax: "Axes | None" = None, by: By = "word") -> "Axes":
    """Draw the heat map on `ax`, or on a new figure; give the axes."""
    if by not in get_args(By):
        raise InputError(f"columns are words or tokens: by='word' or 'token', not {by!r}")
    with paper_style():
        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.figure(figsize=_size(picture, by), layout="constrained").add_subplot()
        return _draw(picture, ax, by)


def _size(picture: Picture, by: By) -> tuple[float, float]:
    """Return the width and height of a figure, inches."""
    columns, rows, _ = _cells(picture, by)
    width = max(canvas.COLUMN_WIDTH, min(PAGE_WIDTH, 1.9 + _CELL * len(columns)))
    return width, _TOP + 0.3 + max(1.2, _ROW * len(rows))


def _columns(picture: Picture, by: By) -> list[_Column]:
    """Name what stands in the columns, in reading order; words leave special tokens out."""
    if by == "token":
        tokens = picture.whole["tokens"]
        return [
            _Column(name, (place,), token["segment"] == 1, token["special"])
            for place, (name, token) in enumerate(zip(labels(picture.whole), tokens, strict=True))
        ]
    return [_Column(word.text, word.tokens, word.segment == 1, False) for word in picture.words]


def _cells(picture: Picture, by: By) -> tuple[list[_Column], list[list[float]], int]:
    """Return the columns that are shown, the cells, and how many columns are left out: the weakest of their rows."""
    last = max(output["place"] for output in picture.outputs)
    every = [column for column in _columns(picture, by) if column.tokens[0] < last]
    cells = [[picture.score(own, column.tokens) for column in every] for own in picture.outputs[:MOST_ROWS]]
    largest = [_largest(picture, own, every) for own in picture.outputs[:MOST_ROWS]]
    shares = [[abs(cell) / (most or 1.0) for cell in row] for most, row in zip(largest, cells, strict=True)]
    weights = [max(column) for column in zip(*shares, strict=True)]
    kept = sorted(sorted(range(len(every)), key=lambda place: -weights[place])[:MOST_COLUMNS])
    return [every[place] for place in kept], [[row[place] for place in kept] for row in cells], len(every) - len(kept)


def _largest(picture: Picture, output: OutputDict, columns: Sequence[_Column]) -> float:
    """Return the largest size in a row, without the token at which the output is read."""
    return max(abs(picture.score(output, picture.others(output, column.tokens))) for column in columns)


def _draw(picture: Picture, ax: "Axes", by: By) -> "Axes":
    """Draw the cells, each row on a scale of its own, grey where an output cannot look, with names."""
    from numpy import array, ma

    columns, cells, hidden = _cells(picture, by)
    outputs = picture.outputs[:MOST_ROWS]
    later = [[column.tokens[0] >= output["place"] for column in columns] for output in outputs]
    largest = [_largest(picture, output, columns) for output in outputs]
    shares = [[cell / (most or 1.0) for cell in row] for most, row in zip(largest, cells, strict=True)]
    colours = mapped(Scale(1.0, picture.signed))
    ax.set_facecolor("#e6e9ee")
    drawn: Any = ma.array(array(shares), mask=array(later))
    ax.imshow(drawn, cmap=colours.cmap, norm=colours.norm, aspect="auto", interpolation="nearest")
    names = [short_name(picture.name(output), _LENGTH) for output in outputs]
    rows = [f"{name} (up to {caption.number(most)})" for name, most in zip(names, largest, strict=True)]
    _name(ax, columns, rows)
    notes = [f"the {len(columns)} strongest of {len(columns) + hidden} {by}s"] if hidden else []
    notes += [f"the first {MOST_ROWS} of {len(picture.outputs)} outputs"] if len(outputs) < len(picture.outputs) else []
    ax.set_xlabel(" ".join(["prompt | response", *([f"({', '.join(notes)})"] if notes else [])]))
    ax.set_ylabel("output")
    bar = ax.figure.colorbar(
        colours, ax=ax, fraction=0.05, pad=0.02, extend="both" if picture.signed else "max", extendrect=True
    )
    bar.set_label(
        f"{short_name(caption.quantity(picture.whole))},\nshare of the row's largest,\nthe token before apart"
    )
    bar.outline.set_linewidth(0.4)
    return ax


def _name(ax: "Axes", columns: Sequence[_Column], rows: Sequence[str]) -> None:
    """Write the words along the columns, those of the response bold, and the outputs along the rows."""
    names = [short_name(column.name, _LENGTH) for column in columns]
    name_strip(ax, names, [column.special for column in columns], rows, "#ffffff")
    for column, tick in zip(columns, ax.get_xticklabels(), strict=True):
        tick.set_fontweight("bold" if column.response else "normal")
    start = sum(not column.response for column in columns)
    if 0 < start < len(columns):
        ax.axvline(start - 0.5, color=LINES, linewidth=0.8)
