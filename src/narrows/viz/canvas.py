"""What figures share: sizes and fonts, names that can be drawn, bars and heat maps, files that are the same every time.

matplotlib is loaded only when a figure is asked for.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from narrows.data.output import written_whole
from narrows.errors import DependencyError, InputError
from narrows.viz import caption
from narrows.viz.shade import Scale, shade
from narrows.viz.spans import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

FigureFormat = Literal["png", "svg", "pdf"]

NAME_LENGTH = 24
PAGE_WIDTH = 7.0  # inches between the margins of a paper of two columns
COLUMN_WIDTH = 3.3
INK, LINES = "#1b1f24", "#5b6470"
PNG_DPI = 200

_NO_GLYPH = "\ufffd"
_STYLE = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.2,
    "legend.frameon": False,
    "figure.dpi": PNG_DPI,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "svg.fonttype": "path",  # a page shows the same letters on every machine
    "svg.hashsalt": "narrows",
    "pdf.fonttype": 42,  # TrueType: journals refuse the default, Type 3
}


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw with small type and few lines, whatever the user's own settings of matplotlib are; also a decorator.

    Yields:
        Nothing.

    Raises:
        DependencyError: If matplotlib is not installed.
    """
    _check_matplotlib()
    from matplotlib import style

    with style.context(["default", _STYLE]):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Make a figure that belongs to no window, to be drawn on under `paper_style`.

    Args:
        width: Inches.
        height: Inches.

    Returns:
        The figure; its parts find their places by themselves.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def settle(figure: Figure) -> Figure:
    """Lay a figure out once and for all, so that it is the same however often it is saved.

    Args:
        figure: All drawn.

    Returns:
        The same figure.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
    return figure


@paper_style()
def figure_bytes(figure: Figure, format: FigureFormat) -> bytes:
    """Write a figure as a file, the same bytes for the same figure.

    Args:
        figure: Any figure.
        format: ``png`` (200 dots per inch), ``svg`` or ``pdf`` (with the letters as text that can be searched).

    Returns:
        The content of the file.

    Raises:
        InputError: If there is no such format.
    """
    if format not in get_args(FigureFormat):
        raise InputError(f"a figure is written as {', '.join(get_args(FigureFormat))}, not {format!r}")
    undated: dict[str, Any] = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }[format]
    figure.savefig(buffer := io.BytesIO(), format=format, dpi=PNG_DPI, metadata=undated)
    return buffer.getvalue()


def figure_svg(figure: Figure) -> str:
    """Write a figure as SVG text, the same for the same figure: without a date, with ids made of its content.

    Args:
        figure: Any figure.

    Returns:
        The SVG document.
    """
    return figure_bytes(figure, "svg").decode()


def save_figure(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Save a figure as PNG (200 dots per inch) and as SVG, the same bytes for the same figure.

    Args:
        figure: Any figure.
        stem: Where to, without the ``.png`` and ``.svg`` that are put behind it.

    Returns:
        The two files.
    """
    png, svg = (stem.with_name(stem.name + suffix) for suffix in (".png", ".svg"))
    for path, content in ((png, figure_bytes(figure, "png")), (svg, figure_bytes(figure, "svg"))):
        with written_whole(path) as partial:
            partial.write_bytes(content)
    return png, svg


def drawable() -> Callable[[str], bool]:
    """Return a test for the characters that matplotlib's font can draw: it warns at each one that it cannot.

    Returns:
        From a character to whether the font has it.

    Raises:
        DependencyError: If matplotlib is not installed.
    """
    _check_matplotlib()
    from matplotlib import font_manager, ft2font

    path: Any = font_manager.findfont(font_manager.FontProperties())
    covered = ft2font.FT2Font(path).get_charmap()
    return lambda character: ord(character) in covered


def short_name(text: str, can_draw: Callable[[str], bool], length: int = NAME_LENGTH) -> str:
    """Return a text on one short line, in characters that the font can draw.

    Args:
        text: Any text.
        can_draw: What `drawable` gives.
        length: In characters; of a longer text the end is left out.

    Returns:
        The line.
    """
    line = " ".join(visible(text).split())
    line = "".join(character if can_draw(character) else _NO_GLYPH for character in line)
    return line if len(line) <= length else line[: length - 3] + "..."


