"""What a run over a data set left: inspected, merged with its other shares, and read back text by text."""

import json
import os
import shutil
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType
from typing import Any, cast

import numpy as np

from narrows.attribution import Attribution
from narrows.data.frames import Level, to_frame
from narrows.data.output import check_content, read_json, write_json, written_whole
from narrows.data.parquet import COLUMNS, from_row, read_rows
from narrows.data.schema import FailedDict
from narrows.errors import DataError, InputError
from narrows.run.dataset import sum_up
from narrows.run.parts import Made, check_part, clean_folder, cost_file, part_file, present_parts
from narrows.run.settings import Share
from narrows.run.store import MANIFEST, Json, claim, locked

SHAPE: dict[str, Any] = {"shard": str, "versions": dict, "config.rows_per_part": int, "prior": (str, NoneType)}
SHAPE |= dict.fromkeys(("method.spec", "model.name", "model.sha256"), str)
SHAPE |= {"source.rows": (int, NoneType), "source.name": (str, NoneType)}
QUANTILES = (0, 25, 50, 75, 100)


@dataclass(frozen=True)
class Inspection:
    """What is in the folder of a run."""

    manifest: Json  # what it was made with
    result: Json  # how many rows, errors, tokens and parts can be read, and their hashes
    missing: list[int]  # parts that should be there; of an unfinished run those between others, and the rest
    damaged: list[str]  # what is wrong with the parts that cannot be read
    errors: dict[str, int]  # what is wrong with texts that could not be explained, and with how many, the most first
    sizes: tuple[float, ...]  # summed absolute scores of a text: least, quartiles, most; empty if none was explained
    method: Json  # what the first explained text says of the method; empty if none was explained
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
    read_manifest(folder)
    for part in present_parts(folder):
        for row in read_rows(part_file(folder, part), None if features else tuple(COLUMNS)):
            if row["error"] is None:
                own = row.get("features")
                found = Attribution.from_dict(from_row(row))
                yield found if own is None else replace(found, features=np.array(own, dtype=np.float16))


def run_frame(folder: str | Path, level: Level = "text") -> Any:
    """Give a run as a pandas data frame, with id, gold label and target beside the scores.

    Args:
        folder: Of the run, or of one method of an evaluation (``OUT/maps/NAME``).
        level: What has a row: the ``text``, with the error of one that has one, or ``word``, ``unit`` or ``token``.

    Raises:
        DataError: If it is not the folder of a run, or a part is damaged.
        DependencyError: If pandas is not installed.
    """
    folder = Path(folder)
    read_manifest(folder)
    files = (part_file(folder, part) for part in present_parts(folder))
    rows = (row for file in files for row in read_rows(file, tuple(COLUMNS)))
    return to_frame((from_row(row) if row["error"] is None else cast("FailedDict", row) for row in rows), level)


def inspect(folder: str | Path) -> Inspection:
    """Look through the folder of a run, finished or not; a `DataError` if it is not one."""
    folder = Path(folder)
    manifest, share = read_manifest(folder)
    made: list[Made] = []
    damaged: list[str] = []
    errors: Counter[str] = Counter()
    sizes = array("d")  # eight bytes per text
    method: Json = {}
    for part in present_parts(folder):
        try:
            made.append(check_part(part_file(folder, part)))
        except DataError as error:
            damaged.append(str(error))
            continue
        for row in read_rows(part_file(folder, part), ("error", "scores", "method")):
            if row["error"] is None:
                sizes.append(float(np.abs(row["scores"]).sum()))
                method = method or json.loads(row["method"])
            else:
                errors[row["error"]] += 1
    found, rows = {receipt.part for receipt, _ in made}, manifest["source"]["rows"]
    # How many parts there should be is known if the texts could be counted.
    count = max(found, default=-1) + 1 if rows is None else -(-rows // manifest["config"]["rows_per_part"])
    missing = [part for part in range(count) if share.has(part) and part not in found]
    result, ordered = sum_up(made), dict(sorted(errors.items(), key=lambda item: (-item[1], item[0])))
    quantiles = tuple(np.percentile(sizes, QUANTILES).tolist()) if sizes else ()
    complete = not missing and not damaged and manifest.get("result") == result
    return Inspection(manifest, result, missing, damaged, ordered, quantiles, method, complete)


def facts(found: Inspection) -> list[tuple[str, Any]]:
    """List what ``narrows inspect`` prints: names and values."""
    manifest, result = found.manifest, found.result
    source, model, method = manifest["source"], manifest["model"], manifest["method"]["spec"]
    config = ", ".join(f"{name} {value}" for name, value in manifest["config"].items() if value is not None)
    missing = ", ".join(map(str, found.missing[:10])) + (", ..." if len(found.missing) > 10 else "")
    sizes = "no text was explained"
    if found.sizes:
        least, low, middle, high, most = found.sizes
        sizes = f"median {middle:.2f}, half of the texts {low:.2f} to {high:.2f}, all {least:.2f} to {most:.2f}"
        sizes += f"; {found.method['unit']} per text, without their signs"
        method += f" ({found.method['label']})"
    return [
        ("state", "complete" if found.complete else "not complete"),
        ("texts", f"{result['rows']:,} of {source['rows'] or 'unknown'} from {source['name'] or 'Python'}"),
        ("tokens", f"{result['tokens']:,}"),
        ("parts", f"{result['parts']:,} (shard {manifest['shard']})"),
        ("missing parts", f"{len(found.missing)}: {missing}" if found.missing else "none"),
        ("damaged parts", "; ".join(found.damaged) or "none"),
        ("errors", "; ".join(f"{count} x {error}" for error, count in found.errors.items()) or "none"),
        ("method", method),
        ("scores summed", sizes),
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
        clean_folder(out)
        made: dict[int, Made] = {}
        for source in sources:
            own = {part: check_part(part_file(source, part)) for part in present_parts(source)}
            if sum_up(list(own.values())) != read_json(source / MANIFEST)["result"]:
                raise DataError(f"{source} differs from its manifest: see narrows inspect {source}")
            for part in own:
                for file in (part_file, cost_file):
                    _link(file(source, part), file(out, part))
            made |= own
        write_json(out / MANIFEST, {**identity, "result": sum_up([made[part] for part in sorted(made)])})
    return read_json(out / MANIFEST)


def read_manifest(folder: Path) -> tuple[Json, Share]:
    """Read what a run was made with, and which share of it is in the folder."""
    manifest = read_json(folder / MANIFEST)
    if "shard" not in manifest:
        raise DataError(f"{folder} is not of narrows run: its {MANIFEST} has no shard")
    check_content(folder / MANIFEST, manifest, SHAPE)
    return manifest, Share.parse(manifest["shard"])


def _common_identity(folders: Sequence[Path]) -> Json:
    """Check that folders are all shares of one run; return what its manifest starts with."""
    shares: dict[int, Path] = {}
    first: Json = {}
    for folder in folders:
        manifest, share = read_manifest(folder)
        if "result" not in manifest:
            raise DataError(f"{folder} is not finished: run the same command again to resume")
        about = {name: value for name, value in manifest.items() if name != "result"} | {"shard": share.count}
        first = first or about
        if about != first:
            differing = ", ".join(name for name in first if first[name] != about.get(name))
            raise InputError(f"{folder} is not of the same run as {folders[0]}: {differing} differ")
        if share.index in shares:
            raise InputError(f"{folder} and {shares[share.index]} are both shard {share}")
        shares[share.index] = folder
    if not first:
        raise InputError("no folders to merge")
    count = first["shard"]
    if missing := [str(Share(index, count)) for index in range(1, count + 1) if index not in shares]:
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
