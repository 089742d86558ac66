"""The bar of a long list: only where somebody sees it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from narrows.explainer import Explainer
from narrows.viz.progress import LEAST, list_progress
from tiny import Classifier


def test_a_long_list_has_a_bar_and_a_short_one_has_none(
    bert: Classifier, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    model, tokenizer = bert
    explainer = Explainer(model, tokenizer, "random")
    explainer(["a good film"] * LEAST)
    assert "Explaining" in capfd.readouterr().err
    explainer(["a good film"] * (LEAST - 1))
    explainer("a good film")
    assert "Explaining" not in capfd.readouterr().err


def test_without_a_terminal_there_is_no_bar(bert: Classifier, capfd: pytest.CaptureFixture[str]) -> None:
    model, tokenizer = bert
    Explainer(model, tokenizer, "random")(["a good film"] * LEAST)
    assert capfd.readouterr().err == ""


def test_it_moves_with_what_is_done_and_never_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class Bar:
        n = 0

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None: ...

        def update(self, more: int) -> None:
            self.n += more
            seen.append(self.n)

    monkeypatch.setattr("tqdm.auto.tqdm", lambda **_: Bar())
    with list_progress(80) as tick:
        for done in (0.25, 0.5, 0.4, 1.0):
            tick(done)
    assert seen == [20, 40, 40, 80]
