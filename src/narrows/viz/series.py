"""Figures of one text seen several times: at several layers, or over a series of settings."""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from narrows.viz import caption
from narrows.viz.canvas import COLUMN_WIDTH, LINES, PAGE_WIDTH, new_figure, paper_style, printable, settle, short_name
from narrows.viz.shade import Scale, is_signed, scale_of_all
from narrows.viz.spans import check_same_tokens, labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ScaleOf = Literal["all", "row"]

_PER_STRIP = 24  # tokens that fit a page, side by side
_TOKEN_LENGTH = 14  # characters
_CELL, _ROW, _BAR = 0.2, 0.16, 2.0  # inches; the last is the height of the colour bar, and the least of a figure


@paper_style()
def plot_series(
    attributions: Sequence[AttributionDict], rows: Sequence[str], what: str, scale_of: ScaleOf = "row", limit: int = 96
) -> "Figure":
    """Draw one text as a heat map, a row per setting; `scale_of`: one scale for ``all``, or one for each ``row``."""
    if len(rows) != len(attributions):
        raise InputError(f"a series needs one name for each attribution, not {len(rows)} for {len(attributions)}")
    if limit < 1:
        raise InputError(f"limit must be at least 1, not {limit}")
    check_same_tokens(attributions)
    first = attributions[0]
    if not first["tokens"]:
        raise InputError("a picture of a series needs at least one token, got none")
    names = [short_name(row) for row in rows]
    scores = [[token["score"] for token in result["tokens"]] for result in attributions]
    cells = [[score if math.isfinite(score) else 0.0 for score in row] for row in scores]
    quantities = {caption.quantity(result) for result in attributions}
    label = short_name(quantities.pop() if len(quantities) == 1 else "score")
    scale = scale_of_all(attributions)
    if scale_of == "row":
        largest = [scale_of_all([result]).largest for result in attributions]
        units = [result["method"]["unit"] for result in attributions]
        written = [short_name(caption.amount(most, unit)) for most, unit in zip(largest, units, strict=True)]
        names = [f"{name} (up to {most})" for name, most in zip(names, written, strict=True)]
        cells = [[cell / (most or 1.0) for cell in row] for most, row in zip(largest, cells, strict=True)]
        label = f"{label},\nshare of the row's largest"
        scale = Scale(1.0, is_signed(attributions), scale.grey)
    count = min(limit, len(first["tokens"]))
    down, longest = math.ceil(count / _PER_STRIP), max(map(len, names))
    width = min(PAGE_WIDTH, max(COLUMN_WIDTH, 1.4 + 0.06 * longest + _CELL * count))
    figure = new_figure(width, max(_BAR, 0.4 + down * (0.6 + _ROW * len(rows))))
    strips = [figure.add_subplot(down, 1, strip + 1) for strip in range(down)]
    per_strip = math.ceil(count / down)
    tokens = [short_name(name, _TOKEN_LENGTH) for name in labels(first)]
    special = [token["special"] for token in first["tokens"]]
    colours = mapped(scale)
    for strip, start in zip(strips, range(0, count, per_strip), strict=True):
        part = slice(start, min(start + per_strip, count))
        drawn = [row[part] for row in cells]
        strip.imshow(drawn, cmap=colours.cmap, norm=colours.norm, aspect="auto", interpolation="nearest")
        name_strip(strip, tokens[part], special[part], names)
        strip.set_xlim(-0.5, per_strip - 0.5)  # cells are as wide in the last strip, which may have fewer
        strip.set_ylabel(short_name(what))
    title = f"target: {short_name(caption.target_name(first))}"
    if count < len(tokens):
        title += f" (the first {count} of {len(tokens)} tokens)"
    strips[0].set_title(title)
    beyond = any(abs(cell) > scale.largest for row in cells for cell in row[:count])
    extend = ("both" if scale.signed else "max") if beyond else "neither"  # an end beyond the scale
    shrink = min(1.0, _BAR / figure.get_figheight())
    bar = figure.colorbar(colours, ax=strips, extend=extend, extendrect=True, shrink=shrink, anchor=(0.0, 1.0))
    bar.set_label(label)
    width, height = figure.get_size_inches()
    captions = dict.fromkeys(printable(result["method"]["caption"]) for result in attributions)
    lines = [line for said in captions for line in textwrap.wrap(said, int(16 * width))]
    figure.set_size_inches(width, height + 0.13 * len(lines))
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=7, color=LINES)
    return settle(figure)


def mapped(scale: Scale) -> Any:
    """Return the colours of a scale as matplotlib takes them: a ScalarMappable."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    largest = scale.largest or 1.0
    colours = ListedColormap([scale.shade(level).background for level in scale.levels()])
    return ScalarMappable(Normalize(-largest if scale.signed else 0.0, largest, clip=True), colours)


def name_strip(
    strip: "Axes", tokens: Sequence[str], special: Sequence[bool], rows: Sequence[str], line: str = LINES
) -> None:
    """Write the tokens along the columns, special ones in italics, and the names of the rows, with lines between."""
    strip.tick_params(length=0)
    strip.set_xticks(range(len(tokens)), tokens, parse_math=False, usetex=False)
    for own, tick in zip(special, strip.get_xticklabels(), strict=True):
        tick.set(rotation=60, ha="right", rotation_mode="anchor", fontstyle="italic" if own else "normal")
    strip.set_yticks(range(len(rows)), rows, parse_math=False, usetex=False)
    between = [place + 0.5 for place in range(len(rows) - 1)]
    strip.hlines(between, -0.5, len(tokens) - 0.5, color=line, linewidth=0.3)
    strip.spines[:].set_visible(False)
