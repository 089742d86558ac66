"""The user's own files: hostile text survives, and what is malformed costs its own row and no other."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.data.example import Example
from narrows.data.tables import check_file, read_examples, read_rows, table_rows
from narrows.errors import DataError, DependencyError

# Any text that a reader may be given, with what breaks readers more often than chance would.
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
    st.text(st.sampled_from("\",;\t\r\n \\'|{}[]#\ufeff\x85\u2028\u2029\x1c\x1aéß漢😀-=a1"), min_size=1),
).filter(str.strip)
LABEL = st.sampled_from(["positive", "negative", '"quoted"', "a, b", "1"])
ROWS = st.lists(st.tuples(TEXT, TEXT, LABEL), min_size=1, max_size=8)


def read(path: Path, content: str | bytes) -> list[Example | DataError]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_examples(path))


def problems(found: list[Example | DataError], path: Path) -> list[str]:
    return [str(row).removeprefix(str(path)) for row in found if isinstance(row, DataError)]


def texts(found: list[Example | DataError]) -> list[str]:
    return [row.text for row in found if isinstance(row, Example)]


# A writer that ends lines with a line feed does not see that a carriage return needs quotes, before Python 3.13.
@pytest.mark.parametrize(("end", "quoting"), [("\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_MINIMAL)])
@given(rows=ROWS)
def test_any_text_survives_a_csv_file(rows: list[tuple[str, str, str]], end: str, quoting: Any, tmp_path: Path) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator=end, quoting=quoting).writerows([("text", "text_pair", "label"), *rows])
    assert read(tmp_path / "rows.csv", buffer.getvalue()) == [Example(*row) for row in rows]


@given(rows=ROWS, ascii_only=st.booleans())
def test_any_text_survives_a_json_lines_file(
    rows: list[tuple[str, str, str]], ascii_only: bool, tmp_path: Path
) -> None:
    keys = ("text", "text_pair", "label")
    lines = [json.dumps(dict(zip(keys, row, strict=True)), ensure_ascii=ascii_only) for row in rows]
    assert read(tmp_path / "rows.jsonl", "\n".join(lines)) == [Example(*row) for row in rows]


@given(rows=ROWS)
def test_any_text_survives_a_parquet_file(rows: list[tuple[str, str, str]], tmp_path: Path) -> None:
    columns = dict(zip(("text", "text_pair", "label"), map(list, zip(*rows, strict=True)), strict=True))
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "rows.parquet")
    assert list(read_examples(tmp_path / "rows.parquet")) == [Example(*row) for row in rows]


@given(
    rows=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\t\r\n"), min_size=1).filter(str.strip),
        min_size=1,
        max_size=8,
    )
)
def test_a_tsv_file_has_no_quoting(rows: list[str], tmp_path: Path) -> None:
    lines = ["text\tlabel", *(f"{text}\tyes" for text in rows)]
    assert read(tmp_path / "rows.tsv", "\n".join(lines)) == [Example(text, label="yes") for text in rows]


@given(
    rows=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n")), min_size=1, max_size=8
    )
)
def test_a_text_file_has_one_text_a_line(rows: list[str], tmp_path: Path) -> None:
    found = read(tmp_path / "rows.txt", "\n".join(rows))
    expected = [text.removeprefix("\ufeff") if index == 0 else text for index, text in enumerate(rows)]
    assert found == [Example(text.strip()) for text in expected if text.strip()]


# Every kind of broken row, as (bytes, what is said of it). None of them may cost another row.
BROKEN_CSV = [
    (b'"never closed,x', ": "),  # what is said of it depends on what follows
    (b'"closed" too soon",x', "not CSV: ',' expected after '\"'"),
    (b"one column", "1 columns where the header has 2"),
    (b"one,two,three", "3 columns where the header has 2"),
    (b"a NUL \0 in it,x", "holds a NUL byte"),
    (b"Latin-1 \xe9,x", "is not UTF-8 (byte 0xe9)"),
    (b"cut off \xf0\x9f\x98,x", "is not UTF-8 (byte 0xf0)"),
    (b",x", "text is empty"),
    (b"   ,x", "text is empty"),
]
BROKEN_JSON = [
    (b'{"text": "never closed', "not JSON"),
    (b'{"text": "a"} {"text": "b"}', "not JSON"),
    (b'["a"]', "expected an object with a 'text', not list"),
    (b"null", "expected an object"),
    (b'{"texts": "a"}', "no 'text' column"),
    (b'{"text": 7}', "text must be a string, not int"),
    (b'{"text": null}', "text must be a string"),
    (b'{"text": " "}', "text is empty"),
    (b'{"text": "a", "label": [1]}', "the label must be a name or an index, not [1]"),
    (b'{"text": "a", "label": 1.5}', "the label must be"),
    (b'{"text": "a", "label": true}', "the label must be"),
    (b'{"text": "half \\ud83d a face"}', "half of a character"),
    (b'{"text": "NUL \0"}', "holds a NUL byte"),
    (b'{"text": "Latin-1 \xe9"}', "is not UTF-8 (byte 0xe9)"),
    (b'{"text": ' + b"[" * 200_000, "nested too deeply"),
    (b'{"text": "a", "label": ' + b"9" * 5000 + b"}", "number too long"),
]


@pytest.mark.parametrize(("broken", "said"), BROKEN_CSV)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_broken_csv_row_costs_no_other(broken: bytes, said: str, place: int, tmp_path: Path) -> None:
    rows = [b"first,x", b'"second,\nover two lines",x', b'"third ""quoted""",x']
    lines = [1 + 1, 1 + 2, 1 + 4, 1 + 5]  # of what stands at each place, the header being line 1
    content = b"\n".join([b"text,label", *rows[:place], broken, *rows[place:]]) + b"\n"
    found = read(tmp_path / "rows.csv", content)
    assert texts(found) == ["first", "second,\nover two lines", 'third "quoted"']
    (problem,) = problems(found, tmp_path / "rows.csv")
    assert problem.startswith(f", line {lines[place]}: ")
    assert said in problem
    assert "\n" not in problem
    assert isinstance(found[place], DataError)


