"""Scores of other tools: files that are read or refused, and the way from their tokens to ours."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from narrows.data.example import Example
from narrows.data.maps import map_writer
from narrows.data.parquet import attribution_schema, to_row, write_rows
from narrows.data.scores import ScoredText, align, ranking_of, scores_from
from narrows.errors import DataError, DependencyError, InputError
from narrows.models.text.encoding import Encoding, encode
from saved_maps import saved_map, special
from saved_maps import token as saved_token

Scores = np.ndarray[Any, np.dtype[np.float64]]

BERT = tiny.wordpiece_tokenizer()
TOKENIZERS = {"bert": BERT, "roberta": tiny.byte_tokenizer(roberta=True), "gpt2": tiny.byte_tokenizer(roberta=False)}
GOOD = {"text": "Superb film", "tokens": ["Superb", "film"], "scores": [0.5, -1]}


def scored(text: str, tokens: Sequence[str], scores: Sequence[float], text_pair: str | None = None) -> ScoredText:
    return ScoredText(1, Example(text, text_pair), tuple(tokens), tuple(scores))


def aligned(row: ScoredText, family: str = "bert", limit: int | None = None) -> Scores:
    return align(row, encode(TOKENIZERS[family], row.example, limit))


def content_positions(encoding: Encoding) -> list[int]:
    return [position for position, segment in enumerate(encoding.segments) if segment is not None]


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


# From tokens to tokens


def test_our_own_tokens_are_taken_one_to_one() -> None:
    example = Example("superb acting", "not good")
    encoding = encode(BERT, example, None)
    assert encoding.tokens == ("[CLS]", "super", "##b", "act", "##ing", "[SEP]", "not", "good", "[SEP]")
    numbers = np.arange(1.0, 10.0)
    row = ScoredText(1, example, encoding.tokens, tuple(numbers))
    np.testing.assert_array_equal(align(row, encoding), numbers)
    content = content_positions(encoding)
    bare = ScoredText(1, example, tuple(encoding.tokens[i] for i in content), tuple(numbers[content]))
    np.testing.assert_array_equal(align(bare, encoding), np.where(np.isin(range(9), content), numbers, 0.0))


def test_a_score_is_shared_by_characters() -> None:
    np.testing.assert_allclose(aligned(scored("superb", ["sup", "erb"], [0.3, 0.6])), [0, 0.7, 0.2, 0])


def test_a_score_of_a_word_is_shared_among_its_pieces() -> None:
    np.testing.assert_allclose(aligned(scored("superb film", ["superb", "film"], [6, 4])), [0, 5, 1, 4, 0])
    np.testing.assert_allclose(aligned(scored("superb film", ["superb film"], [10])), [0, 5, 1, 4, 0])


def test_pieces_are_added_up() -> None:
    row = scored("a good film", ["a", "go", "od", "f", "i", "l", "m"], [1, 2, 3, 4, 5, 6, 7])
    np.testing.assert_allclose(aligned(row), [0, 1, 5, 22, 0])


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["[CLS]", "the", "caf", "##e", "is", "good", "[SEP]"], "-01123-"),
        (["<s>", "The", "\u0120Caf", "\u00c3\u00a9", "\u0120is", "\u0120good", "</s>"], "-01123-"),
        (["The", "\u0120Caf", "\u00c3", "\u00a9", "\u0120is", "\u0120go", "od"], "0111233"),
        (["\u2581The", "\u2581Caf", "\u00e9", "\u2581is", "\u2581", "good", "</s>"], "011233-"),
        (["the</w>", "caf", "\u00e9</w>", "is</w>", "good</w>"], "01123"),
        (["the", "caf@@", "\u00e9", "is", "good"], "01123"),
        ([" The", " Cafe\u0301", " is", " GOOD"], "0123"),
    ],
)
def test_other_spellings_are_found(tokens: list[str], words: str) -> None:
    row = scored("The Caf\u00e9 is good", tokens, [2.0**position for position in range(len(tokens))])
    encoding = encode(BERT, row.example, None)
    got = align(row, encoding)
    for word, (start, end) in enumerate([(0, 3), (4, 8), (9, 11), (12, 16)]):
        ours = [position for position, span in enumerate(encoding.offsets) if span and start <= span[0] < end]
        theirs = [score for score, of in zip(row.scores, words, strict=True) if of == str(word)]
        assert got[ours].all()
        assert got[ours].sum() == pytest.approx(sum(theirs))


def test_bytes_of_one_character_share_its_score() -> None:
    encoding = encode(TOKENIZERS["roberta"], Example("a \u00e9"), None)
    got = align(scored("a \u00e9", ["a", "\u00e9"], [1, 3]), encoding)
    assert encoding.offsets[-3:-1] == ((2, 3), (2, 3))
    np.testing.assert_allclose(got[-3:-1], [1.5, 1.5])
    assert got.sum() == pytest.approx(4)


def test_unknown_and_skipped_parts_score_nothing() -> None:
    row = scored("good, bad film", ["good", "[UNK]", "film"], [1, 7, 3])  # the comma and a word were dropped
    np.testing.assert_allclose(aligned(row), [0, 1, 0, 0, 3, 0])


@pytest.mark.parametrize("separators", [[], ["[SEP]"], ["</s>", "</s>"]])
def test_the_tokens_of_a_pair_are_found_in_both_texts(separators: list[str]) -> None:
    tokens = ["good", "film", *separators, "film", "bad"]
    row = scored("good film", tokens, [1, 2, *[9.0] * len(separators), 3, 4], "film bad")
    np.testing.assert_allclose(aligned(row), [0, 1, 2, 0, 3, 4, 0])


def test_a_separator_says_where_the_second_text_starts() -> None:
    row = scored("good film it is bad", ["[CLS]", "good", "[SEP]", "it", "is", "[SEP]"], [0, 1, 0, 2, 3, 0], "it is")
    np.testing.assert_allclose(aligned(row), [0, 1, 0, 0, 0, 0, 0, 2, 3, 0])


def test_a_separator_that_is_text_separates_nothing() -> None:
    row = scored("good </s> film", ["good", "</s>", "film"], [1, 9, 3])
    got = aligned(row)
    assert (got[1], got[-2], got.sum()) == (1, 3, 4)


def test_what_our_encoding_cuts_off_is_left_out() -> None:
    row = scored("good film bad", ["Good", "Film", "Bad"], [1, 2, 3])
    np.testing.assert_allclose(aligned(row, limit=4), [0, 1, 2, 0])


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["good", "movie"], "token 2, 'movie', is not after 'good' in the text 'good film'"),
        (["film", "good"], "token 2, 'good', is not after 'film' in the text"),
        (["bad"], "token 1, 'bad', is not in the text 'good film'"),
        (["good", "good"], "token 2, 'good'"),
    ],
)
def test_tokens_of_another_text_are_refused(tokens: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        aligned(scored("good film", tokens, [1.0] * len(tokens)))


LETTERS = st.sampled_from("aegzGZ \u00e9\u00df\u4e2d#.,'\u20ac\U0001f44d")
KNOWN = st.sampled_from("aegzGZ \u00e9#.,'")  # to every tokenizer
TEXTS = st.text(LETTERS, min_size=1, max_size=24).filter(str.strip)
MARKS = st.sampled_from(["", "##", "\u2581", "\u0120"])


@st.composite
def cut_texts(draw: st.DrawFn, within_words: bool) -> tuple[str, list[tuple[int, int]], list[str], list[float]]:
    """A text, spans that cover all that can be seen of it, their tokens as a tool may spell them, and their scores."""
    text = draw(TEXTS)
    cuts = {0, len(text), *draw(st.sets(st.integers(1, len(text))))}
    if within_words:
        cuts |= {offset for i, character in enumerate(text) if character == " " for offset in (i, i + 1)}
    ends = sorted(cuts)
    spans = [(start, end) for start, end in pairwise(ends) if text[start:end].strip()]
    spell = st.sampled_from([str, str.lower, str.upper, str.strip])
    tokens = [draw(MARKS) + draw(spell)(text[start:end]) for start, end in spans]
    numbers = st.floats(-10, 10, allow_subnormal=False)
    return text, spans, tokens, draw(st.lists(numbers, min_size=len(spans), max_size=len(spans)))


def by_character(text: str, spans: Sequence[tuple[int, int]], scores: Sequence[float], encoding: Encoding) -> Scores:
    """Share every score among the characters of its span, and what a character has among the tokens that cover it."""
    expected = np.zeros(len(encoding))
    for (start, end), score in zip(spans, scores, strict=True):
        seen = [offset for offset in range(start, end) if text[offset] != " "]
        for offset in seen:
            covering = [i for i, span in enumerate(encoding.offsets) if span and span[0] <= offset < span[1]]
            expected[covering] += score / len(seen) / len(covering)
    return expected


@pytest.mark.parametrize("family", sorted(TOKENIZERS))
@given(cut=cut_texts(within_words=False))
def test_scores_go_by_characters_however_the_text_is_cut(family: str, cut: Any) -> None:
    text, spans, tokens, scores = cut
    encoding = encode(TOKENIZERS[family], Example(text), None)
    got = align(scored(text, tokens, scores), encoding)
    assert got.sum() == pytest.approx(sum(scores), abs=1e-9)
    if tuple(tokens) != tuple(encoding.tokens[i] for i in content_positions(encoding)):
        np.testing.assert_allclose(got, by_character(text, spans, scores, encoding), atol=1e-9)


@pytest.mark.parametrize("family", sorted(TOKENIZERS))
@given(cut=cut_texts(within_words=True), pair=st.booleans())
def test_sums_over_words_stay(family: str, cut: Any, pair: bool) -> None:
    text, spans, tokens, scores = cut
    encoding = encode(TOKENIZERS[family], Example("good", text) if pair else Example(text), None)
    row = scored("good", ["good", *tokens], [5, *scores], text) if pair else scored(text, tokens, scores)
    got = align(row, encoding)
    start = 0
    for word in text.split():
        start = text.index(word, start)
        end = start + len(word)
        ours = [
            position
            for position, (segment, span) in enumerate(zip(encoding.segments, encoding.offsets, strict=True))
            if segment == int(pair) and span and start <= span[0] < end and text[span[0] : span[1]].strip()
        ]
        theirs = [score for (left, _), score in zip(spans, scores, strict=True) if start <= left < end]
        assert got[ours].sum() == pytest.approx(sum(theirs), abs=1e-9)
        start = end


@pytest.mark.parametrize("other", sorted(TOKENIZERS))
@pytest.mark.parametrize("family", sorted(TOKENIZERS))
@given(text=st.text(KNOWN, min_size=1).filter(str.strip))
def test_the_tokens_of_one_tokenizer_reach_another(family: str, other: str, text: str) -> None:
    theirs = encode(TOKENIZERS[other], Example(text), None)
    content = content_positions(theirs)
    scores = [1.0 if position in content else 0.0 for position in range(len(theirs))]
    got = align(scored(text, theirs.tokens, scores), encode(TOKENIZERS[family], Example(text), None))
    assert got.sum() == pytest.approx(len(content))


# From files


def test_rows_are_found_by_text_and_pair(tmp_path: Path) -> None:
    find = scores_from(
        lines(
            tmp_path / "scores.jsonl",
            {"text": "good film", "text_pair": "bad", "tokens": ["good", "film", "bad"], "scores": [1, 2, 3]},
            {"text": "good film", "text_pair": None, "tokens": ["good", "film"], "scores": [5, 6]},
            {"premise": "it", "hypothesis": "is", "tokens": ["it", "is"], "scores": [7, 8]},
            {"text": "good film", "tokens": ["good", "film"], "scores": [5, 6.0001], "note": "the same again"},
            "",
        )
    )
    examples = [Example("good film"), Example("good film", "bad", label="any"), Example("it", "is")]
    assert [row and row.scores for row in map(find, examples)] == [(5, 6), (1, 2, 3), (7, 8)]
    assert [find(Example("it")), find(Example("it", "is not"))] == [None, None]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"scores": [1, float("nan")]}], "line 2: score 2 must be a finite number"),
        ([{"scores": [1]}], "line 2: 2 tokens but 1 scores"),
        ([{"scores": [1, 3]}], "line 2: scores the text of line 1 again, and differently"),
        ([{"tokens": ["good fi", "lm"]}], "line 2: scores the text of line 1 again, and differently"),
        ([{"scores": []}] * 5, "line 2: .*line 3: .*line 4: .*; and 2 more"),
    ],
)
def test_all_wrong_rows_are_named_by_their_lines(tmp_path: Path, rows: list[dict[str, Any]], told: str) -> None:
    good = {"text": "good film", "tokens": ["good", "film"], "scores": [1, 2]}
    with pytest.raises(DataError, match=told) as caught:
        scores_from(lines(tmp_path / "scores.jsonl", good, *({**good, **row} for row in rows)))
    assert "\n" not in str(caught.value)


def test_parquet_holds_the_same(tmp_path: Path) -> None:
    rows = [{**GOOD, "text_pair": None}, {"text": "a", "text_pair": "b", "tokens": ["a", "b"], "scores": [1.5, 2.0]}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "scores.parquet")
    finds = scores_from(tmp_path / "scores.parquet"), scores_from(lines(tmp_path / "scores.jsonl", *rows))
    for example in (Example("Superb film"), Example("a", "b")):
        assert finds[0](example) == finds[1](example) is not None


# Our own files


OURS = saved_map(
    "superb film",
    "bad",
    [
        special("[CLS]"),
        saved_token("super", 0, 5, 4.0, 2),
        saved_token("##b", 5, 6, 1.0, 3),
        saved_token("film", 7, 11, -2.0, 4),
        special("[SEP]"),
        saved_token("bad", 0, 3, 8.0, 1, segment=1),
        special("[SEP]"),
    ],
)


@pytest.mark.parametrize("kind", ["maps.jsonl", "maps.parquet", "run", "folder"])
def test_our_own_maps_are_read_with_their_order(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    if path.suffix:
        with map_writer(path) as write:
            write(OURS, 0)
    else:
        place = path / "parts" if kind == "run" else path
        place.mkdir(parents=True)
        write_rows(place / "a.parquet", [{"row": 0, "text": "superb film", "error": "x"}], attribution_schema())
        write_rows(place / "b.parquet", [to_row(OURS, {"row": 1})], attribution_schema())
        write_rows(place / "c.parquet", [to_row({**OURS, "text": "superb acts"})], attribution_schema(True))
    find = scores_from(path)
    assert find(Example("superb film")) is None
    row = find(Example("superb film", "bad"))
    assert row is not None
    encoding = encode(BERT, row.example, None)
    np.testing.assert_array_equal(align(row, encoding), [0, 4, 1, -2, 0, 8, 0])
    assert ranking_of(row, encoding) == (5, 1, 2, 3)
    roberta = encode(TOKENIZERS["roberta"], row.example, None)
    assert ranking_of(row, roberta) is None
    got = align(row, roberta)
    first = [p for p, s in enumerate(roberta.segments) if s == 0]
    assert (got[first].sum(), got.sum()) == (pytest.approx(3), pytest.approx(11))


def test_a_damaged_part_is_named_when_it_is_needed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no \.parquet files"):
        scores_from(tmp_path)
    (tmp_path / "a.parquet").write_text("PAR1")
    with pytest.raises(DataError, match=r"a\.parquet is damaged"):
        scores_from(tmp_path)


# Places that the file gives


def test_given_places_are_taken_whatever_the_spelling() -> None:
    row = ScoredText(
        1, Example("good good film"), ("x", "y", "[CLS]", "z"), (3, 4, 9, 5), ((0, 5, 9), (0, 9, 10), None, (0, 10, 14))
    )
    np.testing.assert_allclose(aligned(row), [0, 0, 3, 9, 0])  # a space gives its score to the next token


@pytest.mark.parametrize("segments", [None, [0, 0, None, 1]])
def test_places_stand_in_columns(segments: Any, tmp_path: Path) -> None:
    row = {
        "text": "good film",
        "tokens": ["A", "B", "[SEP]"],
        "scores": [1, 2, 0],
        "starts": [0, 5, None],
        "ends": [4, 9, None],
    }
    if segments:
        row |= {"text_pair": "bad", "tokens": [*"AB", "", "C"], "scores": [1, 2, 0, 3], "segments": segments}
        row |= {"starts": [0, 5, None, 0], "ends": [4, 9, None, 3]}
    found = scores_from(lines(tmp_path / "scores.jsonl", row))(Example("good film", row.get("text_pair")))
    assert found is not None
    np.testing.assert_allclose(aligned(found), [0, 1, 2, 0, 3, 0] if segments else [0, 1, 2, 0])


@given(cut=cut_texts(within_words=False))
def test_places_and_search_agree(cut: Any) -> None:
    text, spans, tokens, scores = cut
    encoding = encode(BERT, Example(text), None)
    placed = ScoredText(1, Example(text), tuple(tokens), tuple(scores), tuple((0, *span) for span in spans))
    np.testing.assert_allclose(align(placed, encoding), align(scored(text, tokens, scores), encoding), atol=1e-9)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**GOOD, "scores": [1]}, "2 tokens but 1 scores: each token needs one"),
        ({**GOOD, "scores": [1, float("nan")]}, "score 2 must be a finite number, not nan"),
        ({**GOOD, "scores": [1, float("inf")]}, "score 2 must be a finite number, not inf"),
        ({**GOOD, "scores": [1, "2"]}, "score 2 must be a finite number, not '2'"),
        ({**GOOD, "scores": [True, 2]}, "score 1 must be a finite number, not True"),
        ({**GOOD, "scores": [1, None]}, "score 2 must be a finite number, not None"),
        ({**GOOD, "tokens": ["Superb", 3]}, "token 2 must be a string, not 3"),
        ({**GOOD, "tokens": "Superb film"}, "'tokens' must be a list"),
        ({**GOOD, "tokens": [], "scores": []}, "'tokens' must be a list with one entry per token, not"),
        ({"text": "a", "tokens": ["a"]}, "'scores' must be a list with one entry per token, not None"),
        ({"tokens": ["a"], "scores": [1]}, "no 'text' column"),
        ({**GOOD, "text": " "}, "text is empty"),
        ({**GOOD, "starts": [0], "ends": [6, 11]}, "2 tokens but 1 starts"),
        ({**GOOD, "starts": [0, 7], "ends": [6, 12]}, "token 2 is at 7 to 12, which is not in the text"),
        ({**GOOD, "starts": [0, 7], "ends": [6, 6]}, "token 2 is at 7 to 6"),
        ({**GOOD, "starts": ["0", 7], "ends": [6, 11]}, "starts, token 1: must be a whole number or null, not '0'"),
        ({**GOOD, "starts": [0, 7], "ends": [6, 11.0]}, "ends, token 2: must be a whole number or null, not 11.0"),
        ({**GOOD, "ranks": ["a", "b"]}, "ranks, token 1: must be a whole number or null, not 'a'"),
        ({**GOOD, "tokens": [{"token": "Superb", "score": 1}, {"token": "film"}]}, "score 2 must be .* not None"),
        ("[1, 2]", "expected an object"),
        ("{", "not JSON"),
    ],
)
def test_a_malformed_row_is_named_by_its_line(tmp_path: Path, row: Any, message: str) -> None:
    path = lines(tmp_path / "scores.jsonl", GOOD, row)
    with pytest.raises(DataError, match=rf"scores.jsonl, line 2: .*{message}"):
        scores_from(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("scores.jsonl", "", "holds no rows"),
        ("scores.csv", "text,scores\n", "unknown kind of file for scores; use .jsonl or .parquet"),
        ("scores.parquet", "PAR", "not a Parquet file"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        scores_from(tmp_path / name)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        scores_from(tmp_path / "scores.jsonl")


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scores.parquet").write_text("PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DependencyError, match=r'pip install "narrows\[parquet\]"'):
        scores_from(tmp_path / "scores.parquet")
