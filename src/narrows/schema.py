"""The saved form of a result: what ``--json`` prints, `Attribution.to_dict` returns and the pictures are made of.

Pictures are drawn from this form alone, so that a file that was saved a year ago can still be looked at.
"""

from __future__ import annotations

from typing import Any, TypedDict


class TokenDict(TypedDict):
    """One token; ``start`` and ``end`` are offsets into the text of its ``segment``, None for a special token."""

    token: str
    start: int | None
    end: int | None
    segment: int | None  # 0 = text, 1 = text_pair, None = a special token
    special: bool
    bits: float  # information, >= 0
    score: float  # what the readout gives: equal to bits, or signed


class WordDict(TypedDict):
    """One word: the tokens that the tokenizer made of it, summed."""

    word: str
    start: int
    end: int
    segment: int
    bits: float
    score: float


class TraceDict(TypedDict):
    """One step of the optimisation, as it stood before that step's update; the last entry stands after all updates."""

    step: int
    cross_entropy: float  # nats, mean over the noise copies
    information: float  # bits, summed over the tokens


class AttributionDict(TypedDict):
    """One explained text."""

    text: str
    text_pair: str | None
    tokens: list[TokenDict]
    words: list[WordDict]
    target: str
    predicted: str
    probabilities: dict[str, float]
    layer: int
    total_bits: float  # what the prediction needed: the sum of bits over all tokens
    carried_bits: float | None  # what the layer carries through the open mask; None for methods without one
    truncated: int  # tokens cut off because the text is longer than the model takes
    method: str
    config: dict[str, Any]
    trace: list[TraceDict]
    narrows_version: str
