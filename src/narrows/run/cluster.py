"""The parts of a run on Ray: one process reads the texts, workers write parts into a folder that all machines share."""

import json
import logging
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from narrows import errors
from narrows.errors import InputError, NarrowsError, first_line
from narrows.run.dataset import Job, PartTick
from narrows.run.parts import Chunk, Made, Receipt, cut
from narrows.run.settings import ExplainSettings
from narrows.run.store import Json
from narrows.run.worker import Worker

READER_CPUS = 0.1  # reading is little work, and must fit on a cluster whose processors the workers fill
IN_FLIGHT = 2  # chunks per worker: the next one is there when a part is made
STORE_BYTES = 256 * 2**20  # for the chunks on the way, in a cluster that is started for one run

_OfRun = tuple[Path, str, Json]  # its folder, the hash that its parts carry, what they depend on beside the texts


@dataclass(frozen=True)
class RayEngine:
    """Makes parts on Ray, which slows the reader down while workers are busy, and replaces workers that died."""

    address: str | None = None  # of a cluster; ``auto`` = the one of this machine; None = start one here, for this run
    workers: int = 2  # most workers
    gpus: float = 0  # per worker
    threads: int = 1  # per worker, which takes as many processors of the cluster
    device: str | None = None  # where workers compute; None = on a GPU if they have one
    least: int = 1  # fewest workers; more are started while chunks wait

    def __call__(self, job: Job, chunks: Iterator[Chunk], tick: PartTick) -> Iterator[Made]:
        """Make the part of each chunk, as they are done; chunks are read here to check parts, and again over there."""
        if job.texts.once:
            raise InputError("an iterator cannot be read on a cluster: write its texts to a file first")
        ray = load_ray()
        wanted = frozenset(chunk.part for chunk in chunks)
        if not wanted:
            return
        started = self._connect(ray)
        try:
            for row in self._pipeline(ray, job, wanted).iter_rows():
                if row["error"]:
                    raise getattr(errors, row["error"])(row["receipt"])
                yield Receipt(**json.loads(row["receipt"])), row["sha256"]
        finally:
            if started:
                ray.shutdown()

    def _connect(self, ray: Any) -> bool:
        """Join the cluster, or start one that no other machine can reach; True if it must be shut down later."""
        if ray.is_initialized():
            return False
        where: Any = {"address": self.address}
        if self.address is None:
            cpus = max(os.cpu_count() or 1, self.workers * self.threads + 1)
            where = {"address": "local", "num_cpus": cpus, "object_store_memory": STORE_BYTES}
            where |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **where)
        except (ConnectionError, ValueError) as error:
            raise InputError(f"no Ray cluster at {where['address']}: {first_line(error)}") from error
        return True

    def _pipeline(self, ray: Any, job: Job, wanted: frozenset[int]) -> Any:
        """Build the pipeline: one reader, and a pool of workers that take its chunks one by one."""
        context = ray.data.DataContext.get_current()
        context.target_max_block_size = 1  # a block for each chunk
        context.enable_progress_bars = context.print_on_execution_start = False
        # Workers on other machines must put the same texts into a pass, however their memory differs.
        settings = replace(job.worker.settings, tokens_per_batch=job.worker.tokens)
        texts, size = job.texts, settings.rows_per_part

        def read(_: Any) -> Iterator[dict[str, bytes]]:
            return ({"chunk": chunk.to_json()} for chunk in cut(texts, size) if chunk.part in wanted)

        most = min(self.workers, len(wanted))
        size_of_pool = {"min_size": min(self.least, most), "max_size": most}
        pool = ray.data.ActorPoolStrategy(**size_of_pool, max_tasks_in_flight_per_actor=IN_FLIGHT)
        given = (settings, (job.out.absolute(), job.run_sha256, job.worker.about), self.threads, self.device)
        needs: Any = {"batch_size": 1, "num_cpus": self.threads, "num_gpus": self.gpus or None}
        chunks = ray.data.from_items([0], override_num_blocks=1).flat_map(read, num_cpus=READER_CPUS)
        return chunks.map_batches(_Member, fn_constructor_args=given, compute=pool, **needs)


class _Member:
    """A worker of the pool. An error of the user comes back as a row, and so becomes one line."""

    def __init__(self, settings: ExplainSettings, of_run: _OfRun, threads: int, device: str | None) -> None:
        self._out, self._run_sha256, about = of_run
        self._fault: NarrowsError | None = None
        torch.set_num_threads(threads)
        try:
            self._worker = Worker(settings, device)
            if differing := [name for name in about if about[name] != self._worker.about[name]]:
                what = f"another {', '.join(differing)} than this machine: install the same"
                raise InputError(f"the worker on {platform.node()} has {what}")
        except NarrowsError as error:
            self._fault = error

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Make the part of one chunk."""
        try:
            if self._fault is not None:
                raise self._fault
            (written,) = batch["chunk"]
            receipt, sha256 = self._worker(Chunk.from_json(written), self._out, self._run_sha256)
        except NarrowsError as error:
            return {"receipt": [str(error)], "sha256": [""], "error": [type(error).__name__]}
        return {"receipt": [json.dumps(asdict(receipt))], "sha256": [sha256], "error": [""]}


def load_ray() -> Any:
    """Import Ray with its usage statistics disabled, or raise a `DependencyError`."""
    # The workers are the program, not its background; messages for Ray's developers would go to stderr.
    for name, value in (("USAGE_STATS_ENABLED", "0"), ("worker_niceness", "0"), ("BACKEND_LOG_LEVEL", "fatal")):
        os.environ.setdefault(f"RAY_{name}", value)
    ray, _ = (errors.need(name, '--engine ray needs Ray: pip install "narrows[ray]"') for name in ("ray", "ray.data"))
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray
