"""Self-contained pages: nothing fetched, every text escaped; colours are classes, for a strict CSP."""

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
from narrows.viz.chart import Axis, Curve, chart
from narrows.viz.checked import check_sentence, check_table
from narrows.viz.shade import LEVELS, SURFACE, Scale, scale_of_all, scales_of, shade
from narrows.viz.spans import (
    check_same_tokens,
    labels,
    one_line,
    segments,
    shaded,
    tokens_of_words,
    unplaced,
    visible,
)
from narrows.viz.trace import BITS_THAT_PASS, LEAST_POINTS, P_THAT_IS_LEFT, curve_points

COLOURS = 4  # of curves, as the style sheet has them
_LONG = 900  # characters; beyond, the note of a token sticks to the window, for the end of the map may be off it
Json = dict[str, Any]


def render_page(
    attributions: Sequence[AttributionDict],
    title: str = "Narrows: what each token contributes",
    notes: Sequence[str] = (),  # about all of them
) -> str:
    """Draw results as one page that needs nothing but itself; those of one quantity and unit share one scale."""
    if not attributions:
        raise InputError("a page needs at least one attribution, got none")
    return document("page.html.j2", title, {"maps": maps_values(attributions), "notes": notes})


def render_layers_page(attributions: Sequence[AttributionDict]) -> str:
    """Draw one text at several layers as a page with a heat map, tokens down and layers across."""
    values = {"heat": heat_values(attributions), "map": map_values(attributions[0])}
    return document("layers.html.j2", "Narrows: layer by layer", values)


def render_fragment(attribution: AttributionDict) -> str:
    """Draw one result for a notebook: a block whose style stays within it, light or dark as the notebook is."""
    return fill("fragment.html.j2", {"map": map_values(attribution), "style": style_sheet()})


def fill(template: str, values: Json) -> str:
    """Fill a template of this package; every value is escaped."""
    return _environment().get_template(template).render(**values)


def fill_parts(template: str, names: Sequence[str], values: Json) -> dict[str, str]:
    """Fill macros of a template, by name; each takes the same values."""
    macros = _environment().get_template(template).module
    return {name: str(getattr(macros, name)(values)) for name in names}


def document(template: str, title: str, values: Json, images: bool = False, script: str = "") -> str:
    """Fill the template of a page; its policy allows its style sheet, what it asks for within it, and nothing else."""
    style = style_sheet()
    allowed = f"default-src 'none'; style-src {_digest(style)}{'; img-src data:' if images else ''}"
    allowed += f"; script-src {_digest(script)}" if script else ""
    policy = f"{allowed}; base-uri 'none'; form-action 'none'"
    return fill(template, {"title": title, "policy": policy, "style": style, **values})