def test_a_quotation_mark_that_is_never_closed_is_called_so(tmp_path: Path) -> None:
    found = read(tmp_path / "rows.csv", 'text,label\nfirst,x\n"open,x\nlast,x\n')
    assert problems(found, tmp_path / "rows.csv") == [", line 3: a quotation mark is opened and never closed"]
    assert texts(found) == ["first", "last"]


@pytest.mark.parametrize(("broken", "said"), BROKEN_JSON, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_broken_json_row_costs_no_other(broken: bytes, said: str, place: int, tmp_path: Path) -> None:
    rows = [b'{"text": "first"}', b'{"label": 1, "text": "second"}']
    found = read(tmp_path / "rows.jsonl", b"\n\n".join([*rows[:place], broken, *rows[place:]]))
    assert texts(found) == ["first", "second"]
    (problem,) = problems(found, tmp_path / "rows.jsonl")
    assert problem.startswith(f", line {1 + 2 * place}: ")
    assert said in problem
    assert len(problem) < 200


@given(data=st.data())
def test_the_lines_of_all_broken_rows_are_told(data: st.DataObject, tmp_path: Path) -> None:
    """Rows of one line, rows of several, blank lines and broken rows in any order."""
    kinds = {
        "plain": b"fine,x\n",
        "tall": b'"one\n\r\ntwo",x\n',
        "blank": b"\n",
        "short": b"lonely\n",
        "bytes": b"bad \xff,x\n",
        "open": b'"open,x\n',
    }
    order = data.draw(st.lists(st.sampled_from(sorted(kinds)), max_size=12))
    line, expected = 2, []
    for kind in order:
        if kind in ("short", "bytes", "open"):
            expected.append(line)
        line += kinds[kind].count(b"\n")
    if "open" in order and "tall" in order:
        return  # an open quotation mark may pair with the next one: which of them was meant, nobody can tell
    found = read(tmp_path / "rows.csv", b"text,label\n" + b"".join(kinds[kind] for kind in order))
    assert [int(text.split()[2].rstrip(":")) for text in problems(found, tmp_path / "rows.csv")] == expected
    assert len(texts(found)) == sum(kind in ("plain", "tall") for kind in order)


@given(content=st.binary(max_size=200), suffix=st.sampled_from([".txt", ".csv", ".tsv", ".jsonl", ".parquet"]))
def test_no_bytes_whatever_raise_anything_else(content: bytes, suffix: str, tmp_path: Path) -> None:
    try:
        found = read(tmp_path / f"rows{suffix}", b"text,label\n" + content if suffix == ".csv" else content)
    except DataError as error:
        found = [error]
    assert all("\n" not in str(row) for row in found if isinstance(row, DataError))
    assert all(text.encode() for text in texts(found))


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".tsv", ".jsonl"])
def test_a_byte_order_mark_is_no_part_of_the_text(suffix: str, tmp_path: Path) -> None:
    separator = "\t" if suffix == ".tsv" else ","
    content = {".txt": "good\n", ".jsonl": '{"text": "good"}'}.get(suffix, f"text{separator}label\ngood{separator}")
    assert read(tmp_path / f"rows{suffix}", b"\xef\xbb\xbf" + content.encode()) == [Example("good")]


def test_columns_are_found_by_name_and_others_ignored(tmp_path: Path) -> None:
    found = read(tmp_path / "pairs.csv", "id,gold_label, hypothesis ,premise\n7,neutral,second,first\n")
    assert found == [Example("first", "second", "neutral", "7")]


