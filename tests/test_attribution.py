"""Results: checked when they are made, frozen, and the same after a round trip through a file."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from narrows import __version__
from narrows.attribution import Attribution, Attributions
from narrows.bottleneck.trace import TracePoint
from narrows.errors import InputError
from narrows.viz.files import render_file
from narrows.viz.fragments import render_list


def attribution(**changes: Any) -> Attribution:
    fields: dict[str, Any] = {
        "text": "It's \u00fc <b> \U0001f600\n",
        "text_pair": "bad",
        "tokens": ("[CLS]", "it", "'s", "bad", "[SEP]"),
        "offsets": (None, (0, 2), (2, 4), (0, 3), None),
        "segments": (None, 0, 0, 1, None),
        "bits": np.array([0.0, 1 / 3, 1e-17, 12.5, 1e20]),
        "scores": np.array([0.0, -1 / 3, 1e-17, 12.5, -1e20]),
        "target": "nega\u00fctive",
        "predicted": "positive",
        "probabilities": {"nega\u00fctive": 0.1, "positive": 0.9},
        "layer": 3,
        "trace": (TracePoint(0, 0.1, 1000.1), TracePoint(1, 2 / 3, 12.0)),
        "truncated": 2,
        "config": {"beta": 1e-5, "seed": 0, "prior": "instance"},
    }
    return Attribution(**{**fields, **changes})


def assert_same(one: Attribution, other: Attribution) -> None:
    assert one.to_dict() == other.to_dict()
    assert np.array_equal(one.bits, other.bits)
    assert np.array_equal(one.scores, other.scores)
    for name in ("tokens", "offsets", "segments", "trace", "probabilities", "config", "truncated", "method", "layer"):
        assert getattr(one, name) == getattr(other, name)
        assert type(getattr(one, name)) is type(getattr(other, name))


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_saved_result_comes_back_exactly(tmp_path: Path, suffix: str) -> None:
    original = attribution()
    path = tmp_path / f"map{suffix}"
    original.save(path)
    assert_same(Attribution.load(path), original)
    assert_same(Attribution.load(str(path)), original)


@given(bits=st.lists(st.floats(0, 1e300), min_size=1, max_size=5), data=st.data())
def test_any_finite_numbers_survive_json_exactly(bits: list[float], data: st.DataObject) -> None:
    scores = [data.draw(st.floats(-1e300, 1e300)) for _ in bits]
    count = len(bits)
    original = attribution(
        tokens=("a",) * count,
        offsets=((0, 1),) * count,
        segments=(0,) * count,
        bits=np.array(bits),
        scores=np.array(scores),
    )
    again = Attribution.from_dict(json.loads(json.dumps(original.to_dict())))
    assert np.array_equal(again.bits, original.bits)
    assert np.array_equal(again.scores, original.scores)


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
    assert np.array_equal(arrays["bits"], original.bits)
    assert np.array_equal(arrays["scores"], original.scores)


def test_the_saved_form_has_the_fields_that_users_rely_on() -> None:
    saved = attribution().to_dict()
    assert {"text", "text_pair", "tokens", "target", "predicted", "probabilities", "layer", "total_bits"} <= set(saved)
    assert {"method", "config", "trace", "narrows_version", "words", "truncated"} <= set(saved)
    assert saved["tokens"][1] == {
        "token": "it",
        "start": 0,
        "end": 2,
        "segment": 0,
        "special": False,
        "bits": 1 / 3,
        "score": -1 / 3,
    }
    assert saved["tokens"][0]["special"]
    assert saved["tokens"][0]["start"] is saved["tokens"][0]["segment"] is None
    assert saved["trace"][1] == {"step": 1, "cross_entropy": 2 / 3, "information": 12.0}
    assert [(word["word"], word["segment"]) for word in saved["words"]] == [("It's", 0), ("bad", 1)]
    assert saved["narrows_version"] == __version__


def test_total_and_carried_bits() -> None:
    result = attribution(bits=np.array([1.0, 2, 3, 4, 5]))
    assert result.total_bits == 15
    assert result.carried_bits == 1000.1


@pytest.mark.parametrize("name", ["bits", "scores", "offsets", "segments"])
def test_lengths_that_differ_from_the_tokens_are_refused(name: str) -> None:
    value = getattr(attribution(), name)
    with pytest.raises(InputError, match=f"5 tokens but 4 {name}"):
        attribution(**{name: value[:4]})


@pytest.mark.parametrize("name", ["bits", "scores"])
def test_numbers_of_another_rank_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=name):
        attribution(**{name: np.ones((5, 2))})


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["bits", "scores"])
def test_numbers_that_are_not_finite_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{name} hold NaN or infinity"):
        attribution(**{name: np.array([0, 0, value, 0, 0])})


def test_negative_bits_are_refused_negative_scores_are_not() -> None:
    with pytest.raises(InputError, match="bits are below 0"):
        attribution(bits=np.array([0, 0, -1e-9, 0, 0]))
    assert attribution(scores=-np.ones(5)).scores.min() == -1


def test_a_result_is_frozen_and_keeps_its_own_numbers() -> None:
    mine = np.ones(5)
    result = attribution(bits=mine, scores=mine)
    mine[0] = 9.0
    assert result.bits[0] == result.scores[0] == 1.0
    for values in (result.bits, result.scores):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 2.0
    with pytest.raises(FrozenInstanceError):
        result.layer = 4  # type: ignore[misc]


def test_the_saved_form_is_a_copy() -> None:
    result = attribution()
    saved = result.to_dict()
    saved["config"]["beta"] = 3.0
    saved["probabilities"]["positive"] = 0.0
    assert result.config["beta"] == 1e-5
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
    save_file({"bits": np.ones(3)}, path)
    with pytest.raises(InputError, match="holds no saved attribution"):
        Attribution.load(path)


def test_a_saved_result_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    saved = attribution().to_dict()
    saved["tokens"][1]["bits"] = -3.0
    path = tmp_path / "map.json"
    path.write_text(json.dumps(saved))
    with pytest.raises(InputError, match="bits are below 0"):
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
