"""Rows of text from files of one's own: plain text, CSV, TSV, JSON Lines and Parquet.

Everything is read as a stream. What is wrong with the whole file (missing, unknown kind, no text column) is raised
before the first row. What is wrong with one row is *returned* as a `DataError` in the row's place: the other rows are
not lost, and the caller decides what to do about it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from narrows.data import parquet
from narrows.data.example import LABEL_COLUMNS, PAIR_COLUMNS, SINGLE_COLUMNS, Example, check_label
from narrows.errors import DataError, InputError

SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".parquet")
_OPTIONAL = {second for _, second in PAIR_COLUMNS if second not in SINGLE_COLUMNS} | set(LABEL_COLUMNS)
_KNOWN = {*SINGLE_COLUMNS, *LABEL_COLUMNS, *(name for pair in PAIR_COLUMNS for name in pair)}

# While a row is cut into fields, a byte that is not UTF-8 (surrogateescape) and a NUL byte are half characters: the csv
# module of Python 3.10 refuses NUL, and a wrong byte must spoil its own row only.
_NUL = "\udc00"
_FIRST_BAD_BYTE, _LAST_BAD_BYTE = "\udc80", "\udcff"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Row:
    """One row of a file.

    Attributes:
        line: The physical line on which the row starts, counted from 1; in a Parquet file the number of the row.
        values: The values by column name.
    """

    line: int
    values: dict[str, Any]


def read_examples(path: str | Path) -> Iterator[Example | DataError]:
    r"""Stream the texts of a file.

    Columns are found by name, as in `Example.of`: ``text`` and ``text_pair`` (or ``premise``/``hypothesis`` and so
    on) and, where there is one, ``label``. A ``.txt`` file holds one text a line; its blank lines are skipped. A
    ``.tsv`` file has no quoting: a quotation mark in it is a character like any other.

    Args:
        path: A ``.txt``, ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet`` file, in UTF-8.

    Returns:
        An iterator over the rows in their order: an `Example`, or for a malformed row the `DataError` that names
        file and line.

    Raises:
        DataError: If the file is missing, of an unknown kind, or a table without a text column.
        DependencyError: If a Parquet file is given and pyarrow is not installed.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.csv"
        >>> _ = path.write_text('text,label\n"Witty, and warm.",positive\nDull.,negative,?\n')
        >>> first, second = read_examples(path)
        >>> first
        Example(text='Witty, and warm.', text_pair=None, label='positive')
        >>> print(str(second).removeprefix(str(path)))
        , line 3: 3 columns where the header has 2
    """
    path = Path(path)
    rows = read_rows(path)
    return (row if isinstance(row, DataError) else _example(path, row) for row in rows)


def read_rows(path: Path) -> Iterator[Row | DataError]:
    """Stream the rows of a file as they are; of a Parquet file only the columns of texts and labels."""
    check_file(path)
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return _text_rows(path)
    if suffix == ".jsonl":
        return _json_rows(path)
    if suffix == ".parquet":
        names = parquet.column_names(path)
        _check_columns(path, names)
        return _parquet_rows(path, [name for name in names if name in _KNOWN])
    if suffix in {".csv", ".tsv"}:
        return table_rows(path, "," if suffix == ".csv" else "\t")
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
    if start in _UTF16_MARKS:
        raise DataError(f"{path}: is in UTF-16; save it as UTF-8")


def table_rows(path: Path, delimiter: str, columns: Sequence[str] | None = None) -> Iterator[Row | DataError]:
    """Stream a table, quoted where commas divide it and not where tabs do; `columns` stand in for a missing header."""
    if columns is not None:
        return _named_rows(path, _split_rows(path, delimiter), columns, "the layout")
    rows = _split_rows(path, delimiter)
    header = next(rows, None)
    if header is None:
        raise DataError(f"{path}: is empty")
    if isinstance(header, DataError):
        raise header
    names = [name.strip() for name in header[1]]
    if len(set(names)) < len(names):
        raise DataError(f"{path}, line {header[0]}: the header names a column twice: {', '.join(names)}")
    _check_columns(path, names)
    return _named_rows(path, rows, names, "the header")


def _check_columns(path: Path, names: Sequence[str]) -> None:
    if not (any(name in names for name in SINGLE_COLUMNS) or any(set(pair) <= set(names) for pair in PAIR_COLUMNS)):
        pairs = "; ".join("/".join(pair) for pair in PAIR_COLUMNS)
        raise DataError(f"{path}: no text column among {', '.join(names)}; name one 'text' (or a pair: {pairs})")


def _example(path: Path, row: Row) -> Example | DataError:
    """Make an example of a row: an empty second text or label of a table means that there is none."""
    values = {name: value for name, value in row.values.items() if not (name in _OPTIONAL and value == "")}
    try:
        return check_label(Example.of(values))
    except InputError as error:
        return DataError(f"{path}, line {row.line}: {error}")


def _problem(text: str) -> str | None:
    """Say what is wrong with the characters of a row, None where nothing is."""
    if text.isascii():
        return None
    if _NUL in text:
        return "holds a NUL byte"
    bad = next((char for char in text if _FIRST_BAD_BYTE <= char <= _LAST_BAD_BYTE), None)
    return None if bad is None else f"is not UTF-8 (byte 0x{ord(bad) - 0xDC00:02x})"


def _open(path: Path, newline: str) -> IO[str]:
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline=newline)


def _text_rows(path: Path) -> Iterator[Row | DataError]:
    with _open(path, newline="") as file:
        for number, line in enumerate(file, start=1):
            text = line.replace("\0", _NUL).strip()
            if problem := _problem(text):
                yield DataError(f"{path}, line {number}: {problem}")
            elif text:
                yield Row(number, {"text": text})


def _json_rows(path: Path) -> Iterator[Row | DataError]:
    with _open(path, newline="") as file:
        for number, line in enumerate(file, start=1):
            text = line.replace("\0", _NUL).strip()
            if text:
                yield _json_row(path, number, text)


def _json_row(path: Path, number: int, text: str) -> Row | DataError:
    if problem := _problem(text):
        return DataError(f"{path}, line {number}: {problem}")
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        return DataError(f"{path}, line {number}: not JSON: {error.msg} at character {error.pos + 1}")
    except (RecursionError, ValueError):  # brackets without end; a number of thousands of digits
        return DataError(f"{path}, line {number}: JSON that cannot be read: nested too deeply or a number too long")
    if not isinstance(values, dict):
        return DataError(f"{path}, line {number}: expected an object with a 'text', not {type(values).__name__}")
    return Row(number, values)


class _Lines:
    """The physical lines of a file; those of the current row are kept, so that one can go back to its second line."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._waiting: list[str] = []  # last one first
        self.taken: list[str] = []
        self.number = 0  # of the last line given out

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._waiting.pop() if self._waiting else next(self._file).replace("\0", _NUL)
        self.number += 1
        self.taken.append(line)
        return line

    def rewind(self) -> None:
        """Give out again all lines of the current row but the first."""
        self._waiting.extend(reversed(self.taken[1:]))
        self.number -= len(self.taken) - 1


