"""Rows of text, CSV, TSV, JSON Lines and Parquet files; what is wrong with one row is *returned* in its place."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows.data import parquet
from narrows.data.columns import USUAL, Columns
from narrows.data.example import COLUMNS, OPTIONAL_COLUMNS, Example, check_columns, check_label, known_of
from narrows.errors import DataError, InputError, strict

SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".parquet")

# While a row is cut into fields, a byte that is not UTF-8 (surrogateescape) and a NUL byte are half characters: the csv
# module of Python 3.10 refuses NUL, and a wrong byte must spoil its own row only.
_NUL = "\udc00"
_Cut = tuple[int, list[str]] | DataError  # a line and its fields, or what is wrong with them


@dataclass(frozen=True)
class Row:
    """One row of a file: the line on which it starts, from 1 (in Parquet its number), and values by column name."""

    line: int
    values: dict[str, Any]


def read_examples(path: str | Path, columns: Columns = USUAL) -> Iterator[Example | DataError]:
    """Stream the texts of a file, found by the names of columns as in `Example.of`; a ``.tsv`` file has no quoting."""
    path = Path(path)
    if columns.named and path.suffix.lower() == ".txt":
        raise InputError(f"{path}: a .txt file has no columns, so there is none to name")
    return (row if isinstance(row, DataError) else _example(path, row, columns) for row in read_rows(path, columns))


def read_lines(given: bytes, name: str, columns: Columns = USUAL) -> Iterator[Example | DataError]:
    """Read a text from each line, as of a ``.txt`` file; errors call it by a name."""
    if columns.named:
        raise InputError(f"{name} holds a text a line, so it has no columns to name")
    lines = io.TextIOWrapper(io.BytesIO(given), "utf-8-sig", "surrogateescape", newline="")
    rows = _line_rows(Path(name), (line.replace("\0", _NUL) for line in lines), _text_values)
    return (row if isinstance(row, DataError) else _example(Path(name), row, USUAL) for row in rows)


def read_rows(path: Path, named: Columns = USUAL) -> Iterator[Row | DataError]:
    """Stream the rows of a file as they are; of a Parquet file only the columns of texts, labels and ids."""
    check_file(path)
    suffix = path.suffix.lower()
    if suffix in (".txt", ".jsonl"):
        return _line_rows(path, _lines(path, newline=""), _json_values if suffix == ".jsonl" else _text_values)
    if suffix in (".csv", ".tsv"):
        return table_rows(path, "," if suffix == ".csv" else "\t", named=named)
    if suffix == ".parquet":
        names = parquet.column_names(path)
        _check_columns(path, names, named)
        return parquet_rows(path, [name for name in names if name in COLUMNS or name in named.named.values()])
    raise DataError(f"{path}: unknown kind of file; use one of {', '.join(SUFFIXES)}")


def check_file(path: Path) -> None:
    """Raise a `DataError` if a file is missing, a folder, unreadable or in UTF-16."""
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not a file")
    try:
        with path.open("rb") as file:
            start = file.read(2)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if start in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path}: is in UTF-16; save it as UTF-8")


def table_rows(
    path: Path, delimiter: str, columns: Sequence[str] | None = None, named: Columns = USUAL
) -> Iterator[Row | DataError]:
    """Stream a table, quoted where commas divide it and not where tabs do; `columns` stand in for a missing header."""
    rows = _split_rows(path, delimiter)
    if columns is not None:
        return _named_rows(path, rows, columns, "the layout")
    header = next(strict(rows), None)
    if header is None:
        raise DataError(f"{path}: is empty")
    names = [name.strip() for name in header[1]]
    if len(set(names)) < len(names):
        raise DataError(f"{path}, line {header[0]}: the header names a column twice: {', '.join(names)}")
    _check_columns(path, names, named)
    return _named_rows(path, rows, names, "the header")


def _check_columns(path: Path, names: Sequence[str], named: Columns) -> None:
    try:
        check_columns(named.check(names))
    except InputError as error:
        raise DataError(f"{path}: {error}") from error


def _example(path: Path, row: Row, columns: Columns) -> Example | DataError:
    """Make an example of a row: an empty second text, label or id of a table means that there is none."""
    renamed = columns.rename(row.values) if columns.named else row.values
    values = {name: value for name, value in renamed.items() if not (name in OPTIONAL_COLUMNS and value == "")}
    try:
        return check_label(Example.of(values))
    except InputError as error:
        wrong = DataError(f"{path}, line {row.line}: {error}")
        wrong.row = known_of(values)
        return wrong


def _lines(path: Path, newline: str) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline=newline) as file:
        for line in file:
            yield line.replace("\0", _NUL)


def _sound(text: str) -> str:
    """Return the characters of a row, or raise an `InputError` that says what is wrong with them."""
    if text.isascii():
        return text
    if _NUL in text:
        raise InputError("holds a NUL byte")
    if bad := next((char for char in text if "\udc80" <= char <= "\udcff"), None):
        raise InputError(f"is not UTF-8 (byte 0x{ord(bad) - 0xDC00:02x})")
    return text


def _line_rows(path: Path, lines: Iterable[str], read: Callable[[str], dict[str, Any]]) -> Iterator[Row | DataError]:
    """Read one row from each line that is not blank."""
    for number, line in enumerate(lines, start=1):
        if text := line.strip():
            try:
                row: Row | DataError = Row(number, read(_sound(text)))
            except InputError as error:
                row = DataError(f"{path}, line {number}: {error}")
            yield row


def _text_values(text: str) -> dict[str, Any]:
    return {"text": text}


def _json_values(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg} at character {error.pos + 1}") from error
    except (RecursionError, ValueError) as error:  # brackets without end; a number of thousands of digits
        raise InputError("JSON that cannot be read: nested too deeply or a number too long") from error
    if not isinstance(values, dict):
        raise InputError(f"expected an object with a 'text', not {type(values).__name__}")
    return values


def _split_rows(path: Path, delimiter: str) -> Iterator[_Cut]:
    """Cut a table into (line, fields), or what is wrong; blank lines are skipped."""
    quoted = delimiter == ","
    lines = _lines(path, newline="" if quoted else "\n")
    unquoted = enumerate((line.rstrip("\r\n").split(delimiter) for line in lines), start=1)
    for number, fields in _quoted(lines) if quoted else unquoted:
        if isinstance(fields, csv.Error):
            yield DataError(f"{path}, line {number}: {_csv_problem(fields)}")
        elif len(fields) > 1 or any(fields):
            try:
                _sound(delimiter.join(fields))
                yield number, fields
            except InputError as error:
                yield DataError(f"{path}, line {number}: {error}")


def _quoted(lines: Iterator[str]) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Cut CSV into (line, fields). A quotation mark that is never closed costs its own line, not all that follow it."""
    waiting: list[str] = []  # lines to be read again, the last one first
    taken: list[str] = []  # lines of the current row

    def take() -> str:
        line = waiting.pop() if waiting else next(lines, "")
        taken.append(line)
        return line

    number, reader = 1, csv.reader(iter(take, ""), strict=True)
    while True:
        taken.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, error
            waiting += reversed(taken[1:])
            number, reader = number + 1, csv.reader(iter(take, ""), strict=True)
        else:
            yield number, fields
            number += len(taken)


def _csv_problem(error: csv.Error) -> str:
    if "end of data" in str(error):
        return "a quotation mark is opened and never closed"
    if "field limit" in str(error):
        return f"a field is longer than {csv.field_size_limit()} characters (a quotation mark that is never closed?)"
    return f"not CSV: {error}"


def _named_rows(path: Path, rows: Iterator[_Cut], names: Sequence[str], source: str) -> Iterator[Row | DataError]:
    for row in rows:
        if isinstance(row, DataError):
            yield row
        elif len(row[1]) != len(names):
            yield DataError(f"{path}, line {row[0]}: {len(row[1])} columns where {source} has {len(names)}")
        else:
            yield Row(row[0], dict(zip(names, row[1], strict=True)))


def parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[Row | DataError]:
    """Stream some columns of a Parquet file."""
    try:
        for number, values in enumerate(parquet.read_rows(path, columns), start=1):
            yield Row(number, values)
    except DataError as error:  # the file is damaged: what comes after cannot be found
        yield error
