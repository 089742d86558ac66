"""What stands around a picture in words and numbers, the same in the terminal, on the page and in figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from narrows.data.schema import AttributionDict
from narrows.viz.spans import content, visible

INFORMATION_UNIT = "information (bits)"
SIGNED_UNIT = "signed information (bits)"
EVIDENCE_UNIT = "evidence for the target (bits)"
EVIDENCE = "evidence"  # the kind of scores that is in bits, but not of information

_BITS = "bits"
_NATS = "nats of log p"
_PROBABILITY = "probability"
_PLAIN = "score"
# What the scores of the methods are; of those that are not listed nothing is known.
_UNITS = {
    "narrows": _BITS,
    EVIDENCE: _BITS,
    "iba": _BITS,
    "iba_released": _BITS,
    "ig": _NATS,
    "layer_ig": _NATS,
    "gradient_x_input": _NATS,
    "gradient_shap": _NATS,
    "occlusion": _PROBABILITY,
    "kernel_shap": _PROBABILITY,
    "lime": "weight",
}
_AT_A_LAYER = ("layer_ig", "update_norm")  # besides those that are in bits


@dataclass(frozen=True)
class Ranked:
    """A word of the table: its score in bits and its share of what all tokens have together (0 to 1)."""

    word: str
    score: float
    share: float


def bits(value: float, signed: bool = False) -> str:
    """Write a number of bits, with as many digits as a reader can use.

    Args:
        value: In bits.
        signed: Whether positive values carry their sign, too.

    Returns:
        The number without its unit.

    Example:
        >>> bits(0.0), bits(0.004), bits(3.14159), bits(31.4159), bits(31415.9), bits(2.5, signed=True)
        ('0', '<0.01', '3.14', '31.4', '31,416', '+2.50')
    """
    if not math.isfinite(value):
        return "not finite"
    size = abs(value)
    if size == 0:
        return "0"
    sign = "-" if value < 0 else "+" if signed else ""
    if size < 0.005:
        return f"{sign}<0.01" if signed else "<0.01"
    digits = 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{sign}{size:,.{digits}f}"


def short_unit(method: str) -> str:
    """Return what the scores of a method are counted in.

    Args:
        method: Its name, with or without options.

    Returns:
        ``bits`` for bottlenecks, ``score`` for a method that is not known.

    Example:
        >>> short_unit("iba:layer=3"), short_unit("lime"), short_unit("of my own")
        ('bits', 'weight', 'score')
    """
    return _UNITS.get(_base(method), _PLAIN)


def kind(attribution: AttributionDict) -> str:
    """Return what tells the unit and the meaning of a result's scores: its method, or ``evidence``."""
    return EVIDENCE if attribution["config"].get("readout") == EVIDENCE else attribution["method"]


def in_bits(method: str) -> bool:
    """Tell whether the scores of a method are bits."""
    return short_unit(method) == _BITS


def is_counted(method: str) -> bool:
    """Tell whether scores are so many of something; weights and mere scores are not."""
    return short_unit(method) in (_BITS, _NATS)


def number(value: float, signed: bool = False, method: str = "narrows") -> str:
    """Write a score without its unit: as `bits` does, and where other units make small numbers, these too.

    Args:
        value: In the unit of the method.
        signed: Whether positive values carry their sign, too.
        method: Whose score it is.

    Returns:
        The number, of at most seven characters where it is below a million.

    Example:
        >>> number(0.004), number(0.0044, method="lime"), number(-0.00002, signed=True, method="lime")
        ('<0.01', '0.0044', '-2e-05')
    """
    size = abs(value)
    if in_bits(method) or not 0 < size < 0.005:
        return bits(value, signed)
    return f"{value:{'+' if signed else ''}{'.4f' if size >= 0.0005 else '.0e'}}"


def amount(value: float, signed: bool = False, method: str = "narrows") -> str:
    """Write a score with its unit.

    Args:
        value: In the unit of the method.
        signed: Whether positive values carry their sign, too.
        method: Whose score it is.

    Returns:
        Number and unit; what is not counted in anything has its name before the number.

    Example:
        >>> amount(3.14159), amount(0.25, signed=True, method="ig"), amount(0.25, method="lime")
        ('3.14 bits', '+0.25 nats of log p', 'weight 0.25')
    """
    written, name = number(value, signed, method), short_unit(method)
    return f"{written} {name}" if is_counted(method) else f"{name} {written}"