def _split_rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]] | DataError]:
    """Cut a table into (line, fields), or what is wrong; after a row with broken quoting, resume at the next line."""
    # A quotation mark that is never closed takes in the rows after it: going back to the second line saves them.
    quoted = delimiter == ","
    with _open(path, newline="" if quoted else "\n") as file:
        lines = _Lines(file)
        reader = csv.reader(
            lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=quoted
        )
        while True:
            lines.taken.clear()
            start = lines.number + 1
            try:
                fields = next(reader) if quoted else next(lines).rstrip("\r\n").split(delimiter)
            except StopIteration:
                return
            except csv.Error as error:
                lines.rewind()
                yield DataError(f"{path}, line {start}: {_csv_problem(error)}")
                continue
            if not any(fields) and len(fields) <= 1:
                continue  # a blank line
            if problem := _problem(delimiter.join(fields)):
                yield DataError(f"{path}, line {start}: {problem}")
            else:
                yield start, fields


def _csv_problem(error: csv.Error) -> str:
    if "end of data" in str(error):
        return "a quotation mark is opened and never closed"
    if "field limit" in str(error):
        return f"a field is longer than {csv.field_size_limit()} characters (a quotation mark that is never closed?)"
    return f"not CSV: {error}"


def _named_rows(
    path: Path, rows: Iterator[tuple[int, list[str]] | DataError], names: Sequence[str], source: str
) -> Iterator[Row | DataError]:
    for row in rows:
        if isinstance(row, DataError):
            yield row
        elif len(row[1]) != len(names):
            yield DataError(f"{path}, line {row[0]}: {len(row[1])} columns where {source} has {len(names)}")
        else:
            yield Row(row[0], dict(zip(names, row[1], strict=True)))


def _parquet_rows(path: Path, columns: list[str]) -> Iterator[Row | DataError]:
    try:
        for number, values in enumerate(parquet.read_rows(path, columns), start=1):
            yield Row(number, values)
    except DataError as error:  # the file is damaged: what comes after cannot be found
        yield error
