"""Explaining a whole data set: in parts that are the same bytes however often the run is stopped, and wherever it runs.

1. Look through the texts once: how many there are, what they are, how much work each part is.
2. Lock the folder, and see that what lies there is of the same texts, settings, model and versions.
3. Check the parts that are there; make the others, each from one chunk of texts.
4. Sum up in the manifest.
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
from narrows.errors import DataError, InputError, NarrowsWarning
from narrows.models.hub.loading import Classifier
from narrows.run.dataset_settings import ExplainSettings, Share
from narrows.run.manifest import digest
from narrows.run.meter import Meter, Report
from narrows.run.parts import FOLDER, Receipt, check_part, part_file, present_parts, remove_partial
from narrows.run.store import MANIFEST, Json, claim, locked, read_json, write_json
from narrows.run.texts import Chunk, Given, Source, Survey, Texts, cut
from narrows.run.worker import PROBED, Worker

LOG = "log.jsonl"
FORMAT = 1

Made = tuple[Receipt, str]
"""A part's receipt, and the SHA-256 of its file."""

Tick = Callable[[int, float], None]
"""Told of a part in the making: its number, and how much of it is done, 0 to 1."""


@dataclass(frozen=True)
class Job:
    """What an engine needs to know.

    Attributes:
        texts: The texts.
        settings: What the maps depend on.
        out: Folder of the run.
        about: What the maps are made with; workers elsewhere make sure that they have the same.
        worker: The worker of this process.
    """

    texts: Texts
    settings: ExplainSettings
    out: Path
    about: Json
    worker: Worker

    @property
    def run_sha256(self) -> str:
        """Hash of what the maps are made with: every part carries it."""
        return digest(self.about)


Engine = Callable[[Job, Iterator[Chunk], Tick], Iterator[Made]]
"""Makes a part of each chunk, in whatever order."""


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
    """Explain every text of a data set into Parquet files; go on where an earlier run in the same folder stopped.

    Args:
        data: A file, a folder of files, a benchmark data set, ``OWNER/NAME`` on the Hub, a `Source` of these, or
            anything that yields texts, pairs or rows. An iterator is read once, and its time left cannot be told.
        out: Folder of the results: ``manifest.json``, and in ``parts`` one row per text.
        settings: What the maps depend on.
        classifier: A loaded model, in place of the one that the settings name.
        engine: Where the work is done: None = in this process; `narrows.run.cluster.RayEngine`, on Ray.
        share: Make one share of the parts; `narrows.run.finished.merge` puts the shares together.
        strict: Stop at a text that cannot be explained; else its error stands in its row, and the run goes on.
        report: Told of progress.

    Returns:
        The manifest: what the maps are made with, and how many there are.

    Raises:
        InputError: If the folder is in use or holds results of something else, if it cannot be written, or, with
            ``strict``, if a text cannot be explained.
        DataError: If the data is missing, of an unknown kind, or empty.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> explain_dataset(["A gorgeous, witty film.", "Dull."], folder)["result"]["rows"]
        2
        >>> from narrows.run.finished import read_run
        >>> [attribution.predicted for attribution in read_run(folder)]
        ['positive', 'negative']
    """
    out, settings, share = Path(out), settings or ExplainSettings(), share or Share()
    texts = _texts(data)
    with locked(out):
        worker = Worker(settings, classifier=classifier)
        survey = _look_through(texts, settings.rows_per_part, worker)
        about = {**worker.about, "format": FORMAT}
        identity = {**about, "source": _describe(texts, survey), "shard": str(share)}
        claim(out, identity)
        (out / FOLDER).mkdir(exist_ok=True)
        remove_partial(out)
        job = Job(texts, settings, out, about, worker)
        meter = Meter(survey, share, report)
        ledger = _Ledger(out, job.run_sha256, share, strict, set(present_parts(out)))
        meter.start(ledger.present)
        for made in (engine or here)(job, ledger.missing(cut(texts, settings.rows_per_part)), meter.tick):
            ledger.add(made)
            meter.add(made[0])
        remove_partial(out)
        write_json(out / MANIFEST, {**identity, "result": ledger.sum_up(survey)})
    return read_json(out / MANIFEST)


def here(job: Job, chunks: Iterator[Chunk], tick: Tick) -> Iterator[Made]:
    """Make parts in this process, one after the other: the engine that all others must agree with.

    Args:
        job: What to do.
        chunks: The texts.
        tick: Told of progress.

    Yields:
        The parts.
    """
    for chunk in chunks:
        part = chunk.part
        yield job.worker(chunk, job.out, job.run_sha256, lambda done, part=part: tick(part, done))  # type: ignore[misc]


