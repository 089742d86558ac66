"""Results: checked when they are made, frozen, and the same after a round trip through a file."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from narrows import __version__
from narrows.attribution import Attribution
from narrows.attributions import Attributions
from narrows.bottleneck.trace import TracePoint
from narrows.data.schema import AttributionDict, MethodDict
from narrows.data.units import by_score
from narrows.errors import InputError
from narrows.viz.files import render_file
from narrows.viz.fragments import render_list

METHOD: dict[str, Any] = {
    "name": "fast",
    "settings": {"steps": 3, "interval": [0.2, 0.8], "layer": None},
    "label": "evidence",
    "quantity": "evidence",
    "unit": "bits",
    "signed": True,
    "additive": False,
    "caption": "A token's score is a number of bits.",
    "how": "",
}


def attribution(**changes: Any) -> Attribution:
    fields: dict[str, Any] = {
        "text": "It's \u00fc <b> \U0001f600\n",
        "text_pair": "bad",
        "tokens": ("[CLS]", "it", "'s", "bad", "[SEP]"),
        "offsets": (None, (0, 2), (2, 4), (0, 3), None),
        "segments": (None, 0, 0, 1, None),
        "scores": np.array([0.0, -1 / 3, 1e-17, 12.5, -1e20]),
        "ranking": (3, 1, 2),
        "target": "nega\u00fctive",
        "predicted": "positive",
        "probabilities": {"nega\u00fctive": 0.1, "positive": 0.9},
        "method": METHOD,
        "layers": (1, 3),
        "typical": 0.4,
        "rise": -1.25,
        "trace": (TracePoint(0, 0.1, 1000.1, 0.01), TracePoint(1, 2 / 3, 12.0)),
        "truncated": 2,
        "model": "tiny",
        "prior": "instance",
        "record": {"beta": 1e-5, "dtype": "float32"},
    }
    return Attribution(**{**fields, **changes})


SAVED = (
    *(
        "text",
        "text_pair",
        "tokens",
        "offsets",
        "segments",
        "ranking",
        "target",
        "predicted",
        "probabilities",
        "method",
    ),
    *("layers", "typical", "rise", "trace", "truncated", "model", "prior", "record", "id", "gold"),
)


def assert_same(one: Attribution, other: Attribution) -> None:
    assert one.to_dict() == other.to_dict()
    assert np.array_equal(one.scores, other.scores)
    for name in SAVED:
        assert getattr(one, name) == getattr(other, name), name
        assert type(getattr(one, name)) is type(getattr(other, name)), name


def test_every_field_but_the_features_is_saved() -> None:
    assert {field.name for field in fields(Attribution)} == {*SAVED, "scores", "places", "check", "features"}


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_saved_result_comes_back_exactly(tmp_path: Path, suffix: str) -> None:
    original = attribution()
    path = tmp_path / f"map{suffix}"
    original.save(path)
    assert_same(Attribution.load(path), original)
    assert_same(Attribution.load(str(path)), original)


finite = st.floats(-1e300, 1e300)
words = st.text(max_size=8)


@st.composite
def attributions(draw: st.DrawFn) -> Attribution:
    """Any attribution: texts of any characters, special tokens anywhere, any ranking, fields that may be missing."""
    count = draw(st.integers(1, 6))
    segments = tuple(draw(st.sampled_from([None, 0, 1])) for _ in range(count))
    content = [place for place, own in enumerate(segments) if own is not None]
    text = draw(st.text(min_size=1, max_size=12))
    ends = st.integers(0, len(text))
    offsets = tuple(None if own is None else tuple(sorted((draw(ends), draw(ends)))) for own in segments)
    return attribution(
        text=text,
        text_pair=text if 1 in segments else draw(st.none() | words),
        tokens=tuple(draw(words) for _ in range(count)),
        offsets=offsets,
        segments=segments,
        scores=np.array([draw(finite) for _ in range(count)]),
        ranking=tuple(draw(st.permutations(content))),
        probabilities=draw(st.dictionaries(words, st.floats(0, 1), max_size=3)),
        layers=draw(st.none() | st.lists(st.integers(0, 40), min_size=1).map(tuple)),
        typical=draw(st.none() | st.floats(0, 1)),
        rise=draw(st.none() | finite),
        trace=tuple(
            TracePoint(step, draw(finite), draw(finite), draw(finite)) for step in range(draw(st.integers(0, 2)))
        ),
        truncated=draw(st.integers(0, 9)),
        prior=draw(st.none() | words),
        record=draw(st.dictionaries(words, st.none() | finite | words | st.integers(), max_size=3)),
    )


@given(original=attributions())
def test_whatever_it_holds_comes_back_exactly_through_json(original: Attribution) -> None:
    assert_same(Attribution.from_dict(json.loads(json.dumps(original.to_dict(), allow_nan=False))), original)


@given(original=attributions(), suffix=st.sampled_from([".json", ".safetensors"]))
@settings(max_examples=20)
def test_whatever_it_holds_comes_back_exactly_through_a_file(
    tmp_path: Path, original: Attribution, suffix: str
) -> None:
    original.save(tmp_path / f"map{suffix}")
    assert_same(Attribution.load(tmp_path / f"map{suffix}"), original)


@given(original=attributions())
def test_ranks_count_the_ranking_and_special_tokens_have_none(original: Attribution) -> None:
    ranks = original.ranks
    assert original.special == tuple(own is None for own in original.segments)
    assert [rank is None for rank in ranks] == list(original.special)
    assert [ranks[place] for place in original.ranking] == list(range(1, len(original.ranking) + 1))
    saved = original.to_dict()
    assert [token["rank"] for token in saved["tokens"]] == list(ranks)
    assert [token["score"] for token in saved["tokens"]] == original.scores.tolist()


@given(original=attributions())
def test_it_says_in_one_line_what_it_is(original: Attribution) -> None:
    assert "\n" not in repr(original)
    assert original.method["name"] in repr(original) and original.unit in repr(original)


def test_its_line_names_text_target_method_and_the_first_tokens() -> None:
    line = repr(attribution())
    for part in ("It's", "nega\u00fctive", "fast", "bits", "bad +12.5"):
        assert part in line
    assert line.index("bad +12.5") < line.index("it -0.333")


def test_a_saved_result_is_strict_json_even_without_a_trace(tmp_path: Path) -> None:
    """NaN is no JSON; other methods than the bottleneck have no trace."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    path = tmp_path / "map.json"
    for result in (attribution(), attribution(trace=())):
        result.save(path)
        json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
        assert_same(Attribution.load(path), result)


