"""Self-contained pages: no script, nothing fetched, every text escaped.

Colours are classes, one per level of `narrows.viz.shade`, so that nothing in a page needs an inline style and the
page's Content-Security-Policy can forbid everything but its own style sheet, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from narrows.data.schema import AttributionDict, TraceDict
from narrows.errors import InputError
from narrows.viz import caption
from narrows.viz.shade import LEVELS, SURFACE, Scale, scale_of_all, scales_of, shade
from narrows.viz.spans import Span, check_same_tokens, content, cut, labels, one_line, segments, unplaced, visible
from narrows.viz.trace import LEAST_POINTS, curve_points

_WORDS = 12
_LABELS = 6
_LONG = 900  # characters; beyond, the note of a token sticks to the window, for the end of the map may be off it

Json = dict[str, Any]


def render_page(attributions: Sequence[AttributionDict], title: str = "Narrows: what each token contributes") -> str:
    """Draw results as one page that needs nothing but itself; those of one quantity and unit share one scale.

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
    return document("page.html.j2", title, {"maps": maps_values(attributions)})


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
    """Fill a template of this package; every value is escaped."""
    return _environment().get_template(template).render(**values)


def document(template: str, title: str, values: Json, images: bool = False) -> str:
    """Fill the template of a page, whose policy allows its style sheet, images within it if asked, and nothing else."""
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
    """Return the style sheet of all maps, light and dark; its rules hold only within the class ``narrows``."""
    every = [(level, grey) for grey in (False, True) for level in range(1 if grey else -LEVELS, LEVELS + 1)]
    levels = [(_class(level, grey), shade(level, "light", grey), shade(level, "dark", grey)) for level, grey in every]
    return Markup(_environment().get_template("style.css.j2").render(levels=levels, surface=SURFACE))


def _class(level: int, grey: bool = False) -> str:
    """Return the class of a level: p12, m12 for -12, g12 for both in grey."""
    return f"{'p' if not level else 'g' if grey else 'm' if level < 0 else 'p'}{abs(level)}"


def maps_values(attributions: Sequence[AttributionDict], shared: bool = True) -> list[Json]:
    """Return what the templates need of several maps, on one scale for each unit, or on a scale of its own each."""
    return [map_values(one, scale) for one, scale in zip(attributions, scales_of(attributions, shared), strict=True)]


def map_values(attribution: AttributionDict, scale: Scale | None = None) -> Json:
    """Return what the templates need of one map, numbers already written out."""
    scale, method = scale or scales_of([attribution])[0], attribution["method"]
    ranked = sum(span.rank is not None for span in content(attribution))
    words = _word_notes(attribution, scale.signed)
    listed, hidden = caption.classes(attribution, _LABELS)
    names = ["text", "text_pair"] if attribution["text_pair"] is not None else [None]
    settings = {key: attribution[key] for key in ("layers", "model", "prior", "record")}
    settings = {"method": {"name": method["name"], **method["settings"]}, **settings}

    def cells(spans: Sequence[Span]) -> list[Json]:
        return [_cell(span, scale, method["unit"], ranked, words) for span in spans]

    return {
        "paragraphs": [{"name": name, "cells": cells(cut(attribution, segment))} for segment, name in enumerate(names)],
        "long": sum(map(len, segments(attribution))) > _LONG,
        "special": cells(unplaced(attribution)),
        "classes": [
            {
                "label": visible(label.name),
                "p": "" if label.p is None else f"{label.p:.3f}",
                "width": None if label.p is None else round(100 * label.p, 1) if 0 <= label.p <= 1 else 0.0,
                "chosen": bool(label.role),
                "role": label.role + ("" if label.typical is None else f"; a typical text {label.typical:.2f}"),
            }
            for label in listed
        ],
        "hidden": hidden,
        "predicted": visible(attribution["predicted"]),
        "target": visible(attribution["target"]),
        "p": caption.probability(attribution),
        "heading": visible(caption.heading(attribution)),
        "origin": visible(caption.origin(attribution)),
        "unit": visible(method["unit"]),
        "legend": _legend(scale, attribution),
        "sentences": caption.sentences(attribution),
        "already": caption.already(attribution),
        "truncated": caption.truncation(attribution),
        "ranked_by": "word" if attribution["words"] else "token",
        "words": [
            {
                "word": row.word,
                "number": caption.number(row.score, scale.signed),
                "rank": "" if row.rank is None else row.rank,
                "share": None if row.share is None else caption.percent(row.share),
                "level": None if row.other else _class(scale.level(row.score), scale.grey),
            }
            for row in caption.strongest(attribution, _WORDS)
        ],
        "shares": method["additive"],
        "curves": _curves(attribution["trace"]),
        "how": visible(method["how"]),
        "settings": visible(json.dumps(settings, indent=2, ensure_ascii=False, default=str)),
        "version": visible(attribution["narrows_version"]),
    }


