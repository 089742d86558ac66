"""``narrows run``, ``narrows merge`` and ``narrows inspect``: whole data sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from narrows.cli.options import takes_settings
from narrows.cli.terminal import run_progress, say
from narrows.run.settings import DatasetSettings, Share

if TYPE_CHECKING:
    from narrows.run.dataset import Engine

commands = typer.Typer()


@commands.command()
@takes_settings(DatasetSettings)
def run(config: DatasetSettings) -> None:
    """Explain a whole data set into Parquet files; an interrupted run resumes, to the same bytes."""
    from narrows.data.source import Source
    from narrows.methods.registry import find_method
    from narrows.models.hub.loading import load_classifier
    from narrows.run.dataset import explain_dataset, threads

    find_method(config.method)  # a wrong method, and wrong data, is an error before a model is loaded
    source = Source(config.data, config.split, config.data_dir, config.limit, config.seed)
    next(iter(source), None)
    engine = _engine(config)
    try:
        with threads(config.threads), run_progress("Explaining") as report:
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
        say("warning", f"stopped; the finished parts are in {config.out}, the same command resumes it")
        raise
    result = manifest["result"]
    if result["errors"]:
        say(
            "warning", f"{result['errors']} texts could not be explained; narrows inspect {config.out} lists the errors"
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
    """Show what is in the folder of a run: texts, errors, settings, parts that are missing or damaged."""
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

    load_ray()  # an error before a model is loaded
    return RayEngine(config.address, config.workers, config.gpus_per_worker, config.threads or 1, config.device)