def sum_up(made: Iterable[Made]) -> Json:
    """Sum up parts, for the manifest.

    Args:
        made: The parts, in their order.

    Returns:
        How many texts, errors, tokens and parts there are, and hashes of all texts and of all files.
    """
    made = list(made)
    texts, files = hashlib.sha256(), hashlib.sha256()
    for receipt, sha256 in made:
        texts.update(receipt.texts_sha256.encode())
        files.update(sha256.encode())
    counts = {name: sum(getattr(receipt, name) for receipt, _ in made) for name in ("rows", "errors", "tokens")}
    return {**counts, "parts": len(made), "texts_sha256": texts.hexdigest(), "parts_sha256": files.hexdigest()}


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let torch use so many threads for a while.

    Args:
        count: How many; None = as many as it does.

    Yields:
        Nothing.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass
class _Ledger:
    """Which parts of a run there are.

    Attributes:
        out: Folder of the run.
        run_sha256: What every part of it must carry.
        share: The parts that are wanted.
        strict: Whether an error in a row ends the run.
        present: Parts whose file was there at the start and is not checked yet.
        made: Parts that are checked, or new.
    """

    out: Path
    run_sha256: str
    share: Share
    strict: bool
    present: set[int]
    made: dict[int, Made] = field(default_factory=dict)

    def missing(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """Check the parts that are there as their texts come by; give the texts of the others."""
        for chunk in chunks:
            if self.share.has(chunk.part) and not self._is_there(chunk):
                yield chunk
        if self.present:
            raise InputError(f"{part_file(self.out, min(self.present))} is of texts that are not there any more")

    def _is_there(self, chunk: Chunk) -> bool:
        if chunk.part not in self.present:
            return False
        self.present.discard(chunk.part)
        path = part_file(self.out, chunk.part)
        try:
            receipt, sha256 = check_part(path)
        except DataError as error:
            warnings.warn(f"{error}; it is made anew", NarrowsWarning, stacklevel=2)
            return False
        if receipt.run_sha256 != self.run_sha256:
            raise InputError(f"{path} was made with other settings, another model or version: give another folder")
        if receipt.texts_sha256 != chunk.digest:
            raise InputError(f"{path} was made of other texts: give another folder, or the same texts")
        self._keep((receipt, sha256))
        return True

    def add(self, made: Made) -> None:
        """Enter a new part, here and, for people, with the time in a log that is no part of the result."""
        receipt = made[0]
        entry = {"time": round(time.time(), 1), "part": receipt.part, "rows": receipt.rows, "tokens": receipt.tokens}
        try:
            with (self.out / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise InputError(f"cannot write {self.out / LOG}: {error.strerror or error}") from error
        self._keep(made)

    def _keep(self, made: Made) -> None:
        self.made[made[0].part] = made
        if self.strict and made[0].errors:
            raise InputError(f"{made[0].first_error}; without --strict the run goes on")

    def sum_up(self, survey: Survey | None) -> Json:
        """Make sure that no part is missing, and sum up."""
        parts = sorted(self.made)
        last = len(survey.work) - 1 if survey is not None else max(parts, default=-1)
        missing = [part for part in range(last + 1) if self.share.has(part) and part not in self.made]
        if missing:
            raise DataError(f"{self.out}: part {missing[0]} was not made ({len(missing)} are missing): run it again")
        if last < 0:
            raise DataError("there are no texts to explain")
        return sum_up(self.made[part] for part in parts)


def _texts(data: str | Path | Source | Iterable[Item]) -> Texts:
    if isinstance(data, Source):
        return data
    return Source(str(data)) if isinstance(data, (str, Path)) else Given(data)


def _look_through(texts: Texts, size: int, worker: Worker) -> Survey | None:
    if isinstance(texts, Given) and texts.once:
        return None
    first = [text for text in islice(iter(texts), PROBED) if isinstance(text, Example)]
    return Survey.of(texts, size, worker.work(first).of)


def _describe(texts: Texts, survey: Survey | None) -> Json:
    """Describe the texts, by their content rather than by where they lie."""
    known = {"rows": None if survey is None else survey.rows, "sha256": None if survey is None else survey.sha256}
    if isinstance(texts, Given):
        return {"name": None, "split": None, "limit": None, **known}
    return {"name": Path(texts.name).name, "split": texts.split, "limit": texts.limit, **known}
