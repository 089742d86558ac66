"""What a check found, in words: every sentence says what the numbers say."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from narrows.data.check import Check
from narrows.viz.checked import check_sentence, check_table, written
from narrows.viz.html import render_page
from narrows.viz.terminal import render_map
from saved_maps import GOOD

ALONE = Check(
    True, "word", ("superb", "so", "<b>"), 0.99, (0.31, 0.2, 0.1), (0.4, 0.3, 0.2), (0.98, 0.9, 0.8), "so", 0.97
)
FLIPS = Check(True, "word", ("a", "b"), 0.9, (0.8, 0.2), None, (0.9, 0.85), "b", 0.7, 2, "bad", ("a", "b"))


def said(check: Check) -> str | None:
    return check_sentence({**GOOD, "check": check.to_dict()})


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (
            ALONE,
            "Without 'superb' p(positive) falls from 0.99 to 0.31 (with the mask in its place: 0.40), and without the "
            "first 3 words to 0.10. Without one word at random it is 0.98, and without any other single word at "
            "least 0.97.",
        ),
        (
            FLIPS,
            "Without 'a' and 'b' the model decides for bad: p(positive) falls from 0.90 to 0.20. "
            "Without 2 words at random it is 0.85.",
        ),
        (
            Check(True, "word", ("a", "b"), 0.9, (0.8, 0.2), None, (0.9, 0.85), "b", 0.7, 2, "bad", ("b",)),
            "Without 'a' and 'b' the model decides for bad: p(positive) falls from 0.90 to 0.20; all it takes of these "
            "is 'b'. Without 2 words at random it is 0.85.",
        ),
        (
            Check(True, "word", ("a", "b"), 0.9, (0.95, 0.2), None, (0.9, 0.85), "b", 0.7, None, None, ()),
            "Without 'a' p(positive) rises from 0.90 to 0.95, and without the first 2 words to 0.20. "
            "Without one word at random it is 0.90. Without 'b' alone, which ranks lower, it is 0.70.",
        ),
        (
            Check(True, "word", ("bad",), 0.9, (0.2,), None, (0.2,), None, None, 1, "good", ("bad",)),
            "Without 'bad' the model decides for good: p(positive) falls from 0.90 to 0.20.",
        ),
    ],
)
def test_sentences(check: Check, sentence: str) -> None:
    assert said(check) == sentence


def test_many_parts_are_counted_and_long_ones_are_cut() -> None:
    parts = ("x" * 50, "b", "c", "d", "e")
    check = Check(True, "sentence", parts, 0.9, (0.8,) * 5, None, (0.9,) * 5, "e", 0.8, 5, "bad", ())
    assert f"Without '{'x' * 37}...', 'b', 'c' and 2 more the model decides for bad" in str(said(check))
    assert "no single one of these is needed" in str(said(check))


def test_what_a_language_model_says_stands_in_quotes() -> None:
    check = Check(True, "word", ("capital",), 0.9, (0.1,), None, (0.1,), None, None, 1, "\n", ("capital",))
    spoken = {**GOOD, "target": " Paris", "record": {"target_tokens": []}, "check": check.to_dict()}
    assert check_sentence(spoken) == (  # type: ignore[arg-type]
        "Without 'capital' the model decides for '\\n': p(' Paris') falls from 0.90 to 0.10."
    )


def test_nothing_is_said_without_a_check() -> None:
    assert check_sentence(GOOD) is None


@given(st.floats(0, 1))
def test_probabilities_are_never_written_as_certain_unless_they_are(p: float) -> None:
    shown = written(p)
    assert (shown == "1.00") == (p == 1) and (shown == "0.00") == (p == 0)
    assert shown == ">0.9999" or abs(float(shown) - p) < 0.00501


def test_what_has_no_probability_is_not_called_one() -> None:
    check = Check(False, "word", ("good",), 0.9, (0.5,), None, (0.5,))
    assert said(check) == "Without 'good' exp(-loss) of positive falls from 0.90 to 0.50."


def test_terminal_and_page_say_it_and_the_page_escapes_it() -> None:
    saved: Any = {**GOOD, "check": ALONE.to_dict()}
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render_map(saved))
    assert "Without 'superb' p(positive) falls" in console.export_text()
    page = render_page([saved])
    assert "Without &#39;superb&#39; p(positive) falls" in page
    assert "<bdi>&lt;b&gt;</bdi>" in page


def test_the_table_has_a_row_for_each_part() -> None:
    head, rows = check_table(ALONE.to_dict())
    assert head == ["word", "p without them", "p behind masks", "p at random"]
    assert rows[1] == ["so", "0.20", "0.30", "0.90"]
    assert check_table(FLIPS.to_dict())[0] == ["word", "p without them", "p at random"]
