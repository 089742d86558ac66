"""Scores from a file as a method: every text of a batch finds its row, or is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tiny
from narrows.data.example import Example
from narrows.errors import DataError
from narrows.explainer import Explainer
from narrows.methods import find_method, spec
from narrows.methods.file import FromFile
from narrows.models.heads.task import Question
from narrows.models.text.encoding import encode

BERT = tiny.wordpiece_tokenizer()
ROWS = [
    {"text": "good film", "tokens": ["good", "film"], "scores": [5, 6]},
    {"text": "good film", "text_pair": "bad act", "tokens": ["good", "film", "bad", "act"], "scores": [1, 2, 3, 4]},
    {"text": "a film", "tokens": ["a", "act"], "scores": [1, 2]},
    {"text": "bad film", "tokens": ["bad", "film"], "scores": [5, 6], "ranks": [1, 2]},
]


def batch(*examples: Example) -> Any:
    """What `FromFile` uses of a batch; gives back what it is given."""

    def attributions(method: FromFile, scores: Any, rankings: Any) -> Any:
        return list(zip([method] * len(scores), scores, rankings, strict=True))

    return SimpleNamespace(questions=list(map(asked, examples)), attributions=attributions)


def asked(example: Example) -> Question:
    return Question(example, encode(BERT, example, None), None)


@pytest.fixture
def method(tmp_path: Path) -> FromFile:
    path = tmp_path / "lime.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return FromFile(str(path))


def check(method: FromFile, *examples: Example) -> None:
    method.check(map(asked, examples))


def test_each_text_gets_its_own_scores_and_order(method: FromFile) -> None:
    found: Any = method.explain(batch(Example("good film", "bad act"), Example("good film"), Example("bad film")))
    expected = [[0, 1, 2, 0, 3, 4, 0], [0, 5, 6, 0], [0, 5, 6, 0]]
    for (by, scores, _), wanted in zip(found, expected, strict=True):
        assert by is method
        np.testing.assert_allclose(scores, wanted)
    assert [ranking for _, _, ranking in found] == [None, None, (1, 2)]  # None = by the scores


def test_a_text_without_a_row_is_named_before_the_work_and_in_it(method: FromFile) -> None:
    check(method, Example("good film"), Example("good film", "bad act"))
    for refuse in (lambda example: check(method, example), lambda example: method.explain(batch(example))):
        with pytest.raises(DataError, match=r"lime.jsonl: no row for 'it': each text needs .* \(and no text_pair\)"):
            refuse(Example("it"))
        with pytest.raises(DataError, match=r"lime.jsonl: no row for 'it': .* the same text and text_pair"):
            refuse(Example("it", "is"))


def test_all_that_a_file_lacks_is_named_at_once(method: FromFile) -> None:
    """A text without a row, a row with tokens of another text; of many the first few, and how many there are."""
    missing = [Example(f"it is {number}") for number in range(5)]
    with pytest.raises(DataError) as caught:
        check(method, Example("good film"), Example("a film"), *missing)
    told = str(caught.value)
    assert told.startswith("6 of 7 texts have no scores: ")
    for part in ("line 3: token 2, 'act'", "no row for 'it is 0'", "no row for 'it is 1'", "and 3 more"):
        assert part in told


def test_tokens_of_another_text_are_named_by_their_line(method: FromFile) -> None:
    with pytest.raises(DataError, match=r"lime.jsonl, line 3: token 2, 'act'"):
        method.explain(batch(Example("a film")))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        check(FromFile(str(tmp_path / "scores.jsonl")), Example("good"))


def test_a_file_that_changed_is_read_again(method: FromFile) -> None:
    check(method, Example("good film"))
    Path(method.path).write_text(json.dumps({**ROWS[0], "text": "better film", "tokens": ["better", "film"]}))
    os.utime(method.path, ns=(1, 1))
    check(method, Example("better film"))
    with pytest.raises(DataError, match="no row"):
        check(method, Example("good film"))


@pytest.mark.parametrize("written", ["file:{}", "file:path={}"])
def test_it_is_a_method_like_any_other(written: str, method: FromFile, bert: tuple[Any, Any]) -> None:
    found = find_method(written.format(method.path))
    assert found == method
    assert find_method(spec(found)) == method
    (attribution,) = Explainer(*bert, method=found, prior="instance")(["bad film"])
    assert (list(attribution.scores), attribution.ranking) == ([0, 5, 6, 0], (1, 2))
    assert (attribution.unit, attribution.method["label"]) == ("score", "file lime.jsonl")
    assert attribution.method["settings"] == {"path": method.path}


def test_it_says_what_the_scores_are(method: FromFile) -> None:
    assert method.label == "file lime.jsonl"
    assert "lime.jsonl" in method.caption
    assert (method.quantity, method.unit, method.signed, method.additive) == ("score", "score", True, False)
    assert method == FromFile(method.path)
    assert method.names == {"file": {}}
