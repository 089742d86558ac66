"""What to explain, where a label's name is not enough: plain descriptions, which `narrows.models` turns into losses."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Contrast:
    """Why this rather than that: -log p(label) given that it is one of the two.

    Attributes:
        label: What is explained, by name or index.
        other: What it is held against.
    """

    label: str | int
    other: str | int


@dataclass(frozen=True)
class Distribution:
    """Everything that the model says: the divergence of what it says behind the bottleneck from what it says itself."""


Choice = str | int | None | Contrast | Distribution  # one of several; None is the predicted one


@dataclass(frozen=True)
class Tag:
    """One word's tag, for models that tag every token; of a word of several tokens the first one counts.

    Attributes:
        word: The word as it stands in the text, or its number from 0 where it stands there several times.
        label: Which tag; None = the predicted one.
    """

    word: str | int
    label: Choice = None


@dataclass(frozen=True)
class Answer:
    """An answer in the second text, for models that answer questions: offsets of its characters.

    Attributes:
        start: Offset of the first one.
        end: Offset after the last one.
    """

    start: int
    end: int


@dataclass(frozen=True)
class Blank:
    """What fills a mask token of the text, for masked language models.

    Attributes:
        index: Which mask token, from 0.
        word: The filling, one token; None = the predicted one.
    """

    index: int = 0
    word: Choice = None


# What to explain of one text; a string is a label, an answer, a filling or a continuation, as the model has it.
Target = Choice | Tag | Answer | Blank