def test_an_empty_second_text_or_label_is_none_at_all(tmp_path: Path) -> None:
    assert read(tmp_path / "rows.csv", "text,text_pair,label,id\na,,,\n") == [Example("a")]
    assert read(tmp_path / "rows.jsonl", '{"text": "a", "text_pair": null, "label": NaN}') == [Example("a")]


def test_labels_may_be_indices(tmp_path: Path) -> None:
    assert read(tmp_path / "rows.jsonl", '{"text": "a", "label": 2}\n{"text": "b", "label": 1.0}') == [
        Example("a", label=2),
        Example("b", label=1),
    ]


@pytest.mark.parametrize("name", ["rows.csv", "ROWS.CSV", "rows.Csv"])
def test_the_case_of_the_suffix_is_no_matter(name: str, tmp_path: Path) -> None:
    assert read(tmp_path / name, "text\ngood\n") == [Example("good")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", b"", "rows.csv: is empty"),
        ("rows.csv", b"\n\n", "rows.csv: is empty"),
        ("rows.csv", b"id,label\n1,x\n", "no text column among id, label; name one 'text' (or a pair: text/text_pair;"),
        ("rows.csv", b"text,text\na,b\n", "line 1: the header names a column twice"),
        ("rows.csv", b"text,\xff\na,b\n", "line 1: is not UTF-8"),
        ("rows.tsv", b"premise\tlabel\na\tb\n", "no text column"),
        ("rows.csv", "text\na\n".encode("utf-16"), "is in UTF-16; save it as UTF-8"),
        ("rows.xlsx", b"", "unknown kind of file; use one of .txt, .csv, .tsv, .jsonl, .parquet"),
        ("rows.parquet", b"PAR1 not really", "not a Parquet file"),
    ],
)
def test_what_is_wrong_with_the_whole_file_is_raised_before_the_first_row(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_examples(tmp_path / name)
    assert message in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_examples(tmp_path / "rows.csv")
    with pytest.raises(DataError, match="is a folder"):
        check_file(tmp_path)


def test_parquet_columns_of_another_type_cost_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(
        pyarrow.table({"text": ["a", None, " "], "label": [0, 1, None], "other": [[1]] * 3}), path
    )
    found = list(read_examples(path))
    assert found[0] == Example("a", label=0)
    assert [text.split(":")[0] for text in problems(found, path)] == [", line 2", ", line 3"]
    pyarrow.parquet.write_table(pyarrow.table({"label": [0]}), path)
    with pytest.raises(DataError, match="no text column among label"):
        read_examples(path)


def test_a_parquet_file_with_damaged_pages_keeps_the_rows_before(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    rows = [f"text number {index}" for index in range(4096)]
    pyarrow.parquet.write_table(pyarrow.table({"text": rows}), path, row_group_size=1024, use_dictionary=False)
    content = bytearray(path.read_bytes())
    third = pyarrow.parquet.ParquetFile(path).metadata.row_group(2).column(0).data_page_offset
    content[third : third + 400] = b"\xff" * 400
    path.write_bytes(content)
    found = list(read_examples(path))
    assert texts(found) == rows[:2048]
    (problem,) = problems(found, path)
    assert "after row 2048: " in problem


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "rows.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DependencyError, match=r'pip install "narrows\[parquet\]"'):
        read_examples(tmp_path / "rows.parquet")


def test_a_long_field_is_told_and_costs_no_other(tmp_path: Path) -> None:
    long = "a" * (csv.field_size_limit() + 1)
    found = read(tmp_path / "rows.csv", f"text\nfirst\n{long}\nlast\n")
    assert texts(found) == ["first", "last"]
    assert "line 3: a field is longer than 131072 characters" in problems(found, tmp_path / "rows.csv")[0]


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".jsonl"])
def test_a_file_is_streamed(suffix: str, tmp_path: Path) -> None:
    """The first row is there although a later part of the file cannot be read in one piece."""
    path = tmp_path / f"rows{suffix}"
    row = '{"text": "x"}\n' if suffix == ".jsonl" else "x\n"
    path.write_text(("text\n" if suffix == ".csv" else "") + row * 200_000)
    rows = read_examples(path)
    assert next(rows) == Example("x")
    with path.open("w"):
        pass  # whoever had read the file whole would not see it emptied
    assert sum(1 for _ in rows) < 199_999


def test_rows_are_given_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('text,n\n" a\n b ",1\nc,2\n')
    found: list[Any] = list(read_rows(tmp_path / "rows.csv"))
    assert [(row.line, row.values) for row in found] == [
        (2, {"text": " a\n b ", "n": "1"}),
        (4, {"text": "c", "n": "2"}),
    ]


def test_a_table_without_a_header_takes_the_names_that_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\nc\n")
    first, second = table_rows(tmp_path / "rows.csv", ",", ("one", "two"))
    assert not isinstance(first, DataError)
    assert first.values == {"one": "a", "two": "b"}
    assert isinstance(second, DataError)
    assert "line 2: 1 columns where the layout has 2" in str(second)
