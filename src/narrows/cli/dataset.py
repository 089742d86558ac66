"""``narrows run``, ``narrows merge`` and ``narrows inspect``: whole data sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from narrows.cli.options import takes_settings
from narrows.cli.terminal import say
from narrows.run.dataset_settings import DatasetSettings, Share

if TYPE_CHECKING:
    from narrows.run import meter
    from narrows.run.dataset import Engine

commands = typer.Typer()


@commands.command()
@takes_settings(DatasetSettings)
def run(config: DatasetSettings) -> None:
    """Explain a whole data set into Parquet files; stopped at any moment, it goes on to the same bytes."""
    from narrows.models.hub.loading import load_classifier
    from narrows.run.dataset import explain_dataset, threads
    from narrows.run.texts import Source

    source = Source(config.data, config.split, config.data_dir, config.limit, config.seed)
    next(iter(source), None)  # what is wrong with the data is told before a model is loaded
    engine = _engine(config)
    try:
        with threads(config.threads), _bar() as report:
            manifest = explain_dataset(
                source,
                config.out,
                _for_gpus(config),
                classifier=load_classifier(config.model, config.device),
                engine=engine,
                share=Share.parse(config.shard),
                strict=config.strict,
                report=report,
            )
    except KeyboardInterrupt:
        say("warning", f"stopped; the finished parts are in {config.out}, the same command goes on where it stopped")
        raise
    result = manifest["result"]
    if result["errors"]:
        say(
            "warning", f"{result['errors']} texts could not be explained: their rows have an error, see narrows inspect"
        )
    what = f"{result['rows']:,} texts, {result['tokens']:,} tokens in {result['parts']} parts"
    typer.echo(f"narrows: wrote {config.out}: {what}", err=True)


@commands.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(help="Folders of all shards of a run.")],
    out: Annotated[Path, typer.Option(help="Folder for the whole.")],
) -> None:
    """Put the shards of a run together, as if it had been made in one folder."""
    from narrows.run.finished import merge as put_together

    result = put_together(folders, out)["result"]
    typer.echo(f"narrows: wrote {out}: {result['rows']:,} texts in {result['parts']} parts", err=True)


@commands.command()
def inspect(folder: Annotated[Path, typer.Argument(help="Folder of a run, finished or not.")]) -> None:
    """Tell what is in the folder of a run: texts, errors, bits, settings, parts that are missing or damaged."""
    from narrows.run.finished import facts
    from narrows.run.finished import inspect as look

    for name, value in facts(look(folder)):
        typer.echo(f"{name:14} {value}")


def _for_gpus(config: DatasetSettings) -> DatasetSettings:
    """Fill the passes of GPUs that this process may not have itself."""
    from narrows.models.memory import MOST_TOKENS_ELSEWHERE

    if not config.gpus_per_worker or config.tokens_per_batch is not None:
        return config
    return replace(config, tokens_per_batch=MOST_TOKENS_ELSEWHERE)


def _engine(config: DatasetSettings) -> Engine | None:
    if config.engine == "local":
        return None
    from narrows.run.cluster import RayEngine, load_ray

    load_ray()  # that it is missing is told before a model is loaded
    return RayEngine(config.address, config.workers, config.gpus_per_worker, config.threads or 1, config.device)


@contextmanager
def _bar() -> Iterator[Callable[[meter.Progress], None]]:
    """Show the share of the work that is done, texts, and the time left, on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    bar = Progress(*columns, TextColumn("{task.fields[left]}"), console=Console(stderr=True))

    def report(progress: meter.Progress) -> None:
        if not bar.tasks and not progress.rows and progress.seconds_left is None:
            return  # no bar before some work is done: what is wrong till then is told in one line
        if not bar.tasks:
            bar.start()
            bar.add_task("Explaining", total=1, left="")
        left = "" if progress.seconds_left is None else f"{_clock(progress.seconds_left)} left"
        if progress.done is None:
            left = f"{progress.rows:,} texts"
        errors = f", {progress.errors} errors" if progress.errors else ""
        bar.update(bar.task_ids[0], completed=progress.done or 0, left=left + errors)

    try:
        yield report
    finally:
        if bar.tasks:
            bar.stop()


def _clock(seconds: float) -> str:
    """Write a duration as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
