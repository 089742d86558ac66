"""The folder of a run: locked while it is written, with a manifest that says what its results are of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from narrows.data.output import read_json, write_json
from narrows.errors import DependencyError, InputError

MANIFEST = "manifest.json"
LOCK = ".lock"

Json = dict[str, Any]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder if needed, and keep other runs out of it; an `InputError` if another run has it."""
    try:
        library = import_module("filelock")
    except ImportError as error:
        raise DependencyError('runs need filelock: pip install "narrows[run]"') from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = library.FileLock(folder / LOCK)
        lock.acquire(blocking=False)
    except library.Timeout:
        raise InputError(f"{folder} is in use by another run: wait for it, or give another folder") from None
    except FileExistsError:
        raise InputError(f"cannot write into {folder}: it is not a folder") from None
    except OSError as error:
        raise InputError(f"cannot write into {folder}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def claim(folder: Path, identity: Json) -> None:
    """Write what the results in a folder are of, or check that the folder has results of the same."""
    check_claim(folder, identity)
    if not (folder / MANIFEST).exists():
        write_json(folder / MANIFEST, identity)


def check_claim(folder: Path, identity: Json) -> None:
    """Raise an `InputError` that names the differences if a folder has results of something else."""
    path = folder / MANIFEST
    if not path.exists():
        return
    before, now = _leaves(read_json(path)), _leaves(json.loads(json.dumps(identity)))
    differing = [key for key in now if before.get(key) != now[key]]
    if differing:
        listed = "; ".join(f"{key} was {_short(before.get(key))} and is {_short(now[key])}" for key in differing)
        raise InputError(f"{folder} has results of another run ({listed}): give another folder, or the same settings")


def _leaves(content: Json, prefix: str = "") -> Json:
    """Flatten nested objects: ``{"model": {"name": ...}}`` becomes ``{"model.name": ...}``."""
    found: Json = {}
    for key, value in content.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _short(value: Any) -> str:
    return f"{json.dumps(value, ensure_ascii=False):.60}"
