"""The strongest words of a run: counted as by hand, in memory that does not grow, and the planted one first."""

from __future__ import annotations

import tracemalloc
from collections import defaultdict
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.data.source import Source
from narrows.errors import DataError, InputError
from narrows.run import ExplainSettings, explain_dataset, summarize_run
from narrows.run import summary as module
from narrows.viz.strongest import summary_page
from planted import WORD, planted_classifier
from saved_runs import Text, make_run


def chosen_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Z", -1e9)  # every word counts as sure


WORDS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(-3, 3)), min_size=1, max_size=5)


@given(
    texts=st.lists(st.tuples(WORDS, st.sampled_from("xy"), st.sampled_from(["x", "y", None])), min_size=1, max_size=6)
)
def test_words_and_pairs_are_counted_as_by_hand(tmp_path_factory: pytest.TempPathFactory, texts: Any) -> None:
    folder = tmp_path_factory.mktemp("run")
    made = [
        (" ".join(w for w, _ in words), [float(s) for _, s in words], target, gold) for words, target, gold in texts
    ]
    made.append(("z", [1.0], "x", None))  # at least one word that is not 0
    with pytest.MonkeyPatch.context() as patched:
        chosen_all(patched)
        found = summarize_run(make_run(folder / "run", made), min_texts=1, limit=1000)
    expected = defaultdict(list)
    for number, (text, scores, target, gold) in enumerate(made):
        words = text.split(" ")
        for group in ("all",) if gold is None else ("all", "right" if gold == target else "wrong"):
            for place, word in enumerate(words):
                expected[target, group, "word", word].append((number, scores[place]))
            for place in range(len(words) - 1):
                pair = f"{words[place]} {words[place + 1]}"
                expected[target, group, "pair", pair].append((number, scores[place] + scores[place + 1]))
    keys = {(own.target, own.group, own.kind, own.words) for own in found.entries}
    assert keys <= set(expected)
    assert {key for key, own in expected.items() if key[2] == "word" and sum(score for _, score in own)} <= keys
    for own in found.entries:
        values = expected[own.target, own.group, own.kind, own.words]
        assert own.mean == pytest.approx(np.mean([score for _, score in values]))
        assert (own.count, own.texts) == (len(values), len({number for number, _ in values}))
        assert own.low - 1e-9 <= own.high
        if own.kind == "pair":
            parts = [np.mean([s for _, s in expected[own.target, own.group, "word", w]]) for w in own.words.split(" ")]
            assert own.beyond == pytest.approx(own.mean - sum(parts))
        else:
            assert own.beyond is None


def test_an_interval_holds_the_mean_of_the_population(tmp_path: Path) -> None:
    """Of 40 samples of 30 texts each, the 95 % interval holds the true mean, 1, in nearly all."""
    draw, held = np.random.default_rng(0), 0
    for sample in range(40):
        texts = [("a b", [float(draw.normal(1, 2)), 0.0], "x", None) for _ in range(30)]
        with pytest.MonkeyPatch.context() as patched:
            chosen_all(patched)
            entries = summarize_run(make_run(tmp_path / str(sample), texts)).entries
        (own,) = (entry for entry in entries if entry.words == "a")
        held += own.low <= 1 <= own.high
    assert 34 <= held <= 40


def test_the_planted_word_tops_the_table(tmp_path: Path) -> None:
    loaded = planted_classifier()
    texts = [f"{a} film {WORD} {b}" for a in ("the", "a", "it", "not") for b in ("act", "very bad", "acting", "is")]
    texts += ["the film", "a bad act", "it is not very bad", "the act"]
    settings = ExplainSettings(model="planted", method="fast", prior="instance")
    explain_dataset(Source(items=texts), tmp_path / "run", settings, loaded=loaded)
    found = summarize_run(tmp_path / "run", min_texts=3)
    first = next(own for own in found.entries if (own.target, own.kind) == ("positive", "word"))
    assert (first.words, first.texts) == (WORD, 16)
    assert all(WORD in text for text in first.examples)


def test_what_is_rare_is_let_go_when_there_is_no_room_and_what_is_shown_is_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [(f"often w{number} u{number}", [1.0, 5.0, 0.0], "x", None) for number in range(300)]
    run = make_run(tmp_path / "run", texts)
    monkeypatch.setattr(module, "MOST_WORDS", 50)
    found = summarize_run(run)
    assert [(own.words, own.texts, own.count, own.mean) for own in found.entries] == [("often", 300, 300, 1.0)]


