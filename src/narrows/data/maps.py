"""Files of explained texts, written one after the other as they come, and read again: JSON lines or Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from narrows.data.output import written_whole
from narrows.data.parquet import FORMAT, Row, attribution_schema, from_row, load_arrow, to_row
from narrows.data.parquet import read_rows as read_parquet
from narrows.data.schema import AttributionDict
from narrows.data.tables import read_rows
from narrows.errors import DataError, InputError

SUFFIXES = (".jsonl", ".parquet")
ROW_GROUP = 256  # texts that go to a Parquet file together


class Write(Protocol):
    """Writes one explained text, with its gold label where it has one."""

    def __call__(self, attribution: AttributionDict, gold: str | int | None = None) -> None:
        """Write it."""


def check_format(path: Path) -> None:
    """Raise an `InputError` if maps cannot be written under a name, a `DependencyError` if pyarrow is missing."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"cannot write {path}: the name must end in {' or '.join(SUFFIXES)}")
    if path.suffix == ".parquet":
        load_arrow()


@contextmanager
def map_writer(path: Path) -> Iterator[Write]:
    """Open a file for explained texts; it appears under its name when all of them are written.

    If the work stops early, what is done stays in a file beside it whose name ends in ``.partial``.

    Args:
        path: A ``.jsonl`` file, one record a line, or a ``.parquet`` file, with the columns of a run's parts.

    Yields:
        A function that writes one text.
    """
    check_format(path)
    writer = _parquet_writer if path.suffix == ".parquet" else _json_writer
    with written_whole(path, keep_partial=True) as partial, writer(partial) as write:
        yield write


def read_maps(path: Path) -> Iterator[AttributionDict]:
    """Stream the explained texts of a file that `map_writer` or a run wrote; texts with an error are left out.

    Args:
        path: A ``.jsonl`` or ``.parquet`` file.

    Yields:
        The records.

    Raises:
        DataError: If the file is missing, damaged, or holds something else; names the line.
    """
    if path.suffix == ".parquet":
        yield from (from_row(row) for row in read_parquet(path) if row.get("error") is None)
        return
    for row in read_rows(path):
        if isinstance(row, DataError):
            raise row
        if missing := AttributionDict.__required_keys__ - row.values.keys():
            raise DataError(f"{path}, line {row.line}: not an explained text; it has no {', '.join(sorted(missing))}")
        yield {key: row.values[key] for key in AttributionDict.__annotations__}  # type: ignore[misc]


@contextmanager
def _json_writer(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:

        def write(attribution: AttributionDict, gold: str | int | None = None) -> None:
            row: dict[str, Any] = {**attribution} if gold is None else {**attribution, "gold": str(gold)}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()

        yield write


@contextmanager
def _parquet_writer(path: Path) -> Iterator[Write]:
    arrow, parquet = load_arrow()
    schema = attribution_schema()
    held: list[Row] = []
    written = 0
    with parquet.ParquetWriter(path, schema, **FORMAT) as file:

        def flush() -> None:
            if held:
                file.write_table(arrow.Table.from_pylist(held, schema=schema))
                held.clear()

        def write(attribution: AttributionDict, gold: str | int | None = None) -> None:
            nonlocal written
            held.append(to_row(attribution, id=written, gold=None if gold is None else str(gold)))
            written += 1
            if len(held) == ROW_GROUP:
                flush()

        try:
            yield write
        finally:
            flush()