def _base(method: str) -> str:
    """Return the name of a method without its options."""
    return method.partition(":")[0]


def percent(share: float) -> str:
    """Return a share between 0 and 1 as a percentage.

    Example:
        >>> percent(0.314), percent(0.0314), percent(0.0)
        ('31%', '3.1%', '0%')
    """
    if share == 0 or not math.isfinite(share):
        return "0%"
    if share < 0.0005:
        return "<0.1%"
    return f"{100 * share:.{1 if share < 0.0995 else 0}f}%"


def place(layer: int) -> str:
    """Return the name of a layer: blocks are counted from 1, and layer 0 is the embeddings."""
    return "layer 0 (the embeddings)" if layer == 0 else f"layer {layer}"


def places(layers: Sequence[int]) -> str:
    """Return the name of several layers.

    Example:
        >>> places([0, 1, 2, 3]), places([3, 6, 9]), places([4])
        ('layers 0 to 3', 'layers 3, 6, 9', 'layer 4')
    """
    if len(layers) == 1:
        return place(layers[0])
    if len(layers) > 2 and list(layers) == list(range(layers[0], layers[0] + len(layers))):
        return f"layers {layers[0]} to {layers[-1]}"
    return f"layers {', '.join(map(str, layers))}"


def where(attribution: AttributionDict) -> str:
    """Return the name of the layer, or of all layers, at which a result was read."""
    return places(attribution.get("layers") or [attribution["layer"]])  # files of earlier versions know one layer


def origin(method: str, where: str) -> str:
    """Return by which method a map was made and, of methods that look at a layer, where.

    Example:
        >>> origin("narrows", "layer 4"), origin("lime", "layer 4")
        ('narrows, layer 4', 'lime')
    """
    return f"{method}, {where}" if in_bits(method) or _base(method) in _AT_A_LAYER else method


def unit(signed: bool, method: str = "narrows") -> str:
    """Return the label of a scale or an axis.

    Example:
        >>> unit(True), unit(True, "lime"), unit(False, "ig"), unit(True, "evidence")
        ('signed information (bits)', 'weight', 'score (nats of log p)', 'evidence for the target (bits)')
    """
    if method == EVIDENCE:
        return EVIDENCE_UNIT
    name = short_unit(method)
    if name == _BITS:
        return SIGNED_UNIT if signed else INFORMATION_UNIT
    return f"{_PLAIN} ({name})" if name in (_NATS, _PROBABILITY) else name


def meaning(signed: bool, method: str = "narrows", probable: bool = True) -> str:
    """Return, in plain words, what the numbers of a method's map mean.

    Args:
        signed: Whether some of them are below 0.
        method: The method, or the kind of its scores.
        probable: Whether the target has a probability: a number, a contrast or a distribution has none.

    Returns:
        Sentences.
    """
    if method == EVIDENCE:
        does, doubling = "raises log2 p(target)", ": one bit doubles the probability"
        if not probable:
            does, doubling = "lowers the loss of the target (1 bit is 0.69 nats)", ""
        return (
            f"A token's evidence is the number of bits by which it {does} as the text takes the place of a typical "
            f"text inside the model{doubling}. A plus speaks for the target, a minus against it."
        )
    if in_bits(method):
        return what_a_bit_is(signed)
    sentence = f"The higher the {_PLAIN}, the more the token speaks for the target, as {method} sees it."
    if signed:
        sentence += " A minus says that it speaks against the target."
    if short_unit(method) not in (_NATS, _PROBABILITY):
        sentence += f" The {_PLAIN}s of different methods or texts cannot be compared."
    return sentence


def what_a_bit_is(signed: bool) -> str:
    """Return, in plain words, what bits mean."""
    sentence = (
        "One bit is the answer to one yes-or-no question. A token's bits are what the prediction still had to be told "
        "about it when as much noise as possible hid the rest; at 0 bits the token could as well be noise."
    )
    if signed:
        sentence += " A plus says that the token speaks for the target, a minus that it speaks against it."
    return sentence


