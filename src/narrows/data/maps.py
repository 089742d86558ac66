"""Maps of many texts, written one after the other as they come: JSON lines or Parquet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from narrows.data.output import written_whole
from narrows.data.schema import AttributionDict
from narrows.errors import DependencyError, InputError

SUFFIXES = (".jsonl", ".parquet")
ROW_GROUP = 256  # texts that are held back before they go to a Parquet file together

Write = Callable[[AttributionDict], None]


def check_format(path: Path) -> None:
    """Make sure that maps can be written under a name.

    Args:
        path: The file to write.

    Raises:
        InputError: If its name ends otherwise than ``.jsonl`` or ``.parquet``.
        DependencyError: If Parquet is asked for and pyarrow is missing.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"cannot write {path}: the name must end in {' or '.join(SUFFIXES)}")
    if path.suffix == ".parquet":
        _arrow()


@contextmanager
def map_writer(path: Path) -> Iterator[Write]:
    """Open a file for maps; it appears under its name when all of them are written.

    If the work breaks off, what is done stays in a file beside it whose name ends in ``.partial``.

    Args:
        path: A ``.jsonl`` or ``.parquet`` file.

    Yields:
        A function that takes one map in its saved form.
    """
    check_format(path)
    with written_whole(path, keep_partial=True) as partial:
        writer = _parquet_writer(partial) if path.suffix == ".parquet" else _json_writer(partial)
        with writer as write:
            yield write


@contextmanager
def _json_writer(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:

        def write(attribution: AttributionDict) -> None:
            file.write(json.dumps(attribution, ensure_ascii=False) + "\n")
            file.flush()

        yield write


@contextmanager
def _parquet_writer(path: Path) -> Iterator[Write]:
    arrow, parquet = _arrow()
    schema = _parquet_schema(arrow)
    held: list[dict[str, Any]] = []
    with parquet.ParquetWriter(path, schema) as file:

        def flush() -> None:
            file.write_table(arrow.Table.from_pylist(held, schema=schema))
            held.clear()

        def write(attribution: AttributionDict) -> None:
            row = {**attribution, "config": json.dumps(attribution["config"])}
            row["probabilities"] = list(attribution["probabilities"].items())
            held.append(row)
            if len(held) == ROW_GROUP:
                flush()

        try:
            yield write
        finally:
            if held:
                flush()


def _parquet_schema(arrow: Any) -> Any:
    """Give the columns of a Parquet file of maps: those of the saved form, with the settings as JSON text."""
    text, whole, number = arrow.string(), arrow.int32(), arrow.float64()
    numbers = [("bits", number), ("score", number)]
    span = [("start", whole), ("end", whole), ("segment", whole)]
    token = arrow.struct([("token", text), *span, ("special", arrow.bool_()), *numbers])
    word = arrow.struct([("word", text), *span, *numbers])
    point = arrow.struct([("step", whole), ("cross_entropy", number), ("information", number)])
    return arrow.schema(
        [
            ("text", text),
            ("text_pair", text),
            ("tokens", arrow.list_(token)),
            ("words", arrow.list_(word)),
            ("target", text),
            ("predicted", text),
            ("probabilities", arrow.map_(text, number)),
            ("layer", whole),
            ("layers", arrow.list_(whole)),
            ("total_bits", number),
            ("carried_bits", number),
            ("truncated", whole),
            ("method", text),
            ("config", text),
            ("trace", arrow.list_(point)),
            ("narrows_version", text),
        ]
    )


def _arrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise DependencyError('Parquet files need pyarrow: pip install "narrows[parquet]"') from error
