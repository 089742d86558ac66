"""The table of explained texts: one schema for runs and for ``explain --out``, and the only place that loads pyarrow.

A row is flat, so that pandas and duckdb read it as it is: numbers per token are lists, words are made again on reading.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from narrows.data.schema import AttributionDict
from narrows.data.words import make_words
from narrows.errors import DataError, DependencyError

# The names are those of pyarrow's types; brackets make a list. docs/scale.md says what each column is.
COLUMNS = {
    "id": "int64",
    "text": "string",
    "text_pair": "string",
    "gold": "string",
    "tokens": "[string]",
    "starts": "[int32]",
    "ends": "[int32]",
    "segments": "[int32]",
    "special": "[bool_]",
    "scores": "[float64]",
    "ranks": "[int32]",
    "unit": "string",
    "signed": "bool_",
    "additive": "bool_",
    "target": "string",
    "predicted": "string",
    "labels": "[string]",
    "probabilities": "[float64]",
    "layers": "[int32]",
    "method": "string",
    "typical": "float64",
    "rise": "float64",
    "truncated": "int32",
    "cross_entropy": "[float64]",
    "information": "[float64]",
    "cross_entropy_error": "[float64]",
    "model": "string",
    "prior": "string",
    "record": "string",
    "beta": "float64",
    "windows": "int32",
    "seed": "int64",
    "error": "string",
    "narrows_version": "string",
}
TOKEN = {"token": "tokens", "start": "starts", "end": "ends", "segment": "segments", "special": "special"}
TOKEN |= {"score": "scores", "rank": "ranks"}  # key of a token: its column
TRACE = {"cross_entropy": "cross_entropy", "information": "information", "error": "cross_entropy_error"}
LISTED = ("tokens", "probabilities", "method", "record")  # columns that hold them in another form
SAME = tuple(name for name in AttributionDict.__annotations__ if name in COLUMNS and name not in LISTED)
OWN = ("beta", "windows")  # of the record, but different from text to text: without them it is the same in every row
FORMAT = {"compression": "zstd", "write_page_checksum": True}

Row = dict[str, Any]


def load_arrow() -> tuple[Any, Any]:
    """Load pyarrow and pyarrow.parquet, or name the extra that installs them."""
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise DependencyError('Parquet files need pyarrow: pip install "narrows[parquet]"') from error


def schema_of(columns: Mapping[str, str]) -> Any:
    """Make the Arrow schema of columns written as in `COLUMNS`."""
    arrow, _ = load_arrow()

    def kind(name: str) -> Any:
        return arrow.list_(kind(name[1:-1])) if name.startswith("[") else getattr(arrow, name)()

    return arrow.schema([(name, kind(written)) for name, written in columns.items()])


def attribution_schema(features: bool = False) -> Any:
    """Give the Arrow schema of explained texts.

    Args:
        features: Whether there is a column for a score of every feature of every token.

    Returns:
        The schema.
    """
    return schema_of({**COLUMNS, "features": "[[float16]]"} if features else COLUMNS)


def to_row(saved: AttributionDict, **facts: Any) -> Row:
    """Make the row of an explained text.

    Args:
        saved: The text, as `Attribution.to_dict` gives it.
        **facts: Columns that the record lacks: id, gold, seed, features.

    Returns:
        A value by column; columns that are not in it are null.
    """
    values: Mapping[str, Any] = saved
    tokens: Sequence[Mapping[str, Any]] = saved["tokens"]
    trace: Sequence[Mapping[str, Any]] = saved["trace"]
    own = {name: value for name in OWN if type(value := saved["record"].get(name)) in (int, float)}
    return {
        **{name: values[name] for name in SAME},
        **{column: [token[key] for token in tokens] for key, column in TOKEN.items()},
        "labels": list(saved["probabilities"]),
        "probabilities": list(saved["probabilities"].values()),
        **{column: [point[key] for point in trace] for key, column in TRACE.items()},
        "method": json.dumps(saved["method"]),
        "record": json.dumps({name: value for name, value in saved["record"].items() if name not in own}),
        **own,
        **facts,
    }


def from_row(row: Mapping[str, Any]) -> AttributionDict:
    """Read an explained text from its row.

    Args:
        row: All columns but those that only a run has.

    Returns:
        The text, as `to_row` was given it.

    Raises:
        DataError: If the text was not explained, or columns are missing.
    """
    if row.get("error") is not None:
        raise DataError(f"text {row.get('id')} was not explained: {row['error']}")
    try:
        columns = [row[column] for column in TOKEN.values()]
        tokens: Any = [dict(zip(TOKEN, values, strict=True)) for values in zip(*columns, strict=True)]
        points = enumerate(zip(*(row[column] for column in TRACE.values()), strict=True))
        trace: Any = [{"step": step, **dict(zip(TRACE, point, strict=True))} for step, point in points]
        return {
            **{name: row[name] for name in SAME},  # type: ignore[typeddict-item]
            "tokens": tokens,
            "words": make_words(row["text"], row["text_pair"], tokens),
            "probabilities": dict(zip(row["labels"], row["probabilities"], strict=True)),
            "method": json.loads(row["method"]),
            "trace": trace,
            "record": json.loads(row["record"]) | {name: row[name] for name in OWN if row.get(name) is not None},
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"text {row.get('id')} is no explained text: {_first_line(error)}") from error


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a Parquet file for reading, its checksums checked; whatever is wrong with it becomes one line."""
    _, parquet = load_arrow()
    try:
        file = parquet.ParquetFile(path, page_checksum_verification=True)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except Exception as error:  # the library's own errors have no base that covers all
        raise DataError(f"{path} is damaged, or not a Parquet file: {_first_line(error)}") from error
    with file:
        yield file


def column_names(path: Path) -> list[str]:
    """List the columns of a Parquet file."""
    with opened(path) as file:
        return list(file.schema_arrow.names)


def read_rows(path: Path, columns: Sequence[str] | None = None, size: int = 256) -> Iterator[Row]:
    """Stream the rows of a Parquet file.

    Args:
        path: The file.
        columns: Which columns; None = all. One that the file lacks is left out.
        size: Rows that are held at once.

    Yields:
        The rows, as plain values.

    Raises:
        DataError: If it is missing or damaged; names the last row that could be read.
    """
    number = 0
    with opened(path) as file:
        batches = file.iter_batches(batch_size=size, columns=None if columns is None else list(columns))
        while True:
            try:
                rows = next(batches).to_pylist()
            except StopIteration:
                return
            except Exception as error:  # as above
                raise DataError(f"{path} is damaged after row {number}: {_first_line(error)}") from error
            number += len(rows)
            yield from rows


def write_rows(where: Any, rows: Iterable[Mapping[str, Any]], schema: Any) -> None:
    """Write rows as one Parquet file, with a checksum in every page.

    Args:
        where: A path, or a binary file open for writing.
        rows: Values by column; what is missing is null.
        schema: `attribution_schema` or `schema_of`, perhaps ``with_metadata``.
    """
    arrow, parquet = load_arrow()
    parquet.write_table(arrow.Table.from_pylist(list(rows), schema=schema), where, **FORMAT)


def _first_line(error: Exception) -> str:
    return f"{(str(error).splitlines() or [''])[0] or type(error).__name__:.200}"
