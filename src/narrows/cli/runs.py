"""``narrows run``, ``merge``, ``inspect``, ``summarize``, ``evaluate``, ``sweep`` and ``report``: whole data sets."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from narrows.cli.calibrating import calibrated, read_corpus
from narrows.cli.options import takes_settings
from narrows.cli.terminal import counted, find_source, progress_bar, run_progress, say
from narrows.errors import InputError
from narrows.methods.catalogue import check_name
from narrows.run.settings import (
    BetaSettings,
    DatasetSettings,
    EvaluateSettings,
    LayerSettings,
    RunSettings,
    Share,
    columns_of,
)

if TYPE_CHECKING:
    from narrows.data.schema import RunSummary
    from narrows.data.source import Source
    from narrows.models.hub.loading import LoadedModel
    from narrows.run.dataset import Engine

commands = typer.Typer()
sweep = typer.Typer(help="Run the degradation test over the layers, or over beta.", no_args_is_help=True)


@commands.command()
@takes_settings(DatasetSettings)
def run(config: DatasetSettings) -> None:
    """Explain a whole data set into Parquet files; an interrupted run resumes, to the same bytes."""
    source = _source(config, config.data, [config.method])
    from narrows.models.hub.loading import load_model
    from narrows.models.memory import MOST_TOKENS_ELSEWHERE
    from narrows.run.dataset import explain_dataset, threads

    _check(config, [config.method])
    if config.gpus_per_worker and config.tokens_per_batch is None:  # this process may have no GPU itself
        config = replace(config, tokens_per_batch=MOST_TOKENS_ELSEWHERE)
    how: Any = {"engine": _engine(config), "share": Share.parse(config.shard), "strict": config.strict}
    with threads(config.threads):
        loaded = load_model(config.model, config.device, config.task)
        if config.calibrate_with is not None:
            config = replace(config, prior=str(_calibrate(config, loaded)), calibrate_with=None)
        with run_progress("Explaining", config.out) as report:
            manifest = explain_dataset(source, config.out, config, loaded=loaded, report=report, **how)
    result = manifest["result"]
    if result["errors"] == result["rows"]:
        raise InputError(f"no text could be explained; narrows inspect {config.out} lists the errors")
    if count := result["errors"]:
        say(
            "warning", f"{counted(count, 'text')} could not be explained; narrows inspect {config.out} lists the errors"
        )
    what = (
        f"{counted(result['rows'], 'text')}, {counted(result['tokens'], 'token')} in {counted(result['parts'], 'part')}"
    )
    typer.echo(f"narrows: wrote {config.out}: {what}", err=True)


@commands.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(help="Folders of all shards of a run.")],
    out: Annotated[Path, typer.Option(help="Folder for the whole.")],
) -> None:
    """Put the shards of a run together, as if it had been made in one folder."""
    from narrows.run import finished

    result = finished.merge(folders, out)["result"]
    typer.echo(
        f"narrows: wrote {out}: {counted(result['rows'], 'text')} in {counted(result['parts'], 'part')}", err=True
    )


@commands.command()
def inspect(folder: Annotated[Path, typer.Argument(help="Folder of a run, finished or not.")]) -> None:
    """Show what is in the folder of a run: texts, errors, settings, parts that are missing or damaged."""
    from narrows.run import finished
    from narrows.viz.spans import visible

    for name, value in finished.facts(finished.inspect(folder)):
        typer.echo(visible(f"{name:14} {value}"))


@commands.command()
def summarize(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, or OUT/maps/METHOD of an evaluation.")],
    against: Annotated[Path | None, typer.Option(help="Another run over the same texts, to subtract.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write a page (.html), a table (.csv) or .json.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many words of each kind.")] = 25,
    min_texts: Annotated[int, typer.Option(min=2, help="In how many texts a word must be.")] = 5,
) -> None:
    """Show which words of a whole run speak for and against each label, and where the model is wrong."""
    from narrows.data.output import check_writable
    from narrows.run.summary import check_format, summarize_run

    if out is not None:
        check_format(out)
        check_writable(out)
    with progress_bar("Reading") as report_rows:
        summary = summarize_run(folder, against, limit, min_texts, report_rows)
    summary.show()
    if out is not None:
        summary.save(out)
        typer.echo(f"narrows: wrote {out}", err=True)


@commands.command()
@takes_settings(EvaluateSettings)
def evaluate(config: EvaluateSettings) -> None:
    """Compare methods by the degradation test: how far p(target) falls without the tokens they rank first."""
    _run(config, config.method_names)


@sweep.command()
@takes_settings(LayerSettings)
def layers(config: LayerSettings) -> None:
    """Run a method at one layer after the other (the paper's figures 2a and 4)."""

    def of_model(loaded: "LoadedModel") -> Sequence[str]:
        from narrows.models.cut.blocks import find_blocks

        return config.method_names(len(find_blocks(loaded.model)))

    _run(config, config.method_names(1), of_model)


@sweep.command()
@takes_settings(BetaSettings)
def beta(config: BetaSettings) -> None:
    """Run a method with one weight of the information after the other (the paper's figure 2b)."""
    _run(config, config.method_names)


@commands.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, or a folder of such folders.")],
    out: Annotated[Path | None, typer.Option(help="Where; default: into the folder, or report-REMOVAL in it.")] = None,
    method: Annotated[str | None, typer.Option(help="Method whose best and worst maps are shown.")] = None,
    removal: Annotated[str | None, typer.Option(help="How tokens were removed; default: the run's first way.")] = None,
) -> None:
    """Write a page (report.html), figures (PNG and SVG) and tables of what runs found."""
    from narrows.data.output import check_folder
    from narrows.run.report import is_dataset_run, write_maps_page, write_report

    if out is not None:
        check_folder(out)
    if is_dataset_run(folder):
        page, beside = write_maps_page(folder, out), ""
    else:
        page, *others = write_report(folder, out, method, removal)
        beside = f" and {len(others)} figures and tables beside it"
    typer.echo(f"narrows: wrote {page}{beside}", err=True)
    typer.echo(page)