def name_ticks(axis: Axis, names: Sequence[str], special: Sequence[bool]) -> None:
    """Write names along an axis, from 0 on; those of special tokens in italics.

    Args:
        axis: The axis.
        names: One per position.
        special: Whether it is one of a special token.
    """
    axis.set_ticks(range(len(names)), names, parse_math=False, usetex=False)
    for own, tick in zip(special, axis.get_ticklabels(), strict=True):
        tick.set_fontstyle("italic" if own else "normal")


def finite(score: float) -> float:
    """Return a score, or 0 for one that cannot be drawn."""
    return score if math.isfinite(score) else 0.0


@dataclass(frozen=True)
class Bar:
    """One token of a bar chart."""

    name: str
    score: float
    special: bool


def draw_bars(ax: Axes, bars: Sequence[Bar], scale: Scale, method: str = "narrows") -> None:
    """Draw tokens as bars with their numbers, in reading order downward; those of special tokens are hatched.

    Args:
        ax: Where.
        bars: One per token.
        scale: Sets the axis and the colours.
        method: Whose scores they are.
    """
    largest = scale.largest or 1.0
    low, high = (-1.25 * largest if scale.signed else 0.0), 1.25 * largest  # room for the numbers
    for position, bar in enumerate(bars):
        score = max(-1.04 * largest, min(1.04 * largest, finite(bar.score)))
        colour = shade(scale.level(bar.score) if not bar.special else 0).background
        hatch = "////" if bar.special else None
        ax.barh(position, score, height=0.78, color=colour, edgecolor=LINES, linewidth=0.6, hatch=hatch)
        ax.annotate(
            caption.number(bar.score, scale.signed, method),
            (score, position),
            xytext=(-4 if score < 0 else 4, 0),
            textcoords="offset points",
            ha="right" if score < 0 else "left",
            va="center",
            fontsize=8,
        )
    name_ticks(ax.yaxis, [bar.name for bar in bars], [bar.special for bar in bars])
    ax.set_ylim(max(1, len(bars)) - 0.4, -0.6)  # reading order runs down
    ax.set_xlim(low, high)
    if scale.signed:
        ax.axvline(0, color=INK, linewidth=0.8)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)


def draw_cells(ax: Axes, cells: Sequence[Sequence[float]], scale: Scale) -> None:
    """Draw numbers as the cells of a heat map, the first row on top.

    Args:
        ax: Where.
        cells: Rows of numbers, at least one row of one number.
        scale: Sets the colours.
    """
    colours, norm = _colours(scale)
    shown = [[finite(cell) for cell in row] for row in cells]
    ax.imshow(shown, cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
    ax.tick_params(length=0)


def draw_scale(
    axes: Axes | Sequence[Axes], cells: Sequence[Sequence[float]], scale: Scale, label: str, shrink: float = 1.0
) -> None:
    """Draw the colour bar of a heat map beside it.

    Args:
        axes: What the scale is of.
        cells: Everything that is drawn there; what runs over the scale is shown by an end beyond it.
        scale: Sets the colours.
        label: What is shown, with its unit.
        shrink: Height of the bar as a share of that of the axes.
    """
    from matplotlib.cm import ScalarMappable

    colours, norm = _colours(scale)
    beyond = any(abs(finite(cell)) > scale.largest for row in cells for cell in row)
    extend = ("both" if scale.signed else "max") if beyond else "neither"
    first = axes[0] if isinstance(axes, Sequence) else axes
    bar = first.figure.colorbar(
        ScalarMappable(norm, colours), ax=axes, extend=extend, extendrect=True, shrink=shrink, anchor=(0.0, 1.0)
    )
    bar.set_label(label)


def _colours(scale: Scale) -> tuple[Any, Any]:
    """Return the colour map of a scale, and how numbers fall into it."""
    from matplotlib.colors import ListedColormap, Normalize

    largest = scale.largest or 1.0
    colours = ListedColormap([shade(level).background for level in scale.levels()])
    return colours, Normalize(-largest if scale.signed else 0.0, largest, clip=True)


def _check_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise DependencyError("figures need matplotlib; install it with: pip install 'narrows[plot]'") from error
