"""The same parts from a cluster of several processes, one of which is killed; one cluster only, as it starts slowly."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from test_dataset import files_of, some_texts

import tiny
from narrows.errors import DependencyError, InputError
from narrows.run import ExplainSettings, explain_dataset
from narrows.run.cluster import RayEngine, load_ray
from narrows.run.dataset import LOG
from narrows.run.meter import Progress

TEXTS = [*some_texts(45), "", *some_texts(4)]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> ExplainSettings:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model, tokenizer = tiny.classifier("bert")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return ExplainSettings(model=str(folder), prior="instance", rows_per_part=3, batch_size=2)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let workers find the modules that this process has, and keep torch to one thread in them."""
    if find_spec("ray") is None:
        pytest.skip("ray is not installed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    load_ray().shutdown()


def pool() -> list[psutil.Process]:
    """The worker processes of the cluster that this process has started."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if title(child).startswith("ray::MapWorker")]


def title(process: psutil.Process) -> str:
    """The first word of a command; none of a process that is gone by now, or that is dead and not yet buried."""
    try:
        return (process.cmdline() or [""])[0]
    except psutil.NoSuchProcess:  # a zombie's is one of these
        return ""


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_pool_of_two_of_which_one_is_killed_makes_the_same_parts(
    settings: ExplainSettings, tmp_path: Path, cluster: None
) -> None:
    expected = explain_dataset(TEXTS, tmp_path / "here", settings)
    seen: set[int] = set()
    killed: list[int] = []

    def watch(progress: Progress) -> None:
        """Kill a worker as soon as there are two that are up; chunks are waiting with it."""
        members = pool()
        seen.update(member.pid for member in members)
        if len(members) > 1 and progress.rows and not killed:
            killed.append(members[0].pid)
            os.kill(members[0].pid, signal.SIGKILL)

    out = tmp_path / "there"
    engine = RayEngine(workers=2, least=2)
    found = explain_dataset(TEXTS, out, settings, engine=engine, report=watch)
    assert killed and len(seen) >= 2
    assert found == expected
    assert files_of(out) == files_of(tmp_path / "here")
    parts = [line.split('"part": ')[1].split(",")[0] for line in (out / LOG).read_text().splitlines()]
    assert sorted(map(int, parts)) == list(range(17)), "a part was handed in twice, or never"

    # In the same cluster: only what is missing is made, and a worker's fault comes back as the user's.
    (out / "parts" / "part-0000004.parquet").unlink()
    assert explain_dataset(TEXTS, out, settings, engine=engine) == expected
    assert files_of(out) == files_of(tmp_path / "here")


def test_an_iterator_cannot_go_to_a_cluster(settings: ExplainSettings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="an iterator cannot be read on a cluster"):
        explain_dataset(iter(TEXTS), tmp_path / "out", settings, engine=RayEngine())


def test_without_ray_the_command_that_installs_it_is_named(
    settings: ExplainSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DependencyError, match=r'pip install "narrows\[ray\]"'):
        explain_dataset(TEXTS, tmp_path / "out", settings, engine=RayEngine())
