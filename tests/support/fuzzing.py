"""What the fuzz tests share: how many cases, hostile texts and inputs, tiny explainers, and what an error may be."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase

import tiny
from narrows import Explainer
from narrows.errors import NarrowsError, NarrowsWarning
from narrows.models.heads.target import Answer, Blank, Contrast, Distribution, Tag

F = TypeVar("F", bound=Callable[..., Any])
TIMES = int(os.environ.get("NARROWS_FUZZ", "0"))  # 0 = in the suite: few cases, always the same
MODELS = ("bert", "gpt2", "roberta")


def share(count: int) -> Callable[[F], F]:
    """Give a property its share of the 200 cases; what fails is kept in out/fuzz and tried first the next time."""
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    options: dict[str, Any] = {"deadline": 120_000, "suppress_health_check": checks, "print_blob": True}
    if not TIMES:
        return settings(max_examples=count, derandomize=True, **options)
    kept = DirectoryBasedExampleDatabase("out/fuzz/examples")
    return settings(max_examples=count * TIMES, derandomize=False, database=kept, **options)


@cache
def explainer(family: str, method: str = "fast") -> Explainer:
    """One tiny model of a family, at most 64 tokens."""
    return Explainer(*tiny.classifier(family), method=method, prior="instance")


def tried(function: Callable[[], Any]) -> Any:
    """Call a function: its result, or the one-line error that it raised; anything else that it raises is a fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NarrowsWarning)
        try:
            return function()
        except NarrowsError as error:
            return one_line(error)


def one_line(error: NarrowsError) -> NarrowsError:
    assert str(error).strip()
    assert len(str(error).splitlines()) == 1, repr(str(error))
    return error


WORDS = ("a", "good", "film", "not", "bad", "the acting", "it's", "superb!", "ünïcödé", "映画", "👩‍👩‍👧", "e\u0301")
NASTY = ("\x00", "\x1b[31m", "\u202e", "\ufeff", "\u200b", "\u2028", "\x85", "\r\n", "\ud83d", "[red]", "[/red]")
NASTY += ("[CLS]", "[SEP]", "[MASK]", "<mask>", "<|endoftext|>", "{{7*7}}", "$x^", "\\input{x}", "%", "</s>", '"', ",")
ANY = st.text(st.characters(), max_size=40)  # surrogates among them
MIXED = st.lists(st.sampled_from((*WORDS, *NASTY, " ", "\t")), max_size=12).map(" ".join)
LONG = st.tuples(st.one_of(ANY, MIXED), st.integers(2, 400)).map(lambda made: made[0] * made[1])
TEXTS = st.one_of(ANY, MIXED, st.sampled_from(WORDS), LONG)

COLUMNS = st.sampled_from(("text", "text_pair", "label", "premise", "hypothesis", "sentence", "question", "x", ""))
NUMBERS = st.one_of(st.integers(-3, 5), st.integers(), st.floats(), st.booleans())
SCALARS = st.one_of(TEXTS, st.none(), NUMBERS, st.binary(max_size=5), st.just(np.str_("good")), st.just(np.int64(1)))
ROWS = st.one_of(
    TEXTS,
    st.tuples(TEXTS, TEXTS),
    st.fixed_dictionaries({"text": TEXTS}, optional={"text_pair": TEXTS, "label": SCALARS}),
)
THINGS = st.recursive(
    st.one_of(SCALARS, ROWS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(iter),
        st.lists(inner, max_size=3).map(lambda items: np.array([str(item) for item in items], dtype=object)),
        st.dictionaries(st.one_of(COLUMNS, NUMBERS), inner, max_size=3),
    ),
    max_leaves=6,
)
CHOICES = st.one_of(st.none(), st.sampled_from(("negative", "neutral", "positive", "gold")), st.integers(0, 2))
TARGETS = st.one_of(
    CHOICES,
    SCALARS,
    st.builds(Contrast, SCALARS, SCALARS),
    st.builds(Contrast, CHOICES, CHOICES),
    st.builds(Distribution),
    st.builds(Tag, SCALARS, SCALARS),
    st.builds(Answer, NUMBERS, NUMBERS),
    st.builds(Blank, NUMBERS, SCALARS),
    st.lists(st.one_of(CHOICES, SCALARS), max_size=3),
    st.dictionaries(TEXTS, NUMBERS, max_size=2),
)
