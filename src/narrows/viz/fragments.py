"""Parts of pages: for notebooks, which need the style sheet with each, and for a page that has it already."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from narrows.viz import caption
from narrows.viz.files import are_layers
from narrows.viz.html import Json, fill, heat_values, laid_out, map_values, maps_values, style_sheet
from narrows.viz.spans import content, visible
from narrows.viz.trace import rate_points

_SHOWN = 50  # results of a list; a notebook is no place for thousands
_BOX = (300, 100)  # width and height of the drawing of a removal


@dataclass(frozen=True)
class Removal:
    """What removing tokens by hand did to a prediction, and what the order of a map would have done.

    Curves are (tokens removed, p(target)): by hand in the order of the clicks, and most and least relevant first.
    """

    removed: tuple[int, ...]  # positions
    probabilities: Mapping[str, float]  # label to probability without them
    by_hand: tuple[tuple[int, float], ...]
    morf: tuple[tuple[int, float], ...]
    lerf: tuple[tuple[int, float], ...]


def render_list(attributions: Sequence[AttributionDict], shared: bool = True) -> str:
    """Draw a list of results for a notebook: one text at several layers as a heat map, others below each other.

    Args:
        attributions: Saved results.
        shared: Whether results of one quantity and unit share one scale; otherwise each has its own.

    Returns:
        HTML without a document around it; of a long list the first ones.
    """
    if attributions and are_layers(attributions):
        first = map_values(attributions[0])
        return fill("heat.html.j2", {"map": first, "heat": heat_values(attributions), "style": style_sheet()})
    shown = attributions[:_SHOWN]
    maps = maps_values(shown, shared)
    sentences = list(dict.fromkeys(visible(one["method"]["caption"]) for one in shown))
    values = {"maps": maps, "sentences": sentences, "hidden": len(attributions) - len(shown), "style": style_sheet()}
    return fill("list.html.j2", values)


def render_map_part(attribution: AttributionDict) -> str:
    """Draw one result for a page that holds the style sheet: prediction, map, strongest words, trace."""
    return fill("part_map.html.j2", {"map": map_values(attribution)})


def render_heat_part(attributions: Sequence[AttributionDict]) -> str:
    """Draw one text at several layers, one result per layer, for a page that holds the style sheet."""
    return fill("part_heat.html.j2", {"heat": heat_values(attributions)})


def render_series_part(attributions: Sequence[AttributionDict], rows: Sequence[str], what: str) -> str:
    """Draw one text over settings of `what` ("beta"), each with its own scale, below their rate-distortion curve."""
    maps = [
        {**values, "row": visible(row), "p": _probability_now(one)}
        for values, one, row in zip(maps_values(attributions, False), attributions, rows, strict=True)
    ]
    return fill("part_series.html.j2", {"maps": maps, "what": visible(what), "rate": _rate(attributions)})


def render_beside_part(attributions: Sequence[AttributionDict], note: str | None = None) -> str:
    """Draw results side by side, on one scale where their unit is the same; `note` is a sentence about all."""
    values = {"maps": maps_values(attributions), "note": None if note is None else visible(note)}
    return fill("part_beside.html.j2", values)


def render_removal_part(attribution: AttributionDict, removal: Removal) -> str:
    """Draw a text whose tokens are buttons, struck through where removed, and how p(target) fell."""
    spans = content(attribution)
    known = {position for span in spans for position in span.tokens}
    if not known >= set(removal.removed):
        raise InputError(f"only tokens of the text can be removed, not those at {set(removal.removed) - known}")
    target = attribution["target"]
    before, now = attribution["probabilities"][target], removal.probabilities[target]
    lines = [_line("lerf", removal.lerf, len(known)), _line("morf", removal.morf, len(known))]
    hand = _line("hand", removal.by_hand, len(known))
    values = {
        "map": map_values(attribution),
        "target": visible(target),
        "predicted": visible(max(removal.probabilities, key=removal.probabilities.__getitem__)),
        "p": f"{now:.3f}",
        "change": f"{now - before:+.3f}" if removal.removed else "nothing removed yet",
        "width": round(100 * now, 1),
        "gone": len(removal.removed),
        "content": len(known),
        "removed": [" ".join(map(str, span.tokens)) for span in spans if set(span.tokens) <= set(removal.removed)],
        "lines": [*lines, hand],
        "dots": _dots(hand["points"]),
        "alt": (
            f"p({visible(target)}) against tokens removed, 0 to {len(known)}: by hand (dots), in the order of this "
            "map, most relevant first (line), and least relevant first (dashes)"
        ),
    }
    return fill("part_removal.html.j2", values)


def _probability_now(attribution: AttributionDict) -> str | None:
    """Return p(target) through the bottleneck at its last step, None for a method without one."""
    trace = attribution["trace"]
    return f"{math.exp(-trace[-1]['cross_entropy']):.3f}" if trace else None


def _rate(attributions: Sequence[AttributionDict]) -> Json | None:
    """Return the rate-distortion curve of a series laid into its drawing, bits logarithmic; None without one."""
    points = rate_points(attributions)
    if len(points) < 2 or points[0][0] == points[-1][0]:
        return None
    low, high = math.log(points[0][0]), math.log(points[-1][0])
    line = laid_out([((math.log(bits) - low) / (high - low), p) for bits, p in points], *_BOX)
    return {
        "points": line,
        "dots": _dots(line),
        "low": caption.number(points[0][0]),
        "high": caption.number(points[-1][0]),
    }


def _line(kind: str, points: Sequence[tuple[int, float]], content_tokens: int) -> Json:
    """Return a curve laid into the drawing: tokens removed across, p upward."""
    return {"kind": kind, "points": laid_out([(count / max(1, content_tokens), p) for count, p in points], *_BOX)}


def _dots(line: str) -> list[Json]:
    return [dict(zip("xy", point.split(","), strict=True)) for point in line.split()]