commands.add_typer(sweep, name="sweep")


def _calibrate(config: DatasetSettings, loaded: "LoadedModel") -> Path:
    """Calibrate the model into the folder of the run, unless that was done with the same texts."""
    corpus = read_corpus([str(config.calibrate_with)], columns=columns_of(config))
    for fault in corpus.faults:
        say("warning", f"not calibrated on: {fault}")
    path = config.out / f"calibration-{corpus.sha256[:12]}.safetensors"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        calibrated(loaded, corpus, config.method).save(path)
    return path


def _engine(config: DatasetSettings) -> "Engine | None":
    if config.engine == "local":
        return None
    from narrows.run.cluster import RayEngine, load_ray

    load_ray()  # an error before a model is loaded
    return RayEngine(config.address, config.workers, config.gpus_per_worker, config.threads or 1, config.device)


def _run(
    config: RunSettings, names: Sequence[str], of_model: "Callable[[LoadedModel], Sequence[str]] | None" = None
) -> None:
    """Evaluate methods; `of_model` gives the names that depend on the model, of which `names` are then an example."""
    source = _source(config, config.dataset, names)
    from narrows.models.hub.loading import load_model
    from narrows.run.evaluating import Plan, evaluate
    from narrows.run.results import Results, summarize, write_summary

    _check(config, names)
    loaded = load_model(config.model, config.device, config.task)
    same = ("target", "unit_of", "prior", "max_tokens", "rows_per_part", "batch_size", "keep_read")
    how: Any = {"removals": config.removal_names, **{name: getattr(config, name) for name in same}}
    chosen = tuple(names if of_model is None else of_model(loaded))
    plan = Plan(source, chosen, labels=config.label_names, **how)
    with run_progress("Evaluating", config.out) as report:
        evaluate(loaded, plan, config.out, report)
    write_summary(config.out)
    for way in plan.ways:
        _show(summarize(Results.read(config.out), way))
    typer.echo(f"narrows: wrote {config.out}/summary.json; see it with: narrows report {config.out}", err=True)


def _source(config: DatasetSettings | RunSettings, name: str, methods: Sequence[str]) -> "Source":
    """Find the texts, and what is wrong with folder, names and data, before a model library is loaded."""
    from narrows.data.output import check_folder
    from narrows.data.units import check_kind

    check_kind(config.unit_of)
    check_folder(config.out)
    for method in methods:
        check_name(method)
    source = find_source(name, columns_of(config), config.split, config.data_dir, config.limit, config.seed)
    next(iter(source), None)
    return source


def _check(config: DatasetSettings | RunSettings, methods: Sequence[str]) -> None:
    """Find out what is wrong with packages, settings of methods and the prior, before a model is loaded."""
    from narrows.bottleneck.prior import find_prior
    from narrows.methods.registry import find_method
    from narrows.run.store import load_packages

    load_packages()
    for method in methods:
        find_method(method)
    if config.prior is not None:
        find_prior(config.prior)


def _show(summary: "RunSummary") -> None:
    from rich.table import Table
    from rich.text import Text

    from narrows.viz.spans import visible

    left_out = f" ({count} left out)" if (count := summary["left_out"]) else ""
    texts = f"{summary['dataset']}: {summary['instances']} texts{left_out}"
    about = f"{texts}, {summary['removal']}, target {summary['target']}"
    about += f", by {summary['unit_of']}" if summary["unit_of"] != "token" else ""
    drop = "drop: of p(target) without the first ninth"
    drop += ", 95 % interval" if summary["instances"] > 1 else "; one text has no interval"
    table = Table("method", title=Text(visible(about)), caption=drop)
    for heading in ("drop", "from", "to", "MoRF", "LeRF", "flips", "forwards"):
        table.add_column(heading, justify="right", no_wrap=True)
    for method in summary["methods"].values():
        bounds, cost = method["drop_11_interval"] or (None, None), method["forward_equivalents"]
        figures = [method["drop_11"], *bounds, method["area_morf"], method["area_lerf"], method["flips"]]
        cells = ["" if figure is None else f"{figure:.3f}" for figure in figures]
        table.add_row(Text(visible(method["label"])), *cells, "unknown" if cost is None else f"{cost:.1f}")
    Console().print(table)
