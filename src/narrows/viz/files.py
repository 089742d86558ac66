"""Pictures as files: the format is named by its suffix, what is drawn by what the results have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from narrows.viz.canvas import FigureFormat, figure_bytes
from narrows.viz.html import render_layers_page, render_page
from narrows.viz.latex import render_latex
from narrows.viz.series import plot_series
from narrows.viz.spans import same_tokens
from narrows.viz.text import plot_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIGURES = (".png", ".svg", ".pdf")
_TEXTS: dict[str, Callable[[Sequence[AttributionDict]], str]] = {
    ".html": lambda results: render_layers_page(results) if are_layers(results) else render_page(results),
    ".tex": lambda results: "\n".join(map(render_latex, results)),
    ".json": lambda results: json.dumps(results[0] if len(results) == 1 else list(results), ensure_ascii=False) + "\n",
}
SUFFIXES = (*_FIGURES, *_TEXTS)


def are_layers(attributions: Sequence[AttributionDict]) -> bool:
    """Tell whether results are one text seen at several layers by one method.

    Args:
        attributions: Saved results.

    Returns:
        True if only the layer differs; False for a single result.
    """
    first, *others = attributions
    alike = all(
        same_tokens(first, other) and (first["method"], first["target"]) == (other["method"], other["target"])
        for other in others
    )
    return bool(others) and alike and len({result["layer"] for result in attributions}) == len(attributions)


def render_file(attributions: Sequence[AttributionDict], suffix: str) -> bytes:
    """Draw results as the content of a file.

    One text at several layers becomes one picture, tokens by layers; other results stand below each other.

    Args:
        attributions: Saved results, at least one.
        suffix: One of `SUFFIXES`.

    Returns:
        The content of the file.

    Raises:
        InputError: If there is nothing to draw, or no such format.
        DependencyError: If a figure is asked for and matplotlib is not installed.
    """
    if not attributions:
        raise InputError("there is nothing to export: got no attribution")
    if suffix in _TEXTS:
        return _TEXTS[suffix](attributions).encode()
    if suffix not in _FIGURES:
        raise InputError(f"exports end in {', '.join(SUFFIXES)}, not {suffix!r}")
    return figure_bytes(_figure(attributions), cast("FigureFormat", suffix[1:]))


def _figure(attributions: Sequence[AttributionDict]) -> Figure:
    if are_layers(attributions):
        return plot_series(attributions, [str(result["layer"]) for result in attributions], "layer", "all")
    return plot_text(attributions)
