"""What to explain, where a label's name is not enough: plain descriptions, which `narrows.models` turns into losses."""

import operator
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, fields
from typing import Any

from narrows.data.example import plain
from narrows.data.source import listed
from narrows.errors import InputError


def as_plain(value: Any) -> Any:
    """Turn numbers, names and arrays of other libraries (numpy, torch, pandas) into Python's own; leave the rest."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (list, tuple)):
        return type(value)(map(as_plain, value)) if type(value) in (list, tuple) else value
    if callable(getattr(value, "tolist", None)):  # a single boolean is no index, though some libraries take it as one
        return value.tolist()
    try:
        return value if isinstance(value, int) else operator.index(value)
    except TypeError:
        return value


class _Described:
    """A description whose fields may come from other libraries."""

    def __post_init__(self) -> None:
        described: Any = self
        for field in fields(described):
            object.__setattr__(self, field.name, as_plain(getattr(self, field.name)))


@dataclass(frozen=True)
class Contrast(_Described):
    """Why this rather than that: -log p(label) given that it is one of the two.

    Of a causal language model the two may be continuations of several tokens, as text. Their log-odds are
    log2 p(label) - log2 p(other), in bits, where p is the product of the probabilities of all tokens. Each continuation
    is explained by its log p, in a pass of its own, and the maps are subtracted, token by token; a continuation's own
    first tokens, which the model reads for the later ones, count for label and against other. What adds up does so for
    the difference too.

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
class Tag(_Described):
    """One word's tag, for models that tag every token; of a word of several tokens the first one counts.

    Attributes:
        word: The word as it stands in the text, or its number from 0 where it stands there several times.
        label: Which tag; None = the predicted one.
    """

    word: str | int
    label: Choice = None


@dataclass(frozen=True)
class Answer(_Described):
    """An answer in the second text, for models that answer questions: offsets of its characters.

    Attributes:
        start: Offset of the first one.
        end: Offset after the last one.
    """

    start: int
    end: int


@dataclass(frozen=True)
class Blank(_Described):
    """What fills a mask token of the text, for masked language models.

    Attributes:
        index: Which mask token, from 0.
        word: The filling, one token; None = the predicted one.
    """

    index: int = 0
    word: Choice = None


# What to explain of one text; a string is a label, an answer, a filling or a continuation, as the model has it; token
# ids are a continuation.
Target = Choice | Tag | Answer | Blank | Sequence[int]


def list_targets(target: Any) -> list[Target] | None:
    """List the targets of several texts, in a list, a column of a table, an array or a tensor; None for one target."""
    if isinstance(target, (set, frozenset)):
        raise InputError(f"{type(target).__name__}: which target is for which text cannot be told: give a list")
    if isinstance(target, (list, tuple)):
        return list(as_plain(target))
    alone = isinstance(target, (str, bytes, Mapping)) or getattr(target, "ndim", None) == 0
    if alone or not (isinstance(target, Iterable) and isinstance(target, Sized)):
        return None
    found = listed(target)
    if None in found:  # in a list it asks for the predicted class; in a column it is a gap
        raise InputError(f"target[{found.index(None)}] is missing")
    return [plain(value) for value in found]
