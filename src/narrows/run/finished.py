"""What a run over a data set left: looked at, put together with its other shares, and read back text by text."""

from __future__ import annotations

import os
import shutil
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from narrows.attribution import Attribution
from narrows.errors import DataError, InputError
from narrows.run.dataset import Made, sum_up
from narrows.run.dataset_settings import Share
from narrows.run.parts import (
    COLUMNS,
    FOLDER,
    check_part,
    part_file,
    present_parts,
    read_rows,
    remove_partial,
    to_attribution,
)
from narrows.run.store import MANIFEST, Json, claim, locked, read_json, write_json

QUANTILES = (0, 25, 50, 75, 100)


@dataclass(frozen=True)
class Inspection:
    """What is in the folder of a run.

    Attributes:
        manifest: What it was made with.
        rows: Texts in the parts that can be read.
        tokens: Tokens of those that were explained.
        parts: Parts that can be read.
        missing: Parts that should be there and are not; of an unfinished run those between others, and the rest.
        damaged: What is wrong with the parts that cannot be read.
        errors: What is wrong with the texts that could not be explained, and how many there are of each.
        bits: Smallest, quartiles and largest of the bits of a text; empty where none was explained.
        complete: Whether the run is finished and all of it is there.
    """

    manifest: Json
    rows: int
    tokens: int
    parts: int
    missing: list[int]
    damaged: list[str]
    errors: dict[str, int]
    bits: tuple[float, ...]
    complete: bool


def read_run(folder: str | Path, features: bool = True) -> Iterator[Attribution]:
    """Read the results of a run back, one after the other; few of them are in memory at a time.

    Args:
        folder: Of the run.
        features: Whether to read the maps of every feature too, where the run has them.

    Yields:
        The results in the order of the texts; texts that could not be explained are left out.

    Raises:
        DataError: If it is no folder of a run, or a part is damaged.
    """
    folder = Path(folder)
    _manifest(folder)
    for part in present_parts(folder):
        path = part_file(folder, part)
        rows = read_rows(path, None if features else tuple(COLUMNS))
        yield from (to_attribution(row) for row in rows if row["error"] is None)