def test_the_safetensors_file_holds_the_numbers_as_arrays(tmp_path: Path) -> None:
    original = attribution()
    original.save(tmp_path / "map.safetensors")
    arrays = load_file(tmp_path / "map.safetensors")
    assert np.array_equal(arrays["scores"], original.scores)


def test_the_saved_form_has_the_fields_that_users_rely_on() -> None:
    saved = attribution().to_dict()
    assert {"text", "text_pair", "tokens", "target", "predicted", "probabilities", "layers", "unit"} <= set(saved)
    assert set(saved) == set(AttributionDict.__annotations__)
    assert saved["tokens"][1] == {
        "token": "it",
        "start": 0,
        "end": 2,
        "segment": 0,
        "special": False,
        "score": -1 / 3,
        "rank": 2,
    }
    assert set(saved["method"]) == set(MethodDict.__annotations__)
    assert (saved["unit"], saved["signed"], saved["additive"]) == ("bits", True, False)
    assert saved["layers"] == [1, 3]
    assert saved["tokens"][0]["special"]
    assert saved["tokens"][0]["start"] is saved["tokens"][0]["segment"] is None
    assert saved["trace"][1] == {"step": 1, "cross_entropy": 2 / 3, "information": 12.0, "error": 0.0}
    assert [(word["word"], word["segment"], word["rank"]) for word in saved["words"]] == [("It's", 0, 2), ("bad", 1, 1)]
    assert saved["narrows_version"] == __version__


