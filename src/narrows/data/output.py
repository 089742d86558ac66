"""Writing files whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from narrows.errors import InputError


def check_writable(path: Path) -> None:
    """Find out before the work starts that its result could not be written.

    Args:
        path: The file to write later.

    Raises:
        InputError: If it is a folder, or its folder is missing or closed to us.
    """
    folder = path.absolute().parent
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder")
    if not folder.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise InputError(f"cannot write {path}: permission denied")


def partial_path(path: Path) -> Path:
    """Name the file that holds an output until it is complete.

    Args:
        path: The output.

    Returns:
        Its name with ``.partial`` behind it.
    """
    return path.with_name(path.name + ".partial")


@contextmanager
def written_whole(path: Path, keep_partial: bool = False) -> Iterator[Path]:
    """Let a file appear under its name only when it is complete.

    Args:
        path: The file.
        keep_partial: Leave what was written so far beside it, under `partial_path`, if the writing breaks off.

    Yields:
        Where to write.

    Raises:
        InputError: If it cannot be written.
    """
    check_writable(path)
    partial = partial_path(path)
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if not keep_partial or (partial.exists() and partial.stat().st_size == 0):
            partial.unlink(missing_ok=True)
