"""Parts of pages: for notebooks, which need the style sheet with each, and for a page that has it already."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from narrows.data.schema import AttributionDict
from narrows.viz import caption
from narrows.viz.chart import Axis, Curve, chart
from narrows.viz.checked import written
from narrows.viz.files import are_layers
from narrows.viz.generation import Picture, generation_values
from narrows.viz.html import fill, fill_parts, heat_values, map_values, maps_values, rate_chart, style_sheet
from narrows.viz.spans import one_line
from narrows.viz.trace import rate_points

_SHOWN = 50  # results of a list; a notebook is no place for thousands
PARTS = ("decision", "labels", "map", "check", "words", "made")


@dataclass(frozen=True)
class Removal:
    """What removing words by hand did to a prediction, and what the order of a map would have done."""

    removed: tuple[int, ...]  # positions
    words: int  # how many of them
    p: float  # p(target) without them
    decision: str  # what the model says then
    flips: bool  # whether it is something else than before
    content: int  # how many tokens may be removed
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


def render_parts(attribution: AttributionDict) -> dict[str, str]:
    """Draw one result in parts, `PARTS`, for a page that holds the style sheet."""
    drawn = fill_parts("parts.html.j2", PARTS, map_values(attribution))
    return {name: f'<div class="narrows narrows-part">{part}</div>' for name, part in drawn.items()}


def render_generation_part(picture: Picture) -> str:
    """Draw a response token by token for a page that holds the style sheet and runs the script."""
    return fill("part_generation.html.j2", {"shown": generation_values(picture)})


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
    drawn = rate_chart({"": points} if (points := rate_points(attributions)) else {}, dots=True)
    return fill("part_series.html.j2", {"maps": maps, "what": what, "drawn": drawn})


def render_beside_part(attributions: Sequence[AttributionDict], note: str | None = None) -> str:
    """Draw results side by side, on one scale where they are of one quantity; `note` is a sentence about all."""
    several = len({caption.quantity(own) for own in attributions}) > 1
    apart = "The units differ, so each map has its own scale: compare the order of words, not the depth of colour."
    notes = [said for said in (apart if several else None, note) if said]
    return fill("part_beside.html.j2", {"maps": maps_values(attributions), "notes": notes})


def render_removal_part(attribution: AttributionDict, removal: Removal) -> str:
    """Say what the model says without some words of a text, and draw how p(target) fell."""
    curves = [
        Curve("least relevant first", removal.lerf, "lerf"),
        Curve("most relevant first, by this map", removal.morf, "morf"),
        Curve("by hand", removal.by_hand, "hand", dots=True),
    ]
    p = Axis(f"p({one_line(attribution['target'])})", 0, 1)
    ends = (f"{own.name}: {written(own.points[0][1])} to {written(own.points[-1][1])}" for own in curves)
    drawn = chart(curves, Axis("tokens removed", 0, max(1, removal.content)), p, "; ".join(ends))
    said = removal_sentence(attribution, removal)
    return fill("part_removal.html.j2", {"removal": removal, "drawn": drawn, "said": said})


def removal_sentence(attribution: AttributionDict, removal: Removal) -> str:
    """Say what the model says without the words that were struck out."""
    some = f"these {removal.words} words" if removal.words > 1 else "this word"
    decided = f"flips to {removal.decision}" if removal.flips else f"stays {removal.decision}"
    moved = f"{written(removal.by_hand[0][1])} \u2192 {written(removal.p)}"
    return one_line(f"Without {some} the decision {decided}: p({attribution['target']}) {moved}.")
