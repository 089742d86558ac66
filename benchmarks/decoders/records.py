"""A prompt and what is known of it, and how texts are put together so that it is known where their parts stand."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from string import Formatter
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Prompt:
    """A prompt and what is known of it.

    Attributes:
        id: Kind, split, form and number.
        kind: A key of `prompts.DECIDES`.
        split: "train", for choices, or "test", for reports.
        prompt: The text.
        answer: What follows, with its space in front.
        distractor: What might follow and must not, likewise.
        spans: By role, the characters of the prompt that decide.
        units: The characters of each sentence, for needles and contexts.
        unit: Which of them decides.
    """

    id: str
    kind: str
    split: str
    prompt: str
    answer: str
    distractor: str
    spans: dict[str, Span] = field(default_factory=dict)
    units: tuple[Span, ...] = ()
    unit: int | None = None


def fill(template: str, values: Mapping[str, str]) -> tuple[str, dict[str, Span]]:
    """Fill in a template; give the text, and where in it each value stands."""
    text, spans = "", {}
    for literal, name, _, _ in Formatter().parse(template):
        text += literal
        if name is not None:
            spans[name] = (len(text), len(text) + len(values[name]))
            text += values[name]
    return text, spans


def shift(span: Span, by: int) -> Span:
    """Move a span."""
    return span[0] + by, span[1] + by


def join(parts: Sequence[str]) -> tuple[str, tuple[Span, ...]]:
    """Join sentences with spaces; give the text, and the span of each."""
    starts = accumulate((len(part) + 1 for part in parts[:-1]), initial=0)
    return " ".join(parts), tuple((start, start + len(part)) for start, part in zip(starts, parts, strict=True))


def ask(lead: str, facts: str, question: str, key: str) -> tuple[str, int, Span]:
    """Put a question behind facts; give the prompt, where the facts begin, and where the question's {key} stands.

    Within a sentence, a question begins with a small letter, unless its first word is the key.
    """
    within = question if question.startswith("{") else question[0].lower() + question[1:]
    before, _, after = lead.partition("{facts}")
    head = f"{before}{facts}{after.partition('{q')[0]}"
    asked, spans = fill(question if "{quoted}" in lead else within, {"key": key})
    return head + asked, len(before), shift(spans["key"], len(head))


def numbers(draw: random.Random, count: int) -> list[str]:
    """Draw numbers of three digits, no two of which begin alike: many tokenizers split numbers into digits."""
    return [f"{first}{draw.randrange(100):02d}" for first in draw.sample(range(1, 10), count)]
