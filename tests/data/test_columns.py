"""Columns that the user names: exactly these are read, whatever else a file has."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.data.columns import Columns
from narrows.data.example import COLUMNS, Example
from narrows.data.source import Source
from narrows.data.tables import SUFFIXES, read_examples
from narrows.errors import DataError, InputError

ROW = {"review": "Superb.", "reply": "Agreed.", "verdict": "good", "key": "r7"}
OTHERS = {"text": "other", "sentence": "other", "premise": "other", "hypothesis": "other", "label": "bad", "id": "x"}
ALL = Columns("review", "reply", "verdict", "key")


def write(path: Path, row: dict[str, str]) -> Path:
    frame = pandas.DataFrame([row])
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        path.write_text(json.dumps(row) + "\n")
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != ".txt"])
@pytest.mark.parametrize("others", [{}, OTHERS], ids=["alone", "among others"])
def test_the_named_columns_are_read_from_every_kind_of_file(
    tmp_path: Path, suffix: str, others: dict[str, str]
) -> None:
    path = write(tmp_path / f"rows{suffix}", {**others, **ROW})
    assert list(read_examples(path, ALL)) == [Example("Superb.", "Agreed.", "good", "r7")]
    assert list(Source(str(path), columns=ALL)) == [Example("Superb.", "Agreed.", "good", "r7")]
    (single,) = read_examples(path, Columns("review"))
    assert isinstance(single, Example)
    assert (single.text, single.text_pair, single.label) == ("Superb.", None, others.get("label"))


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix not in (".txt", ".jsonl")])
def test_a_column_that_is_not_there_is_named(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"rows{suffix}", ROW)
    with pytest.raises(DataError, match="no column 'reviews' among review, reply, verdict, key"):
        list(read_examples(path, Columns("reviews")))


def test_a_row_of_json_without_the_column_spoils_itself_only(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"review": "Superb."}\n{"text": "other"}\n')
    first, second = read_examples(path, Columns("review"))
    assert first == Example("Superb.")
    assert isinstance(second, DataError)


def test_a_column_is_read_as_what_it_is_called_and_as_nothing_else(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", {"target": "Superb.", "idx": "3"})
    assert list(read_examples(path, Columns("target"))) == [Example("Superb.", id="3")]


def test_what_has_no_columns_to_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("Superb.\n")
    with pytest.raises(InputError, match="has no columns"):
        read_examples(tmp_path / "texts.txt", ALL)
    with pytest.raises(InputError, match="has its own layout"):
        iter(Source("sst2", columns=ALL))
    with pytest.raises(InputError, match="name both"):
        Columns(text_pair="reply")


@given(values=st.dictionaries(st.sampled_from([*COLUMNS, *ROW, "other"]), st.text(), max_size=8))
def test_nothing_is_read_from_a_column_that_was_replaced(values: dict[str, str]) -> None:
    renamed = ALL.rename(values)
    for role, name in ALL.named.items():
        assert renamed.get(role) == values.get(name)
    assert Columns().rename(values) == values
