"""Any text, any input, any target: the right result, or one line that says what is wrong; and never another row's."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fuzzing import MODELS, ROWS, TARGETS, TEXTS, THINGS, explainer, one_line, share, tried
from narrows.attribution import Attribution
from narrows.errors import NarrowsError
from narrows.viz.html import render_page
from narrows.viz.terminal import render_map

METHODS = ("fast", "complete:steps=4:draws=2", "paper:steps=2:samples=2", "ig:steps=2", "lime:samples=8", "occlusion")


def check(found: Attribution | NarrowsError, text: str | None = None, pair: str | None = None) -> None:
    """A result is of its text, is saved and read again, and is shown without driving the terminal."""
    if isinstance(found, NarrowsError):
        one_line(found)
        return
    assert isinstance(found, Attribution)
    if text is not None:
        assert (found.text, found.text_pair) == (text, pair)
    texts = (found.text, found.text_pair or "")
    for offset, segment in zip(found.offsets, found.segments, strict=True):
        assert segment is None or offset is None or 0 <= offset[0] <= offset[1] <= len(texts[segment])
    saved = found.to_dict()
    again = Attribution.from_dict(json.loads(json.dumps(saved, ensure_ascii=False)))
    assert again.to_dict() == saved
    shown = io.StringIO()
    Console(file=shown, width=60, color_system=None).print(render_map(saved))
    assert not {"\x1b", "\x00", "\r", "\x9b", "\u202e"} & set(shown.getvalue() + render_page([saved]))


@pytest.mark.parametrize("family", MODELS)
@share(12)
@given(text=TEXTS, pair=st.none() | TEXTS)
def test_what_is_explained_is_what_the_model_predicts(family: str, text: str, pair: str | None) -> None:
    own = explainer(family)
    found = tried(lambda: own({"text": text, "text_pair": pair}))
    check(found, text, pair)
    if isinstance(found, NarrowsError) or found.truncated:
        return
    with torch.no_grad():
        logits = own.model(**own.tokenizer(text, pair, return_tensors="pt")).logits[0]
    np.testing.assert_allclose(list(found.probabilities.values()), logits.softmax(-1).numpy(), atol=1e-5)


@pytest.mark.parametrize("family", MODELS)
@share(8)
@given(st.lists(ROWS, min_size=1, max_size=4), st.sampled_from((None, "positive", 0)), st.integers(1, 4))
def test_a_row_of_a_list_gets_what_it_gets_alone(family: str, rows: list[Any], target: Any, size: int) -> None:
    own = explainer(family)
    alone = [tried(lambda row=row: own(row, target)) for row in rows]
    together = tried(lambda: own(rows, target, size))
    if isinstance(together, NarrowsError):
        assert any(isinstance(one, NarrowsError) for one in alone)
        return
    assert len(together) == len(rows)
    for one, other in zip(alone, together, strict=True):
        check(other)
        assert isinstance(one, NarrowsError) == isinstance(other, NarrowsError)
        if not isinstance(one, NarrowsError):
            for name in ("text", "text_pair", "tokens", "target"):
                assert getattr(other, name) == getattr(one, name)
            np.testing.assert_allclose(other.scores, one.scores, rtol=1e-3, atol=1e-4)


@share(20)
@given(item=THINGS, target=TARGETS)
def test_any_input_and_any_target(item: Any, target: Any) -> None:
    def run() -> list[Any]:
        found = explainer("bert")(item, target)
        return [found] if isinstance(found, (Attribution, NarrowsError)) else list(islice(found, 10))

    found = tried(run)
    for one in [found] if isinstance(found, NarrowsError) else found:
        check(one)


@share(20)
@given(text=TEXTS, method=st.sampled_from(METHODS), target=TARGETS)
def test_any_method_on_any_text_with_any_target(text: str, method: str, target: Any) -> None:
    own = explainer("bert", method)
    found = tried(lambda: own(text, target))
    if not isinstance(found, (Attribution, NarrowsError)):
        assert isinstance(found, (list, Iterator))
        found = next(iter(found))
    check(found, text)
