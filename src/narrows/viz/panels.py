"""Panels of figures of runs: one per data set, one look per method, one legend for all."""

import math
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from narrows.data.schema import RunSummary
from narrows.viz.canvas import COLOURS, COLUMN_WIDTH, DASHES, PAGE_WIDTH, new_figure, settle, short_name
from narrows.viz.summary import headings, method_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RANDOM_COLOUR = "#8a8a8a"
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
_LABEL_LENGTH = 40  # characters
_LABEL_SIZE = 7.0  # points
_LETTER = 0.56  # mean width of a letter of the font, in its size


def is_random(name: str) -> bool:
    """Tell whether a method draws its scores by chance: the measure of all others, always grey."""
    return name.partition(":")[0] == "random"


def looks(summaries: Sequence[RunSummary]) -> dict[str, dict[str, Any]]:
    """Give each method of several runs a look of its own, as matplotlib takes it, the same wherever it appears."""
    found: dict[str, dict[str, Any]] = {}
    coloured = count()
    for name, label in method_labels(summaries).items():
        written = short_name(label, _LABEL_LENGTH)
        if written in (look["label"] for look in found.values()):  # long names may differ at their ends only
            written = f"{written} ({len(found) + 1})"
        found[name] = {"label": written, "color": RANDOM_COLOUR, "linestyle": DASHES[3], "marker": "."}
        if not is_random(name):
            turn, place = divmod(number := next(coloured), len(COLOURS))
            found[name] |= {"color": COLOURS[place], "linestyle": DASHES[number % len(DASHES)], "markeredgewidth": 0.7}
            found[name] |= {"marker": _MARKERS[number % len(_MARKERS)]}
            found[name] |= {"markerfacecolor": "white" if turn % 2 else COLOURS[place]}
    return found


def make_panels(summaries: Sequence[RunSummary], sharey: bool, height: float = 1.75) -> "tuple[Figure, list[Axes]]":
    """Make a figure with one panel per data set, three in a row of `height` inches, titled with its number of texts."""
    across = min(3, len(summaries))
    down = math.ceil(len(summaries) / across)
    figure = new_figure(COLUMN_WIDTH if across == 1 else PAGE_WIDTH * across / 3, height * down + 0.1)
    panels: list[Axes] = []
    for place, (name, summary) in enumerate(zip(headings(summaries), summaries, strict=True)):
        shared = panels[0] if sharey and panels else None
        panel = figure.add_subplot(down, across, place + 1, sharey=shared)
        panel.tick_params(labelleft=not sharey or place % across == 0)
        panel.set_title(f"{short_name(name, 34)} (n = {summary['instances']:,})")
        panels.append(panel)
    return figure, panels


def name_axes(panels: "Sequence[Axes]", x: str, y: str) -> None:
    """Write what the axes are: below the lowest panel of each column, left of the first of each row."""
    across = min(3, len(panels))
    for place, panel in enumerate(panels):
        if place + across >= len(panels):
            panel.set_xlabel(x)
        if place % across == 0:
            panel.set_ylabel(y)


def finish(figure: "Figure", panels: "Sequence[Axes]") -> "Figure":
    """Draw one legend of all panels below them, each name once, and lay the figure out; it grows by that height."""
    entries: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return settle(figure)
    width, height = figure.get_size_inches()
    per_name = 0.5 + _LABEL_SIZE / 72 * _LETTER * max(map(len, entries))
    columns = max(1, min(len(entries), int(width / per_name)))
    figure.set_size_inches(width, height + 0.16 * math.ceil(len(entries) / columns) + 0.1)
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns, handlelength=3.2)
    return settle(figure)
