"""``narrows evaluate``, ``sweep`` and ``report``: the degradation test over a data set, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from narrows.cli.options import takes_settings
from narrows.cli.terminal import run_progress, say
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
    """Compare methods by the degradation test: how far p(target) falls without the tokens they rank first."""
    _run(config, config.method_names)


@sweep.command()
@takes_settings(LayerSettings)
def layers(config: LayerSettings) -> None:
    """Run a method at one layer after the other (the paper's figures 2a and 4)."""
    from narrows.models.cut.blocks import find_blocks

    _run(config, config.method_names(1), lambda classifier: config.method_names(len(find_blocks(classifier.model))))


@sweep.command()
@takes_settings(BetaSettings)
def beta(config: BetaSettings) -> None:
    """Run a method with one weight of the information after the other (the paper's figure 2b)."""
    _run(config, config.method_names)


@commands.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, or a folder of such folders.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write; default: into the folder, or report-REMOVAL in it.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Method whose best and worst maps are shown.")] = None,
    removal: Annotated[
        str | None, typer.Option(help="How tokens were removed; default: the first way of the run.")
    ] = None,
) -> None:
    """Write a page (report.html), figures (PNG and SVG) and tables of what runs found."""
    from narrows.run.report import is_dataset_run, write_maps_page, write_report

    if is_dataset_run(folder):
        page = write_maps_page(folder, out)
        typer.echo(f"narrows: wrote {page}", err=True)
        typer.echo(page)
        return
    page, *others = write_report(folder, out, method, removal)
    typer.echo(f"narrows: wrote {page} and {len(others)} figures and tables beside it", err=True)
    typer.echo(page)


def _run(
    config: RunSettings, names: Sequence[str], of_model: Callable[[Classifier], Sequence[str]] | None = None
) -> None:
    """Evaluate methods; `of_model` gives the names that depend on the model, of which `names` are then an example."""
    from narrows.bottleneck.prior import find_prior
    from narrows.data.source import Source
    from narrows.methods.registry import find_method
    from narrows.models.hub.loading import load_classifier
    from narrows.run.evaluating import Plan, evaluate
    from narrows.run.results import write_summary

    for name in names:
        find_method(name)  # a wrong method, and a wrong prior, is an error before a model is loaded
    if config.prior is not None:
        find_prior(config.prior)
    classifier = load_classifier(config.model, config.device)
    removals: Any = config.removal_names
    plan = Plan(
        Source(config.dataset, config.split, config.data_dir, config.limit, config.seed),
        tuple(names if of_model is None else of_model(classifier)),
        removals,
        config.target,
        config.prior,
        config.max_tokens,
        config.label_names,
        config.rows_per_part,
        config.batch_size,
    )
    try:
        with run_progress("Evaluating") as report:
            evaluate(classifier, plan, config.out, report)
    except KeyboardInterrupt:
        say("warning", f"stopped; the finished parts are in {config.out}, the same command resumes it")
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