def _cell(span: Span, scale: Scale, unit: str, ranked: int, words: Mapping[int, str]) -> Json:
    text = visible(span.text)
    if not span.tokens:
        return {"text": text, "level": None}
    tip = f"{one_line(span.text)}: {visible(caption.amount(span.score, unit, scale.signed))}"
    if span.rank is not None:
        tip += f", rank {span.rank} of {ranked}"
    return {
        "text": text,
        "level": _class(scale.level(span.score), scale.grey),
        "tip": tip + words.get(span.tokens[0], ""),
        "number": caption.number(span.score, scale.signed),
        "tokens": " ".join(map(str, span.tokens)),
    }


def _word_notes(attribution: AttributionDict, signed: bool) -> dict[int, str]:
    """Return, for the tokens of words that the tokenizer cut up, the score and the rank of the whole word."""
    notes: dict[int, str] = {}
    for word in attribution["words"]:
        own = [
            position
            for position, token in enumerate(attribution["tokens"])
            if token["segment"] == word["segment"] and not token["special"]
            if token["start"] is not None and word["start"] <= token["start"] < word["end"]
        ]
        if len(own) > 1:
            written = caption.amount(word["score"], attribution["method"]["unit"], signed)
            notes |= dict.fromkeys(own, visible(f"; the word {word['word']}: {written}, rank {word['rank']}"))
    return notes


def _legend(scale: Scale, attribution: AttributionDict) -> Json:
    unit = attribution["method"]["unit"]
    low, high = scale.ends()
    return {
        "low": low,
        "high": high,
        "levels": [_class(level, scale.grey) for level in scale.levels()],
        "quantity": visible(caption.quantity(attribution)),
        "zero": visible(caption.amount(0, unit)),
        "empty": not scale.largest,
    }


def heat_values(attributions: Sequence[AttributionDict]) -> Json:
    """Return what the templates need of one text at several layers, numbers already written out."""
    check_same_tokens(attributions)
    first, scale = attributions[0], scale_of_all(attributions)
    rows = [
        {
            "token": name,
            "special": first["tokens"][position]["special"],
            "cells": [
                {
                    "level": _class(scale.level(token["score"]), scale.grey),
                    "number": caption.number(token["score"], scale.signed),
                    "rank": token["rank"],
                }
                for token in (layer["tokens"][position] for layer in attributions)
            ],
        }
        for position, name in enumerate(labels(first))
    ]
    carried = [layer["trace"][0]["information"] for layer in attributions if caption.needed(layer)]
    return {
        "layers": [caption.layer_name(layer) for layer in attributions],
        "rows": rows,
        "quantity": first["method"]["quantity"].capitalize(),
        "unit": visible(first["method"]["unit"]),
        "sums": [caption.number(caption.total(layer), scale.signed) for layer in attributions]
        if all(map(caption.sums, attributions))
        else [],
        "carried": [caption.number(value) for value in carried] if len(carried) == len(attributions) else [],
        "legend": _legend(scale, first),
        "already": caption.already(first) if scale.grey else None,
        "rates": _rate_curves({f"layer {caption.layer_name(layer)}": layer["trace"] for layer in attributions}),
        "sentence": visible(first["method"]["caption"]),
        "places": caption.layers_of(attributions),
        "origin": visible(caption.origin(*attributions)),
    }


def _curves(trace: Sequence[TraceDict]) -> list[Json]:
    if len(trace) < LEAST_POINTS:
        return []
    drawn = [
        _over_steps("cross-entropy (nats)", [entry["cross_entropy"] for entry in trace]),
        _over_steps("information (bits)", [entry["information"] for entry in trace]),
    ]
    return [*drawn, *_rate_curves({"p(target) over the bits that pass (logarithmic)": trace})]


def _over_steps(name: str, values: Sequence[float]) -> Json:
    """Return one curve of the trace laid into a box, steps across, zero at the bottom."""
    top = max((value for value in values if math.isfinite(value)), default=0.0) or 1.0
    steps = len(values) - 1
    points = [(step / steps, value / top) for step, value in enumerate(values) if math.isfinite(value)]
    first, last = caption.number(values[0]), caption.number(values[-1])
    return {"points": laid_out(points), "label": f"{name} over {steps} steps: {first} to {last}"}


def _rate_curves(traces: Mapping[str, Sequence[TraceDict]]) -> list[Json]:
    """Return rate-distortion curves on one axis: bits that pass, logarithmic, across, and p(target) upwards."""
    kept = {name: points for name, trace in traces.items() if len(points := curve_points(trace)) >= LEAST_POINTS}
    every = [bits for points in kept.values() for bits, _ in points]
    if not every or min(every) == max(every):
        return []
    least, span = min(every), math.log(max(every) / min(every))
    return [
        {
            "points": laid_out([(math.log(bits / least) / span, p) for bits, p in points]),
            "label": f"{name}: {points[0][1]:.3f} at {caption.number(points[0][0])}"
            f" to {points[-1][1]:.3f} at {caption.number(points[-1][0])}",
        }
        for name, points in kept.items()
    ]


def laid_out(points: Iterable[tuple[float, float]], width: int = 240, height: int = 56) -> str:
    """Return points of the unit square as SVG has them in a box of this size, upside down."""
    return " ".join(f"{width * x:.1f},{height * (1 - max(0.0, min(1.0, y))):.1f}" for x, y in points)