def inspect(folder: str | Path) -> Inspection:
    """Look through the folder of a run, finished or not.

    Args:
        folder: Of the run.

    Returns:
        What is in it.

    Raises:
        DataError: If it is no folder of a run.
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    damaged: list[str] = []
    made: list[Made] = []
    errors: dict[str, int] = {}
    bits = array("d")  # eight bytes per text
    for part in present_parts(folder):
        try:
            made.append(check_part(part_file(folder, part)))
        except DataError as error:
            damaged.append(str(error))
            continue
        for row in read_rows(part_file(folder, part), ("error", "total_bits")):
            if row["error"] is None:
                bits.append(row["total_bits"])
            else:
                errors[row["error"]] = errors.get(row["error"], 0) + 1
    found = {receipt.part for receipt, _ in made}
    missing = sorted(set(_expected(manifest, found)) - found)
    result = sum_up(made)
    return Inspection(
        manifest=manifest,
        rows=result["rows"],
        tokens=result["tokens"],
        parts=len(made),
        missing=missing,
        damaged=damaged,
        errors=dict(sorted(errors.items(), key=lambda item: (-item[1], item[0]))),
        bits=tuple(np.percentile(bits, QUANTILES).tolist()) if bits else (),
        complete=not missing and not damaged and manifest.get("result") == result,
    )


def merge(folders: Sequence[str | Path], out: str | Path) -> Json:
    """Put the shares of a run together, as if it had been made in one folder.

    Args:
        folders: Of all shares; each is finished.
        out: A new folder. Files are linked where the file system can, else copied.

    Returns:
        The manifest, the same as that of a run that was made in one folder.

    Raises:
        InputError: If the shares are not of the same run, or some are missing or there twice.
        DataError: If a share is not finished, or a part is damaged or missing.
    """
    sources, out = [Path(folder) for folder in folders], Path(out)
    identity = _common_identity(sources)
    with locked(out):
        claim(out, identity)
        (out / FOLDER).mkdir(exist_ok=True)
        remove_partial(out)
        made: dict[int, Made] = {}
        for source in sources:
            manifest = _manifest(source)
            parts = present_parts(source)
            checked = [check_part(part_file(source, part)) for part in parts]
            if sum_up(checked) != manifest["result"]:
                raise DataError(f"{source} is not as its manifest says: look at it with narrows inspect {source}")
            for part, entry in zip(parts, checked, strict=True):
                _take(part_file(source, part), part_file(out, part))
                made[part] = entry
        result = sum_up(made[part] for part in sorted(made))
        write_json(out / MANIFEST, {**identity, "result": result})
    return read_json(out / MANIFEST)


def _manifest(folder: Path) -> Json:
    manifest = read_json(folder / MANIFEST)
    if "shard" not in manifest:
        raise DataError(f"{folder} is not of narrows run: its {MANIFEST} says nothing of shards")
    return manifest


def _expected(manifest: Json, found: set[int]) -> Iterator[int]:
    """List the parts that a run has when it is finished, as far as can be told."""
    share = Share.parse(manifest["shard"])
    rows = manifest["source"]["rows"]
    size = manifest["config"]["rows_per_part"]
    count = -(-rows // size) if rows is not None else max(found, default=-1) + 1
    return (part for part in range(count) if share.has(part))


def _common_identity(folders: Sequence[Path]) -> Json:
    """Make sure that folders are all shares of one run; give what its manifest starts with."""
    if not folders:
        raise InputError("no folders to merge")
    shares: dict[int, Path] = {}
    first: Json = {}
    for folder in folders:
        manifest = _manifest(folder)
        if "result" not in manifest:
            raise DataError(f"{folder} is not finished: run it again, it goes on where it stopped")
        share = Share.parse(manifest["shard"])
        about = {name: value for name, value in manifest.items() if name not in ("result", "shard")}
        about["count"] = share.count
        first = first or about
        if about != first:
            differing = ", ".join(name for name in first if first[name] != about.get(name))
            raise InputError(f"{folder} is not of the same run as {folders[0]}: {differing} differ")
        if share.index in shares:
            raise InputError(f"{folder} and {shares[share.index]} are both shard {share}")
        shares[share.index] = folder
    count = first.pop("count")
    missing = [str(Share(index, count)) for index in range(1, count + 1) if index not in shares]
    if missing:
        raise InputError(f"shard {', '.join(missing)} is missing")
    return {**first, "shard": str(Share())}


def _take(source: Path, target: Path) -> None:
    """Link or copy a file whole."""
    partial = target.with_name(f".{target.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        try:
            os.link(source, partial)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, partial)
        os.replace(partial, target)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def describe_bits(bits: Sequence[float]) -> str:
    """Put the spread of the bits of texts in words.

    Args:
        bits: As `Inspection` has them.

    Returns:
        One line.

    Example:
        >>> describe_bits((0.1, 1, 2, 3, 9))
        'median 2.00, half of the texts 1.00 to 3.00, all 0.10 to 9.00'
    """
    if not bits:
        return "no text was explained"
    least, low, middle, high, most = bits
    return f"median {middle:.2f}, half of the texts {low:.2f} to {high:.2f}, all {least:.2f} to {most:.2f}"


def facts(found: Inspection) -> list[tuple[str, Any]]:
    """List what is to be told of a run.

    Args:
        found: What is in its folder.

    Returns:
        Names and values, in the order in which a reader wants them.
    """
    manifest = found.manifest
    source, model = manifest["source"], manifest["model"]
    config = ", ".join(f"{name} {value}" for name, value in manifest["config"].items() if value is not None)
    missing = ", ".join(map(str, found.missing[:10])) + (", ..." if len(found.missing) > 10 else "")
    return [
        ("state", "complete" if found.complete else "not complete"),
        ("texts", f"{found.rows:,} of {source['rows'] or 'unknown'}" + f" from {source['name'] or 'Python'}"),
        ("tokens", f"{found.tokens:,}"),
        ("parts", f"{found.parts:,} (shard {manifest['shard']})"),
        ("missing parts", f"{len(found.missing)}: {missing}" if found.missing else "none"),
        ("damaged parts", "; ".join(found.damaged) or "none"),
        ("errors", "; ".join(f"{count} x {error}" for error, count in found.errors.items()) or "none"),
        ("bits per text", describe_bits(found.bits)),
        ("model", f"{model['name']} ({model['sha256'][:12]})"),
        ("prior", manifest["prior"]),
        ("settings", config),
        ("versions", ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())),
    ]
