"""Texts from wherever they come: each in its place, and what is wrong with one in its place too."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import datasets as library
import duckdb
import numpy as np
import pandas
import pyarrow
import pytest
import torch

from narrows.data.example import Example
from narrows.data.source import Source, listed, read_items, strict
from narrows.errors import DataError, DependencyError, InputError

TWO = [Example("good", label="positive"), Example("bad", label="negative")]
ROWS = {"text": ["good", "bad"], "label": ["positive", "negative"], "n": [1, 2]}
PAIRS = {"text": ["a", "c"], "text_pair": ["b", None], "label": [1, None]}


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.csv"
    path.write_text("text,label\n" + "".join(f"text {number},x\n" for number in range(40)))
    return path


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (["good", ("a", "b"), {"text": "c"}], [Example("good"), Example("a", "b"), Example("c")]),
        (library.Dataset.from_dict(ROWS), TWO),
        (pandas.DataFrame(ROWS), TWO),
        (pandas.DataFrame(PAIRS), [Example("a", "b", 1), Example("c")]),
        (pandas.DataFrame(PAIRS).convert_dtypes(), [Example("a", "b", 1), Example("c")]),
        (pandas.Series(["good", "bad"], index=[7, 3]), [Example("good", id=7), Example("bad", id=3)]),
        (pandas.DataFrame(ROWS, index=["x", "x"]), [replace(one, id="x") for one in TWO]),
        (pandas.DataFrame(ROWS | {"idx": [5, 6]}, index=[7, 3]), [replace(TWO[0], id=5), replace(TWO[1], id=6)]),
        (pandas.Series(["good"], dtype="string"), [Example("good")]),
        (np.array(["good", "longer"]), [Example("good"), Example("longer")]),
        (
            pandas.Series(["good", "bad"], index=["a", "a"], dtype="category"),
            [Example("good", id="a"), Example("bad", id="a")],
        ),
        (pandas.DataFrame(PAIRS).convert_dtypes(dtype_backend="pyarrow"), [Example("a", "b", 1), Example("c")]),
        (pyarrow.table(PAIRS), [Example("a", "b", 1), Example("c")]),
        (pyarrow.table(PAIRS).to_batches()[0], [Example("a", "b", 1), Example("c")]),
        (pyarrow.chunked_array([["good"], ["bad"]]), [Example("good"), Example("bad")]),
        (library.Dataset.from_dict(ROWS).with_format("pandas"), TWO),
        (library.Dataset.from_dict(ROWS).with_format("torch"), TWO),
        (library.Dataset.from_dict(ROWS).to_iterable_dataset(), TWO),
        (library.Dataset.from_dict(ROWS)[:], TWO),
        (library.Dataset.from_dict(ROWS)["text"], [Example("good"), Example("bad")]),
        ({"text": np.array(["a", "c"]), "label": torch.tensor([1, 0])}, [Example("a", label=1), Example("c", label=0)]),
        (pandas.DataFrame(ROWS).to_dict("list"), TWO),
        (list(pandas.DataFrame(ROWS).itertuples()), TWO),
        ([row for _, row in pandas.DataFrame(ROWS).iterrows()], TWO),
        ({1: "good", 2: "bad"}.values(), [Example("good"), Example("bad")]),
        ([{"text": "a", "label": np.float32("nan"), "text_pair": pandas.NA}], [Example("a")]),
        (iter(["good"]), [Example("good")]),
    ],
)
def test_texts_that_the_caller_holds(items: Any, expected: list[Example]) -> None:
    source = Source.of(items)
    assert source.read() == expected
    for example in Source.of(items):
        assert type(example.text) is str  # type: ignore[union-attr]
        assert type(example.label) in (str, int, type(None))  # type: ignore[union-attr]
    assert source.once == hasattr(items, "__next__")


@pytest.mark.parametrize(
    "items",
    [
        ["good", None, "bad"],
        ["good", float("nan"), "bad"],
        ["good", " ", "bad"],
        ["good", "half \ud800", "bad"],
        pandas.Series(["good", None, "bad"]),
        pandas.Series(["good", pandas.NA, "bad"], dtype="string"),
        pandas.DataFrame({"text": ["good", np.nan, "bad"]}),
        [{"text": "good"}, {"text": "x", "label": 0.5}, {"text": "bad"}],
        [{"text": "good"}, pandas.DataFrame({"text": ["x"]}), {"text": "bad"}],
        ["good", ["a", "b"], "bad"],
        ["good", b"x", "bad"],
        ["good", {"role": "user", "content": "x"}, "bad"],
        ["good", [{"role": "user", "content": "x"}], "bad"],
        ["good", 5, "bad"],
        ["good", torch.tensor(5), "bad"],
        pyarrow.array(["good", None, "bad"]),
    ],
)
def test_one_bad_text_of_a_list_is_named_and_costs_no_other(items: Any) -> None:
    first, bad, last = Source(items=items)
    assert (first, last) == (Example("good"), Example("bad"))
    assert isinstance(bad, InputError)
    assert str(bad).startswith("texts[1]: ")
    assert "\n" not in str(bad)
    with pytest.raises(InputError, match=r"^texts\[1\]: "):
        Source(items=items).read()


def test_a_stream_is_read_as_it_is_needed() -> None:
    def endless() -> Any:
        while True:
            yield "good"

    assert next(strict(read_items(endless()))) == Example("good")


@pytest.mark.parametrize(
    "table",
    [
        pandas.DataFrame({"words": ["good"], "n": [1]}),
        pyarrow.table({"words": ["good"], "n": [1]}),
        library.Dataset.from_dict({"words": ["good"], "n": [1]}),
        library.Dataset.from_dict({"words": ["good"], "n": [1]}).to_iterable_dataset(),
    ],
)
def test_a_table_without_texts_is_refused_once_and_by_its_columns(table: Any) -> None:
    with pytest.raises(InputError, match="no text column among words, n; name one 'text'"):
        list(read_items(table))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (pandas.DataFrame([["a", "b"]], columns=["text", "text"]), "two columns are named 'text'"),
        ({"text": ["a", "b"], "label": [1]}, "different lengths: text 2, label 1"),
        (duckdb.sql("select 'a' as text"), "DuckDBPyRelation cannot be read"),
        (library.DatasetDict(train=library.Dataset.from_dict(ROWS)), "several splits, train"),
        (np.array([["a", "b"]]), r"array of shape \(1, 2\)"),
        ({"a", "b"}, "a set has no order"),
        (frozenset("ab"), "a frozenset has no order"),
        ({"id": "a"}.items(), "values"),
        (b"good", "decode"),
        (bytearray(b"good"), "decode"),
        (Path("texts.csv"), "'texts.csv' is a path"),
        ([{"role": "user", "content": "good"}], "apply_chat_template"),
        ("good", "not a single one"),
        ({"text": "good"}, "not a single one"),
        (("good", "bad"), "not a single one"),
        (np.array("good"), "not a single one"),
        (3, "not int"),
        (None, "not NoneType"),
    ],
)
def test_what_has_no_order_or_no_texts_is_refused_in_a_line(items: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        list(read_items(items))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pandas.Series(["a", None]), ["a", None]),
        (pandas.Series([1, None], dtype="Int64"), [1, None]),
        (np.array([1, 2]), [1, 2]),
        (torch.tensor([1, 2]), [1, 2]),
        (pyarrow.array([1, None]), [1, None]),
        (range(2), [0, 1]),
    ],
)
def test_a_column_is_listed_in_numbers_and_texts_of_python(values: Any, expected: list[Any]) -> None:
    assert listed(values) == expected
    assert all(type(value) in (int, str, type(None)) for value in listed(values))


def test_a_folder_is_its_files_in_order_and_errors_name_no_folder(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("second\n")
    (tmp_path / "a.csv").write_text("text\nfirst\n" + '"open\n')
    (tmp_path / "notes.md").write_text("none\n")
    first, bad, second = Source(str(tmp_path))
    assert (first, second) == (Example("first"), Example("second"))
    assert str(bad).startswith("a.csv, line 3: ")
    with pytest.raises(DataError, match=r"a\.csv, line 3"):
        Source.of(tmp_path).read()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no file"):
        Source.of(tmp_path / "empty").read()


def test_a_sample_is_the_same_however_it_is_read(texts: Path) -> None:
    source = Source(str(texts), limit=5, seed=3)
    assert list(source) == source.read() == list(source)
    assert len(source.read()) == 5
    assert source.read() != Source(str(texts), limit=5, seed=4).read()
    with texts.open("a") as file:
        file.write("one,two,three\n")
    assert len(list(source)) == 5
    everything = list(Source(str(texts), limit=41))
    assert sum(isinstance(row, DataError) for row in everything) == 1  # it counts, as without a limit
    with pytest.raises(DataError, match="line 42"):
        source.read()


def test_a_benchmark_is_sampled_in_the_order_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "SST-2").mkdir()
    rows = "".join(f"text {number:02}\t{number % 2}\n" for number in range(40))
    (tmp_path / "SST-2/dev.tsv").write_text("sentence\tlabel\n" + rows)
    source = Source("sst2", data_dir=tmp_path, limit=7)
    assert list(source) == source.read() == sorted(source.read(), key=lambda example: example.text)
    assert source.named_split == "dev"
    assert Source("sst2", "train").named_split == "train"
    assert Source("texts.csv").named_split == ""


def test_what_is_nowhere_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no data set 'sst5'; there are sst2, .* or give a file"):
        iter(Source("sst5"))
    with pytest.raises(InputError, match="the name of the data is empty"):
        iter(Source(""))
    with pytest.raises(DataError, match="no such file"):
        iter(Source(str(tmp_path / "texts.csv")))
    (tmp_path / "texts.txt").write_text("\n")
    with pytest.raises(DataError, match="holds no texts"):
        Source(str(tmp_path / "texts.txt")).read()
    with pytest.raises(DataError, match="holds no texts"):
        Source.of([]).read()


def test_a_data_set_of_the_hub_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Rows(list[Any]):
        features: ClassVar = {"label": SimpleNamespace(names=["negative", "positive"])}

    def load_dataset(name: str, split: str, streaming: bool) -> Any:
        assert (name, split, streaming) == ("owner/reviews", "train", True)
        return Rows([{"text": "good", "label": np.int64(1)}, {"text": ""}])

    hub = ModuleType("datasets")
    hub.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", hub)
    first, second = Source("owner/reviews")
    assert first == Example("good", None, 1)
    assert "owner/reviews train[1]: text is empty" in str(second)
    assert Source("owner/reviews").class_names == ["negative", "positive"]
    assert Source("sst2").class_names == ()
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DependencyError, match="pip install datasets"):
        iter(Source("owner/reviews"))