def _digest(text: str) -> str:
    """Name the only style or script that a policy allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("narrows.viz"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"caption": caption, "css": _class, "check_table": check_table}
    return made


@cache
def style_sheet() -> Markup:
    """Return the style sheet of all maps, light and dark; its rules hold only within the class ``narrows``."""
    every = [(level, grey) for grey in (False, True) for level in range(1 if grey else -LEVELS, LEVELS + 1)]
    levels = [(_class(level, grey), shade(level, "light", grey), shade(level, "dark", grey)) for level, grey in every]
    return Markup(_environment().get_template("style.css.j2").render(levels=levels, surface=SURFACE))


@cache
def script() -> Markup:
    """Return the script of generations, which shades the text for the output that is pointed at."""
    source = PackageLoader("narrows.viz").get_source(_environment(), "generation.js")[0]
    return Markup(source)


def _class(level: int, grey: bool = False) -> str:
    """Return the class of a level: p12, m12 for -12, g12 for both in grey."""
    return f"{'p' if not level else 'g' if grey else 'm' if level < 0 else 'p'}{abs(level)}"


def maps_values(attributions: Sequence[AttributionDict], shared: bool = True) -> list[Json]:
    """Return what the templates need of several maps, on one scale for each unit, or on a scale of its own each."""
    return [map_values(one, scale) for one, scale in zip(attributions, scales_of(attributions, shared), strict=True)]


def map_values(attribution: AttributionDict, scale: Scale | None = None) -> Json:
    """Return what the templates need of one map: the record, its scale, its text in spans, and its curves."""
    scale, method, texts = scale or scales_of([attribution])[0], attribution["method"], segments(attribution)
    facts: Json = {key: attribution[key] for key in ("layers", "model", "prior", "record")}
    facts |= {key: value for key in ("id", "gold") if (value := attribution.get(key)) is not None}
    facts = {"method": {"name": method["name"], **method["settings"]}, **facts}
    return {
        "result": attribution,
        "method": method,
        "scale": scale,
        "paragraphs": [shaded(attribution, segment) for segment in range(len(texts))],
        "long": sum(map(len, texts)) > _LONG,
        "special": unplaced(attribution),
        "tips": _tips(attribution, scale.signed),
        "groups": {place: own for own in tokens_of_words(attribution) for place in own},
        "ranked_by": caption.kind(attribution),
        "curves": _curves(attribution["trace"]),
        "checked": check_sentence(attribution),
        "settings": json.dumps(facts, indent=2, ensure_ascii=False, default=str),
    }


def _tips(attribution: AttributionDict, signed: bool) -> dict[int, str]:
    """Return the note of each span by its first token; that of a word that was cut up tells its tokens too."""
    unit, names = attribution["method"]["unit"], labels(attribution)
    texts = range(len(segments(attribution)))
    spans = [span for segment in texts for span in shaded(attribution, segment) if span.tokens]
    units = attribution["units"]
    ranks = [own["rank"] for own in units] if units else [own["rank"] for own in attribution["tokens"]]
    ranked = sum(rank is not None for rank in ranks)
    scores = [caption.number(token["score"], signed) for token in attribution["tokens"]]
    parts = {
        span.tokens[0]: f" ({', '.join(f'{one_line(names[place])} {scores[place]}' for place in span.tokens)})"
        for span in spans
        if len(span.tokens) > 1 and not units
    }
    return {
        span.tokens[0]: f"{one_line(span.text)}: {caption.amount(span.score, unit, signed)}"
        f"{'' if span.rank is None else f', rank {span.rank} of {ranked}'}{parts.get(span.tokens[0], '')}"
        for span in spans
    }


def heat_values(attributions: Sequence[AttributionDict]) -> Json:
    """Return what the templates need of one text at several layers."""
    check_same_tokens(attributions)
    return {
        "results": attributions,
        "scale": scale_of_all(attributions),
        "tokens": labels(attributions[0]),
        "summed": all(map(caption.sums, attributions)),
        "carried": all(map(caption.needed, attributions)),
        "rates": _rate_chart({f"layer {caption.layer_name(layer)}": layer["trace"] for layer in attributions}),
    }


def _curves(trace: Sequence[TraceDict]) -> list[Json]:
    if len(trace) < LEAST_POINTS:
        return []
    return [
        _over_steps("cross-entropy (nats)", [entry["cross_entropy"] for entry in trace]),
        _over_steps("information (bits)", [entry["information"] for entry in trace]),
        *_rate_chart({"": trace}),
    ]


def _over_steps(name: str, values: Sequence[float]) -> Json:
    """Return one curve of the trace over its steps, zero at the bottom."""
    top = max((value for value in values if math.isfinite(value)), default=0.0) or 1.0
    steps, (first, last) = len(values) - 1, (caption.number(values[end]) for end in (0, -1))
    points = [(float(step), value) for step, value in enumerate(values) if math.isfinite(value)]
    said = f"{name} over {steps} steps: {first} to {last}"
    return chart([Curve("", points)], Axis("step", 0, steps), Axis(name, 0, top), said)


def _rate_chart(traces: Mapping[str, Sequence[TraceDict]]) -> list[Json]:
    """Return rate-distortion curves on one pair of axes, by name, if any has points enough."""
    return rate_chart({name: p for name, t in traces.items() if len(p := curve_points(t)) >= LEAST_POINTS})


def rate_chart(curves: Mapping[str, Sequence[tuple[float, float]]], dots: bool = False) -> list[Json]:
    """Return one chart of p(target) against the bits that pass, logarithmic; none where all have the same bits."""
    every = [bits for points in curves.values() for bits, _ in points]
    if not every or min(every) == max(every):
        return []
    said = (
        f"{name or 'p(target)'}: {points[0][1]:.3f} at {caption.number(points[0][0])} bits"
        f" to {points[-1][1]:.3f} at {caption.number(points[-1][0])} bits"
        for name, points in curves.items()
    )
    drawn = [Curve(name, own, f"line c{place % COLOURS}", dots) for place, (name, own) in enumerate(curves.items())]
    x = Axis(f"{BITS_THAT_PASS}, logarithmic", min(every), max(every), log=True)
    return [chart(drawn, x, Axis(P_THAT_IS_LEFT, 0, 1), "; ".join(said))]
