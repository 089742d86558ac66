"""The progress bar of runs and evaluations, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from narrows.run import meter


@contextmanager
def progress_bar(verb: str) -> Iterator[Callable[[meter.Progress], None]]:
    """Show the share of the work that is done, texts, and the time left; no bar before some work is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    bar = Progress(*columns, TextColumn("{task.fields[left]}"), console=Console(stderr=True))

    def report(progress: meter.Progress) -> None:
        if not bar.tasks and not progress.rows and progress.seconds_left is None:
            return  # an error before any work is one line
        if not bar.tasks:
            bar.start()
            bar.add_task(verb, total=1, left="")
        left = "" if progress.seconds_left is None else f"{_clock(progress.seconds_left)} left"
        if progress.done is None:
            left = f"{progress.rows:,} texts"
        errors = f", {progress.errors} errors" if progress.errors else ""
        what = f"{verb} {progress.doing}".rstrip()
        bar.update(bar.task_ids[0], description=what, completed=progress.done or 0, left=left + errors)

    try:
        yield report
    finally:
        if bar.tasks:
            bar.stop()


def _clock(seconds: float) -> str:
    """Write a duration as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
