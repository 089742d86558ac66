"""What the commands share: messages and progress on stderr, options that several of them take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from narrows.data.example import Example
from narrows.errors import DataError

BATCH_SIZE = 32

ModelOption = Annotated[str, typer.Option(help="A demo model (see 'narrows models'), an id on the Hub, or a folder.")]
DeviceOption = Annotated[str | None, typer.Option(help="Where to run: cpu, cuda, ...; default: a GPU if there is one.")]
BatchOption = Annotated[int, typer.Option(min=1, help="Most texts that share a forward pass.")]


def say(kind: str, message: object) -> None:
    """Print one line to stderr."""
    typer.echo(f"narrows: {kind}: {' '.join(str(message).split())}", err=True)


def progress_bar() -> Progress:
    """Make a progress bar with the time left, on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True))


def texts(rows: Iterable[Example | DataError], faults: list[DataError]) -> Iterator[Example]:
    """Pass the texts on and put the malformed rows aside."""
    for row in rows:
        if isinstance(row, DataError):
            faults.append(row)
        else:
            yield row


def report_faults(faults: list[DataError]) -> None:
    """Tell every malformed row in a line of its own, and end with exit code 2 if there was one."""
    for fault in faults:
        say("error", fault)
    if faults:
        raise typer.Exit(2)
