"""Pictures as files: the format is named by its suffix, what is drawn by what the results have in common."""

import json
from collections.abc import Callable, Sequence
from typing import Any, cast

from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from narrows.viz import caption
from narrows.viz.canvas import FigureFormat, figure_bytes, pages_bytes
from narrows.viz.figure import plot_pages, plot_text
from narrows.viz.html import render_layers_page, render_page
from narrows.viz.latex import render_latex
from narrows.viz.series import plot_series
from narrows.viz.shade import scales_of
from narrows.viz.spans import same_tokens

_FIGURES = (".png", ".svg", ".pdf")
_TEXTS: dict[str, Callable[[Sequence[AttributionDict]], str]] = {
    ".html": lambda results: render_layers_page(results) if are_layers(results) else render_page(results),
    ".tex": lambda results: "\n".join(map(render_latex, results, scales_of(results))),
    ".json": lambda results: json.dumps(results[0] if len(results) == 1 else list(results), ensure_ascii=False) + "\n",
}
SUFFIXES = (*_FIGURES, *_TEXTS)


def are_layers(attributions: Sequence[AttributionDict]) -> bool:
    """Tell whether results are one text seen at several layers: only the setting ``layer`` differs."""

    def made(attribution: AttributionDict) -> tuple[Any, ...]:
        settings = {key: value for key, value in attribution["method"]["settings"].items() if key != "layer"}
        return attribution["method"]["name"], settings, attribution["target"]

    first, *others = attributions
    alike = all(same_tokens(first, other) and made(first) == made(other) for other in others)
    places = {tuple(result["layers"] or ()) for result in attributions}
    return bool(others) and alike and len(places) == len(attributions)


def render_file(attributions: Sequence[AttributionDict], suffix: str) -> bytes:
    """Draw results as the content of a file: one text at several layers as one picture, others below each other."""
    if not attributions:
        raise InputError("there is nothing to export: got no attribution")
    if suffix in _TEXTS:
        return _TEXTS[suffix](attributions).encode()
    if suffix not in _FIGURES:
        raise InputError(f"exports end in {', '.join(SUFFIXES)}, not {suffix!r}")
    if suffix == ".pdf" and not are_layers(attributions):
        return pages_bytes(plot_pages(attributions))
    if are_layers(attributions):
        figure = plot_series(attributions, list(map(caption.layer_name, attributions)), "layer", "all")
    else:
        figure = plot_text(attributions)
    return figure_bytes(figure, cast("FigureFormat", suffix[1:]))
