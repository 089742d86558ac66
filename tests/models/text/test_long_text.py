"""Long texts: every token in some window, no window too long, nothing in silence."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from narrows.data.example import Example
from narrows.errors import InputError, NarrowsWarning
from narrows.explainer import Explainer
from narrows.models.text.encoding import encode
from narrows.models.text.long_text import divide
from narrows.viz.caption import missed, sentences, strongest
from tiny import Classifier

WORDPIECE = tiny.wordpiece_tokenizer()
QUICK: dict[str, Any] = {"method": "information:layer=1:steps=2:samples=2", "prior": "instance"}
LONG = " ".join(["good film bad act"] * 30)
words = st.lists(st.sampled_from(tiny.WORDS[:10]), min_size=1, max_size=40).map(" ".join)


@given(text=words, pair=st.none() | words, limit=st.integers(5, 30))
def test_windows_cover_every_token_within_the_limit(text: str, pair: str | None, limit: int) -> None:
    try:
        pieces = divide(WORDPIECE, Example(text, pair), limit, "windows")
    except InputError:  # the shorter text of a pair leaves no room
        assert pair is not None
        return
    whole = encode(WORDPIECE, Example(text, pair), None)
    assert pieces.whole == whole
    assert set().union(*pieces.places) == set(range(len(whole)))
    special = {place for place, segment in enumerate(whole.segments) if segment is None}
    for places, encoding in zip(pieces.places, pieces.encodings(), strict=True):
        assert len(encoding) <= limit
        assert special <= set(places)
        assert list(places) == sorted(places)
        assert encoding.features["input_ids"] == [whole.features["input_ids"][place] for place in places]
        assert [encoding.offsets[i] for i in range(len(places))] == [whole.offsets[place] for place in places]
    lengths = {len(places) for places in pieces.places}
    assert len(lengths) == 1  # the last window too: a stump would be read without its context


def test_neighbouring_windows_overlap_by_a_quarter() -> None:
    places = divide(WORDPIECE, Example("good " * 100), 42, "windows").places  # 40 tokens of text in each
    assert [min(set(window) - {0}) for window in places] == [1, 31, 61]


def test_a_text_that_fits_is_one_piece_whatever_the_policy() -> None:
    for policy in ("truncate", "windows", "error"):
        pieces = divide(WORDPIECE, Example("good film"), 4, policy)
        assert pieces.places == ((0, 1, 2, 3),)


def test_a_window_must_have_room_beside_the_other_text() -> None:
    with pytest.raises(InputError, match="no room for a window"):
        divide(WORDPIECE, Example("good " * 10, "bad " * 10), 13, "windows")


def test_a_text_that_must_not_be_long_is_refused_with_what_would_help(bert: Classifier) -> None:
    with pytest.raises(InputError, match=r"122 tokens, but the model takes 64.*'truncate' or 'windows'"):
        Explainer(*bert, long_texts="error", **QUICK)(LONG)
    with pytest.raises(InputError, match="long_texts must be one of truncate, windows, error"):
        Explainer(*bert, long_texts="cut", **QUICK)  # type: ignore[arg-type]


def test_cutting_is_told_once_and_points_at_the_users_line(bert: Classifier) -> None:
    explainer = Explainer(*bert, **QUICK)
    with pytest.warns(NarrowsWarning, match="58 tokens were cut off 'good film") as caught:
        attributions = explainer([LONG, "bad", LONG])
    assert [attribution.truncated for attribution in attributions] == [58, 0, 58]
    assert len(caught) == 1


def test_cutting_that_was_asked_for_is_not_warned_of(bert: Classifier) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Explainer(*bert, max_tokens=10, **QUICK)(LONG).truncated == 112


def test_windows_give_every_token_the_mean_of_what_it_has_in_each(bert: Classifier) -> None:
    tokenizer = bert[1]
    explainer = Explainer(*bert, long_texts="windows", **QUICK)
    attribution = explainer(LONG)
    pieces = divide(tokenizer, Example(LONG), 64, "windows")
    assert attribution.tokens == encode(tokenizer, Example(LONG), None).tokens
    assert (attribution.truncated, attribution.record["windows"]) == (0, len(pieces.places))
    assert len(attribution.words()) == 120
    texts = [LONG[encoding.offsets[1][0] : encoding.offsets[-2][1]] for encoding in pieces.encodings()]  # type: ignore[index]
    alone = [Explainer(*bert, **QUICK)(text, attribution.target) for text in texts]
    for label, p in attribution.probabilities.items():
        assert p == pytest.approx(np.mean([own.probabilities[label] for own in alone]), rel=1e-4)
    assert attribution.predicted == max(attribution.probabilities, key=lambda label: attribution.probabilities[label])
    assert attribution.target == attribution.predicted


def test_scores_of_windows_are_not_said_to_add_up(bert: Classifier) -> None:
    explainer = Explainer(*bert, "complete:steps=4", "instance", long_texts="windows")
    short, long = explainer(["good film", LONG])
    assert (short.additive, long.additive, long.rise, long.missed) == (True, False, None, None)
    saved, whole = long.to_dict(), short.to_dict()
    assert missed(whole) in sentences(whole) and missed(saved) is None
    assert {row.share for row in strongest(saved, 5)} == {None}  # parts of no whole


def test_windows_among_other_texts_change_nothing(bert: Classifier) -> None:
    explainer = Explainer(*bert, long_texts="windows", **QUICK)
    together = explainer(["bad", LONG, ("a film", LONG)])
    for attribution in together:
        alone = explainer((attribution.text, attribution.text_pair) if attribution.text_pair else attribution.text)
        np.testing.assert_allclose(attribution.scores, alone.scores, rtol=5e-3, atol=1e-2)
    layers = explainer.across_layers(LONG, layers=[1, 2])
    assert [len(attribution.tokens) for attribution in layers] == [122, 122]


def test_windows_are_for_classes_that_exclude_each_other(bert: Classifier) -> None:
    bert[0].config.problem_type = "multi_label_classification"
    with pytest.raises(InputError, match=r"windows.*one class of several"):
        Explainer(*bert, long_texts="windows", **QUICK)(LONG)
