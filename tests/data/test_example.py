"""Examples: read from whatever users hold, refused where nothing can be explained."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.data.example import Example, check_label, sample
from narrows.errors import InputError


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("It rains.", Example("It rains.")),
        (("a", "b"), Example("a", "b")),
        (Example("a", label=1), Example("a", label=1)),
        ({"text": "a"}, Example("a")),
        ({"text": "a", "text_pair": None}, Example("a")),
        ({"text": "a", "text_pair": "b"}, Example("a", "b")),
        ({"sentence": "a", "label": 0, "idx": 7}, Example("a", label=0, id=7)),
        ({"text": "a", "id": "x7", "idx": 7}, Example("a", id="x7")),
        ({"text": "a", "id": None}, Example("a")),
        ({"text": "a", "id": 7.0}, Example("a", id=7)),
        ({"text": "a", "id": ("b", 1)}, Example("a", id="('b', 1)")),
        ({"premise": "a", "hypothesis": "b", "gold_label": "neutral"}, Example("a", "b", "neutral")),
        ({"sentence1": "a", "sentence2": "b"}, Example("a", "b")),
        ({"question": "a", "sentence": "b"}, Example("a", "b")),
        ({"text": "a", "label": "x", "gold_label": "y"}, Example("a", label="x")),
        ({"text": "a", "target": " b"}, Example("a", label=" b")),
        ({"text": "a", "target": 1}, Example("a", label=1)),
        ({"text": "a", "target": 0.34}, Example("a")),
        ({"text": "a", "target": True}, Example("a")),
        ({"text": "a", "target": " b", "label": "x"}, Example("a", label="x")),
        ({"text": "a", "text_pair": float("nan"), "label": float("nan")}, Example("a")),
        ({"text": "a", "label": 1.0}, Example("a", label=1)),
        ({"text": "a", "label": np.int64(1)}, Example("a", label=1)),
        (np.str_("a"), Example("a")),
        ((np.str_("a"), np.str_("b")), Example("a", "b")),
        (np.array("a"), Example("a")),
        ({"text": "a", "label": torch.tensor(1)}, Example("a", label=1)),
        ({"text": "a", "label": np.float32(1)}, Example("a", label=1)),
        ({"text": "a", "label": pandas.NA}, Example("a")),
        ({"text": "a", "label": pandas.NaT}, Example("a")),
        (pandas.Series({"text": "a", "label": np.int64(1)}), Example("a", label=1)),
        (namedtuple("Row", "text label")("a", "b"), Example("a", label="b")),
        (namedtuple("Row", "premise hypothesis")("a", "b"), Example("a", "b")),
    ],
)
def test_an_example_is_read_from(item: Any, expected: Example) -> None:
    found = Example.of(item)
    assert found == expected
    assert [type(part) for part in (found.text, found.text_pair, found.label)] == [
        type(part) for part in (expected.text, expected.text_pair, expected.label)
    ]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("", "text is empty"),
        (" \n\t", "text is empty"),
        (("a", " "), "text_pair is empty"),
        ((1, "a"), "text must be a string, not int"),
        ({"text": None}, "text must be a string, not NoneType"),
        ({"text": "a", "text_pair": 3}, "text_pair must be a string, not int"),
        ({"words": "a", "tag": 1}, "no 'text' column in the row; it has: words, tag"),
        (namedtuple("Row", "words tag")("a", "b"), "no 'text' column in the row; it has: words, tag"),
        ({"text": "a", "text_pair": ["b"]}, "text_pair must be a string, not list"),
        ({"role": "user", "content": "a"}, "apply_chat_template"),
        (np.array(5), "not ndarray"),
        ({}, "it has: nothing"),
        (("a", "b", "c"), "expected a text, a pair or a row with a 'text' column, not tuple"),
        (["a", "b"], "not list"),
        (None, "not NoneType"),
        (b"a", "not bytes"),
        ("half \ud800", "half of a character"),
        ({"text": float("nan")}, "text must be a string, not float: nan"),
    ],
)
def test_what_cannot_be_explained_is_refused(item: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Example.of(item)
    assert "\n" not in str(caught.value)


def test_a_long_value_of_the_wrong_kind_does_not_flood_the_message() -> None:
    with pytest.raises(InputError) as caught:
        Example(["x"] * 10_000)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 150


@given(text=st.text(min_size=1).filter(str.strip))
def test_a_text_is_kept_as_it_is(text: str) -> None:
    assert Example.of(text).text == text


@given(total=st.integers(0, 40), count=st.integers(0, 20), seed=st.integers(0, 5))
def test_a_sample_has_the_size_asked_for_and_no_example_twice(total: int, count: int, seed: int) -> None:
    stream = [Example(f"text {number}") for number in range(total)]
    drawn = sample(iter(stream), count, seed)
    assert len(drawn) == min(count, total)
    assert len({example.text for example in drawn}) == len(drawn)
    assert drawn == sample(iter(stream), count, seed)


def test_every_example_is_as_likely_to_be_drawn() -> None:
    stream = [Example(str(number)) for number in range(10)]
    hits = dict.fromkeys((example.text for example in stream), 0)
    for seed in range(2000):
        for example in sample(stream, 3, seed):
            hits[example.text] += 1
    assert all(520 < count < 680 for count in hits.values())  # 600 expected, standard deviation 20


@pytest.mark.parametrize("label", [True, np.True_, 0.5, [1], np.array([1, 0]), torch.tensor([1, 0])])
def test_a_label_is_a_name_or_an_index(label: Any) -> None:
    """Where it is needed; a text alone is explained whatever its column of labels holds."""
    with pytest.raises(InputError, match="the label must be a name or an index, not "):
        check_label(Example.of({"text": "a", "label": label}))
    assert check_label(Example("a", label="x")).label == "x"
