"""What figures share: sizes, fonts and colours, names that can be drawn, files that are the same every time."""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from narrows.data.output import write_whole
from narrows.errors import InputError, need
from narrows.viz.spans import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FigureFormat = Literal["png", "svg", "pdf"]
PAGE_WIDTH, COLUMN_WIDTH = 7.0, 3.3  # inches between the margins of a paper of two columns
PAGE_HEIGHT = 9.0
INK, LINES, RED = "#1b1f24", "#5b6470", "#b3261e"
PNG_DPI = 200
# Okabe and Ito (2008), without the yellow, which is hard to see on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1.5, 1.2)))

_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib
    **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), 8.0),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 7.0),
    "axes.titlelocation": "left",
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width"), 0.6),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 2.5),
    "lines.linewidth": 1.1,
    "lines.markersize": 3.2,
    "legend.frameon": False,
    "figure.dpi": PNG_DPI,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "svg.fonttype": "path",  # a page shows the same letters on every machine
    "svg.hashsalt": "narrows",
    "pdf.fonttype": 42,  # TrueType: journals refuse the default, Type 3
}
# What is left out of files, so that the same figure gives the same bytes.
_UNDATED: dict[str, Any] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw with small type and few lines, whatever the user's own settings of matplotlib are; also a decorator."""
    check_matplotlib()
    from matplotlib import style

    with style.context(["default", _STYLE]):
        yield


def check_matplotlib() -> None:
    """Raise `DependencyError` if matplotlib is not installed."""
    need("matplotlib", 'figures need matplotlib: pip install "narrows[plot]"')


def new_figure(width: float, height: float) -> "Figure":
    """Make a figure of so many inches that belongs to no window, to be drawn on under `paper_style`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def settle(figure: "Figure") -> "Figure":
    """Lay a figure out once and for all, so that it is the same however often it is saved."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine("none")
    return figure


@paper_style()
def figure_bytes(figure: "Figure", format: FigureFormat) -> bytes:
    """Write a figure as a file, the same bytes for the same figure."""
    if format not in get_args(FigureFormat):
        raise InputError(f"a figure is written as {', '.join(get_args(FigureFormat))}, not {format!r}")
    figure.savefig(buffer := io.BytesIO(), format=format, dpi=PNG_DPI, metadata=_UNDATED[format])
    return buffer.getvalue()


@paper_style()
def pages_bytes(figures: "Sequence[Figure]") -> bytes:
    """Write figures as the pages of a PDF, the same bytes for the same figures."""
    from matplotlib.backends.backend_pdf import PdfPages

    with PdfPages(buffer := io.BytesIO(), metadata=_UNDATED["pdf"]) as pages:
        for figure in figures:
            pages.savefig(figure)
    return buffer.getvalue()


def figure_svg(figure: "Figure") -> str:
    """Write a figure as SVG text, the same for the same figure: without a date, with ids made of its content."""
    return figure_bytes(figure, "svg").decode()


def save_figure(figure: "Figure", stem: Path) -> tuple[Path, Path]:
    """Save a figure as PNG (200 dots per inch) and as SVG, the same bytes for the same figure."""
    png, svg = (stem.with_name(stem.name + suffix) for suffix in (".png", ".svg"))
    for path in (png, svg):
        write_whole(path, figure_bytes(figure, "png" if path == png else "svg"))
    return png, svg


@cache
def _covered() -> frozenset[int]:
    """Return the characters that the font can draw: matplotlib warns at each one that it cannot."""
    from matplotlib import font_manager, ft2font

    path: Any = font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans"))
    return frozenset(ft2font.FT2Font(path).get_charmap())


def printable(text: str) -> str:
    """Return a text with a sign in place of each character that must not or cannot be drawn."""
    return "".join(c if c.isspace() or ord(c) in _covered() else "\ufffd" for c in visible(text))


def short_name(text: str, length: int = 24) -> str:
    """Return a text on one line of at most `length` characters that the font can draw."""
    line = " ".join(printable(text).split())
    return line if len(line) <= length else line[: length - 3] + "..."


def gaps(values: Sequence[float | None]) -> list[float]:
    """Return numbers to draw, with a gap for each that is missing or not finite."""
    return [math.nan if value is None or not math.isfinite(value) else value for value in values]
