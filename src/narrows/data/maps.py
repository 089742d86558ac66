"""Files of explained texts: of one, JSON or safetensors; of many, written as they come, JSON lines or Parquet."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from narrows.data import parquet
from narrows.data.checking import misfit
from narrows.data.output import partial_path, write_whole, written_whole
from narrows.data.schema import AttributionDict, FailedDict
from narrows.data.tables import read_rows
from narrows.data.units import find_units, saved_places, unit_dicts
from narrows.errors import DataError, InputError, NarrowsError, strict

SAVED_FORMATS = (".json", ".safetensors")
SUFFIXES = (".jsonl", ".parquet")
ROW_GROUP = 256  # texts that go to a Parquet file together
Write = Callable[..., None]  # writes one text, an AttributionDict or a FailedDict, and the number of its row (the next)


def failed_row(error: NarrowsError) -> FailedDict:
    """Make the row of a text that could not be explained."""
    told: Any = {"text": None, "text_pair": None, "id": None, "gold": None, **error.row}
    return {**told, "error": " ".join(str(error).split())}  # type: ignore[typeddict-item]


def check_format(path: Path) -> None:
    """Raise an `InputError` if maps cannot be written under a name, a `DependencyError` if pyarrow is missing."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"cannot write {path}: the name must end in {' or '.join(SUFFIXES)}")
    if path.suffix == ".parquet":
        parquet.load_arrow()


@contextmanager
def map_writer(path: Path) -> Iterator[Write]:
    """Open a file for explained texts, which appears when all are written; until then it ends in ``.partial``."""
    check_format(path)
    writer = _parquet_writer if path.suffix == ".parquet" else _json_writer
    numbers, written = count(), False
    try:
        with written_whole(path, keep_partial=True) as partial, writer(partial) as add:

            def write(found: AttributionDict | FailedDict, row: int | None = None) -> None:
                nonlocal written
                add(found, next(numbers) if row is None else row)
                written = True

            yield write
    except BaseException:
        if not written:
            partial_path(path).unlink(missing_ok=True)
        raise


def read_maps(path: Path) -> Iterator[AttributionDict]:
    """Stream the explained texts of a file that `map_writer` or a run wrote; texts with an error are left out."""
    if path.suffix == ".parquet":
        yield from (parquet.from_row(row) for row in parquet.read_rows(path) if row.get("error") is None)
        return
    for row in strict(read_rows(path)):
        if row.values.get("error") is not None:
            continue
        if wrong := misfit(row.values, AttributionDict, "it"):
            raise DataError(f"{path}, line {row.line}: not an explained text; {wrong}")
        found: Any = {key: row.values[key] for key in AttributionDict.__annotations__ if key in row.values}
        try:
            places = saved_places(found)
        except InputError as error:
            raise DataError(f"{path}, line {row.line}: not an explained text; {error}") from error
        if places is not None:  # their tokens are found again, as those of words are
            found["units"] = unit_dicts(find_units((found["text"], found["text_pair"]), found["tokens"], places))
        yield found


@contextmanager
def _json_writer(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:

        def add(found: AttributionDict | FailedDict, row: int) -> None:
            file.write(json.dumps({**found, "row": row}, ensure_ascii=False) + "\n")
            file.flush()

        yield add


@contextmanager
def _parquet_writer(path: Path) -> Iterator[Write]:
    arrow, arrow_parquet = parquet.load_arrow()
    schema = parquet.attribution_schema()
    held: list[parquet.ParquetRow] = []
    with arrow_parquet.ParquetWriter(path, schema, **parquet.FORMAT) as file:

        def flush() -> None:
            if held:
                file.write_table(arrow.Table.from_pylist(held, schema=schema))
                held.clear()

        def add(found: AttributionDict | FailedDict, row: int) -> None:
            if "error" in found:
                held.append({**found, **parquet.of_data(found), "row": row})
            else:
                held.append(parquet.to_row(found, {"row": row}))
            if len(held) == ROW_GROUP:
                flush()

        try:
            yield add
        finally:
            flush()


def write_saved(path: str | Path, saved: AttributionDict, scores: NDArray[np.float64]) -> None:
    """Write a result in the way that the suffix says; a ``.safetensors`` file holds the scores, (tokens,), as array."""
    text = json.dumps(saved, ensure_ascii=False)
    as_json = _suffix(path) == ".json"
    content = f"{text}\n".encode() if as_json else save({"scores": scores}, {"attribution": text})
    write_whole(Path(path), content)


def read_saved(path: str | Path) -> Any:
    """Read whatever JSON a file of `write_saved` holds, or raise an `InputError`."""
    name = Path(path)
    if _suffix(path) and not name.is_file():
        raise InputError(f"no such file: {path}")
    try:
        if name.suffix == ".json":
            return json.loads(name.read_text(encoding="utf-8"))
        with safe_open(str(name), framework="numpy") as file:
            return json.loads((file.metadata() or {})["attribution"])
    except (KeyError, OSError, RecursionError, SafetensorError, ValueError) as error:
        raise InputError(f"{path} holds no saved attribution: {error}") from error


def _suffix(path: str | Path) -> str:
    suffix = Path(path).suffix
    if suffix not in SAVED_FORMATS:
        raise InputError(f"{path}: the name must end in {' or '.join(SAVED_FORMATS)}")
    return suffix
