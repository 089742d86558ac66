"""The progress bar of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import progress
from rich.console import Console

from narrows.finetune.loop import Progress


@contextmanager
def training_bar() -> Iterator[Callable[[Progress], None]]:
    """Show a progress bar on stderr.

    Yields:
        What to report each step to.
    """
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TextColumn("step {task.fields[step]}/{task.fields[steps]}  loss {task.fields[loss]:.3f}"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("reading", total=None, step=0, steps="?", loss=math.nan)

        def report(state: Progress) -> None:
            bar.update(
                task,
                description="training" if state.step < state.steps else "testing",
                total=state.total_tokens,
                completed=state.tokens,
                step=state.step,
                steps=state.steps,
                loss=state.loss,
            )

        yield report
