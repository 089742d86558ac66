"""Self-contained pages: no script, nothing fetched, every text escaped.

Colours are classes, one per level of `narrows.viz.shade`, so that nothing in a page needs an inline style and the
page's Content-Security-Policy can forbid everything but its own style sheet, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from narrows.data.schema import AttributionDict, TraceDict
from narrows.errors import InputError
from narrows.viz import caption
from narrows.viz.shade import LEVELS, SURFACE, Scale, is_signed, shade
from narrows.viz.spans import Span, check_layers, content, cut, labels, segments, unplaced, visible
from narrows.viz.trace import LEAST_POINTS

_WORDS = 12
_LABELS = 6
_LONG = 900  # characters; beyond, the read-out of a token sticks to the window, for the end of the map may be off it
_CURVE_WIDTH, _CURVE_HEIGHT = 240, 56

Json = dict[str, Any]


def render_page(attributions: Sequence[AttributionDict], title: str = "Narrows: what each token told") -> str:
    """Draw results as one page that needs nothing but itself.

    Args:
        attributions: Saved results, at least one.
        title: The page's title.

    Returns:
        The HTML document.

    Raises:
        InputError: If there is nothing to draw.
    """
    if not attributions:
        raise InputError("a page needs at least one attribution, got none")
    maps = [map_values(attribution) for attribution in attributions]
    return document("page.html.j2", title, {"maps": maps})


def render_layers_page(attributions: Sequence[AttributionDict], title: str = "Narrows: layer by layer") -> str:
    """Draw one text at several layers as a page with a heat map, tokens down and layers across.

    Args:
        attributions: One saved result per layer, all of the same text.
        title: The page's title.

    Returns:
        The HTML document.

    Raises:
        InputError: If there are none, or they are of different texts.
    """
    return document("layers.html.j2", title, {"heat": heat_values(attributions), "map": map_values(attributions[0])})


def render_fragment(attribution: AttributionDict) -> str:
    """Draw one result for a notebook: a block whose style stays within it, light or dark as the notebook is.

    Args:
        attribution: A saved result.

    Returns:
        HTML without a document around it.
    """
    return fill("fragment.html.j2", {"map": map_values(attribution), "style": style_sheet()})


def fill(template: str, values: Json) -> str:
    """Fill a template of this package.

    Args:
        template: Its name.
        values: What it needs, all of it.

    Returns:
        HTML, in which every value is escaped.
    """
    return _environment().get_template(template).render(**values)


def document(template: str, title: str, values: Json, images: bool = False) -> str:
    """Fill the template of a page.

    Args:
        template: Its name.
        title: The page's title.
        values: What it needs besides.
        images: Whether the page holds images, as data within it.

    Returns:
        The HTML document, whose Content-Security-Policy allows its style sheet, its images and nothing else.
    """
    style = style_sheet()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    allowed = f"default-src 'none'; style-src 'sha256-{digest}'{'; img-src data:' if images else ''}"
    policy = f"{allowed}; base-uri 'none'; form-action 'none'"
    return fill(template, {"title": visible(title), "policy": policy, "style": style, **values})


@cache
def _environment() -> Environment:
    loader = PackageLoader("narrows.viz")
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, cache_size=16
    )


@cache
def style_sheet() -> Markup:
    """Return the style sheet of all maps, light and dark; its rules hold only within the class ``narrows``.

    Returns:
        CSS.
    """
    levels = [(_level_class(level), shade(level, "light"), shade(level, "dark")) for level in _all_levels()]
    return Markup(_environment().get_template("style.css.j2").render(levels=levels, surface=SURFACE))


def _all_levels() -> range:
    return range(-LEVELS, LEVELS + 1)


def _level_class(level: int) -> str:
    return f"m{-level}" if level < 0 else f"p{level}"


def map_values(attribution: AttributionDict) -> Json:
    """Return what the template of one map needs, numbers already written out.

    Args:
        attribution: A saved result.

    Returns:
        Its values by the names that the macros know them by.
    """
    signed, method = is_signed([attribution]), caption.kind(attribution)
    spans = content(attribution)
    scale = Scale.of((span.score for span in spans), signed)
    whole = caption.magnitude(attribution)
    words = _word_notes(attribution, signed)
    order = sorted((span for span in spans if span.score), key=lambda span: -abs(span.score))
    ranks = {span.tokens: rank for rank, span in enumerate(order, start=1)}
    listed = caption.classes(attribution, _LABELS)
    names = ["text", "text_pair"] if attribution["text_pair"] is not None else [None]
    return {
        "paragraphs": [
            {
                "name": name,
                "cells": [_cell(span, scale, method, whole, ranks, words) for span in cut(attribution, segment)],
            }
            for segment, name in enumerate(names)
        ],
        "long": sum(map(len, segments(attribution))) > _LONG,
        "special": [_cell(span, scale, method, whole, {}, {}) for span in unplaced(attribution)],
        "classes": [
            {
                "label": visible(label),
                "p": "" if probability is None else f"{probability:.3f}",
                "width": None if probability is None else round(100 * _unit_interval(probability), 1),
            }
            for label, probability in listed
        ],
        "hidden": len(attribution["probabilities"]) - len([p for _, p in listed if p is not None]),
        "predicted": visible(attribution["predicted"]),
        "target": visible(attribution["target"]),
        "origin": visible(caption.origin(attribution["method"], caption.where(attribution))),
        "unit": caption.short_unit(method),
        "suffix": f" {caption.short_unit(method)}" if caption.is_counted(method) else "",
        "noun": "bits" if caption.in_bits(method) else "score",
        "legend": _legend(scale, method),
        "meaning": visible(caption.meaning(signed, method, caption.is_probable(attribution))),
        "needed": caption.needed(attribution),
        "truncated": caption.truncation(attribution),
        "ranked_by": "word" if attribution["words"] else "token",
        "words": [
            {
                "word": row.word,
                "number": caption.number(row.score, signed, method),
                "share": caption.percent(row.share),
                "level": _level_class(scale.level(row.score)),
            }
            for row in caption.strongest(attribution, _WORDS)
        ],
        "curves": _curves(attribution["trace"]),
        "config": visible(json.dumps(attribution["config"], indent=2, sort_keys=True, ensure_ascii=False, default=str)),
        "version": visible(attribution["narrows_version"]),
    }


def _cell(
    span: Span,
    scale: Scale,
    method: str,
    whole: float,
    ranks: dict[tuple[int, ...], int],
    words: dict[int, str],
) -> Json:
    text = visible(span.text)
    if not span.tokens:
        return {"text": text, "level": None}
    share = caption.percent(abs(span.score) / whole if whole else 0)
    tip = f"{' '.join(text.split())}: {caption.amount(span.score, scale.signed, method)}, {share} of all"
    if span.tokens in ranks:
        tip += f", rank {ranks[span.tokens]} of {len(ranks)}"
    tip += words.get(span.tokens[0], "")
    return {
        "text": text,
        "level": _level_class(scale.level(span.score)),
        "tip": tip,
        "number": caption.number(span.score, scale.signed, method),
        "tokens": " ".join(map(str, span.tokens)),
    }


def _word_notes(attribution: AttributionDict, signed: bool) -> dict[int, str]:
    """Return, for the tokens of words that the tokenizer cut up, what the whole word has and its rank among words."""
    method = caption.kind(attribution)
    order = sorted((word for word in attribution["words"] if word["score"]), key=lambda word: -abs(word["score"]))
    notes: dict[int, str] = {}
    for rank, word in enumerate(order, start=1):
        own = [
            position
            for position, token in enumerate(attribution["tokens"])
            if token["segment"] == word["segment"] and not token["special"]
            if token["start"] is not None and word["start"] <= token["start"] < word["end"]
        ]
        written = caption.amount(word["score"], signed, method)
        note = f"; the word {visible(word['word'])}: {written}, rank {rank} of {len(order)} words"
        notes |= dict.fromkeys(own, note) if len(own) > 1 else {}
    return notes


def _legend(scale: Scale, method: str) -> Json:
    signed = scale.signed
    write = caption.amount if caption.is_counted(method) else caption.number  # the unit stands before the scale, too
    high = write(scale.largest, signed, method)
    return {
        "low": f"{caption.number(-scale.largest, signed, method)} against" if signed else "0",
        "high": f"{high} for the target" if signed else high,
        "levels": [_level_class(level) for level in scale.levels()],
        "unit": caption.unit(signed, method),
        "zero": caption.amount(0, method=method),
        "empty": not scale.largest,
    }


def heat_values(attributions: Sequence[AttributionDict]) -> Json:
    """Return what the template of one text at several layers needs, numbers already written out.

    Args:
        attributions: One saved result per layer, all of the same text.

    Returns:
        Its values by the names that the macros know them by.

    Raises:
        InputError: If there are none, or they are of different texts.
    """
    check_layers(attributions)
    signed, method = is_signed(attributions), caption.kind(attributions[0])
    scores = (token["score"] for layer in attributions for token in layer["tokens"] if not token["special"])
    scale = Scale.of(scores, signed)
    rows = []
    for position, name in enumerate(labels(attributions[0])):
        scores_here = [layer["tokens"][position]["score"] for layer in attributions]
        cells = [
            {"level": _level_class(scale.level(score)), "number": caption.number(score, signed, method)}
            for score in scores_here
        ]
        rows.append({"token": name, "special": attributions[0]["tokens"][position]["special"], "cells": cells})
    places = caption.places([layer["layer"] for layer in attributions])
    means = caption.meaning(signed, method, caption.is_probable(attributions[0]))
    read = caption.needed(attributions[0]) if method == caption.EVIDENCE else None  # the same at each layer
    return {
        "layers": [layer["layer"] for layer in attributions],
        "rows": rows,
        "quantity": caption.quantity(method),
        "with_total": caption.counts_needed(method),
        "needed": [caption.bits(layer["total_bits"]) for layer in attributions],
        "carried": [_known(layer["carried_bits"]) for layer in attributions],
        "legend": _legend(scale, method),
        "rates": _rate_curves({caption.place(layer["layer"]): layer["trace"] for layer in attributions}),
        "meaning": visible(" ".join(filter(None, (read, means)))),
        "places": places,
        "origin": visible(caption.origin(attributions[0]["method"], places)),
    }


def _curves(trace: Sequence[TraceDict]) -> list[Json]:
    if len(trace) < LEAST_POINTS:
        return []
    drawn = [
        _over_steps("cross-entropy (nats)", [entry["cross_entropy"] for entry in trace]),
        _over_steps("information (bits)", [entry["information"] for entry in trace]),
    ]
    return [*drawn, *_rate_curves({"p(target) that is left, over the bits that pass (logarithmic)": trace})]


def _over_steps(name: str, values: Sequence[float]) -> Json:
    """Return one curve of the trace laid into a box, steps across, zero at the bottom."""
    top = max((value for value in values if math.isfinite(value)), default=0.0) or 1.0
    steps = len(values) - 1
    points = [(step / steps, value / top) for step, value in enumerate(values) if math.isfinite(value)]
    first, last = caption.bits(values[0]), caption.bits(values[-1])
    return {"points": _laid_out(points), "label": f"{name} over {steps} steps: {first} to {last}"}


def _rate_curves(traces: Mapping[str, Sequence[TraceDict]]) -> list[Json]:
    """Return rate-distortion curves: bits that pass, logarithmic, across, and what is left of p(target) upwards.

    Args:
        traces: From the name of a curve to its trace.

    Returns:
        The curves, all on the same axis; those of fewer than three points are left out.
    """
    kept = {name: points for name, trace in traces.items() if len(points := _rate_points(trace)) >= LEAST_POINTS}
    every = [bits for points in kept.values() for bits, _ in points]
    if not every or min(every) == max(every):
        return []
    least, span = min(every), math.log(max(every) / min(every))
    return [
        {
            "points": _laid_out([(math.log(bits / least) / span, _unit_interval(p)) for bits, p in points]),
            "label": f"{name}: {points[0][1]:.3f} at {caption.bits(points[0][0])}"
            f" to {points[-1][1]:.3f} at {caption.bits(points[-1][0])}",
        }
        for name, points in kept.items()
    ]


def _rate_points(trace: Sequence[TraceDict]) -> list[tuple[float, float]]:
    """Return the bits that pass and p(target), the fewest bits first, where a logarithm can be drawn."""
    return sorted(
        (entry["information"], math.exp(-entry["cross_entropy"]))
        for entry in trace
        if 0 < entry["information"] < math.inf and math.isfinite(entry["cross_entropy"])
    )


def _laid_out(points: Sequence[tuple[float, float]]) -> str:
    """Return points of the unit square as SVG has them in the box of a curve, upside down."""
    return " ".join(f"{_CURVE_WIDTH * x:.1f},{_CURVE_HEIGHT * (1 - max(0.0, y)):.1f}" for x, y in points)


def _known(value: float | None) -> str:
    return "-" if value is None else caption.bits(value)


def _unit_interval(value: float) -> float:
    return max(0.0, min(1.0, value)) if math.isfinite(value) else 0.0
