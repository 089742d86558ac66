"""The table of explained texts, for runs and ``explain --out``; the rows are flat, for pandas and duckdb."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from narrows.data.checking import misfit
from narrows.data.schema import AttributionDict, CheckDict, MethodDict, TokenDict
from narrows.data.units import Place, find_units, read_places, unit_dicts
from narrows.data.words import make_words
from narrows.errors import DataError, InputError, first_line, need

# The names are those of pyarrow's types; brackets make a list. docs/how-to/scale.md says what each column is.
_WRITTEN = (
    "row: int64, id: string, text: string, text_pair: string, gold: string, tokens: [string], starts: [int32]",
    "ends: [int32], segments: [int32], special: [bool_], scores: [float64], ranks: [int32], unit: string",
    "unit_starts: [int32], unit_ends: [int32], unit_segments: [int32]",
    "signed: bool_, additive: bool_, target: string, predicted: string, labels: [string], probabilities: [float64]",
    "layers: [int32], method: string, typical: float64, rise: float64, truncated: int32, cross_entropy: [float64]",
    "information: [float64], cross_entropy_error: [float64], model: string, prior: string, record: string",
    "check_odds: bool_, check_unit_of: string, check_removed: [string], check_whole: float64, check_without: [float64]",
    "check_masked: [float64], check_chance: [float64], check_other: string, check_without_other: float64",
    "check_flip: int32, check_decision: string, check_needed: [string]",
    "beta: float64, windows: int32, seed: int64, error: string, narrows_version: string",
)
COLUMNS = dict(column.split(": ") for line in _WRITTEN for column in line.split(", "))
TOKEN = {"token": "tokens", "start": "starts", "end": "ends", "segment": "segments", "special": "special"}
TOKEN |= {"score": "scores", "rank": "ranks"}  # key of a token: its column
UNIT = {"start": "unit_starts", "end": "unit_ends", "segment": "unit_segments"}  # key of a unit: its column
CHECK = {name: f"check_{name}" for name in CheckDict.__annotations__}  # key of a check: its column
TRACE = {"cross_entropy": "cross_entropy", "information": "information", "error": "cross_entropy_error"}
LISTED = ("tokens", "probabilities", "method", "record")  # columns that hold them in another form
OF_DATA = ("id", "gold")  # what the user's data says of a text; ids are text here, for a column has one type
SAME = tuple(name for name in AttributionDict.__annotations__ if name in COLUMNS and name not in (*LISTED, *OF_DATA))
OWN = ("beta", "windows")  # of the record, but different from text to text: without them it is the same in every row
FORMAT = {"compression": "zstd", "write_page_checksum": True}
AT_ONCE = 256  # rows that are read
ParquetRow = dict[str, Any]


def load_arrow() -> tuple[Any, Any]:
    """Load pyarrow and pyarrow.parquet, or name the extra that installs them."""
    message = 'Parquet files need pyarrow: pip install "narrows[parquet]"'
    return need("pyarrow", message), need("pyarrow.parquet", message)


def schema_of(columns: Mapping[str, str]) -> Any:
    """Make the Arrow schema of columns written as in `COLUMNS`."""
    arrow, _ = load_arrow()

    def kind(name: str) -> Any:
        return arrow.list_(kind(name[1:-1])) if name.startswith("[") else getattr(arrow, name)()

    return arrow.schema([(name, kind(written)) for name, written in columns.items()])


def attribution_schema(features: bool = False) -> Any:
    """Give the Arrow schema of explained texts; with a column for a score of every feature of every token if asked."""
    return schema_of({**COLUMNS, "features": "[[float16]]"} if features else COLUMNS)


def to_row(saved: AttributionDict, facts: Mapping[str, Any] | None = None) -> ParquetRow:
    """Make the row of a text; `facts` are columns that the record lacks (row, seed, features), else null."""
    values: Mapping[str, Any] = saved
    units = values["units"]
    own = {name: value for name in OWN if type(value := saved["record"].get(name)) in (int, float)}
    return {
        **{name: values[name] for name in SAME},
        **of_data(values),
        **{column: [token[key] for token in values["tokens"]] for key, column in TOKEN.items()},
        **{column: units and [unit[key] for unit in units] for key, column in UNIT.items()},
        **{column: (values["check"] or {}).get(key) for key, column in CHECK.items()},
        "labels": list(saved["probabilities"]),
        "probabilities": list(saved["probabilities"].values()),
        **{column: [point[key] for point in values["trace"]] for key, column in TRACE.items()},
        "method": json.dumps(saved["method"]),
        "record": json.dumps({name: value for name, value in saved["record"].items() if name not in own}),
        **own,
        **(facts or {}),
    }


def places_of(row: Mapping[str, Any]) -> tuple[Place, ...] | None:
    """Read where the units of a text are; None where each token is one."""
    columns = [row[UNIT[key]] for key in ("segment", "start", "end")]
    given = None if None in columns else zip(*columns, strict=True)
    return None if given is None else read_places(given, (row["text"], row["text_pair"]))


def of_data(values: Mapping[str, Any]) -> ParquetRow:
    """Give the columns of what the user's data says of a text."""
    return {name: None if values[name] is None else str(values[name]) for name in OF_DATA}


