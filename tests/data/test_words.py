"""Words from tokens: every token in exactly one, nothing lost, whatever the script."""

from __future__ import annotations

import functools
import unicodedata
from itertools import pairwise
from typing import Any

import pytest
import regex
import transformers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

import tiny
from narrows.data.example import Example
from narrows.data.words import _characters, find_words, group_tokens, trim_span, word_span
from narrows.errors import InputError
from narrows.models.hub import bundled
from narrows.models.text.encoding import encode
from saved_maps import special
from saved_maps import token as saved_token

WORDPIECE = tiny.wordpiece_tokenizer()
BYTES = tiny.byte_tokenizer(roberta=True)
TOKENIZERS = {"wordpiece": WORDPIECE, "bytes": BYTES}


def spans_of(tokenizer: str, text: str) -> list[tuple[int, int]]:
    encoding = encode(TOKENIZERS[tokenizer], Example(text), None)
    return [offset for offset in encoding.offsets if offset is not None]


def words_of(text: str, spans: list[tuple[int, int]]) -> list[str]:
    """The words as strings, trimmed."""
    words = []
    for group in group_tokens(text, spans):
        start, end = trim_span(text, min(spans[t][0] for t in group), max(spans[t][1] for t in group))
        words.append(text[start:end])
    return words


SPACED = [
    "a good film",
    "I don't",
    "it\u2019s",
    "rock'n'roll",
    "cafe\u0301 nai\u0308ve na\u00efve",  # combining accents, which uncased tokenizers drop
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0643",
    "snake_case x2 42nd",
    "\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440",
]


@pytest.mark.parametrize("tokenizer", sorted(TOKENIZERS))
@pytest.mark.parametrize("text", SPACED)
def test_words_between_spaces_are_whole(tokenizer: str, text: str) -> None:
    """Contractions, combining accents and right-to-left scripts included."""
    assert words_of(text, spans_of(tokenizer, text)) == text.split()


@pytest.mark.parametrize("tokenizer", sorted(TOKENIZERS))
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("good, bad.", ["good", ",", "bad", "."]),
        ("'good' film", ["'", "good", "'", "film"]),
        ("well-made", ["well", "-", "made"]),
        ("3.5", ["3", ".", "5"]),
    ],
)
def test_punctuation_stands_by_itself(tokenizer: str, text: str, words: list[str]) -> None:
    assert words_of(text, spans_of(tokenizer, text)) == words


@pytest.mark.parametrize("emoji", ["\U0001f600", "\u2764", "\U0001f1eb"])
def test_the_bytes_of_an_emoji_are_one_word(emoji: str) -> None:
    text = f"good {emoji} film"
    assert len(spans_of("bytes", text)) > len(text)
    assert words_of(text, spans_of("bytes", text)) == ["good", emoji, "film"]


def test_an_emoji_that_touches_a_word_does_not_join_it() -> None:
    assert words_of("good\U0001f600", spans_of("bytes", "good\U0001f600")) == ["good", "\U0001f600"]


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("\u7535\u5f71\u5f88\u597d", [(0, 1), (1, 2), (2, 3), (3, 4)]),  # Chinese, a token per character
        ("\u7535\u5f71\u5f88\u597d", [(0, 2), (2, 4)]),  # and per two
        ("\u3053\u308c\u306f", [(0, 2), (2, 3)]),  # Hiragana
        ("\u0e14\u0e35\u0e21\u0e32\u0e01", [(0, 2), (2, 5)]),  # Thai
    ],
)
def test_scripts_without_spaces_stay_token_by_token(text: str, spans: list[tuple[int, int]]) -> None:
    assert group_tokens(text, spans) == [[position] for position in range(len(spans))]


def test_the_bytes_of_one_chinese_character_are_one_word() -> None:
    assert words_of("\u597d\u7535", spans_of("bytes", "\u597d\u7535")) == ["\u597d", "\u7535"]


def test_tokens_that_carry_the_space_before_them_start_a_word() -> None:
    assert group_tokens("a good film", [(0, 1), (1, 6), (6, 11)]) == [[0], [1], [2]]


def test_a_token_of_white_space_goes_with_the_word_that_follows() -> None:
    assert group_tokens("a  b ", [(0, 1), (1, 2), (2, 4), (4, 5)]) == [[0], [1, 2, 3]]


def test_tokens_without_any_visible_character_are_one_group() -> None:
    assert group_tokens("  ", [(0, 1), (1, 2), (2, 2)]) == [[0, 1, 2]]
    assert group_tokens("", []) == []


@given(text=st.text(max_size=20), data=st.data())
@example(text="don't", data=None)
def test_every_token_stands_in_exactly_one_word_in_order(text: str, data: st.DataObject | None) -> None:
    """For any spans in reading order: overlapping, empty, touching, with gaps."""
    if data is None:
        spans = [(0, 3), (3, 4), (4, 5)]
    else:
        ends = st.integers(0, len(text))
        spans = sorted(tuple(sorted(pair)) for pair in data.draw(st.lists(st.tuples(ends, ends), max_size=8)))
    groups = group_tokens(text, spans)
    assert [token for group in groups for token in group] == list(range(len(spans)))
    assert all(groups)