def test_a_word_has_the_sum_of_its_tokens_and_the_best_of_their_ranks() -> None:
    first, second = attribution().words()
    assert (first.text, first.start, first.end, first.segment, first.tokens) == ("It's", 0, 4, 0, (1, 2))
    assert first.score == -1 / 3 + 1e-17
    assert (first.rank, second.rank) == (2, 1)
    assert (second.text, second.score, second.tokens) == ("bad", 12.5, (3,))


def test_what_is_missed_is_the_rise_less_the_sum() -> None:
    scores = np.array([0.5, 1.0, -0.25, 2.0, 0.0])
    assert attribution(scores=scores, rise=3.5).missed == pytest.approx(0.25)
    assert attribution(scores=scores, rise=None).missed is None


@pytest.mark.parametrize(
    ("largest", "quantity", "little"),
    [(0.09, "evidence", True), (-0.09, "evidence", True), (-0.11, "evidence", False), (0.09, "score", False)],
)
def test_a_text_explains_little_where_no_token_has_evidence(largest: float, quantity: str, little: bool) -> None:
    scores = np.array([5.0, largest, 0.01, 0.0, 5.0])  # the first and the last token are special
    result = attribution(scores=scores, method={**METHOD, "quantity": quantity})
    assert result.explains_little is little


def test_the_method_says_what_the_scores_are() -> None:
    result = attribution(method={**METHOD, "unit": "weight", "signed": False, "additive": True})
    assert (result.unit, result.signed, result.additive) == ("weight", False, True)


def test_the_rate_curve_is_that_of_the_trace() -> None:
    curve = attribution().rate_curve()
    assert [point.bits for point in curve] == [12.0, 1000.1]
    assert curve[1].probability == pytest.approx(math.exp(-0.1))
    assert curve[1].low < curve[1].probability < curve[1].high
    assert attribution(trace=()).rate_curve() == []


@pytest.mark.parametrize("ranking", [(), (3, 1), (3, 1, 1), (0, 1, 2), (3, 2, 1, 0), (1, 2, 4)])
def test_a_ranking_without_every_token_of_the_text_once_is_refused(ranking: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="ranking"):
        attribution(ranking=ranking)


def test_by_score_ranks_ties_by_position() -> None:
    assert by_score(np.array([9.0, 1.0, 2.0, 2.0, 1.0]), [None, 0, 0, 0, 1]) == (2, 3, 1, 4)


@pytest.mark.parametrize("name", ["scores", "offsets", "segments"])
def test_lengths_that_differ_from_the_tokens_are_refused(name: str) -> None:
    value = getattr(attribution(), name)
    with pytest.raises(InputError, match=f"5 tokens but 4 {name}"):
        attribution(**{name: value[:4]})


def test_numbers_of_another_rank_are_refused() -> None:
    with pytest.raises(InputError, match="scores"):
        attribution(scores=np.ones((5, 2)))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(InputError, match="scores hold NaN or infinity"):
        attribution(scores=np.array([0, 0, value, 0, 0]))


