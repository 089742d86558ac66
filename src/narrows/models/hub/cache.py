"""Files that are kept on this machine: where, and whether they are still what they were."""

import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from narrows.errors import warn

VARIABLE = "NARROWS_CACHE"  # environment: the folder, in place of narrows in the user's cache
CHECKSUMS = "checksums.json"  # beside the files of a folder: name to SHA-256


def cache_folder() -> Path:
    """Return the folder of what Narrows keeps: ``NARROWS_CACHE``, else narrows in ``XDG_CACHE_HOME`` or ~/.cache."""
    if given := os.environ.get(VARIABLE):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "narrows"


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal; computed again only if the file changes."""
    state = path.stat()
    return _sha256(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, _modified: int, _size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def write_checksums(folder: Path) -> None:
    """Note the SHA-256 of all files of a folder."""
    sums = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
    (folder / CHECKSUMS).write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")


def is_intact(folder: Path) -> bool:
    """Tell whether all files of a folder are there as they were noted."""
    try:
        sums = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        return bool(sums) and all(file_sha256(folder / name) == known for name, known in sums.items())
    except (OSError, ValueError, AttributeError):
        return False


def kept_folder(name: str, what: str, make: Callable[[Path], Path]) -> Path:
    """Give a folder of the cache, checked by its hashes; an OSError if it cannot be kept."""
    # It is made the first time, and again if it is damaged: `make` gets an empty folder to work in and returns the
    # folder of files that it made there. It appears whole or not at all, however many processes make it at once.
    folder = cache_folder() / name
    if is_intact(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{what}-", dir=folder.parent) as work:
        if folder.exists():
            warn(f"{folder} is damaged; {what} is made again")
            os.replace(folder, Path(work) / "damaged")
        made = make(Path(work))
        write_checksums(made)
        try:
            if not is_intact(folder):
                os.replace(made, folder)
        except OSError:  # another process was faster, between the two lines above
            if not is_intact(folder):
                raise
    return folder
