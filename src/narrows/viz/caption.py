"""The words and numbers around a picture, the same in all of them; they come from the record of the method alone."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from narrows.data.labels import name_label
from narrows.data.schema import AttributionDict
from narrows.viz.spans import Span, content, labels, one_line, read_at, tokens_of_words, unplaced, visible

LITTLE = 0.1  # bits of evidence: where no token has more, the odds move by less than a tenth

_NAMES = ("probability", "weight", "score")  # units that are no amounts: the name stands before the number


@dataclass(frozen=True)
class Ranked:
    """A row of the table of words."""

    word: str
    score: float
    rank: int | None
    share: float | None  # of all scores regardless of sign, 0 to 1; None where scores do not add up
    tokens: tuple[int, ...] = ()  # their positions
    other: bool = False  # a special token, or the sum of the words that are not listed


@dataclass(frozen=True)
class Label:
    """A row of the table of labels."""

    name: str
    p: float | None
    role: str  # "predicted", "target", "gold", several of them, or empty
    typical: float | None  # p(target) of a typical text
    key: str  # the label as the record has it


def number(value: float, signed: bool = False) -> str:
    """Write a score without its unit, with at least two significant digits; positive ones get a plus if signed."""
    size, sign = abs(value), "+" if signed else ""
    if not math.isfinite(value) or not size:
        return "not finite" if size else "0"
    if size < 0.000995:
        mantissa, _, exponent = f"{value:{sign}.{1 if size >= 1e-9 else 0}e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    digits = next(n for limit, n in ((0.00995, 4), (0.0995, 3), (9.995, 2), (99.95, 1), (math.inf, 0)) if size < limit)
    return f"{value:{sign},.{digits}f}"


def amount(value: float, unit: str, signed: bool = False) -> str:
    """Write a score with its unit: "3.14 bits", "weight 0.25"."""
    written = number(value, signed)
    return f"{unit} {written}" if unit in _NAMES else f"{written} {unit}"


def percent(share: float) -> str:
    """Return a share between 0 and 1 as a percentage: "31%", "3.1%"."""
    if share < 0.0005 or not math.isfinite(share):
        return "<0.1%" if 0 < share < 1 else "0%"
    return f"{100 * share:.{1 if share < 0.0995 else 0}f}%"


def places(layers: Sequence[int]) -> str:
    """Return the name of several layers: "layers 0 to 3", "layers 3, 6, 9", "layer 4"; 0 is the embeddings."""
    if len(layers) == 1:
        return f"layer {layers[0]}" if layers[0] else "layer 0 (the embeddings)"
    if len(layers) > 2 and list(layers) == list(range(layers[0], layers[0] + len(layers))):
        return f"layers {layers[0]} to {layers[-1]}"
    return f"layers {', '.join(map(str, layers))}"


def layer_name(attribution: AttributionDict) -> str:
    """Return the layers of a result, for the head of a column: "4", "1, 3, 5", or "-"."""
    return ", ".join(map(str, attribution["layers"] or ())) or "-"


def layers_of(attributions: Sequence[AttributionDict]) -> str:
    """Return the name of the layers of all results, empty if no method looks at one."""
    found = dict.fromkeys(layer for result in attributions for layer in result["layers"] or ())
    return places(list(found)) if found else ""


def origin(*attributions: AttributionDict) -> str:
    """Return by which method maps were made and, of methods that look at a layer, where."""
    label, where = attributions[0]["method"]["label"], layers_of(attributions)
    if where:  # the setting says the same
        label = f"{re.sub(r', layer [0-9]+(,[0-9]+)*(?=, |$)', '', label)}, {where}"
    return label


def quantity(attribution: AttributionDict) -> str:
    """Return the label of a scale or an axis: "evidence (bits)", "score (nats of log p)", "weight"."""
    name, unit = attribution["method"]["quantity"], attribution["method"]["unit"]
    return unit if name == "score" and unit in ("weight", "score") else f"{name} ({unit})"


def notes(attribution: AttributionDict) -> list[str]:
    """Return what a reader of a map has to know before it: that it explains little, and what the model did not read."""
    found = little(attribution)
    return [*([found] if found else []), *unread(attribution)]


def unread(attribution: AttributionDict) -> list[str]:
    """Return the sentences that say what of the text the model did not read, none if it read all."""
    return [said for said in (_truncation(attribution), _unknown(attribution)) if said]


def _truncation(attribution: AttributionDict) -> str | None:
    """Say how many tokens were cut off, or None if none were."""
    count = attribution["truncated"]
    what = "1 token was" if count == 1 else f"{count:,} tokens were"
    said = f"{what} cut off: the text is longer than the model takes, and the map ends where the model stopped reading."
    return said if count else None


def _unknown(attribution: AttributionDict) -> str | None:
    """Say how many tokens the model's vocabulary lacks, or None if it lacks none."""
    count, read = attribution["record"].get("unknown", 0), sum(not token["special"] for token in attribution["tokens"])
    said = f"{count:,} of {read:,} tokens stand for what the model's vocabulary lacks: it cannot read what is there."
    return said if count else None


def explains_little(attribution: AttributionDict) -> bool:
    """Tell whether no token of the text has evidence worth a colour."""
    # That a typical text has the same p(target) already is no such sign: removing what such maps rank first costs as
    # much as elsewhere (docs/explanation/numbers.md).
    own = [abs(token["score"]) for token in attribution["tokens"] if not token["special"]]
    return attribution["method"]["quantity"] == "evidence" and max(own, default=0.0) < LITTLE


def little(attribution: AttributionDict) -> str | None:
    """Return the sentence of a map that explains little, or None."""
    if not explains_little(attribution):
        return None
    return f"No token of this text has {LITTLE} bits of evidence, so the map has little to explain."


def missed(attribution: AttributionDict) -> str | None:
    """Return by how much additive scores miss the rise from a typical text to this one, or None."""
    rise, unit = attribution["rise"], attribution["method"]["unit"]
    if not attribution["method"]["additive"] or rise is None:
        return None
    return f"The scores miss the rise of {amount(rise, unit)} by {amount(abs(rise - total(attribution)), unit)}."


def needed(attribution: AttributionDict) -> str | None:
    """Return how much information the prediction needed of what the layer carries; None for other quantities."""
    if attribution["method"]["quantity"] != "information" or not attribution["trace"]:
        return None
    used = sum(abs(token["score"]) for token in attribution["tokens"] if math.isfinite(token["score"]))
    carried = attribution["trace"][0]["information"]
    where, unit = layers_of([attribution]) or "the layer", attribution["method"]["unit"]
    if used > carried:
        return (
            f"Nothing was narrowed: {amount(used, unit)} pass at {where}, more than the {amount(carried, unit)} of the "
            "open mask. A larger beta removes more."
        )
    part = f" ({percent(used / carried)})" if used > 0 else ""
    verb = "carry" if len(attribution["layers"] or ()) > 1 else "carries"
    return f"The prediction needed {amount(used, unit)} of the {amount(carried, unit)} that {where} {verb}{part}."


def sentences(attribution: AttributionDict) -> list[str]:
    """Return what stands below the picture of a result: the method's own sentence, then what the numbers add up to."""
    own = visible(attribution["method"]["caption"])
    summed = f"The score of a {kind(attribution)} is the sum over its tokens." if attribution["units"] else None
    further = (summed, read_apart(attribution), missed(attribution), needed(attribution), calibrated(attribution))
    return [sentence for sentence in (own, *further) if sentence]


def calibrated(attribution: AttributionDict) -> str | None:
    """Return what such maps were worth on texts of the user's own, or None where that was not measured."""
    if (found := attribution["record"].get("calibration")) is None:
        return None
    own, *others = found["drops"].items()
    beside = ", ".join(f"{name} {mean:.2f}" for name, (mean, *_) in others)
    texts = f"On {found['texts']:,} of your own texts"
    return f"{texts}, removing the ninth that such maps rank first costs p {own[1][0]:.2f} on average ({beside})."


def trust(attribution: AttributionDict) -> str:
    """Say what such maps are worth on texts of the user's own, or that nobody measured it."""
    unknown = "Not calibrated: what such maps are worth on your own texts was not measured (narrows calibrate does)."
    return doubtful(attribution) or calibrated(attribution) or unknown


def doubtful(attribution: AttributionDict) -> str | None:
    """Return the warning that such maps were no better than chance on texts of the user's own, or None."""
    found = attribution["record"].get("calibration")
    if found is None or found["above_chance"][1] > 0:
        return None
    mean, low, high = found["above_chance"]
    texts = f"On {found['texts']:,} of your own texts such maps were no better than chance"
    more = f"p changes by {mean:+.2f} more than with random tokens, 95 % interval {low:+.2f} to {high:+.2f}"
    return f"{texts} ({more}). Do not rely on this map."


def read_apart(attribution: AttributionDict) -> str | None:
    """Return what it costs to leave out the token at which a decoder's answer is read; None if it is like any other."""
    if (place := read_at(attribution)) is None:
        return None
    name, token = one_line(labels(attribution)[place]), attribution["tokens"][place]
    lost = amount(token["score"], attribution["method"]["unit"], attribution["method"]["signed"])
    return f"The answer is read at {name!r}. Without this token it loses {lost}, which is left out of scale and table."


def target_name(attribution: AttributionDict) -> str:
    """Return the target as pictures name it: a label, or text and ids, "' Paris' (id 7042)"."""
    tokens = attribution["record"].get("target_tokens")
    return " rather than ".join(map(_spelled, tokens)) if tokens else attribution["target"]