@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=25).filter(str.strip),
    pair=st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10).filter(str.strip),
    tokenizer=st.sampled_from(sorted(TOKENIZERS)),
)
def test_words_conserve_scores(text: str, pair: str | None, tokenizer: str) -> None:
    try:
        encoding = encode(TOKENIZERS[tokenizer], Example(text, pair), None)
    except InputError:  # nothing but characters that the tokenizer drops
        return
    scores = [-2.0 * place for place in range(len(encoding))]
    columns = zip(encoding.tokens, encoding.offsets, encoding.segments, scores, strict=True)
    tokens = [
        special(token) if span is None or segment is None else saved_token(token, *span, score, 1 + place, segment)
        for place, (token, span, segment, score) in enumerate(columns)
    ]
    words = find_words(text, pair, tokens)
    content = [position for position, segment in enumerate(encoding.segments) if segment is not None]
    assert sorted(token for word in words for token in word.tokens) == content
    assert sum(word.score for word in words) == pytest.approx(sum(scores[place] for place in content))
    for word in words:
        assert word.text == (text, pair)[word.segment][word.start : word.end]
        assert all(encoding.segments[token] == word.segment for token in word.tokens)
        assert word.text == word.text.strip()
        assert word.rank == 1 + min(word.tokens)
    for segment in (0, 1):
        ours = [word.start for word in words if word.segment == segment]
        assert ours == sorted(ours)


ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=25).filter(str.strip)
# What a random character seldom makes: joined emoji, flags, marks, Jamo, zero-width characters, scripts without spaces.
SIGNS = "a '\r\n\u0301\u200d\ufe0f\u200b\u200c\u00ad\u200f\ufeff\u1100\u1161\u11a8\u0e19\u0e49\u0e33\u7535\u05e9\u05b8"
SIGNS += "\U0001f468\U0001f1e9\U0001f1ea\U0001f3fd\u0915\u094d\u0937"
TRICKY = st.text(st.sampled_from(SIGNS), min_size=1, max_size=15).filter(str.strip)
HANGUL_FILLERS = set("\u115f\u1160\u3164\uffa0")  # letters that nobody sees
SPELLED = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


@functools.cache
def demo_tokenizer() -> Any:
    return transformers.AutoTokenizer.from_pretrained(bundled.base_folder())


@settings(max_examples=200)
@given(text=ANY | TRICKY, tokenizer=st.sampled_from(["demo", "bytes"]))
def test_offsets_are_those_of_the_original_and_words_hold_whole_characters(text: str, tokenizer: str) -> None:
    used = demo_tokenizer() if tokenizer == "demo" else BYTES
    try:
        encoding = encode(used, Example(text), None)
    except InputError:  # nothing but characters that the tokenizer drops
        return
    spans = [(token, offset) for token, offset in zip(encoding.tokens, encoding.offsets, strict=True) if offset]
    for token, (start, end) in spans:
        assert 0 <= start <= end <= len(text)
        if tokenizer == "bytes":
            assert token.lstrip("\u0120") in "".join(part for part, _ in SPELLED.pre_tokenize_str(text[start:end]))
        elif token != used.unk_token:
            assert token.removeprefix("##") in used.backend_tokenizer.normalizer.normalize_str(text[start:end])
    own = [offset for _, offset in spans]
    words = [word_span(text, [own[token] for token in group]) for group in group_tokens(text, own)]
    inside = {place for found in regex.finditer(r"\X", text) for place in range(found.start() + 1, found.end())}
    for start, end in words:
        assert start == end or end not in inside  # a word without a visible character is empty
        assert start == end or start not in inside or text[start - 1].isspace()  # a mark after a space
    assert all(one[1] <= other[0] for one, other in pairwise(words))


JOINED = {
    "decomposed Korean": ("\u1112\u1161\u11ab\u1100\u116e\u11a8 \u110c\u1169\u11c2\u1103\u1161", None),
    "a family": ("a \U0001f468\u200d\U0001f469\u200d\U0001f467 b", None),
    "a tone of skin": ("\U0001f44d\U0001f3fd ok", None),
    "a heart that touches a word": ("\u2764\ufe0fit", ["\u2764\ufe0f", "it"]),
    "flags": ("\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7 b", ["\U0001f1e9\U0001f1ea", "\U0001f1eb\U0001f1f7", "b"]),
    "the flag of England": ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f b", None),
    "a Persian word with a non-joiner": ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 a", None),
    "a soft hyphen": ("co\u00adoperate a", None),
    "a zero-width space": ("good\u200bfilm", ["good", "film"]),
    "marks of direction": ("\u200fgood\u200f a", ["good", "a"]),
    "a byte order mark": ("\ufeffgood", ["good"]),
    "an apostrophe after a mark": ("cafe\u0301's a", None),
    "Thai vowels": ("\u0e19\u0e49\u0e33\u0e14\u0e35", ["\u0e19\u0e49\u0e33", "\u0e14\u0e35"]),
    "Hindi": ("\u0915\u094d\u0937\u0924\u094d\u0930\u093f\u092f a", None),
    "a key": ("1\ufe0f\u20e3 a", None),
}


@pytest.mark.parametrize("name", JOINED)
def test_a_character_of_several_signs_is_never_cut(name: str) -> None:
    text, words = JOINED[name]
    assert words_of(text, spans_of("bytes", text)) == (words or text.split())


@given(text=ANY | TRICKY, data=st.data())
def test_trim_span_gives_whole_characters_without_blank_ends(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    trimmed = text[slice(*trim_span(text, start, end))]
    shown = {sign for sign in text[start:end] if unicodedata.category(sign)[0] in "LNPS"}
    assert shown - set(trimmed) <= HANGUL_FILLERS
    assert trimmed == trimmed.strip()
    assert trim_span(text, *trim_span(text, start, end)) == trim_span(text, start, end)


@given(st.text(st.characters(max_codepoint=127)))
def test_plain_letters_take_a_short_way_to_the_same_characters(text: str) -> None:
    found, longer = _characters(text), _characters(f"{text}\u00e9")
    assert found == tuple(places[:-1] for places in longer)
