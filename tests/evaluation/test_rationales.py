"""Annotated reviews: what is read, which tokens are evidence, how maps agree; malformed rows name file and line."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

import tiny
from narrows.attribution import Attribution
from narrows.data.example import Example
from narrows.data.units import by_score
from narrows.errors import DataError, DependencyError
from narrows.evaluation.rationales import Annotated, agreement, auprc, read_eraser, token_f1, token_truth
from narrows.methods.registry import describe, find_method
from narrows.models.text.encoding import encode

TOKENIZERS = (tiny.wordpiece_tokenizer(), tiny.byte_tokenizer(roberta=True))
REVIEW = {
    "text": "a very bad film .\nthe  act is good , it is not super",
    "label": "negative",
    "id": "negR_000.txt",
    "rationale_token_spans": [[1, 3], [4, 6], [12, 14]],
    "n_tokens": 14,
    "n_rationale_tokens": 6,
}


def write(path: Path, *rows: Any) -> Path:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    content = b"\n".join(lines) + b"\n"
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["val.jsonl", "val.jsonl.gz"])
def test_a_review_is_read_with_its_evidence_in_characters(tmp_path: Path, name: str) -> None:
    bare = {"text": "good", "label": "positive", "rationale_token_spans": []}
    path = write(tmp_path / name, REVIEW, b"", bare)
    first, second = read_eraser(path)
    assert first.example == Example(REVIEW["text"], None, "negative")
    assert [first.example.text[start:end] for start, end in first.spans] == ["very bad", ".\nthe", "not super"]
    assert second == Annotated(Example("good", None, "positive"), ())


WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=4), min_size=1)


@given(words=WORDS, data=st.data())
def test_spans_of_words_are_spans_of_characters(words: list[str], data: st.DataObject, tmp_path: Path) -> None:
    gaps = data.draw(st.lists(st.sampled_from([" ", "\n", "  ", "\t "]), min_size=len(words), max_size=len(words)))
    text = "".join(word + gap for word, gap in zip(words, gaps, strict=True))
    if text.split() != words:
        return  # a character that is white space after all
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first + 1, len(words)))
    row = {"text": text, "label": "x", "rationale_token_spans": [[first, last]], "n_tokens": len(words)}
    (found,) = read_eraser(write(tmp_path / "rows.jsonl", row))
    ((start, end),) = found.spans
    assert text[start:end].split() == words[first:last]
    assert text[start:end] == text[start:end].strip()


def without(column: str) -> dict[str, Any]:
    return {name: value for name, value in REVIEW.items() if name != column}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (b"{", "not JSON"),
        (b'{"text": "\xff"}', "is not UTF-8 (byte 11)"),
        (b"[" * 100_000, "not JSON"),
        ([1, 2], "expected an object, not list"),
        (without("label"), "no label; it has text"),
        ({}, "no text, label, rationale_token_spans; it has nothing"),
        ({**REVIEW, "label": 1}, "the label must be a name, not 1"),
        ({**REVIEW, "text": " "}, "text is empty"),
        ({**REVIEW, "text": None}, "text must be a string"),
        (b'{"text": "\\ud800", "label": "x", "rationale_token_spans": []}', "surrogate"),
        ({**REVIEW, "n_tokens": 13}, "n_tokens is 13, but the text has 14 words"),
        ({**REVIEW, "rationale_token_spans": None}, "rationale_token_spans must be a list, not NoneType"),
        ({**REVIEW, "rationale_token_spans": [[1, 3], [12, 15]]}, "[12, 15] is no span of words of a text that has 14"),
        ({**REVIEW, "rationale_token_spans": [[3, 3]]}, "[3, 3] is no span"),
        ({**REVIEW, "rationale_token_spans": [[-1, 3]]}, "[-1, 3] is no span"),
        ({**REVIEW, "rationale_token_spans": [[0, 1.0]]}, "[0, 1.0] is no span"),
        ({**REVIEW, "rationale_token_spans": [[0, 1, 2]]}, "[0, 1, 2] is no span"),
        ({**REVIEW, "rationale_token_spans": [7]}, "7 is no span"),
    ],
)
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_a_malformed_row_is_named_by_file_and_line(tmp_path: Path, name: str, row: Any, problem: str) -> None:
    path = write(tmp_path / name, REVIEW, row)
    reviews = read_eraser(path)
    next(reviews)
    with pytest.raises(DataError) as caught:
        next(reviews)
    message = str(caught.value)
    assert message.startswith(f"{path}, line 2: ")
    assert problem in message
    assert "\n" not in message


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        list(read_eraser(tmp_path / "none.jsonl.gz"))
    path = write(tmp_path / "rows.jsonl.gz", *[REVIEW] * 3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-12])
    with pytest.raises(DataError, match=r"rows.jsonl.gz: cannot be read after line"):
        list(read_eraser(path))
    path.write_bytes(b"text that is not compressed")
    with pytest.raises(DataError, match="cannot be read after line 0: Not a gzipped file"):
        list(read_eraser(path))


PIECES = st.sampled_from(["good", "film", "superb", "acting", " ", "a", "!", "x"])
LINES = st.lists(PIECES, min_size=1, max_size=12).map("".join).filter(str.strip)  # tokens of one letter and of several


@given(text=LINES, bounds=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=3))
def test_a_token_is_evidence_if_one_of_its_characters_is(text: str, bounds: list[tuple[int, int]]) -> None:
    spans = [(min(pair), max(pair)) for pair in bounds]
    marked = {character for start, end in spans for character in range(start, end)}
    for tokenizer in TOKENIZERS:
        encoding = encode(tokenizer, Example(text), None)
        expected = [offset is not None and bool(marked & set(range(*offset))) for offset in encoding.offsets]
        assert token_truth(encoding, spans).tolist() == expected


def test_of_a_pair_the_first_text_is_annotated() -> None:
    encoding = encode(TOKENIZERS[0], Example("good film", "good act"), None)
    assert token_truth(encoding, [(0, 4)]).tolist() == [False, True, False, False, False, False, False]


def auprc_by_hand(scores: list[int], truth: list[bool]) -> float:
    """Walk down the distinct scores and add up precision times what recall gains."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = [marked for score, marked in zip(scores, truth, strict=True) if score >= threshold]
        recall = sum(chosen) / sum(truth)
        total += (recall - before) * sum(chosen) / len(chosen)
        before = recall
    return total


