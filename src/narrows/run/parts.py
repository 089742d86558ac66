"""The files of a run over a data set: one row per text, written whole, and able to tell what they were made of."""

from __future__ import annotations

import hashlib
import io
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from narrows.attribution import Attribution
from narrows.bottleneck.trace import make_trace
from narrows.errors import DataError, DependencyError, InputError

FOLDER = "parts"
PARTIAL = ".partial"  # a name that starts with a dot is overlooked by whoever reads the folder as one table
OWN = ("beta", "windows")  # settings that a text has to itself
RECEIPT = b"narrows"  # where a part keeps its receipt, in the metadata of its schema

# What every part has; numbers per token are lists. docs/scale.md says what each one is.
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
    "bits": "[float32]",
    "scores": "[float32]",
    "target": "string",
    "predicted": "string",
    "labels": "[string]",
    "probabilities": "[float64]",
    "layer": "int32",
    "layers": "[int32]",
    "total_bits": "float64",
    "truncated": "int32",
    "cross_entropy": "[float64]",
    "information": "[float64]",
    "beta": "float64",
    "windows": "int32",
    "config": "string",
    "seed": "int64",
    "error": "string",
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Receipt:
    """What a part says of itself.

    Attributes:
        part: Its number, from 0.
        rows: Texts in it, those that could not be explained counted.
        errors: Texts that could not be explained.
        tokens: Tokens that were explained.
        texts_sha256: Of the texts that it was made of.
        run_sha256: Of the settings, model and versions that it was made with.
        first_error: What is wrong with the first text that could not be explained, and which it is; empty without any.
    """

    part: int
    rows: int
    errors: int
    tokens: int
    texts_sha256: str
    run_sha256: str
    first_error: str = ""


def part_file(out: Path, part: int) -> Path:
    """Name the file of a part.

    Args:
        out: Folder of the run.
        part: Its number.

    Returns:
        The file.
    """
    return out / FOLDER / f"part-{part:07d}.parquet"


def present_parts(out: Path) -> list[int]:
    """List the parts that a folder has.

    Args:
        out: Folder of the run.

    Returns:
        Their numbers, rising.
    """
    return sorted(int(path.stem.removeprefix("part-")) for path in (out / FOLDER).glob("part-*.parquet"))


def remove_partial(out: Path) -> None:
    """Remove what an earlier run was writing when it was stopped.

    Args:
        out: Folder of the run, locked.
    """
    for path in (out / FOLDER).glob(f".*{PARTIAL}"):
        path.unlink(missing_ok=True)


def map_row(number: int, attribution: Attribution, label: str | int | None, seed: int) -> Row:
    """Give the row of a text that was explained.

    Args:
        number: Of the text in its source, from 0.
        attribution: Its map.
        label: Its gold label.
        seed: Of its noise.

    Returns:
        A value for each column.
    """
    spans = [(None, None) if span is None else span for span in attribution.offsets]
    # These differ from text to text; the rest is the same in all rows and takes no room.
    own = {name: value for name in OWN if isinstance(value := attribution.config.get(name), (int, float))}
    return {
        **_text_row(number, attribution.text, attribution.text_pair, label),
        "tokens": list(attribution.tokens),
        "starts": [start for start, _ in spans],
        "ends": [end for _, end in spans],
        "segments": list(attribution.segments),
        "special": list(attribution.special),
        "bits": attribution.bits.astype(np.float32),
        "scores": attribution.scores.astype(np.float32),
        "features": None if attribution.features is None else list(attribution.features),
        "target": attribution.target,
        "predicted": attribution.predicted,
        "labels": list(attribution.probabilities),
        "probabilities": list(attribution.probabilities.values()),
        "layer": attribution.layer,
        "layers": list(attribution.layers),
        "total_bits": attribution.total_bits,
        "truncated": attribution.truncated,
        "cross_entropy": [point.cross_entropy for point in attribution.trace],
        "information": [point.information for point in attribution.trace],
        **own,
        "config": json.dumps({name: value for name, value in attribution.config.items() if name not in own}),
        "seed": seed,
    }


def error_row(number: int, text: str | None, pair: str | None, label: str | int | None, error: Exception) -> Row:
    """Give the row of a text that could not be explained.

    Args:
        number: Of the text in its source, from 0.
        text: The text, None where it could not even be read.
        pair: The second text of a pair.
        label: Its gold label.
        error: What is wrong with it.

    Returns:
        A value for some of the columns; the others are null.
    """
    return {**_text_row(number, text, pair, label), "error": " ".join(str(error).split())}