def test_a_result_is_frozen_and_keeps_its_own_numbers() -> None:
    mine = np.ones(5)
    result = attribution(scores=mine)
    mine[0] = 9.0
    assert result.scores[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        result.scores[0] = 2.0
    with pytest.raises(FrozenInstanceError):
        result.layers = (4,)  # type: ignore[misc]


def test_the_saved_form_is_a_copy() -> None:
    result = attribution()
    saved = result.to_dict()
    saved["record"]["beta"] = 3.0
    saved["probabilities"]["positive"] = 0.0
    assert result.record["beta"] == 1e-5
    assert result.probabilities["positive"] == 0.9


def test_a_result_can_be_made_again_with_a_change() -> None:
    assert replace(attribution(), target="positive").target == "positive"


@pytest.mark.parametrize("name", ["map.txt", "map", "map.pkl"])
def test_another_file_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"must end in \.json or \.safetensors"):
        attribution().save(tmp_path / name)
    with pytest.raises(InputError, match=r"must end in \.json or \.safetensors"):
        Attribution.load(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_missing_file_is_an_input_error(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputError, match="no such file"):
        Attribution.load(tmp_path / f"map{suffix}")


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "{}", '{"tokens": 3}', '{"tokens": [{}]}', "\udcff"])
def test_a_json_file_that_holds_something_else_is_an_input_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "map.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match="holds no saved attribution"):
        Attribution.load(path)


def test_a_safetensors_file_that_holds_something_else_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "map.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="holds no saved attribution"):
        Attribution.load(path)
    save_file({"scores": np.ones(3)}, path)
    with pytest.raises(InputError, match="holds no saved attribution"):
        Attribution.load(path)


def test_a_saved_result_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    saved = attribution().to_dict()
    saved["tokens"][1]["rank"] = None
    path = tmp_path / "map.json"
    path.write_text(json.dumps(saved))
    with pytest.raises(InputError, match="ranking"):
        Attribution.load(path)


def test_every_picture_can_be_drawn_of_a_hostile_text(capsys: pytest.CaptureFixture[str]) -> None:
    result = attribution(text="<script>alert(1)</script>", text_pair=None, segments=(None, 0, 0, 0, None))
    result.show()
    assert "bits" in capsys.readouterr().out
    for page in (result.to_html(), result._repr_html_()):
        assert "<script>alert" not in page
    assert result.to_html().lstrip().lower().startswith("<!doctype html>")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".tex", ".html", ".json"])
def test_a_map_is_drawn_to_the_file_that_its_name_asks_for(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"map{suffix}"
    attribution().export(path)
    assert path.read_bytes() == render_file([attribution().to_dict()], suffix)
    with pytest.raises(InputError, match=r"exports end in \.png"):
        attribution().export(tmp_path / "map.gif")
    assert [left.name for left in tmp_path.iterdir()] == [path.name]


def test_a_list_of_results_can_be_shown_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    several = Attributions([attribution(), attribution()])
    assert several == [several[0], several[1]]
    assert several._repr_html_() == render_list(several.to_dicts())
    several.show()
    assert capsys.readouterr().out.count("predicted") == 2
    several.export(tmp_path / "maps.json")
    assert json.loads((tmp_path / "maps.json").read_text()) == several.to_dicts()


@pytest.mark.parametrize(
    "content", ["", "[" * 100_000, '{"text": ' + "9" * 5000 + "}", "[1]", '"x"', "\0", "\ufeff{}", '{"text": 1e999}']
)
def test_a_damaged_file_is_one_line_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "map.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"map.json holds no saved attribution") as caught:
        Attribution.load(tmp_path / "map.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [None, 3, 1.5, "", "x", [], {}, [1], True, float("nan"), 10**400])
@pytest.mark.parametrize("key", sorted(attribution().to_dict()))
def test_a_value_of_another_type_is_refused_or_harmless(key: str, wrong: Any) -> None:
    """Harmless: what is read can be written again, listed by words and shown in one line."""
    try:
        found = Attribution.from_dict({**attribution().to_dict(), key: wrong})
    except InputError:
        return
    found.to_dict(), found.words(), repr(found)


@pytest.mark.parametrize("key", ["token", "start", "end", "segment", "score", "rank"])
def test_a_token_of_other_types_is_refused_or_harmless(key: str) -> None:
    for wrong in (None, 1.5, "x", [], {}, True, 10**400):
        saved: Any = attribution().to_dict()
        saved["tokens"][1][key] = wrong
        try:
            found = Attribution.from_dict(saved)
        except InputError:
            continue
        found.to_dict(), found.words(), repr(found)
