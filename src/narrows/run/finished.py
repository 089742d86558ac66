"""What a run over a data set left: inspected, merged with its other shares, and read back text by text."""

from __future__ import annotations

import os
import shutil
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from narrows.attribution import Attribution
from narrows.data.output import read_json, write_json, written_whole
from narrows.data.parquet import COLUMNS, from_row, read_rows
from narrows.errors import DataError, InputError
from narrows.run.dataset import sum_up
from narrows.run.parts import FOLDER, Made, check_part, cost_file, part_file, present_parts, remove_partial
from narrows.run.settings import Share
from narrows.run.store import MANIFEST, Json, claim, locked

QUANTILES = (0, 25, 50, 75, 100)


@dataclass(frozen=True)
class Inspection:
    """What is in the folder of a run."""

    manifest: Json  # what it was made with
    rows: int  # texts in the parts that can be read
    tokens: int  # tokens of those that were explained
    parts: int  # parts that can be read
    # parts that should be there and are not; of an unfinished run those between others, and the rest
    missing: list[int]
    damaged: list[str]  # what is wrong with the parts that cannot be read
    errors: dict[str, int]  # what is wrong with the texts that could not be explained, and how many there are of each
    # smallest, quartiles and largest of the summed absolute scores of a text; empty if none was explained
    sizes: tuple[float, ...]
    complete: bool  # whether the run is finished and all of it is there


def read_run(folder: str | Path, features: bool = True) -> Iterator[Attribution]:
    """Read the attributions of a run one after the other; few of them are in memory at a time.

    Args:
        folder: Of the run, or of one method of an evaluation (``OUT/maps/NAME``).
        features: Whether to read the scores of every feature, too, if the run has them.

    Yields:
        The attributions in the order of the texts; texts that could not be explained are left out.

    Raises:
        DataError: If it is not the folder of a run, or a part is damaged.
    """
    folder = Path(folder)
    _manifest(folder)
    for part in present_parts(folder):
        for row in read_rows(part_file(folder, part), None if features else tuple(COLUMNS)):
            if row["error"] is None:
                own = row.get("features")
                found = Attribution.from_dict(from_row(row))
                yield found if own is None else replace(found, features=np.array(own, dtype=np.float16))


def inspect(folder: str | Path) -> Inspection:
    """Look through the folder of a run, finished or not.

    Args:
        folder: Of the run.

    Returns:
        What is in it.

    Raises:
        DataError: If it is not the folder of a run.
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    damaged: list[str] = []
    made: list[Made] = []
    errors: dict[str, int] = {}
    sizes = array("d")  # eight bytes per text
    for part in present_parts(folder):
        try:
            made.append(check_part(part_file(folder, part)))
        except DataError as error:
            damaged.append(str(error))
            continue
        for row in read_rows(part_file(folder, part), ("error", "scores")):
            if row["error"] is None:
                sizes.append(float(np.abs(row["scores"]).sum()))
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
        sizes=tuple(np.percentile(sizes, QUANTILES).tolist()) if sizes else (),
        complete=not missing and not damaged and manifest.get("result") == result,
    )


def facts(found: Inspection) -> list[tuple[str, Any]]:
    """List what ``narrows inspect`` prints: names and values."""
    manifest = found.manifest
    source, model, method = manifest["source"], manifest["model"], manifest["method"]
    config = ", ".join(f"{name} {value}" for name, value in manifest["config"].items() if value is not None)
    missing = ", ".join(map(str, found.missing[:10])) + (", ..." if len(found.missing) > 10 else "")
    sizes = "no text was explained"
    if found.sizes:
        least, low, middle, high, most = found.sizes
        sizes = f"median {middle:.2f}, half of the texts {low:.2f} to {high:.2f}, all {least:.2f} to {most:.2f}"
    return [
        ("state", "complete" if found.complete else "not complete"),
        ("texts", f"{found.rows:,} of {source['rows'] or 'unknown'} from {source['name'] or 'Python'}"),
        ("tokens", f"{found.tokens:,}"),
        ("parts", f"{found.parts:,} (shard {manifest['shard']})"),
        ("missing parts", f"{len(found.missing)}: {missing}" if found.missing else "none"),
        ("damaged parts", "; ".join(found.damaged) or "none"),
        ("errors", "; ".join(f"{count} x {error}" for error, count in found.errors.items()) or "none"),
        ("method", f"{method['spec']} ({method['label']})"),
        ("scores summed", f"{sizes}; {method['unit']} per text, without their signs"),
        ("model", f"{model['name']} ({model['sha256'][:12]})"),
        ("prior", manifest["prior"]),
        ("settings", config),
        ("versions", ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())),
    ]


def merge(folders: Sequence[str | Path], out: str | Path) -> Json:
    """Join the shares of a run, as if it had been made in one folder.

    Args:
        folders: Of all shares, each finished.
        out: A new folder. Files are linked if the file system can do so, else copied.

    Returns:
        The manifest, the same as that of a run in one folder.

    Raises:
        InputError: If the shares are not of the same run, or some are missing or given twice.
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
                raise DataError(f"{source} differs from its manifest: see narrows inspect {source}")
            for part, entry in zip(parts, checked, strict=True):
                _link(part_file(source, part), part_file(out, part))
                _link(cost_file(source, part), cost_file(out, part))
                made[part] = entry
        result = sum_up(made[part] for part in sorted(made))
        write_json(out / MANIFEST, {**identity, "result": result})
    return read_json(out / MANIFEST)


def _manifest(folder: Path) -> Json:
    manifest = read_json(folder / MANIFEST)
    if "shard" not in manifest:
        raise DataError(f"{folder} is not of narrows run: its {MANIFEST} has no shard")
    return manifest


def _expected(manifest: Json, found: set[int]) -> Iterator[int]:
    """List the parts of the finished run, as far as is known."""
    share = Share.parse(manifest["shard"])
    rows, size = manifest["source"]["rows"], manifest["config"]["rows_per_part"]
    count = -(-rows // size) if rows is not None else max(found, default=-1) + 1
    return (part for part in range(count) if share.has(part))


def _common_identity(folders: Sequence[Path]) -> Json:
    """Check that folders are all shares of one run; return what its manifest starts with."""
    if not folders:
        raise InputError("no folders to merge")
    shares: dict[int, Path] = {}
    first: Json = {}
    for folder in folders:
        manifest = _manifest(folder)
        if "result" not in manifest:
            raise DataError(f"{folder} is not finished: run the same command again to resume")
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


def _link(source: Path, target: Path) -> None:
    """Link or copy a file whole."""
    target.parent.mkdir(exist_ok=True)
    with written_whole(target, shared=True) as partial:
        try:
            os.link(source, partial)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, partial)