@given(tokens=st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=15))
def test_both_measures_are_those_made_by_hand(tokens: list[tuple[int, bool]]) -> None:
    scores, truth = [score for score, _ in tokens], [marked for _, marked in tokens]
    order = sorted(range(len(tokens)), key=lambda place: (-scores[place], place))
    found = auprc(np.array(scores, float), np.array(truth)), token_f1(order, np.array(truth))
    if not any(truth):
        assert np.isnan(found).all()
        return
    chosen = [place in order[: sum(truth)] for place in range(len(tokens))]
    assert found[0] == pytest.approx(auprc_by_hand(scores, truth))
    assert found[1] == pytest.approx(f1_score(truth, chosen))


def explained(text: str, limit: int | None, scores: list[float], ranking: list[int] | None = None) -> Attribution:
    encoding = encode(TOKENIZERS[0], Example(text), limit)
    order = by_score(np.array(scores), encoding.segments) if ranking is None else tuple(ranking)
    about = describe(find_method("random"))
    own = (encoding.tokens, encoding.offsets, encoding.segments)
    return Attribution(text, None, *own, np.array(scores), order, "a", "a", {"a": 1.0}, about)


def test_agreement_looks_at_content_tokens_only_and_at_nothing_that_was_cut() -> None:
    text = "good film, the act is bad"
    spans = [(0, 4), (22, 25)]
    whole = explained(text, None, [9.0, 0.5, 0.1, 0.2, 0.3, 0.1, 0.0, 0.9, 9.0])
    cut = explained(text, 5, [9.0, 0.1, 0.5, 0.2, 9.0])
    assert whole.tokens == ("[CLS]", "good", "film", ",", "the", "act", "is", "bad", "[SEP]")
    assert cut.tokens == ("[CLS]", "good", "film", ",", "[SEP]")
    found = agreement([whole, cut, cut], [spans, spans, spans[1:]])
    # Of "good" and "bad" in the whole text both come first; of "good film ," the evidence "good" comes last.
    assert found.auprc == pytest.approx([1.0, 1 / 3, np.nan], nan_ok=True)
    assert found.token_f1 == pytest.approx([1.0, 0.0, np.nan], nan_ok=True)


def test_f1_goes_by_the_ranking_which_need_not_be_that_of_the_scores() -> None:
    reverse = explained("good film", None, [0.0, 0.1, 0.9, 0.0], ranking=[1, 2])
    found = agreement([reverse], [[(0, 4)]])
    assert (found.token_f1.tolist(), found.auprc.tolist()) == ([1.0], [0.5])
    nothing = agreement([], [])
    assert nothing.auprc.shape == nothing.token_f1.shape == (0,)


def test_without_scikit_learn_there_is_one_line_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(DependencyError, match=r'pip install "narrows\[evaluate\]"'):
        auprc(np.array([1.0]), np.array([True]))


def test_auprc_is_best_for_the_truth_itself_and_does_not_depend_on_scale() -> None:
    truth = np.array([False, True, True, False, False, True])
    assert auprc(truth.astype(float), truth) == 1.0
    scores = np.random.default_rng(0).normal(size=6)
    assert auprc(1000 * scores - 7, truth) == auprc(scores, truth)