def needed(attribution: AttributionDict) -> str | None:
    """Return the sentence that says how many bits the prediction needed, or how well the evidence adds up.

    Args:
        attribution: A saved result.

    Returns:
        The sentence; None for a method whose scores are no bits.
    """
    if kind(attribution) == EVIDENCE:
        return _walked(attribution["config"])
    if not in_bits(attribution["method"]):
        return None
    used, carried = attribution["total_bits"], attribution["carried_bits"]
    if carried is None:  # a method without a trace does not know
        return f"The prediction needed {bits(used)} bits at {where(attribution)}."
    if used > carried:
        return (
            f"Nothing was narrowed: {bits(used)} bits pass at {where(attribution)}, more than the {bits(carried)} of "
            "the mask it starts from. A larger beta closes it."
        )
    part = f" ({percent(used / carried)})" if used > 0 else ""
    carry = "carry" if len(attribution.get("layers", [])) > 1 else "carries"
    return (
        f"The prediction needed {bits(used)} bits of the {bits(carried)} bits that {where(attribution)} {carry}{part}."
    )


def _walked(config: Mapping[str, Any]) -> str:
    """Return the sentence that says how evidence was read, and whether it adds up."""
    points, rounds = config.get("points", "a few"), config.get("rounds", 1)
    start, end = config.get("stretch", (0, 1))
    whole = (start, end) == (0, 1)
    part = "on" if whole else f"between {start:.0%} and {end:.0%} of"
    measured = f"Measured at {points} point{'' if points == 1 else 's'} {part} the way, per layer"
    if rounds > 1:
        return (
            f"{measured}, in {rounds} rounds: a strong token is closed once it is found, and what the others say "
            "without it decides which comes next; where need be its own number is raised above theirs. So the numbers "
            "rank the tokens, and do not add up."
        )
    return (
        f"{measured}. The more of them, the closer the evidence of all tokens adds up to the whole rise."
        if whole
        else f"{measured}."
    )


def quantity(method: str) -> str:
    """Return what is read off each token, for a heading."""
    return "Evidence" if method == EVIDENCE else "Information" if in_bits(method) else "Score"


def counts_needed(method: str) -> bool:
    """Tell whether the bits of all tokens add up to what the prediction needed."""
    return in_bits(method) and method != EVIDENCE


def truncation(attribution: AttributionDict) -> str | None:
    """Return the sentence that says how many tokens were cut off, or None if none were."""
    count = attribution["truncated"]
    if not count:
        return None
    what = "1 token was" if count == 1 else f"{count:,} tokens were"
    return f"{what} cut off: the text is longer than the model takes, and the map ends where the model stopped reading."


def classes(attribution: AttributionDict, count: int) -> list[tuple[str, float | None]]:
    """Return the most probable labels, the target among them whatever its probability.

    Args:
        attribution: A saved result.
        count: How many labels to return at most, the target not counted.

    Returns:
        Labels and probabilities, most probable first; then what is predicted or explained and has no probability of its
        own: a number, a contrast.
    """
    ranked = sorted(attribution["probabilities"].items(), key=lambda item: -item[1])
    listed = [item for rank, item in enumerate(ranked) if rank < count or item[0] == attribution["target"]]
    others = dict.fromkeys((attribution["predicted"], attribution["target"]))
    return [*listed, *((name, None) for name in others if name not in attribution["probabilities"])]


def probability(attribution: AttributionDict) -> str:
    """Return the probability of the target; of one that has none, a number or a contrast, nothing.

    Args:
        attribution: A saved result.

    Returns:
        "p = 0.986", or the empty string.
    """
    p = attribution["probabilities"].get(attribution["target"])
    return "" if p is None else f"p = {p:.3f}"


def is_probable(attribution: AttributionDict) -> bool:
    """Tell whether the target of a result has a probability of its own."""
    return attribution["target"] in attribution["probabilities"]


def magnitude(attribution: AttributionDict) -> float:
    """Return what all tokens have together, in bits regardless of sign: the whole that shares are shares of."""
    return sum(abs(token["score"]) for token in attribution["tokens"] if math.isfinite(token["score"]))


def strongest(attribution: AttributionDict, count: int) -> list[Ranked]:
    """Rank the words of a result, or its tokens where it holds no words.

    Args:
        attribution: A saved result.
        count: How many to return at most.

    Returns:
        The strongest first, whatever their sign; those without any information are left out.
    """
    rows: Sequence[tuple[str, float]] = [(word["word"], word["score"]) for word in attribution["words"]]
    if not rows:
        rows = [(span.text, span.score) for span in content(attribution)]
    whole = magnitude(attribution)
    informative = [row for row in rows if math.isfinite(row[1]) and row[1] != 0]
    ranked = sorted(informative, key=lambda row: -abs(row[1]))[:count]
    return [
        Ranked(" ".join(visible(word).split()), score, abs(score) / whole if whole else 0.0) for word, score in ranked
    ]