def to_attribution(row: Mapping[str, Any]) -> Attribution:
    """Make a result again of its row.

    Args:
        row: One without an error.

    Returns:
        The result; numbers per token have the precision of float32.
    """
    own = {name: row[name] for name in OWN if row[name] is not None}
    features = row.get("features")
    return Attribution(
        text=row["text"],
        text_pair=row["text_pair"],
        tokens=tuple(row["tokens"]),
        offsets=tuple(None if s is None else (s, e) for s, e in zip(row["starts"], row["ends"], strict=True)),
        segments=tuple(row["segments"]),
        bits=np.array(row["bits"], dtype=np.float64),
        scores=np.array(row["scores"], dtype=np.float64),
        target=row["target"],
        predicted=row["predicted"],
        probabilities=dict(zip(row["labels"], row["probabilities"], strict=True)),
        layer=row["layer"],
        layers=tuple(row["layers"]),
        trace=make_trace(row["cross_entropy"], row["information"]),
        truncated=row["truncated"],
        config={**json.loads(row["config"]), **own},
        features=None if features is None else np.array(features, dtype=np.float16),
    )


def save_part(out: Path, rows: Sequence[Row], receipt: Receipt, features: bool) -> str:
    """Write a part: under another name first, to the disk, and only then under its own.

    Args:
        out: Folder of the run.
        rows: One per text.
        receipt: What the part is.
        features: Whether there is a column for the map of every feature.

    Returns:
        SHA-256 of the file, in hexadecimal digits.

    Raises:
        InputError: If it cannot be written; what stood in the folder is left as it was.
    """
    arrow, parquet = arrow_and_parquet()
    schema = _schema(arrow, features).with_metadata({RECEIPT: json.dumps(asdict(receipt))})
    buffer = io.BytesIO()
    table = arrow.Table.from_pylist(list(rows), schema=schema)
    parquet.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    path = part_file(out, receipt.part)
    # Two workers may make the same part when one was taken for dead: each writes to a name of its own, the same bytes.
    partial = path.with_name(f".{path.stem}-{uuid.uuid4().hex}{PARTIAL}")
    try:
        path.parent.mkdir(exist_ok=True)
        with partial.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; the parts before it are kept") from error
    finally:
        partial.unlink(missing_ok=True)
    return hashlib.sha256(buffer.getbuffer()).hexdigest()


def check_part(path: Path) -> tuple[Receipt, str]:
    """Read a part through, its checksums too.

    Args:
        path: The file.

    Returns:
        Its receipt and its SHA-256.

    Raises:
        DataError: If it is missing, damaged, or no part of a run.
    """
    arrow, parquet = arrow_and_parquet()
    try:
        content = path.read_bytes()
        with parquet.ParquetFile(io.BytesIO(content), page_checksum_verification=True) as file:
            receipt = Receipt(**json.loads(file.schema_arrow.metadata[RECEIPT]))
            rows = sum(batch.num_rows for batch in file.iter_batches())
    except (OSError, arrow.ArrowException, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged: {_first_line(error)}") from error
    if rows != receipt.rows:
        raise DataError(f"{path} is damaged: {rows} rows instead of {receipt.rows}")
    return receipt, hashlib.sha256(content).hexdigest()


def read_rows(path: Path, columns: Sequence[str] | None = None, size: int = 64) -> Iterator[Row]:
    """Read a part row by row.

    Args:
        path: The file.
        columns: Which columns; None = all.
        size: Rows that are held at once.

    Yields:
        The rows.

    Raises:
        DataError: If it is missing or damaged.
    """
    arrow, parquet = arrow_and_parquet()
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(batch_size=size, columns=None if columns is None else list(columns)):
                yield from batch.to_pylist()
    except (OSError, arrow.ArrowException) as error:
        raise DataError(f"{path} is damaged: {_first_line(error)}") from error


def arrow_and_parquet() -> tuple[Any, Any]:
    """Load pyarrow.

    Returns:
        The modules pyarrow and pyarrow.parquet.

    Raises:
        DependencyError: If it is missing.
    """
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise DependencyError('runs are written as Parquet: pip install "narrows[run]"') from error


def _text_row(number: int, text: str | None, pair: str | None, label: str | int | None) -> Row:
    return {"id": number, "text": text, "text_pair": pair, "gold": None if label is None else str(label)}


def _schema(arrow: Any, features: bool) -> Any:
    columns = {name: _column_type(arrow, kind) for name, kind in COLUMNS.items()}
    if features:
        columns["features"] = arrow.list_(arrow.list_(arrow.float16()))
    return arrow.schema(list(columns.items()))


def _column_type(arrow: Any, kind: str) -> Any:
    if kind.startswith("["):
        return arrow.list_(_column_type(arrow, kind[1:-1]))
    return getattr(arrow, kind)()


def _sync_folder(folder: Path) -> None:
    """Make sure that a new name outlasts a loss of power, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # Windows opens no folders
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _first_line(error: Exception) -> str:
    return f"{(str(error).splitlines() or [type(error).__name__])[0]:.200}"
