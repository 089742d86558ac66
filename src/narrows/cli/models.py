"""``narrows methods``, ``models``, ``finetune`` and ``calibrate``: what there is to choose from, and how it is made."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from narrows.cli.options import BY_OPTION, takes_settings
from narrows.cli.terminal import (
    DeviceOption,
    ModelOption,
    TaskOption,
    progress_bar,
    report_faults,
)
from narrows.data.columns import Columns
from narrows.errors import InputError
from narrows.methods.catalogue import check_name, read_catalogue
from narrows.models.hub.finetune_settings import FinetuneSettings
from narrows.run.settings import PAIR_COLUMN, TEXT_COLUMN

if TYPE_CHECKING:
    from narrows.bottleneck.prior import Prior

commands = typer.Typer()
CALIBRATED = "A .txt, .csv, .jsonl, ... file or a data set; again for more."
OF_ONE = "Show the settings of this method."


@commands.command()
def methods(
    name: Annotated[str | None, typer.Argument(help=OF_ONE, autocompletion=BY_OPTION["method"])] = None,
) -> None:
    """List the methods, or the settings of one; --method NAME:setting=value uses them."""
    known = read_catalogue()
    if name is None:
        listed = Table.grid("", "", padding=(0, 2))
        for each, about in known.items():
            listed.add_row(each, escape(about["line"]))
        Console().print(listed)
        return
    if name not in known:
        raise InputError(f"no method {name!r}; there are {', '.join(known)}")
    title = escape(f"{name}: {known[name]['line']}")
    table = Table("setting", "values", "default", "", title=title, title_justify="left")
    for own in known[name]["settings"]:
        table.add_row(own["name"], escape(own["values"]), own["default"], escape(own["help"]))
    Console().print(table)


@commands.command()
@takes_settings(FinetuneSettings)
def finetune(settings: FinetuneSettings) -> None:
    """Fine-tune a small classifier on data sets or files with labels: weights, prior and a card with accuracies."""
    from narrows.data.output import check_folder
    from narrows.models.hub.finetune import finetune as train

    check_folder(settings.out)
    with progress_bar(f"Reading {', '.join(settings.dataset)}") as report:

        def step_by_step(step: int, steps: int, loss: float) -> None:
            what = "Training" if step < steps else "Measuring the accuracy"
            report(step, steps, what, f"{step}/{steps}, loss {loss:.3f}")

        card = train(settings, step_by_step)
    for result in card.accuracy:
        typer.echo(f"{result.dataset} {result.split}: {result.accuracy:.4f} of {result.n}")


@commands.command()
def models() -> None:
    """List the demo models: what they were trained on and how accurate they are, or where they are from."""
    from narrows.models.hub import bundled
    from narrows.models.hub.fetched import FETCHED

    table = Table("model", "labels", "trained on", "accuracy", title="Demo models", title_justify="left")
    for name in bundled.names():
        card = bundled.find(name).card()
        table.add_row(
            name,
            ", ".join(card.labels),
            ", ".join(f"{data.dataset} ({data.rows:,})" for data in card.trained_on),
            "\n".join(f"{result.dataset} {result.split}: {result.accuracy:.3f}" for result in card.accuracy),
        )
    Console().print(table)
    table = Table(title="Fetched when first used", title_justify="left")
    for heading in ("model", "task", "weights", "size", "licence"):
        table.add_column(heading, overflow="fold")
    for model in FETCHED:
        table.add_row(
            model.name, model.task, f"{model.hub}, from {model.weights.requirement}", model.size, model.licence
        )
    Console().print(table)


@commands.command()
def calibrate(  # noqa: PLR0913 - every option of the command
    out: Annotated[Path, typer.Option(help="The safetensors file to write, for --prior.")],
    data: Annotated[list[str], typer.Option(help=CALIBRATED, autocompletion=BY_OPTION["data"])],
    model: ModelOption = "sentiment",
    method: Annotated[str, typer.Option(help="Method to measure.", autocompletion=BY_OPTION["method"])] = "fast",
    task: TaskOption = None,
    text_column: Annotated[str | None, typer.Option(help=TEXT_COLUMN)] = None,
    pair_column: Annotated[str | None, typer.Option(help=PAIR_COLUMN)] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder with the data set's published files.")] = None,
    split: Annotated[str, typer.Option(help="Split of the data set.")] = "train",
    limit: Annotated[int, typer.Option(min=32, help="Texts to explain: half to choose, half to measure.")] = 128,
    sampled: Annotated[int, typer.Option("--sample", min=32, help="Texts of each file, drawn at random.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of sample and shuffling.")] = 0,
    device: DeviceOption = None,
) -> None:
    """Learn from your own texts what a typical one looks like, and measure what maps of this model are worth."""
    if out.suffix != ".safetensors":
        raise InputError(f"a calibration is a .safetensors file, so --out must end so, not in {out.name!r}")
    check_name(method)
    from narrows.cli.calibrating import calibrated, read_corpus
    from narrows.data.output import check_writable
    from narrows.methods.registry import find_method
    from narrows.models.hub.loading import load_model

    chosen = find_method(method)
    check_writable(out)
    corpus = read_corpus(data, sampled, seed, data_dir, split, Columns(text_column, pair_column))
    loaded = load_model(model, device, task)
    found = calibrated(loaded, corpus, chosen, limit, seed)
    found.save(out)
    _tell(found, out)
    report_faults(corpus.faults)


def _tell(found: "Prior", out: Path) -> None:
    """Print what a calibration found."""
    from narrows.viz.spans import visible

    if (own := found.calibration) is None:
        return
    table = Table(
        f"{own.texts} texts", title="What the maps are worth: mean fall of p(predicted)", title_justify="left"
    )
    for heading in ("first ninth", "all ninths", "the others (low is good)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in own.drops:
        figures = (own.drops[name], own.comprehensiveness[name], own.sufficiency[name])
        table.add_row(visible(name), *(f"{mean:.2f} \\[{low:.2f}, {high:.2f}]" for mean, low, high in figures))
    Console().print(table)
    mean, low, high = own.above_chance
    where = f"layers {', '.join(map(str, own.layers))}" if own.layers else "its usual layers"
    if own.interval is not None:
        start, end = own.interval
        where += f", from {start:.0%} to {end:.0%} of the path"
    verdict = f"{own.method} measures at {where}; above chance by {mean:.2f} [{low:.2f}, {high:.2f}]"
    Console().print(Text(verdict, style="" if own.trusted else "bold red"))
    if typical := own.typical_text:
        Console().print(Text(visible(typical)))
    if not own.trusted:
        Console().print(
            Text("Its maps are no better than chance on these texts: do not rely on them.", style="bold red")
        )
    typer.echo(f"narrows: wrote {out}: a prior from {found.count:,} tokens, and what was measured", err=True)