def label_name(attribution: AttributionDict, name: str) -> str:
    """Return a label as pictures name it; what a language model could say stands in quotes, for it may be a space."""
    if name == attribution["target"]:
        return target_name(attribution)
    return name if attribution["record"].get("target_tokens") is None else repr(name)


def _spelled(tokens: Mapping[str, Any]) -> str:
    ids = tokens["ids"]
    return f"{tokens['text']!r} ({'id' if len(ids) == 1 else 'ids'} {', '.join(map(str, ids))})"


def classes(attribution: AttributionDict, count: int) -> tuple[list[Label], int]:
    """Return the `count` most probable labels, always with target and gold, and how many labels are left out."""
    target, predicted, every = attribution["target"], attribution["predicted"], attribution["probabilities"]
    gold = name_label(attribution["gold"], list(every))
    ranked = sorted(every, key=lambda name: -every[name])
    names = [name for rank, name in enumerate(ranked) if rank < count or name in (target, gold)]
    hidden = len(every) - len(names)
    names += [name for name in dict.fromkeys((predicted, target)) if name not in every]
    holders = (("predicted", predicted), ("target", target), ("gold", gold))
    roles = {name: ", ".join(role for role, holder in holders if holder == name) for name in names}
    typical = {target: attribution["typical"]} if target in every else {}
    shown = ((label_name(attribution, name), every.get(name), roles[name], typical.get(name), name) for name in names)
    return [Label(*label) for label in shown], hidden


def probability(attribution: AttributionDict) -> str:
    """Return "p = 0.986, a typical text 0.41", without what is not known; empty for a number or a contrast."""
    return chance(attribution["probabilities"].get(attribution["target"]), attribution["typical"])


def chance(p: float | None, typical: float | None) -> str:
    """Write a probability beside that of a typical text."""
    beside = "" if typical is None else f", a typical text {typical:.2f}"
    return "" if p is None else f"p = {p:.3f}{beside}"


def heading(attribution: AttributionDict) -> str:
    """Return what a map is of, on one line: the target with its probability, and the method."""
    p = probability(attribution)
    return f"{target_name(attribution)}{p and f' ({p})'}, {origin(attribution)}"


def total(attribution: AttributionDict) -> float:
    """Return the sum of the scores of all tokens, special ones included."""
    return sum(token["score"] for token in attribution["tokens"] if math.isfinite(token["score"]))


def sums(attribution: AttributionDict) -> bool:
    """Tell whether the sum of all tokens means something: what adds up, and information."""
    return attribution["method"]["additive"] or attribution["method"]["quantity"] == "information"


def kind(attribution: AttributionDict) -> str:
    """Name what the table of the strongest lists: units, by their kind, else words, else tokens."""
    if attribution["units"]:
        return visible(str(attribution["record"].get("unit_of", "span")))
    return "word" if attribution["words"] else "token"


def strongest(attribution: AttributionDict, count: int) -> list[Ranked]:
    """Rank the units of a result, else its words, else its tokens, the strongest first whatever their sign."""
    # Where scores add up, the sum of the words that are not listed and the special tokens follow, so that shares add up
    # to 1. Words without any score are left out.
    spans, additive = content(attribution), attribution["method"]["additive"]
    context: list[Span] = []  # tokens outside of all units
    named = zip(attribution["words"], tokens_of_words(attribution), strict=True)
    words = [Span(word["word"], own, word["score"], word["rank"]) for word, own in named] or spans
    if units := attribution["units"]:
        words = [Span(unit["text"], tuple(unit["tokens"]), unit["score"], unit["rank"]) for unit in units]
        context = [span for span in spans if span.rank is None and math.isfinite(span.score)]
    known = [word for word in words if math.isfinite(word.score) and word.score != 0]
    ranked = sorted(known, key=lambda word: -abs(word.score))
    if (place := read_at(attribution)) is not None and not attribution["units"]:
        last = attribution["tokens"][place]["rank"]  # the other ranks begin after it, or go around it
        ranked = [word for word in ranked if word.rank != last] or ranked
    special = [span for span in unplaced(attribution) if math.isfinite(span.score)] if additive else []
    whole = sum(abs(each.score) for each in (*ranked, *context, *special))

    def row(span: Span, size: float, other: bool = False) -> Ranked:
        share = (size / whole if whole else 0.0) if additive else None
        return Ranked(one_line(span.text), span.score, span.rank, share, span.tokens, other)

    found = [row(word, abs(word.score)) for word in ranked[:count]]
    if additive and (rest := [word.score for word in ranked[count:]]):
        found.append(row(Span(f"{len(rest)} more", (), sum(rest)), sum(map(abs, rest)), True))
    if additive and context:
        outside = Span("outside of them", (), sum(span.score for span in context))
        found.append(row(outside, sum(abs(span.score) for span in context), True))
    return [*found, *(row(span, abs(span.score), True) for span in special)]
