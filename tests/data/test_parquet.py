"""One table of explained texts: nothing is lost on the way, other tools read it, damage is one line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas
import pyarrow.parquet
import pytest
from hypothesis import given

from narrows.data.parquet import CHECK, COLUMNS, attribution_schema, from_row, load_arrow, read_rows, to_row, write_rows
from narrows.data.schema import AttributionDict
from narrows.errors import DataError, DependencyError
from saved_maps import GOOD, METHOD, saved_map, saved_maps, special, token


def written(saved: AttributionDict) -> dict[str, Any]:
    """The row of a text as a file gives it back."""
    buffer = io.BytesIO()
    write_rows(buffer, [to_row(saved)], attribution_schema())
    (row,) = pyarrow.parquet.read_table(buffer).to_pylist()
    return row


@given(saved=saved_maps())
def test_a_record_survives_its_row_to_the_last_digit(saved: AttributionDict) -> None:
    row = written(saved)
    assert from_row(row) == saved
    assert json.dumps(from_row(row)["tokens"]) == json.dumps(saved["tokens"])  # -0.0 and 0.0 are not the same


def test_every_key_of_the_record_has_its_column() -> None:
    without = {"words": "of the tokens", "trace": "cross_entropy, information, cross_entropy_error"}
    without["units"] = "unit_starts, unit_ends, unit_segments"
    without["check"] = ", ".join(CHECK.values())
    assert set(AttributionDict.__annotations__) - set(COLUMNS) == set(without)
    assert set(to_row(GOOD, {"row": 1, "seed": 3})) <= set(COLUMNS)
    assert attribution_schema().names == list(COLUMNS)


def test_what_only_a_run_knows_has_its_columns(tmp_path: Path) -> None:
    features = np.arange(6, dtype=np.float16).reshape(3, 2)
    row = to_row(GOOD, {"row": 7, "seed": 3, "features": list(features)})
    write_rows(
        tmp_path / "a.parquet", [row, {"row": 8, "text": "", "error": "text is empty"}], attribution_schema(True)
    )
    first, second = read_rows(tmp_path / "a.parquet")
    assert (first["row"], first["id"], first["gold"], first["seed"], first["error"]) == (7, "r1", "positive", 3, None)
    np.testing.assert_array_equal(first["features"], features)
    assert from_row(first) == GOOD
    with pytest.raises(DataError, match="text 8 was not explained: text is empty"):
        from_row(second)
    with pytest.raises(DataError, match=r"text 7 .*'method'"):
        from_row({name: value for name, value in first.items() if name != "method"})


def test_what_differs_from_text_to_text_stands_outside_of_the_record() -> None:
    """So that the record is the same in all rows of a file, and takes no room."""
    one, other = (to_row({**GOOD, "record": {"blocks": 6, "beta": beta, "windows": 2}}) for beta in (0.5, 0.25))
    assert one["record"] == other["record"]
    assert (one["beta"], one["windows"]) == (0.5, 2)


def test_other_tools_read_the_columns_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_rows(path, [to_row(GOOD, {"row": 0})], attribution_schema())
    query = f"select unnest(tokens) as token, unnest(scores) as score, unit, signed from '{path}' order by score"
    assert duckdb.sql(query).fetchall()[0] == ("good", -1.5, "bits", True)
    assert duckdb.sql(f"select method->>'name', probabilities[2] from '{path}'").fetchall() == [("fast", 0.75)]
    frame: Any = pandas.read_parquet(path).explode(["tokens", "scores", "ranks"])
    assert list(frame["ranks"].dropna()) == [1, 2]
    assert frame["prior"].iloc[0] == "corpus 1234"


def test_words_are_made_again_with_their_best_rank() -> None:
    pieces = [special("<s>"), token("sup", 0, 3, 1.0, 3), token("erb", 3, 6, 2.0, 1), token("!", 6, 7, 0.5, 2)]
    words = from_row(written(saved_map("superb!", None, pieces)))["words"]
    assert [(word["word"], word["score"], word["rank"]) for word in words] == [("superb", 3.0, 1), ("!", 0.5, 2)]


@pytest.mark.parametrize("place", ["page", "cut", "other", "missing"])
def test_damage_is_one_line_that_names_the_file(place: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    noise = np.random.default_rng(0).integers(0, 2**63, 300)  # cannot be compressed: it is in the file as it is
    write_rows(path, [to_row(GOOD, {"row": number}) for number in noise], attribution_schema())
    content = bytearray(path.read_bytes())
    content[content.index(noise[150].tobytes())] ^= 1  # only the checksum of the page tells
    damaged = {"page": content, "cut": content[:900], "other": b"text"}
    if place == "missing":
        path.unlink()
    else:
        path.write_bytes(damaged[place])
    with pytest.raises(DataError) as caught:
        list(read_rows(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_columns_can_be_chosen_and_missing_ones_are_left_out(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.parquet", [to_row(GOOD, {"row": 3})], attribution_schema())
    assert list(read_rows(tmp_path / "a.parquet", ["row", "text", "nothing"])) == [{"row": 3, "text": "good film"}]


def test_method_is_json_for_any_reader() -> None:
    assert json.loads(to_row(GOOD)["method"]) == METHOD


def test_the_extra_is_named_where_pyarrow_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DependencyError, match=r'pip install "narrows\[parquet\]"'):
        load_arrow()
