"""Files that appear whole or not at all, and the small JSON files of a run."""

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from narrows.errors import DataError, InputError, NarrowsError

PARTIAL = ".partial"
FILES = {".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet", ".safetensors", ".html", ".htm", ".md", ".tex"}
FILES |= {".pdf", ".png", ".svg", ".zip"}


def check_writable(path: Path) -> None:
    """Raise an `InputError` before the work starts if its result could not be written."""
    folder = path.absolute().parent
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder")
    if not folder.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise InputError(f"cannot write {path}: permission denied")


def check_folder(path: Path) -> None:
    """Raise an `InputError` if a folder is to be made where a file is, or under its name: ``maps.parquet``."""
    if path.exists() and not path.is_dir():
        raise InputError(f"cannot write into {path}: it is not a folder")
    if path.suffix.lower() in FILES and not path.exists():
        why = f"the results are a folder, and its name ends in {path.suffix} like a file"
        raise InputError(f"cannot write {path}: {why}")


def partial_path(path: Path) -> Path:
    """Name the file that holds an output until it is complete."""
    return path.with_name(path.name + PARTIAL)


@contextmanager
def written_whole(
    path: Path, keep_partial: bool = False, *, durable: bool = False, shared: bool = False
) -> Iterator[Path]:
    """Let a file appear under its name only when it is complete; an older one is kept until then."""
    check_writable(path)
    # Two processes may write a shared file at once: each writes to a hidden one of its own.
    partial = path.with_name(f".{path.stem}-{uuid.uuid4().hex}{PARTIAL}") if shared else partial_path(path)
    try:
        yield partial
        if durable:  # the file is on the disk before it gets its name, and the name after it
            _sync(partial)
        os.replace(partial, path)
        if durable and os.name == "posix":  # Windows opens no folders
            _sync(path.absolute().parent)
    except NarrowsError:  # some of them are an OSError too, of what is read and not of this file
        raise
    except OSError as error:
        if error.filename not in (None, str(path), str(partial)):  # of another file, that was read meanwhile
            raise
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if not keep_partial or (partial.exists() and partial.stat().st_size == 0):
            partial.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes, durable: bool = False) -> None:
    """Write a file that appears when it is complete; text is UTF-8, with line feeds as they are."""
    with written_whole(path, durable=durable) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole and durable, in a folder that is made if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n", durable=True)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that `write_json` wrote, or raise a `DataError`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}: is this the folder of a run?") from error
    except (RecursionError, ValueError) as error:  # no UTF-8, no JSON; brackets without end, a number without end
        raise DataError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged: expected an object")
    return content


def check_content(path: Path, content: Mapping[str, Any], shape: Mapping[str, type | tuple[type, ...]]) -> None:
    """Raise a `DataError` that names what a JSON file lacks or has of another type, by keys such as ``model.name``."""
    for key, kind in shape.items():
        value: Any = content
        for part in key.split("."):
            value = value.get(part, ...) if isinstance(value, dict) else ...
        if not isinstance(value, kind):
            raise DataError(f"{path} is damaged: {key} is {'missing' if value is ... else f'{value!r:.40}'}")


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
