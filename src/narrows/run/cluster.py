"""The parts of a run on Ray: one process reads the texts, a pool of workers makes the parts, each with a model.

The texts flow through Ray Data, one chunk per block. It slows the reader down while the workers are busy, starts more
workers while chunks wait, and gives the chunk of a dead worker to another. Workers write their parts themselves, into a
folder that all machines share; only receipts come back.
"""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from narrows import errors
from narrows.errors import DependencyError, InputError, NarrowsError
from narrows.run.dataset import Job, Tick
from narrows.run.manifest import digest
from narrows.run.parts import Made, Receipt
from narrows.run.settings import ExplainSettings
from narrows.run.texts import Chunk, cut
from narrows.run.worker import Worker, check_same

READER_CPUS = 0.1  # reading is little work, and must fit on a cluster whose processors the workers fill
IN_FLIGHT = 2  # chunks per worker: the next one is there when a part is made
STORE_BYTES = 256 * 2**20  # for the chunks on the way, in a cluster that is started for one run


@dataclass(frozen=True)
class RayEngine:
    """Makes parts on Ray.

    Attributes:
        address: Of a cluster; ``auto`` = the one of this machine; None = start one here, only for this run.
        workers: Most workers.
        gpus: GPUs per worker.
        threads: Threads per worker, and processors that it takes on the cluster.
        device: Where workers compute; None = on a GPU if they have one.
        least: Fewest workers; more are started while chunks wait.

    Raises:
        InputError: On use, if the texts can be read only once, or there is no cluster at the address.
        DependencyError: On use, if Ray is missing.
    """

    address: str | None = None
    workers: int = 2
    gpus: float = 0
    threads: int = 1
    device: str | None = None
    least: int = 1

    def __call__(self, job: Job, chunks: Iterator[Chunk], tick: Tick) -> Iterator[Made]:
        """Make a part of each chunk; parts come in the order in which they are finished.

        The chunks are read here once, to check the parts that exist; the missing ones are read again on the cluster.
        """
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
        quiet: Any = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address is not None:
            try:
                ray.init(address=self.address, **quiet)
            except (ConnectionError, ValueError) as error:
                raise InputError(f"no Ray cluster at {self.address}: {str(error).splitlines()[0]}") from error
            return True
        ray.init(
            address="local",
            num_cpus=max(os.cpu_count() or 1, self.workers * self.threads + 1),
            include_dashboard=False,
            object_store_memory=STORE_BYTES,
            _node_ip_address="127.0.0.1",
            **quiet,
        )
        return True

    def _pipeline(self, ray: Any, job: Job, wanted: frozenset[int]) -> Any:
        """Build the pipeline: one reader, and a pool of workers that take its chunks one by one."""
        context = ray.data.DataContext.get_current()
        context.target_max_block_size = 1  # a block for each chunk
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        texts, size = job.texts, job.settings.rows_per_part

        def read(_: Any) -> Iterator[dict[str, bytes]]:
            return ({"chunk": chunk.to_json()} for chunk in cut(texts, size) if chunk.part in wanted)

        # Workers on other machines must put the same texts into a pass, however their memory differs.
        settings = replace(job.settings, tokens_per_batch=job.worker.tokens)
        most = min(self.workers, len(wanted))
        least = min(self.least, most)
        pool = ray.data.ActorPoolStrategy(min_size=least, max_size=most, max_tasks_in_flight_per_actor=IN_FLIGHT)
        return (
            ray.data.from_items([0], override_num_blocks=1)
            .flat_map(read, num_cpus=READER_CPUS)
            .map_batches(
                _Member,
                fn_constructor_args=(settings, str(job.out.absolute()), job.about, self.threads, self.device),
                batch_size=1,
                compute=pool,
                num_cpus=self.threads,
                num_gpus=self.gpus or None,
            )
        )


class _Member:
    """A worker of the pool. An error of the user comes back as a row, and so becomes one line."""

    def __init__(
        self, settings: ExplainSettings, out: str, about: dict[str, Any], threads: int, device: str | None
    ) -> None:
        self._out, self._run_sha256 = Path(out), digest(about)
        self._fault: NarrowsError | None = None
        torch.set_num_threads(threads)
        try:
            self._worker = Worker(settings, device)
            check_same(about, {**self._worker.about, "format": about["format"]}, platform.node())
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
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # the workers are the program, not its background
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # messages for its developers go to stderr
    try:
        import_module("ray.data")
        ray = import_module("ray")
    except ImportError as error:
        raise DependencyError('--engine ray needs Ray: pip install "narrows[ray]"') from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray
