"""A folder of results: a manifest that says what they are of, and Parquet parts that appear whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from narrows.data.output import written_whole
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


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole.

    Args:
        path: The file; its folder is made if it is not there.
        content: What to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())  # else a loss of power may leave the name without the content


def read_json(path: Path) -> Json:
    """Read a JSON file that a run wrote.

    Args:
        path: The file.

    Returns:
        Its content.

    Raises:
        DataError: If it is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}: is this the folder of a run?") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged: expected an object")
    return content


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
    arrow, parquet = _arrow()
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
    arrow, parquet = _arrow()
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


def _arrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise DependencyError('runs are written as Parquet: pip install "narrows[evaluate]"') from error
