"""What the commands share: messages and the progress bar on stderr, options that several of them take."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from narrows.cli.options import BY_OPTION
from narrows.data.units import UnitKind
from narrows.errors import InputError, NarrowsError
from narrows.models.heads.names import TaskName
from narrows.run.settings import MODEL, TASK
from narrows.viz.spans import one_line

if TYPE_CHECKING:
    from narrows.data.columns import Columns
    from narrows.data.source import Source
    from narrows.run import meter

BATCH_SIZE = 32

ModelOption = Annotated[str, typer.Option(help=MODEL, autocompletion=BY_OPTION["model"])]
TaskOption = Annotated[TaskName | None, typer.Option(help=TASK)]
DeviceOption = Annotated[str | None, typer.Option(help="Where to run: cpu, cuda, ...; default: a GPU if there is one.")]
UnitOption = Annotated[UnitKind, typer.Option(help="What is masked, removed and ranked as one.")]
BatchOption = Annotated[int, typer.Option(min=1, help="Most texts that share a forward pass.")]


def say(kind: str, message: object) -> None:
    """Print one line to stderr; what a text or a name holds must not drive the terminal."""
    typer.echo(f"narrows: {kind}: {one_line(str(message))}", err=True)


def counted(number: int, noun: str) -> str:
    """Write a number with its noun, in the singular for one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def stdin() -> BinaryIO:
    """Give stdin as bytes; an `InputError` if it is closed."""
    if sys.stdin is None:
        raise InputError("stdin is closed: there is no text to read")
    return sys.stdin.buffer


def find_source(
    name: str,
    columns: "Columns",
    split: str | None = None,
    data_dir: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> "Source":
    """Find texts by their name; ``-`` is what stdin holds, a text a line."""
    from narrows.data.source import Source

    piped = stdin().read() if name == "-" else None
    return Source("stdin" if name == "-" else name, split, data_dir, limit, seed, columns=columns, piped=piped)


def decoded(argument: str | None) -> str | None:
    """Read an argument as UTF-8 where the console cannot hold it: Python then gets half characters."""
    if argument is None or not any("\ud800" <= character <= "\udfff" for character in argument):
        return argument
    try:
        return os.fsencode(argument).decode()
    except UnicodeError:
        raise InputError("a text on the command line is not UTF-8") from None


@contextmanager
def starting() -> Iterator[None]:
    """Import and load without the collector of cycles, which would look through all that is loaded, time and again."""
    # What is loaded stays to the end, so the collector leaves it out from then on.
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[..., None]]:
    """Show progress with the time left on stderr; before the first report no bar, so that an error is one line."""
    texts = (TextColumn(f"{{{field}}}", markup=False) for field in ("task.description", "task.fields[note]"))
    columns = (next(texts), BarColumn(), TaskProgressColumn(), next(texts))
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    console = Console(stderr=True)
    bar = Progress(*columns, *times, console=console, speed_estimate_period=600)
    with console.status(Text(one_line(what))) as waiting:

        def report(done: float, total: float | None, what: str = what, note: str = "") -> None:
            if not bar.tasks:
                waiting.stop()
                bar.start()
                bar.add_task("", note=note)
            bar.update(bar.task_ids[0], description=one_line(what), completed=done, total=total, note=note)

        try:
            yield report
        finally:
            if bar.tasks:
                bar.stop()


@contextmanager
def run_progress(what: str, out: Path) -> "Iterator[Callable[[meter.Progress], None]]":
    """Show the progress of a run or an evaluation: the share of the work, texts and errors; and how to resume it."""

    def report_run(run: "meter.Progress") -> None:
        if run.rows or run.seconds_left is not None:
            note = f"{run.rows:,} texts" + (f", {run.errors:,} errors" if run.errors else "")
            report(run.done or 0, None if run.done is None else 1, f"{what} {run.doing}".rstrip(), note)

    try:
        with progress_bar(what) as report:
            yield report_run
    except KeyboardInterrupt:
        say("warning", f"stopped; the finished parts are in {out}, the same command resumes it")
        raise


def report_faults(faults: list[NarrowsError]) -> None:
    """Print one line for every row that could not be used, and end with exit code 2 if there was one."""
    for fault in faults:
        say("error", fault)
    if faults:
        raise typer.Exit(2)
