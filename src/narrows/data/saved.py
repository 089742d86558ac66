"""Saved results as files: ``.json``, the saved form as it is, or ``.safetensors``, the numbers as an array."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from narrows.data.output import written_whole
from narrows.data.schema import AttributionDict
from narrows.errors import InputError

SAVED_FORMATS = (".json", ".safetensors")


def write_saved(path: str | Path, saved: AttributionDict, scores: NDArray[np.float64]) -> None:
    """Write a result in the way that the suffix says; a ``.safetensors`` file holds the scores, (tokens,), as array."""
    text = json.dumps(saved, ensure_ascii=False)
    as_json = _suffix(path) == ".json"
    content = f"{text}\n".encode() if as_json else save({"scores": scores}, {"attribution": text})
    with written_whole(Path(path)) as partial:
        partial.write_bytes(content)


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
