"""Explained texts in their saved form, made up: one by hand, any by hypothesis."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

from narrows.data.schema import AttributionDict, MethodDict, TokenDict
from narrows.data.words import make_words

METHOD: MethodDict = {
    "name": "fast",
    "settings": {"layer": [1, 3], "steps": 3},
    "label": "Evidence",
    "quantity": "evidence",
    "unit": "bits",
    "signed": True,
    "additive": False,
    "caption": "Dark tokens speak for the target.",
    "how": "",
}


def saved_map(text: str, text_pair: str | None, tokens: list[TokenDict], **others: object) -> AttributionDict:
    """A record of these tokens; everything else is fixed unless given."""
    record = {
        "text": text,
        "text_pair": text_pair,
        "id": "r1",
        "gold": "positive",
        "tokens": tokens,
        "words": make_words(text, text_pair, tokens),
        "units": None,
        "check": None,
        "unit": "bits",
        "signed": True,
        "additive": False,
        "target": "positive",
        "predicted": "positive",
        "probabilities": {"negative": 0.25, "positive": 0.75},
        "layers": [1, 3],
        "method": METHOD,
        "typical": 0.5,
        "rise": None,
        "truncated": 0,
        "trace": [{"step": 0, "cross_entropy": 0.5, "information": 9.0, "error": 0.125}],
        "model": "tiny",
        "prior": "corpus 1234",
        "record": {"blocks": 6, "dtype": "float32", "beta": 0.5},
        "narrows_version": "0",
    }
    return {**record, **others}  # type: ignore[return-value, typeddict-item]


def token(token: str, start: int, end: int, score: float, rank: int, segment: int = 0) -> TokenDict:
    return {
        "token": token,
        "start": start,
        "end": end,
        "segment": segment,
        "special": False,
        "score": score,
        "rank": rank,
    }


def special(token: str) -> TokenDict:
    return {
        "token": token,
        "start": None,
        "end": None,
        "segment": None,
        "special": True,
        "score": 0.0,
        "rank": None,
    }


GOOD = saved_map("good film", None, [special("[CLS]"), token("good", 0, 4, -1.5, 1), token("film", 5, 9, 0.25, 2)])

CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXTS = st.text(CHARACTERS, min_size=1, max_size=20).filter(str.strip)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SETTINGS = st.dictionaries(st.text(CHARACTERS), st.none() | st.booleans() | st.integers() | NUMBERS | TEXTS, max_size=3)
CHECKS = st.fixed_dictionaries(
    {
        "odds": st.booleans(),
        "unit_of": TEXTS,
        "removed": st.lists(TEXTS, max_size=3),
        "whole": NUMBERS,
        "without": st.lists(NUMBERS, max_size=3),
        "masked": st.none() | st.lists(NUMBERS, max_size=3),
        "chance": st.lists(NUMBERS, max_size=3),
        "other": st.none() | TEXTS,
        "without_other": st.none() | NUMBERS,
        "flip": st.none() | st.integers(1, 9),
        "decision": st.none() | TEXTS,
        "needed": st.lists(TEXTS, max_size=3),
    }
)


@st.composite
def saved_maps(draw: st.DrawFn) -> AttributionDict:
    """Any record: any scripts, pairs, special tokens anywhere, nothing where nothing may be."""
    texts = [draw(TEXTS), draw(st.none() | TEXTS)]
    tokens: list[TokenDict] = []
    for segment, text in enumerate(texts):
        cuts = sorted(draw(st.sets(st.integers(0, len(text or "")), max_size=6)))
        spans = list(pairwise(cuts))
        tokens += [token((text or "")[a:b], a, b, draw(NUMBERS), 0, segment) for a, b in spans]
        if draw(st.booleans()):
            tokens.insert(0, special("[CLS]"))
    content = [place for place, own in enumerate(tokens) if not own["special"]]
    for rank, place in enumerate(draw(st.permutations(content)), start=1):
        tokens[place]["rank"] = rank
    points = draw(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=3))
    own = draw(st.fixed_dictionaries({}, optional={"beta": NUMBERS, "windows": st.integers(0, 9)}))
    return saved_map(
        *texts,  # type: ignore[arg-type]
        tokens,
        probabilities=draw(st.dictionaries(TEXTS, NUMBERS, max_size=3)),
        layers=draw(st.none() | st.lists(st.integers(0, 99), max_size=3)),
        typical=draw(st.none() | NUMBERS),
        rise=draw(st.none() | NUMBERS),
        prior=draw(st.none() | TEXTS),
        id=draw(st.none() | TEXTS),
        gold=draw(st.none() | TEXTS),
        check=draw(st.none() | CHECKS),
        signed=draw(st.booleans()),
        record=draw(SETTINGS) | own,
        method={**METHOD, "settings": draw(SETTINGS)},
        trace=[{"step": i, "cross_entropy": a, "information": b, "error": c} for i, (a, b, c) in enumerate(points)],
    )
