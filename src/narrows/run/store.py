"""A folder of results: a manifest that says what they are of, and Parquet parts that appear whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from narrows.data.output import read_json as read_json
from narrows.data.output import write_json as write_json
from narrows.data.output import written_whole
from narrows.data.parquet import load_arrow
from narrows.errors import DataError, DependencyError, InputError

MANIFEST = "manifest.json"
LOCK = ".lock"

Json = dict[str, Any]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second run out of a folder.

    Args:
        folder: Made if it is not there.

    Yields:
        Nothing.

    Raises:
        InputError: If another run has it, or it cannot be made.
        DependencyError: If filelock is missing.
    """
    try:
        library = import_module("filelock")
    except ImportError as error:
        raise DependencyError('runs need filelock: pip install "narrows[evaluate]"') from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = library.FileLock(folder / LOCK)
        lock.acquire(blocking=False)
    except library.Timeout:
        raise InputError(f"{folder} is in use by another run: wait for it, or give another folder") from None
    except FileExistsError:
        raise InputError(f"cannot write into {folder}: it is no folder") from None
    except OSError as error:
        raise InputError(f"cannot write into {folder}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def claim(folder: Path, identity: Json) -> None:
    """Write what a folder's results are of, or make sure that it says the same already.

    Args:
        folder: Of the run.
        identity: As for `check_claim`.

    Raises:
        InputError: If the folder holds results of something else; names the differences.
    """
    check_claim(folder, identity)
    if not (folder / MANIFEST).exists():
        write_json(folder / MANIFEST, identity)


def check_claim(folder: Path, identity: Json) -> None:
    """Make sure that a folder holds no results of something else.

    Args:
        folder: Of the run; one without results holds none.
        identity: Whatever must be the same for results to belong together.

    Raises:
        InputError: If it does; names the differences.
    """
    path = folder / MANIFEST
    if not path.exists():
        return
    before, now = _leaves(read_json(path)), _leaves(json.loads(json.dumps(identity)))
    differing = [key for key in now if before.get(key) != now[key]]
    if differing:
        listed = "; ".join(f"{key} was {_short(before.get(key))} and is {_short(now[key])}" for key in differing)
        raise InputError(f"{folder} holds results of another run ({listed}): give another folder, or the same settings")


def write_part(path: Path, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Write rows as one Parquet file, whole.

    Args:
        path: The file; its folder is made if it is not there.
        rows: What to write.
        columns: Name to type: ``int``, ``float``, ``text``, or one of these in brackets for a list.
    """
    arrow, parquet = load_arrow()
    types = {"int": arrow.int64(), "float": arrow.float64(), "text": arrow.string()}
    types |= {f"[{name}]": arrow.list_(kind) for name, kind in types.items()}
    schema = arrow.schema([(name, types[kind]) for name, kind in columns.items()])
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as partial:
        parquet.write_table(arrow.Table.from_pylist([dict(row) for row in rows], schema=schema), partial)


def read_part(path: Path) -> list[Json]:
    """Read the rows of one Parquet file.

    Args:
        path: The file.

    Returns:
        Its rows.

    Raises:
        DataError: If it is missing or damaged.
    """
    arrow, parquet = load_arrow()
    if not path.exists():
        raise DataError(f"{path} is missing: the command that made the run puts it there again")
    try:
        rows: list[Json] = parquet.read_table(path).to_pylist()
    except (OSError, arrow.ArrowInvalid) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} cannot be read: {reason:.200}; delete it and run again") from error
    return rows


def _leaves(content: Json, prefix: str = "") -> Json:
    """Flatten objects within objects: ``{"model": {"name": ...}}`` to ``{"model.name": ...}``."""
    found: Json = {}
    for key, value in content.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _short(value: Any) -> str:
    return f"{json.dumps(value, ensure_ascii=False):.60}"