def test_without_room_no_word_in_more_texts_than_it_says_is_lost_and_all_numbers_are_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow reference has room for all. One word is only in the last third."""
    draw = np.random.default_rng(0)
    texts: list[Text] = []
    for place in range(300):
        words = [f"w{number}" for number in draw.zipf(1.5, 4)]
        words[0] = "late" if place >= 200 and place % 2 else words[0]
        texts.append((" ".join(words), draw.normal(1, 1, 4).tolist(), "x", draw.choice(["x", "y"])))
    run = make_run(tmp_path / "run", texts)
    chosen_all(monkeypatch)
    full = summarize_run(run, min_texts=1, limit=10_000)
    monkeypatch.setattr(module, "MOST_WORDS", 150)
    found = summarize_run(run, min_texts=1, limit=10_000)
    assert full.missed == 0 < found.missed < 50
    exact = {own[:4]: own for own in map(astuple, full.entries)}
    kept = {own[:4]: own for own in map(astuple, found.entries)}
    texts_of = {key: own[8] for key, own in exact.items()}
    assert {key for key, number in texts_of.items() if number > found.missed} <= set(kept)
    assert ("x", "all", "word", "late") in kept
    often = summarize_run(run, limit=10_000)  # words of five texts or more, some of which were dropped and came again
    assert {key for key, number in texts_of.items() if number > often.missed} <= {
        astuple(own)[:4] for own in often.entries
    }
    assert all(own.texts >= 5 for own in often.entries)
    for key, own in kept.items():
        assert own[4:-1] == pytest.approx(exact[key][4:-1])
    assert f"{found.missed} texts or fewer may be missing" in summary_page(found.to_dict())
    assert "missing" not in summary_page(full.to_dict())


def test_memory_does_not_grow_with_the_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WORDS", 300)
    peaks = []
    for size in (600, 6000):
        texts = [(f"often w{n} u{n} v{n}", [1.0, 5.0, 0.0, 2.0], "x", None) for n in range(size)]
        run = make_run(tmp_path / str(size), texts)
        del texts
        summarize_run(run)
        tracemalloc.start()
        summarize_run(run)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_two_runs_are_subtracted_where_text_and_target_are_the_same(tmp_path: Path) -> None:
    texts: list[Text] = [("a b", [3.0, 1.0], "x", None)] * 5 + [("a c", [9.0, 1.0], "y", None)]
    others: list[Text] = [("a b", [1.0, 1.0], "x", None)] * 5 + [("a c", [0.0, 0.0], "x", None)]
    one, other = make_run(tmp_path / "one", texts), make_run(tmp_path / "two", others)
    found = summarize_run(one, other)
    assert (found.run, found.texts) == ("one less two", 6 - 1)
    assert [(own.words, own.mean, own.texts) for own in found.entries if own.kind == "word"] == [("a", 2.0, 5)]
    assert summarize_run(make_run(tmp_path / "later", texts[1:], first=1), other, min_texts=4).texts == 4


def test_labels_by_number_and_examples_on_the_side_of_the_word(tmp_path: Path) -> None:
    texts: list[Text] = [("a first", [-5.0, 0.0], "x", "0"), *[(f"a {n}", [3.0, 0.0], "x", "1") for n in range(9)]]
    with pytest.MonkeyPatch.context() as patched:
        chosen_all(patched)
        found = summarize_run(make_run(tmp_path / "run", texts, labels=("x", "y")), min_texts=1)
    sides = {own.group: own for own in found.entries if own.words == "a"}
    assert {group: own.texts for group, own in sides.items()} == {"all": 10, "right": 1, "wrong": 9}
    assert "a first" not in sides["all"].examples


def test_what_cannot_be_summed_up_is_one_line(tmp_path: Path) -> None:
    texts: list[Text] = [("a b", [3.0, 1.0], "x", None)]
    run = make_run(tmp_path / "run", texts)
    with pytest.raises(DataError, match="no word is in 5 of 1 texts: ask for fewer"):
        summarize_run(run)
    with pytest.raises(InputError, match="bits and in score cannot be compared"):
        summarize_run(run, make_run(tmp_path / "other", texts, unit="score"))
    with pytest.raises(InputError, match="are of different texts: row 0 differs"):
        summarize_run(run, make_run(tmp_path / "changed", [("a c", [3.0, 1.0], "x", None)]))
    with pytest.raises(DataError):
        summarize_run(tmp_path)
