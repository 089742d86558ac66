"""Labels of texts: by name or by number, and right only where the model knows the label."""

from __future__ import annotations

from typing import Any

import pytest

from narrows.data.labels import is_right, name_label

LABELS = ("negative", "positive")


@pytest.mark.parametrize(
    ("label", "name"),
    [(1, "positive"), ("1", "positive"), (" Positive ", "positive"), (None, None), ("5", None), (True, None)],
)
def test_a_label_is_named_as_the_model_calls_it(label: Any, name: str | None) -> None:
    assert name_label(label, LABELS) == name
    assert is_right("positive", label, LABELS) == (None if name is None else name == "positive")
    assert is_right("negative", label, LABELS) == (None if name is None else False)


def test_what_a_language_model_says_is_compared_as_text() -> None:
    assert is_right(" Paris", "Paris", ()) is True
    assert is_right(" Paris", "Rome", (" Lyon",)) is False
    assert is_right(" Paris", None, ()) is None
