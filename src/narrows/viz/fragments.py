"""Parts of pages: for notebooks, which need the style sheet with each, and for a page that has it already."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from narrows.viz.files import are_layers
from narrows.viz.html import fill, heat_values, laid_out, map_values, maps_values, over_bits, style_sheet
from narrows.viz.spans import at_level, content
from narrows.viz.trace import rate_points

_SHOWN = 50  # results of a list; a notebook is no place for thousands
_BOX = (300, 100)  # width and height of the drawing of a removal


@dataclass(frozen=True)
class Removal:
    """What removing tokens by hand did to a prediction, and what the order of a map would have done."""

    removed: tuple[int, ...]  # positions
    probabilities: Mapping[str, float]  # label to probability without them
    by_hand: tuple[tuple[int, float], ...]  # (tokens removed, p(target)), in the order of the clicks
    morf: tuple[tuple[int, float], ...]  # most relevant first
    lerf: tuple[tuple[int, float], ...]


def render_list(attributions: Sequence[AttributionDict], shared: bool = True) -> str:
    """Draw a list of results for a notebook: one text at several layers as a heat map, others below each other."""
    if attributions and are_layers(attributions):
        first = map_values(attributions[0])
        return fill("heat.html.j2", {"map": first, "heat": heat_values(attributions), "style": style_sheet()})
    maps = maps_values(attributions[:_SHOWN], shared)
    sentences = list(dict.fromkeys(one["method"]["caption"] for one in maps))
    hidden = len(attributions) - len(maps)
    return fill("list.html.j2", {"maps": maps, "sentences": sentences, "hidden": hidden, "style": style_sheet()})


def render_map_part(attribution: AttributionDict) -> str:
    """Draw one result for a page that holds the style sheet: prediction, map, strongest words, trace."""
    return fill("part_map.html.j2", {"map": map_values(attribution)})


def render_heat_part(attributions: Sequence[AttributionDict]) -> str:
    """Draw one text at several layers, one result per layer, for a page that holds the style sheet."""
    return fill("part_heat.html.j2", {"heat": heat_values(attributions)})


def render_series_part(attributions: Sequence[AttributionDict], rows: Sequence[str], what: str) -> str:
    """Draw one text over settings of `what` ("beta"), each with its own scale, below their rate-distortion curve."""
    traces = [result["trace"] for result in attributions]
    left = [f"{math.exp(-trace[-1]['cross_entropy']):.3f}" if trace else None for trace in traces]
    maps = [
        {**values, "row": row, "p": p}
        for values, row, p in zip(maps_values(attributions, False), rows, left, strict=True)
    ]
    points = rate_points(attributions)
    ends = [points[0][0], points[-1][0]] if points else []
    line = laid_out(over_bits(points, *ends), *_BOX) if len(set(ends)) == 2 else None
    return fill("part_series.html.j2", {"maps": maps, "what": what, "points": line, "ends": ends})


def render_beside_part(attributions: Sequence[AttributionDict], note: str | None = None) -> str:
    """Draw results side by side, on one scale where their unit is the same; `note` is a sentence about all."""
    return fill("part_beside.html.j2", {"maps": maps_values(attributions), "note": note})


def render_removal_part(attribution: AttributionDict, removal: Removal) -> str:
    """Draw a text whose tokens are buttons, struck through where removed, and how p(target) fell."""
    spans, gone = content(attribution), set(removal.removed)
    known = {position for span in spans for position in span.tokens}
    if not known >= gone:
        raise InputError(f"only tokens of the text can be removed, not those at {gone - known}")
    before, now = (labels[attribution["target"]] for labels in (attribution["probabilities"], removal.probabilities))
    curves = {
        kind: laid_out([(count / max(1, len(known)), p) for count, p in points], *_BOX)
        for kind, points in (("lerf", removal.lerf), ("morf", removal.morf), ("hand", removal.by_hand))
    }
    values = {
        "map": map_values(at_level(attribution, "token")),
        "predicted": max(removal.probabilities, key=removal.probabilities.__getitem__),
        "p": now,
        "change": f"{now - before:+.3f}" if gone else "nothing removed yet",
        "gone": len(removal.removed),
        "content": len(known),
        "removed": [span.tokens for span in spans if set(span.tokens) <= gone],
        "curves": curves,
    }
    return fill("part_removal.html.j2", values)
