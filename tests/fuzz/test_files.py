"""Any file: tables with what is wrong in their rows, and saved results that somebody changed."""

from __future__ import annotations

import csv
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rich.console import Console

from fuzzing import COLUMNS, NUMBERS, TEXTS, explainer, one_line, share, tried
from narrows.attribution import Attribution
from narrows.data.example import Example
from narrows.data.maps import map_writer, read_maps
from narrows.data.tables import SUFFIXES, read_examples
from narrows.errors import NarrowsError
from narrows.viz.html import render_page
from narrows.viz.terminal import render_map

SOUND = ("a good film", "bad acting, not good", '"quoted" it is', "映画 👩‍👩‍👧 film")
CODECS = ("utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252", "utf-32")
JSON = st.recursive(st.none() | NUMBERS | TEXTS, lambda inner: st.lists(inner, max_size=2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def rows_of(path: Path) -> list[Example | NarrowsError] | NarrowsError:
    found = tried(lambda: list(read_examples(path)))
    for row in found if isinstance(found, list) else []:
        assert isinstance(row, Example) or one_line(row)
    return found  # type: ignore[no-any-return]


@share(12)
@given(content=st.binary(max_size=60) | TEXTS.map(lambda text: text.encode(errors="surrogatepass")), data=st.data())
def test_any_bytes_under_any_name(folder: Path, content: bytes, data: st.DataObject) -> None:
    head = data.draw(st.sampled_from((b"", b"text\n", b"text,label\n", b'{"text": "', b"PAR1", b"\xef\xbb\xbf")))
    path = folder / f"any{data.draw(st.sampled_from((*SUFFIXES, '.CSV', '.json', '')))}"
    path.write_bytes(head + content)
    rows_of(path)


@share(12)
@given(
    bad=st.binary(max_size=30).filter(lambda line: b"\n" not in line and b"\r" not in line),
    place=st.integers(0, len(SOUND)),
    suffix=st.sampled_from((".csv", ".jsonl", ".txt", ".tsv")),
    codec=st.sampled_from(CODECS),
)
def test_one_bad_row_costs_no_other(folder: Path, bad: bytes, place: int, suffix: str, codec: str) -> None:
    def line(text: str) -> str:
        if suffix == ".jsonl":
            return json.dumps({"text": text}, ensure_ascii=False)
        written = io.StringIO()
        csv.writer(written).writerow([text])
        return written.getvalue().strip() if suffix == ".csv" else text

    lines = [line(text).encode(codec, "replace") for text in SOUND]
    head = ["text".encode(codec)] if suffix in (".csv", ".tsv") else []
    path = folder / f"row{suffix}"
    path.write_bytes(b"\n".join([*head, *lines[:place], bad, *lines[place:]]) + b"\n")
    found = rows_of(path)
    if codec == "utf-8":
        assert isinstance(found, list)
        texts = [row.text for row in found if isinstance(row, Example)]
        assert [text for text in texts if text in SOUND][: len(SOUND)] == list(SOUND)
        assert len(found) <= len(SOUND) + 1


@share(10)
@given(st.lists(st.dictionaries(COLUMNS, JSON, max_size=3), max_size=3))
def test_any_columns_of_any_type(folder: Path, rows: list[dict[str, Any]]) -> None:
    try:
        table = pyarrow.Table.from_pylist(rows)
        pyarrow.parquet.write_table(table, folder / "any.parquet")
        (folder / "any.jsonl").write_text("\n".join(map(json.dumps, rows)))
    except (pyarrow.ArrowException, UnicodeError, OverflowError, ValueError, TypeError):
        assume(False)
    rows_of(folder / "any.parquet")
    rows_of(folder / "any.jsonl")


@cache
def made() -> Attribution:
    return explainer("bert")(("a good film", "it's not bad"))


def changed(content: Any, data: st.DataObject) -> Any:
    """One value of a saved result, wherever it is, replaced or taken out."""
    places = [content]
    while isinstance(places[-1], (dict, list)) and places[-1] and data.draw(st.booleans() | st.just(True)):
        inner = places[-1]
        key = data.draw(st.sampled_from(list(inner) if isinstance(inner, dict) else list(range(len(inner)))))
        if not isinstance(inner[key], (dict, list)) or data.draw(st.integers(0, 3)) == 0:
            if data.draw(st.booleans()):
                inner[key] = data.draw(JSON)
            else:
                del inner[key]
            return content
        places.append(inner[key])
    return data.draw(JSON)


def shown(saved: Any) -> None:
    """What could be read can be drawn."""
    Console(file=io.StringIO(), width=60).print(render_map(saved))
    render_page([saved])


@share(14)
@given(data=st.data())
def test_a_saved_result_that_somebody_changed(folder: Path, data: st.DataObject) -> None:
    content = changed(json.loads(json.dumps(made().to_dict())), data)
    path = folder / "saved.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    found = tried(lambda: Attribution.load(path))
    if isinstance(found, Attribution):
        shown(found.to_dict())
    line = folder / "saved.jsonl"
    line.write_text(json.dumps(content) + "\n", encoding="utf-8")
    maps = tried(lambda: list(read_maps(line)))
    for one in maps if isinstance(maps, list) else []:
        tried(lambda one=one: shown(Attribution.from_dict(one).to_dict()))


@share(12)
@given(suffix=st.sampled_from((".json", ".safetensors", ".jsonl", ".parquet")), data=st.data())
def test_a_damaged_file_of_results(folder: Path, suffix: str, data: st.DataObject) -> None:
    path = folder / f"damaged{suffix}"
    if suffix in (".jsonl", ".parquet"):
        with map_writer(path) as write:
            write(made().to_dict())
    else:
        made().save(path)
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    if suffix in (".jsonl", ".parquet"):
        tried(lambda: list(read_maps(path)))
    else:
        tried(lambda: Attribution.load(path))
