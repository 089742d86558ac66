"""Explaining a whole data set, in parts: the same bytes however often the run is stopped, and on every machine."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import torch

from narrows.data.example import Example, Item
from narrows.data.output import read_json, write_json
from narrows.data.source import Source
from narrows.errors import DataError, InputError, warn
from narrows.models.hub.loading import LoadedModel
from narrows.run.meter import Meter, MeterCallback
from narrows.run.parts import Chunk, Made, Receipt, Survey, check_part, clean_folder, cut, part_file, present_parts
from narrows.run.settings import ExplainSettings, Share
from narrows.run.store import MANIFEST, Json, claim, digest, locked
from narrows.run.worker import Worker

LOG = "log.jsonl"
FORMAT = 3
REHEARSED = 200  # texts of which the shortest is explained before a run starts


@dataclass(frozen=True)
class Job:
    """A run that is ready to start: texts, folder, the worker of this process, what the manifest starts with."""

    texts: Source
    out: Path
    worker: Worker
    share: Share  # the parts that are made here
    survey: Survey
    identity: Json

    @property
    def run_sha256(self) -> str:
        """Hash of what the attributions depend on beside the texts; every part carries it."""
        return digest({name: value for name, value in self.identity.items() if name not in ("source", "shard")})

    @property
    def work(self) -> dict[int, float]:
        """The estimated work of each part of the share; empty if unknown."""
        return {part: work for part, work in enumerate(self.survey.work) if self.share.has(part)}


PartTick = Callable[[int, float], None]  # is called with a part in the making, and the share of it that is done
Engine = Callable[[Job, Iterator[Chunk], PartTick], Iterator[Made]]  # makes a part of each chunk, in any order


def explain_dataset(
    data: str | Path | Source | Iterable[Item],
    out: str | Path,
    settings: ExplainSettings | None = None,
    *,
    loaded: LoadedModel | None = None,
    engine: Engine | None = None,
    share: Share | None = None,
    strict: bool = False,
    report: MeterCallback | None = None,
) -> Json:
    """Explain every text of a data set into Parquet files; an interrupted run in the same folder is resumed.

    Args:
        data: A file, a folder of files, a data set, ``OWNER/NAME`` on the Hub, a `Source`, or texts, pairs or rows.
        out: Folder of the results: ``manifest.json``, and in ``parts`` one row per text.
        settings: What the attributions depend on.
        loaded: A loaded model, in place of the one that the settings name.
        engine: Where to compute: None = in this process; `narrows.run.cluster.RayEngine` = on Ray.
        share: Make one share of the parts; `merge` joins the shares.
        strict: Stop at a text that cannot be explained; else its row has the error, and the run continues.
        report: Called with the progress; of an iterator, which is read once, the remaining time is unknown.

    Returns:
        The manifest: what the attributions depend on, and how many there are.

    Raises:
        InputError: If the folder is in use, of something else or not writable, or, with ``strict``, for a bad text.
        DataError: If the data is missing, of an unknown kind, or empty.

    Example:
        >>> import tempfile
        >>> explain_dataset(["A gorgeous, witty film.", "Dull."], tempfile.mkdtemp())["result"]["rows"]
        2
    """
    out = Path(out)
    with locked(out):
        worker = Worker(settings or ExplainSettings(), loaded=loaded)
        job = prepare(Source.of(data), out, worker, share)
        make_parts(job, Meter(sum(job.work.values()), report), engine, strict)
    return read_json(out / MANIFEST)


def prepare(texts: Source, out: Path, worker: Worker, share: Share | None = None, survey: Survey | None = None) -> Job:
    """Read the texts once, unless a survey is given, and check that the method works with the model and the texts."""
    if not texts.once:
        first = [text for text in islice(iter(texts), REHEARSED) if isinstance(text, Example)]
        worker.rehearse(first)
        worker.check(texts)
        survey = survey or Survey.of(texts, worker.settings.rows_per_part, worker.work)
    survey, share = survey or Survey(), share or Share()
    name = Path(texts.name).name or None  # a file is known by its content, not by its folder
    source = {"name": name, "split": texts.split, "limit": texts.limit, "rows": survey.rows, "sha256": survey.sha256}
    identity = {**worker.about, "format": FORMAT, "source": source, "shard": str(share)}
    return Job(texts, out, worker, share, survey, identity)


def make_parts(job: Job, meter: Meter, engine: Engine | None = None, strict: bool = False) -> list[Made]:
    """Make the missing parts of a run in its folder, which must be locked, and finish its manifest."""
    job = replace(job, identity=claim(job.out, job.identity))  # parts carry the hash of what is written there
    clean_folder(job.out)
    present, work = set(present_parts(job.out)), job.work
    found: dict[int, Made] = {}
    meter.skip(sum(work.get(part, 0) for part in present))

    def tick(part: int, done: float) -> None:
        meter.tick((job.out, part), done * work.get(part, 0))

    def keep(made: Made) -> None:
        found[made[0].part] = made
        if strict and made[0].errors:
            raise InputError(f"{made[0].first_error} (strict: stopped at the first error)")

    def missing() -> Iterator[Chunk]:
        for chunk in cut(job.texts, job.worker.settings.rows_per_part):
            if job.share.has(chunk.part):
                if made := _check(job, chunk) if chunk.part in present else None:
                    keep(made)
                else:
                    yield chunk
                present.discard(chunk.part)
        if present:
            path = part_file(job.out, min(present))
            raise InputError(f"{path} is of texts that are no longer in the data: give another folder")

    for made in (engine or here)(job, missing(), tick):
        _log(job.out / LOG, made[0])
        keep(made)
        meter.add((job.out, made[0].part), work.get(made[0].part, 0), made[0])
    clean_folder(job.out)
    count = len(job.survey.work) or max(found, default=-1) + 1
    if not count:
        raise DataError("there are no texts to explain")
    if absent := [part for part in range(count) if job.share.has(part) and part not in found]:
        raise DataError(f"{job.out}: part {absent[0]} was not made ({len(absent)} missing): run it again")
    all_made = [found[part] for part in sorted(found)]
    write_json(job.out / MANIFEST, {**job.identity, "result": sum_up(all_made)})
    return all_made


def _check(job: Job, chunk: Chunk) -> Made | None:
    """Check that a part that exists was made of this chunk, in this run; None if it is damaged."""
    path = part_file(job.out, chunk.part)
    try:
        receipt, sha256 = check_part(path)
    except DataError as error:
        warn(f"{error}; it is made again")
        return None
    if receipt.run_sha256 != job.run_sha256:
        raise InputError(f"{path} was made with other settings, another model or version: give another folder")
    if receipt.texts_sha256 != chunk.digest:
        raise InputError(f"{path} was made from other texts: give another folder, or the same texts")
    return receipt, sha256


def _log(path: Path, receipt: Receipt) -> None:
    """Write a line on a new part into the log, which is no part of the result: it has the time."""
    entry = {"time": round(time.time(), 1), **{name: getattr(receipt, name) for name in ("part", "rows", "tokens")}}
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def here(job: Job, chunks: Iterator[Chunk], tick: PartTick) -> Iterator[Made]:
    """Make parts in this process, one after the other: the engine with which all others must agree."""
    return (job.worker(chunk, job.out, job.run_sha256, partial(tick, chunk.part)) for chunk in chunks)


def sum_up(made: Sequence[Made]) -> Json:
    """Sum up parts, in their order: counts, and hashes of all texts and of all files."""
    counts = {name: sum(getattr(receipt, name) for receipt, _ in made) for name in ("rows", "errors", "tokens")}
    texts = "".join(receipt.texts_sha256 for receipt, _ in made).encode()
    files = "".join(sha256 for _, sha256 in made).encode()
    hashes = {"texts_sha256": hashlib.sha256(texts).hexdigest(), "parts_sha256": hashlib.sha256(files).hexdigest()}
    return {**counts, "parts": len(made), **hashes}


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let torch use so many threads for a while; None = as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
