from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.data.schema import AttributionDict, TokenDict
from narrows.errors import InputError
from narrows.viz.spans import check_same_tokens, content, cut, labels, segments, unplaced, visible
from saved_results import CASES, HOSTILE, build, layers, special


@st.composite
def texts_with_tokens(draw: st.DrawFn) -> AttributionDict:
    """Any text, any spans: out of order, overlapping, empty, even beyond the text."""
    text = draw(st.text(max_size=60))
    tokens = []
    for start, length in draw(st.lists(st.tuples(st.integers(0, 62), st.integers(0, 8)), max_size=12)):
        score = draw(st.floats(0, 100))
        tokens.append(
            TokenDict(token="x", start=start, end=start + length, segment=0, special=False, score=score, rank=None)
        )
    return build(text, tokens, words=[])


@given(texts_with_tokens())
def test_spans_joined_are_the_text(attribution: AttributionDict) -> None:
    assert "".join(span.text for span in cut(attribution, 0)) == attribution["text"]


@given(texts_with_tokens())
def test_every_token_is_drawn_once(attribution: AttributionDict) -> None:
    drawn = [position for span in [*cut(attribution, 0), *unplaced(attribution)] for position in span.tokens]
    assert sorted(drawn) == list(range(len(attribution["tokens"])))


def test_spans_of_every_case_joined_are_its_texts(attribution: AttributionDict) -> None:
    joined = ["".join(span.text for span in cut(attribution, number)) for number in range(len(segments(attribution)))]
    assert joined == segments(attribution)


def test_tokens_are_cut_by_their_offsets() -> None:
    spans = cut(CASES["review"](), 0)
    assert [(span.text, span.score) for span in spans[:4]] == [("The", 0.02), (" ", 0.0), ("plot", 0.6), (" ", 0.0)]


def test_each_text_of_a_pair_has_its_own_tokens() -> None:
    spans = cut(CASES["pair"](), 1)
    assert [(span.text, span.score) for span in spans if span.tokens] == [
        ("Nobody", 11.2),
        ("is", 0.6),
        ("making", 3.3),
        ("music", 7.9),
        (".", 0.1),
    ]
    assert len([span for span in cut(CASES["pair"](), 0) if span.tokens]) == 19


def token(start: int, end: int, score: float) -> TokenDict:
    return TokenDict(token="x", start=start, end=end, segment=0, special=False, score=score, rank=None)


def test_tokens_of_one_character_are_drawn_together() -> None:
    attribution = build("a 😀!", [token(0, 1, 1.0), token(2, 3, 2.0), token(2, 3, 3.0), token(3, 4, 4.0)], words=[])
    assert [(span.text, span.tokens, span.score) for span in content(attribution)] == [
        ("a", (0,), 1.0),
        ("😀", (1, 2), 5.0),
        ("!", (3,), 4.0),
    ]
    assert [span.rank for span in content(attribution)] == [4, 2, 1]  # the best of its tokens


@pytest.mark.parametrize(
    "text", ["\u1112\u1161\u11ab", "\U0001f468\u200d\U0001f469", "\U0001f1e9\U0001f1ea", "\u05e9\u05b8", "e\u0301"]
)
def test_tokens_of_one_character_of_several_signs_are_drawn_together(text: str) -> None:
    tokens = [
        TokenDict(token="x", start=place, end=place + 1, segment=0, special=False, score=1.0, rank=place + 1)
        for place in range(len(text))
    ]
    assert [(span.text, span.score) for span in content(build(text, tokens, words=[]))] == [(text, len(text))]


def test_white_space_at_the_ends_of_a_token_is_not_shaded() -> None:
    attribution = build("go  on\n\n", [token(0, 2, 1.0), token(2, 6, 2.0), token(6, 8, 3.0)], words=[])
    assert [(span.text, bool(span.tokens)) for span in cut(attribution, 0)] == [
        ("go", True),
        ("  ", False),
        ("on", True),
        ("\n\n", True),  # a token of nothing else keeps it
    ]


def test_special_tokens_and_tokens_without_characters_have_no_place() -> None:
    attribution = build("go", [special("[CLS]", 1.0), token(0, 0, 2.0), token(0, 2, 3.0)], words=[])
    assert [(span.tokens, span.score) for span in unplaced(attribution)] == [((0,), 1.0), ((1,), 2.0)]


def test_labels_are_the_characters_of_the_text() -> None:
    assert labels(CASES["review"]())[:3] == ["[CLS]", "The", "plot"]
    assert labels(build(" ab", [token(0, 3, 1.0)], words=[])) == ["ab"]
    assert labels(build(" \n", [token(0, 1, 1.0), token(1, 2, 1.0)], words=[])) == ["\u2423", "\\n"]


def test_control_characters_and_direction_overrides_are_written_out() -> None:
    shown = visible(HOSTILE)
    assert r"\x1b[31mANSI\x1b[0m NUL\x00 \u202eoverride\u202c" in shown
    assert "👩‍👩‍👧 日本語の文章 שלום עולם line\nfeed\ttab\\rreturn" in shown
    assert visible("\x9b2J\u2066\u2028\x7f") == r"\x9b2J\u2066\u2028\x7f"
    assert visible("\ud800") == r"\ud800"  # half a character, which no file could hold
    assert visible("é☃", "latin-1") == r"é\u2603"


@given(st.text())
def test_nothing_that_acts_on_a_screen_is_left(text: str) -> None:
    shown = visible(text)
    assert not set(shown) & {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160), 0x202E, 0x2067)}
    assert shown.encode().decode() == shown


def test_layers_of_one_text_only() -> None:
    check_same_tokens(layers(3))
    with pytest.raises(InputError, match="at least one"):
        check_same_tokens([])
    with pytest.raises(InputError, match="different"):
        check_same_tokens([CASES["review"](), CASES["pair"]()])
