"""Explaining a whole data set, in parts: the same bytes however often the run is stopped, and on every machine.

1. Read the texts once: how many there are, their hash, how much work each part is.
2. Lock the folder, and check that its results are of the same texts, settings, model and versions.
3. Check the parts that exist; make the others, each from one chunk of texts.
4. Write the sums into the manifest.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch

from narrows.data.example import Example, Item
from narrows.data.output import read_json, write_json
from narrows.data.source import Source
from narrows.errors import DataError, DependencyError, InputError, LayerError, ModelError, NarrowsWarning, PriorError
from narrows.models.hub.loading import Classifier
from narrows.run.manifest import digest
from narrows.run.meter import Meter, Report
from narrows.run.parts import FOLDER, Made, check_part, part_file, present_parts, remove_partial
from narrows.run.settings import ExplainSettings, Share
from narrows.run.store import MANIFEST, Json, claim, locked
from narrows.run.texts import Chunk, Survey, cut
from narrows.run.worker import Worker

LOG = "log.jsonl"
FORMAT = 2
REHEARSED = 200  # texts of which the shortest is explained before a run starts
NOT_OF_A_TEXT = (LayerError, PriorError, ModelError, DependencyError)  # errors that every text would have


@dataclass(frozen=True)
class Job:
    """A run that is ready to start."""

    texts: Source  # the texts
    out: Path  # folder of the run
    worker: Worker  # the worker of this process
    share: Share  # the parts that are made here
    survey: Survey | None  # what one pass over the texts found; None if they can be read only once
    identity: Json  # what the manifest starts with

    @property
    def settings(self) -> ExplainSettings:
        """What the attributions depend on."""
        return self.worker.settings

    @property
    def about(self) -> Json:
        """What the attributions depend on beside the texts; workers elsewhere check that they have the same."""
        return {name: value for name, value in self.identity.items() if name not in ("source", "shard")}

    @property
    def run_sha256(self) -> str:
        """Hash of `about`, which every part carries."""
        return digest(self.about)

    def work_of(self, part: int) -> float:
        """The estimated work of a part, 0 if unknown."""
        return self.survey.work[part] if self.survey is not None and part < len(self.survey.work) else 0.0

    @property
    def total_work(self) -> float:
        """The estimated work of all parts of the share."""
        parts = range(len(self.survey.work)) if self.survey is not None else ()
        return sum(self.work_of(part) for part in parts if self.share.has(part))


Tick = Callable[[int, float], None]
"""A function that is called with the number of a part in the making, and the share of it that is done."""

Engine = Callable[[Job, Iterator[Chunk], Tick], Iterator[Made]]
"""Makes a part of each chunk, in any order."""


def explain_dataset(
    data: str | Path | Source | Iterable[Item],
    out: str | Path,
    settings: ExplainSettings | None = None,
    *,
    classifier: Classifier | None = None,
    engine: Engine | None = None,
    share: Share | None = None,
    strict: bool = False,
    report: Report | None = None,
) -> Json:
    """Explain every text of a data set into Parquet files; an interrupted run in the same folder is resumed.

    Args:
        data: A file, a folder of files, a benchmark data set, ``OWNER/NAME`` on the Hub, a `Source`, or anything that
            yields texts, pairs or rows. An iterator is read once, and its remaining time is unknown.
        out: Folder of the results: ``manifest.json``, and in ``parts`` one row per text.
        settings: What the attributions depend on.
        classifier: A loaded model, in place of the one that the settings name.
        engine: Where to compute: None = in this process; `narrows.run.cluster.RayEngine` = on Ray.
        share: Make one share of the parts; `merge` joins the shares.
        strict: Stop at a text that cannot be explained; else its row has the error, and the run continues.
        report: Called with the progress.

    Returns:
        The manifest: what the attributions depend on, and how many there are.

    Raises:
        InputError: If the folder is in use or has results of something else, if it cannot be written, or, with
            ``strict``, if a text cannot be explained.
        DataError: If the data is missing, of an unknown kind, or empty.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> explain_dataset(["A gorgeous, witty film.", "Dull."], folder)["result"]["rows"]
        2
        >>> from narrows.run import read_run
        >>> [attribution.predicted for attribution in read_run(folder)]
        ['positive', 'negative']
    """
    out = Path(out)
    with locked(out):
        worker = Worker(settings or ExplainSettings(), classifier=classifier)
        job = prepare(Source.of(data), out, worker, share)
        make_parts(job, Meter(job.total_work, report), engine, strict)
    return read_json(out / MANIFEST)


def prepare(texts: Source, out: Path, worker: Worker, share: Share | None = None, survey: Survey | None = None) -> Job:
    """Read the texts once, unless a survey is given, and check that the method works with the model."""
    if not texts.once:
        first = [text for text in islice(iter(texts), REHEARSED) if isinstance(text, Example)]
        if isinstance(error := worker.rehearse(first), NOT_OF_A_TEXT):
            raise error
        survey = survey or Survey.of(texts, worker.settings.rows_per_part, worker.work)
    share = share or Share()
    known = {"rows": survey and survey.rows, "sha256": survey and survey.sha256}
    name = Path(texts.name).name or None  # a file is known by its content, not by its folder
    source = {"name": name, "split": texts.split, "limit": texts.limit, **known}
    return Job(
        texts, out, worker, share, survey, {**worker.about, "format": FORMAT, "source": source, "shard": str(share)}
    )


def make_parts(job: Job, meter: Meter, engine: Engine | None = None, strict: bool = False) -> list[Made]:
    """Make the missing parts of a run in its folder, which must be locked, and finish its manifest."""
    claim(job.out, job.identity)
    (job.out / FOLDER).mkdir(exist_ok=True)
    remove_partial(job.out)
    ledger = _Ledger(job, strict, set(present_parts(job.out)))
    meter.skip(sum(map(job.work_of, ledger.present)))
    meter.tell()

    def tick(part: int, done: float) -> None:
        meter.tick((job.out, part), done * job.work_of(part))

    for made in (engine or here)(job, ledger.missing(cut(job.texts, job.settings.rows_per_part)), tick):
        ledger.add(made)
        meter.add((job.out, made[0].part), job.work_of(made[0].part), made[0])
    remove_partial(job.out)
    all_made = ledger.all_made()
    write_json(job.out / MANIFEST, {**job.identity, "result": sum_up(all_made)})
    return all_made


def here(job: Job, chunks: Iterator[Chunk], tick: Tick) -> Iterator[Made]:
    """Make parts in this process, one after the other: the engine with which all others must agree."""
    for chunk in chunks:
        part = chunk.part
        yield job.worker(chunk, job.out, job.run_sha256, lambda done, part=part: tick(part, done))  # type: ignore[misc]


def sum_up(made: Iterable[Made]) -> Json:
    """Sum up parts, in their order: counts, and hashes of all texts and of all files."""
    made = list(made)
    texts, files = hashlib.sha256(), hashlib.sha256()
    for receipt, sha256 in made:
        texts.update(receipt.texts_sha256.encode())
        files.update(sha256.encode())
    counts = {name: sum(getattr(receipt, name) for receipt, _ in made) for name in ("rows", "errors", "tokens")}
    return {**counts, "parts": len(made), "texts_sha256": texts.hexdigest(), "parts_sha256": files.hexdigest()}


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let torch use so many threads for a while; None = as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass
class _Ledger:
    """The parts of a run: `present` were there at the start and are not checked yet, `made` are checked or new."""

    job: Job
    strict: bool
    present: set[int]
    made: dict[int, Made] = field(default_factory=dict)

    def missing(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """Check the parts that exist against their texts; give the texts of the others."""
        for chunk in chunks:
            if self.job.share.has(chunk.part) and not self._is_there(chunk):
                yield chunk
        if self.present:
            path = part_file(self.job.out, min(self.present))
            raise InputError(f"{path} is of texts that are no longer in the data: give another folder")

    def _is_there(self, chunk: Chunk) -> bool:
        if chunk.part not in self.present:
            return False
        self.present.discard(chunk.part)
        path = part_file(self.job.out, chunk.part)
        try:
            receipt, sha256 = check_part(path)
        except DataError as error:
            warnings.warn(f"{error}; it is made again", NarrowsWarning, stacklevel=2)
            return False
        if receipt.run_sha256 != self.job.run_sha256:
            raise InputError(f"{path} was made with other settings, another model or version: give another folder")
        if receipt.texts_sha256 != chunk.digest:
            raise InputError(f"{path} was made from other texts: give another folder, or the same texts")
        self._keep((receipt, sha256))
        return True

    def add(self, made: Made) -> None:
        """Count a new part, and write a line into the log, which is no part of the result: it has the time."""
        receipt, out = made[0], self.job.out
        entry = {"time": round(time.time(), 1), "part": receipt.part, "rows": receipt.rows, "tokens": receipt.tokens}
        try:
            with (out / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise InputError(f"cannot write {out / LOG}: {error.strerror or error}") from error
        self._keep(made)

    def _keep(self, made: Made) -> None:
        self.made[made[0].part] = made
        if self.strict and made[0].errors:
            raise InputError(f"{made[0].first_error} (strict: stopped at the first error)")

    def all_made(self) -> list[Made]:
        """Return the parts in their order; raise a `DataError` if one is missing."""
        parts, survey = sorted(self.made), self.job.survey
        last = len(survey.work) - 1 if survey is not None else max(parts, default=-1)
        missing = [part for part in range(last + 1) if self.job.share.has(part) and part not in self.made]
        if missing:
            raise DataError(f"{self.job.out}: part {missing[0]} was not made ({len(missing)} missing): run it again")
        if last < 0:
            raise DataError("there are no texts to explain")
        return [self.made[part] for part in parts]
