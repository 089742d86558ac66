"""Data frames of explained texts: every number where it belongs, whole numbers whole, errors in their rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows import Attribution, Attributions, Explainer, NarrowsError
from narrows.data.frames import to_frame
from narrows.data.schema import AttributionDict
from narrows.errors import DependencyError, InputError
from saved_maps import saved_maps
from tiny import Classifier

SPANS = [(0, 6), (7, 15)]


@given(saved=st.lists(saved_maps(), max_size=3))
def test_every_token_and_word_has_its_row(saved: list[AttributionDict]) -> None:
    for level in ("token", "word"):
        frame, parts = to_frame(saved, level), [part for own in saved for part in own[f"{level}s"]]  # type: ignore[literal-required]
        assert frame[level].tolist() == [part[level] for part in parts]
        assert frame["score"].tolist() == [part["score"] for part in parts]
        assert frame["rank"].dropna().tolist() == [part["rank"] for part in parts if part["rank"] is not None]
        numbers = [number for number, own in enumerate(saved) for _ in own[f"{level}s"]]  # type: ignore[literal-required]
        assert frame["text_number"].tolist() == numbers
        assert str(frame["start"].dtype) == "Int64"


def test_a_list_has_a_row_for_each_text_and_says_what_is_wrong(bert: Classifier) -> None:
    model, tokenizer = bert
    explainer = Explainer(model, tokenizer, "fast", "instance")
    with pytest.warns(match="1 of 3 texts could not be explained"):
        found = explainer([{"text": "a good film", "id": "r7", "label": "positive"}, " ", "bad"], check=True)
    frame = found.to_frame()
    assert frame["text"].tolist()[::2] == ["a good film", "bad"]
    assert frame["id"][0] == "r7" and frame["gold"][0] == "positive"
    assert frame["probability"][0] == found[0].probability
    assert frame["flip"].tolist()[0] == found[0].check.flip or frame["flip"].isna()[0]
    flip, share = found[0].check.flip, frame["fraction_to_flip"][0]
    assert share == flip / 3 if flip else frame["fraction_to_flip"].isna()[0]
    assert [bool(error) for error in frame["error"].fillna("")] == [False, True, False]
    assert found.to_frame("word")["text_number"].tolist() == [0, 0, 0, 2]


def test_one_text_by_words_units_and_tokens(bert: Classifier) -> None:
    found = Explainer(*bert, "fast", "instance")("a good superb film", unit_of=SPANS)  # type: ignore[call-overload]
    assert isinstance(found, Attribution)
    assert found.to_frame()["word"].tolist() == ["a", "good", "superb", "film"]
    assert found.to_frame("unit")["unit"].tolist() == ["a good", "superb f"]
    assert found.to_frame("token")["token"].tolist() == list(found.tokens)
    assert found.to_frame("token")["segment"].isna().tolist() == list(found.special)
    with pytest.raises(InputError, match="was not explained in units"):
        Explainer(*bert, "fast", "instance")("a film").to_frame("unit")
    with pytest.raises(InputError, match="level must be one of text, word, unit, token, not 'letter'"):
        found.to_frame("letter")  # type: ignore[arg-type]


def test_without_pandas_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(DependencyError, match="pip install pandas"):
        Attributions([NarrowsError("text is empty")]).to_frame()