def tokens_of(row: Mapping[str, Any]) -> list[TokenDict]:
    """Read the tokens of a text."""
    columns = [row[column] for column in TOKEN.values()]
    return [dict(zip(TOKEN, values, strict=True)) for values in zip(*columns, strict=True)]  # type: ignore[misc]


def from_row(row: Mapping[str, Any]) -> AttributionDict:
    """Read an explained text, as `to_row` was given it; a `DataError` if it was not explained or lacks columns."""
    if row.get("error") is not None:
        raise DataError(f"text {row.get('row')} was not explained: {row['error']}")
    try:
        tokens = tokens_of(row)
        points = enumerate(zip(*(row[column] for column in TRACE.values()), strict=True))
        trace: Any = [{"step": step, **dict(zip(TRACE, point, strict=True))} for step, point in points]
        method = json.loads(row["method"])
        if wrong := misfit(method, MethodDict, "method"):
            raise ValueError(wrong)
        texts, places = (row["text"], row["text_pair"]), places_of(row)
        return {
            **{name: row[name] for name in SAME},  # type: ignore[typeddict-item]
            "check": None if row[CHECK["whole"]] is None else {key: row[column] for key, column in CHECK.items()},
            "units": None if places is None else unit_dicts(find_units(texts, tokens, places)),
            **{name: row[name] for name in OF_DATA},
            "tokens": tokens,
            "words": make_words(row["text"], row["text_pair"], tokens),
            "probabilities": dict(zip(row["labels"], row["probabilities"], strict=True)),
            "method": method,
            "trace": trace,
            "record": json.loads(row["record"]) | {name: row[name] for name in OWN if row[name] is not None},
        }
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"text {row.get('row')} is no explained text: {first_line(error):.200}") from error


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a Parquet file for reading, its checksums checked; whatever is wrong with it becomes one line."""
    _, parquet = load_arrow()
    try:
        file = parquet.ParquetFile(path, page_checksum_verification=True)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except Exception as error:  # the library's own errors have no base that covers all
        raise DataError(f"{path} is damaged, or not a Parquet file: {first_line(error):.200}") from error
    with file:
        yield file


def column_names(path: Path) -> list[str]:
    """List the columns of a Parquet file."""
    with _opened(path) as file:
        return list(file.schema_arrow.names)


def read_rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[ParquetRow]:
    """Stream the rows of a Parquet file, few at a time; columns that it lacks are left out, None = all."""
    number = 0
    with _opened(path) as file:
        try:
            for batch in file.iter_batches(batch_size=AT_ONCE, columns=None if columns is None else list(columns)):
                yield from batch.to_pylist()
                number += len(batch)
        except Exception as error:  # as above
            raise DataError(f"{path} is damaged after row {number}: {first_line(error):.200}") from error


def write_rows(where: Any, rows: Iterable[Mapping[str, Any]], schema: Any) -> None:
    """Write rows (what is missing is null) as one Parquet file, by path or open for writing, with checksums."""
    arrow, parquet = load_arrow()
    parquet.write_table(arrow.Table.from_pylist(list(rows), schema=schema), where, **FORMAT)
