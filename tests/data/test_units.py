"""Units: every token in at most one, sentences that lose no character, spans that are refused when they are wrong."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from narrows.data.example import Example
from narrows.data.units import by_unit, find_places, find_units, group_by_places, read_places, sentences
from narrows.data.words import find_words, trim_span
from narrows.errors import DependencyError, InputError
from narrows.models.text.encoding import Encoding, encode
from saved_maps import special, token

TOKENIZERS = {
    "wordpiece": tiny.wordpiece_tokenizer(),
    "bytes": tiny.byte_tokenizer(roberta=False),
    "pieces": tiny.piece_tokenizer(),
}
HOSTILE = (
    'aB .!?\n\r\t"()\u3002\u201c\u201d\u2026\u200b\u0301\U0001f600\u200d\U0001f468\U0001f1e9\U0001f1ea1-\u00a0\ufeff'
)
TEXTS = st.one_of(st.text(alphabet=HOSTILE, max_size=40), st.text(max_size=40)).filter(lambda text: text.strip())


def encoded(tokenizer: str, text: str, pair: str | None = None) -> Encoding:
    return encode(TOKENIZERS[tokenizer], Example(text, pair), None)


def groups_of(encoding: Encoding, texts: tuple[str, str | None], places: Any) -> list[tuple[int, ...]]:
    return group_by_places(texts, encoding.offsets, encoding.segments, places)


# Sentences.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Smith went to Washington, D.C. on Jan. 5th. He slept.", 2),
        ('He said: "Stop. Now!" Then he left.', 2),
        ("One paragraph\n\nAnother one. And more", 3),
        ("\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002\u6211\u4eec\u53bb\u516c\u56ed\u5427\uff01", 2),
        ("\u0928\u092e\u0938\u094d\u0924\u0947\u0964 \u0920\u0940\u0915\u0964", 2),
        ("Wow \U0001f600! Really?! \U0001f468\u200d\U0001f469\u200d\U0001f467 Yes.", 3),
        ("It cost $5.00, i.e. v1.2.3 at www.example.com. OK.", 2),
        ("Question: Where?\nAnswer:", 2),
        ("no stop at all", 1),
        (" \u200b ", 0),
    ],
)
def test_sentences_are_those_that_a_reader_sees(text: str, expected: int) -> None:
    assert len(sentences(text)) == expected


@given(text=st.one_of(st.text(alphabet=HOSTILE, max_size=60), st.text(max_size=60)))
def test_sentences_are_in_order_and_cover_whatever_is_visible(text: str) -> None:
    found = sentences(text)
    assert all(start < end for start, end in found)
    assert all(one[1] <= other[0] for one, other in pairwise(found))
    for at in range(len(text)):
        if not any(start <= at < end for start, end in found):
            assert text[at].isspace() or not trim_span(text, at, at + 1)[0] < trim_span(text, at, at + 1)[1]
    assert all(text[start:end] == text[start:end].strip() for start, end in found)


@given(before=st.text(alphabet=HOSTILE, max_size=20), text=st.text(alphabet=HOSTILE, max_size=40))
def test_sentences_of_a_part_are_those_of_the_part_alone(before: str, text: str) -> None:
    shift = len(before)
    inside = sentences(before + text + before, shift, shift + len(text))
    assert all(shift <= start < end <= shift + len(text) for start, end in inside)
    assert [(before + text + before)[start:end] for start, end in inside] == [text[s:e] for s, e in sentences(text)]


def test_without_the_package_an_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentencex", None)
    with pytest.raises(DependencyError, match=r"narrows\[units\]"):
        sentences("a")


# From spans to tokens.


@st.composite
def spans_of(draw: st.DrawFn, text: str) -> list[tuple[int, int]]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [(one, other) for one, other in zip(cuts[::2], cuts[1::2], strict=False)]


@pytest.mark.parametrize("tokenizer", sorted(TOKENIZERS))
@given(data=st.data(), text=TEXTS)
def test_a_token_is_in_the_span_that_holds_its_first_visible_character(
    tokenizer: str, data: st.DataObject, text: str
) -> None:
    try:
        encoding = encoded(tokenizer, text)
    except InputError:
        return  # the tokenizer finds nothing in it
    spans = data.draw(spans_of(text))
    groups = groups_of(encoding, (text, None), read_places(spans, (text, None)))
    assert len(groups) == len(spans)
    assert len({place for group in groups for place in group}) == sum(map(len, groups))
    assert all(list(group) == sorted(group) for group in groups)
    for position, offset in enumerate(encoding.offsets):
        owners = [number for number, group in enumerate(groups) if position in group]
        if offset is None:
            assert owners == []
            continue
        first, last = trim_span(text, *offset)
        at = first if first < last else offset[0]
        holding = [number for number, (start, end) in enumerate(spans) if start <= at < end]
        if holding or first < last:
            assert owners == holding


def test_white_space_between_units_goes_with_the_token_that_follows() -> None:
    text = "a b\n\nc d"
    encoding = encoded("bytes", text)  # one token for each byte
    assert groups_of(encoding, (text, None), [(0, 0, 3), (0, 5, 6)]) == [(0, 1, 2), (3, 4, 5)]
    assert groups_of(encoding, (text, None), [(0, 0, 3)]) == [(0, 1, 2)]  # c is context, and so is what is before it
    assert groups_of(encoding, (text, None), [(0, 0, 4)]) == [(0, 1, 2, 3)]  # a span that names a line break has it
    assert groups_of(encoded("bytes", "a\n"), ("a\n", None), [(0, 0, 1)]) == [(0, 1)]  # at the end the one before


def test_spans_of_a_pair_are_of_their_segment() -> None:
    encoding = encoded("wordpiece", "a film", "a good act")
    places = find_places([(0, 0, 1), (1, 2, 10)], Example("a film", "a good act"), encoding.offsets, encoding.segments)
    assert places is not None
    names = [[encoding.tokens[t] for t in group] for group in groups_of(encoding, ("a film", "a good act"), places)]
    assert names == [["a"], ["good", "act"]]


@pytest.mark.parametrize("tokenizer", sorted(TOKENIZERS))
@given(text=TEXTS)
def test_words_are_the_words_of_a_result(tokenizer: str, text: str) -> None:
    try:
        encoding = encoded(tokenizer, text)
        places = find_places("word", Example(text), encoding.offsets, encoding.segments)
    except InputError:
        return  # the tokenizer finds nothing in it, or nothing that is visible
    assert places is not None
    tokens = [
        special(name) if offset is None else token(name, *offset, float(place), place + 1)
        for place, (name, offset) in enumerate(zip(encoding.tokens, encoding.offsets, strict=True))
    ]
    words, units = find_words(text, None, tokens), find_units((text, None), tokens, places)
    assert [(word.text, word.tokens, word.score) for word in words] == [(u.text, u.tokens, u.score) for u in units]


def test_sentences_of_a_chat_are_those_of_its_messages() -> None:
    text = "<user> A film. An act. <end>\n<user> Good <end>"
    example = Example(text, parts=((7, 22), (36, 40)))
    encoding = encode(TOKENIZERS["wordpiece"], example, None)
    names = {}
    for kind in ("sentence", "message"):
        places = find_places(kind, example, encoding.offsets, encoding.segments) or ()
        names[kind] = [text[start:end] for _, start, end in places]
    assert names == {"sentence": ["A film.", "An act.", "Good"], "message": ["A film. An act.", "Good"]}


def test_units_are_ranked_as_the_first_of_their_tokens_and_one_without_tokens_is_not() -> None:
    tokens = [special("[CLS]"), token("a", 0, 1, 0.5, 3), token("b", 2, 3, 1.5, 1), token("c", 4, 5, 0.25, 2)]
    ab, c, rest = find_units(("a b c tail", None), tokens, [(0, 0, 3), (0, 4, 5), (0, 6, 10)])
    assert (ab.text, ab.tokens, ab.score, ab.rank) == ("a b", (1, 2), 2.0, 1)
    assert (c.tokens, c.score, c.rank) == ((3,), 0.25, 2)
    assert (rest.text, rest.tokens, rest.score, rest.rank) == ("tail", (), 0.0, None)


def test_a_ranking_of_tokens_becomes_one_of_whole_units_context_last() -> None:
    assert by_unit([4, 9, 1], [(1, 2), (3, 4, 5)]) == (3, 4, 5, 1, 2, 9)
    assert by_unit([2, 1], [(1,), (2,)]) == (2, 1)


# What is refused.


@pytest.mark.parametrize(
    ("spans", "pair", "told"),
    [
        ([(0, 3), (2, 5)], None, "span 1"),
        ([(3, 5), (0, 2)], None, "span 1"),
        ([(0, 7)], None, "6 characters"),
        ([(-1, 2)], None, "span 0"),
        ([(3, 2)], None, "span 0"),
        ([(0, 1.5)], None, r"\(start, end\)"),
        ([3], None, r"\(start, end\)"),
        ([(0, 1)], "a pair", r"\(segment, start, end\)"),
        ([(2, 0, 1)], "a pair", "span 0"),
        ([(1, 0, 1), (0, 0, 1)], "a pair", "span 1"),
    ],
)
def test_wrong_spans_are_refused(spans: Any, pair: str | None, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_places(spans, ("a film", pair))


def test_units_without_any_token_and_unknown_kinds_are_refused() -> None:
    encoding = encoded("wordpiece", "a  film")
    at: Any = (Example("a  film"), encoding.offsets, encoding.segments)
    with pytest.raises(InputError, match="no token"):
        find_places([(1, 2)], *at)
    with pytest.raises(InputError, match="token, word, sentence, message"):
        find_places("paragraph", *at)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="messages of a chat"):
        find_places("message", *at)
