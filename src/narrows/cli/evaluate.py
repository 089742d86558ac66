"""``narrows evaluate`` and ``narrows sweep``: the degradation test over a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from narrows.cli.options import takes_settings
from narrows.cli.progress import progress_bar
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
    from narrows.models.cut.blocks import find_blocks

    _run(config, lambda classifier: config.method_names(len(find_blocks(classifier.model))))


@sweep.command()
@takes_settings(BetaSettings)
def beta(config: BetaSettings) -> None:
    """Give the information one weight after the other (the paper's figure 2b)."""
    _run(config, lambda _: config.method_names)


def _run(config: RunSettings, methods: Callable[[Classifier], Sequence[str]]) -> None:
    from narrows.bottleneck.prior import find_prior
    from narrows.data.source import Source
    from narrows.methods.registry import find_method
    from narrows.models.hub.loading import load_classifier
    from narrows.run.evaluating import Plan, evaluate
    from narrows.run.results import write_summary

    if isinstance(config, EvaluateSettings):
        for name in config.method_names:
            find_method(name)  # a wrong name is an error before a model is loaded
    if config.prior is not None:
        find_prior(config.prior)
    classifier = load_classifier(config.model, config.device)
    removals: Any = config.removal_names
    plan = Plan(
        Source(config.dataset, config.split, config.data_dir, config.limit, config.seed),
        tuple(methods(classifier)),
        removals,
        config.target,
        config.prior,
        config.max_tokens,
        config.label_names,
        config.rows_per_part,
        config.batch_size,
    )
    try:
        with progress_bar("Evaluating") as report:
            evaluate(classifier, plan, config.out, report)
    except KeyboardInterrupt:
        say("warning", f"stopped; the finished parts are in {config.out}, the same command resumes the evaluation")
        raise
    summary = write_summary(config.out)
    _show(summary)
    typer.echo(f"narrows: wrote {config.out}/summary.json; see it with: narrows report {config.out}", err=True)


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
