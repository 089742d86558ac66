"""``narrows evaluate`` and ``narrows sweep``: the degradation test over a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from narrows.cli.options import takes_settings
from narrows.cli.terminal import say
from narrows.run.settings import BetaSettings, EvaluateSettings, LayerSettings, RunSettings

if TYPE_CHECKING:
    from narrows.data.schema import RunSummary
    from narrows.models.hub.loading import Classifier

commands = typer.Typer()
sweep = typer.Typer(help="Run the degradation test over the layers, or over beta.", no_args_is_help=True)
commands.add_typer(sweep, name="sweep")


@commands.command()
@takes_settings(EvaluateSettings)
def evaluate(config: EvaluateSettings) -> None:
    """Compare attribution methods by the degradation test: what do predictions lose with the tokens that they name?"""
    _run(config, lambda _: config.method_names)


@sweep.command()
@takes_settings(LayerSettings)
def layers(config: LayerSettings) -> None:
    """Put the bottleneck after one layer after the other (the paper's figures 2a and 4)."""
    _run(config, lambda classifier: config.method_names(classifier.model.config.get_text_config().num_hidden_layers))


@sweep.command()
@takes_settings(BetaSettings)
def beta(config: BetaSettings) -> None:
    """Give the information one weight after the other (the paper's figure 2b)."""
    _run(config, lambda _: config.method_names)


def _run(config: RunSettings, methods: Callable[[Classifier], Sequence[str]]) -> None:
    from narrows.bottleneck.prior import Prior
    from narrows.methods.registry import Spec
    from narrows.models.hub.loading import load_classifier
    from narrows.run.evaluate import Plan, evaluate
    from narrows.run.instances import Source
    from narrows.run.results import write_summary

    if isinstance(config, EvaluateSettings):
        for name in config.method_names:
            Spec.parse(name)  # a wrong name is told before a model is loaded
    classifier = load_classifier(config.model, config.device)
    if config.prior is not None:
        Prior.load(config.prior)  # what is wrong with it is told before the data is read
        classifier = replace(classifier, prior=config.prior)
    removals: Any = config.removal_names
    plan = Plan(
        Source(config.dataset, config.split, config.data_dir, config.limit, config.seed),
        tuple(Spec.parse(name) for name in methods(classifier)),
        removals,
        None if config.target == "predicted" else config.target,
        config.max_tokens,
        config.label_names,
        config.batch_size,
        config.seed,
    )
    try:
        with _bar() as report:
            evaluate(classifier, plan, config.out, report)
    except KeyboardInterrupt:
        say("warning", f"stopped; the finished parts are in {config.out}, the same command goes on where it stopped")
        raise
    summary = write_summary(config.out)
    _show(summary)
    typer.echo(f"narrows: wrote {config.out}/summary.json; see it with: narrows report {config.out}", err=True)


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show the progress over all methods, counted in tokens, with the time left, on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    progress = Progress(*columns, *times, console=Console(stderr=True), speed_estimate_period=600)

    def report(what: str, done: int, total: int) -> None:
        if not progress.tasks:  # no bar before there is work: what is wrong till then is told in one line
            progress.start()
            progress.add_task("")
        progress.update(progress.task_ids[0], description=f"Evaluating {what}", completed=done, total=total)

    try:
        yield report
    finally:
        if progress.tasks:
            progress.stop()


def _show(summary: RunSummary) -> None:
    from rich.table import Table

    about = f"{summary['dataset']}: {summary['instances']} texts, {summary['removal']}, target {summary['target']}"
    table = Table("method", title=about, caption="drop: of p(target) without the first ninth, 95 % interval")
    for heading in ("drop", "from", "to", "MoRF", "LeRF", "flips", "forwards"):
        table.add_column(heading, justify="right", no_wrap=True)
    for method in summary["methods"].values():
        figures = [method["drop_11"], *method["drop_11_interval"], method["area_morf"], method["area_lerf"]]
        cells = [f"{figure:.3f}" for figure in (*figures, method["flips"])]
        table.add_row(method["label"], *cells, f"{method['forward_equivalents']:.1f}")
    Console().print(table)
