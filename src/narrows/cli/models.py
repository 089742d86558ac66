"""``narrows methods``, ``models``, ``finetune`` and ``prior``: what there is to choose from, and how it is made."""

from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from narrows.cli.options import takes_settings
from narrows.cli.terminal import (
    BATCH_SIZE,
    BatchOption,
    DeviceOption,
    ModelOption,
    TaskOption,
    progress_bar,
    report_faults,
    texts,
)
from narrows.data.example import Example, sample
from narrows.errors import InputError, NarrowsError
from narrows.models.hub.finetune_settings import FinetuneSettings

commands = typer.Typer()


@commands.command()
def methods(name: Annotated[str | None, typer.Argument(help="Show the settings of this method.")] = None) -> None:
    """List the methods, or the settings of one; --method NAME:setting=value uses them."""
    from narrows.methods.registry import find_method, method_names, settings_by_name
    from narrows.methods.settings import is_required, write_setting

    if name is None:
        listed = Table.grid("", "", padding=(0, 2))
        for each in method_names():
            listed.add_row(each, escape(_in_a_line(each)))
        Console().print(listed)
        return
    if name not in method_names():
        find_method(name)  # says which names there are
    table = Table("setting", "values", "default", "", title=escape(f"{name}: {_in_a_line(name)}"), title_justify="left")
    for own in settings_by_name(name).values():
        default = "must be given" if is_required(own) else write_setting(own.default)
        table.add_row(own.name, escape(own.type_text), default, escape(own.help))
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
def prior(  # noqa: PLR0913 - every option of the command
    out: Annotated[Path, typer.Option(help="The safetensors file to write.")],
    data: Annotated[list[str], typer.Option(help="A .txt, .csv, .jsonl, ... file or a data set; again for more.")],
    model: ModelOption = "sentiment",
    task: TaskOption = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder with the data set's published files.")] = None,
    split: Annotated[str, typer.Option(help="Split of the data set.")] = "train",
    limit: Annotated[int | None, typer.Option(min=1, help="Use a random sample of this many texts of each.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sample.")] = 0,
    device: DeviceOption = None,
    batch_size: BatchOption = BATCH_SIZE,
) -> None:
    """Estimate a prior: mean and deviation of a model's activations over a corpus, at every layer."""
    from narrows.data.output import written_whole
    from narrows.models.corpus import estimate_prior
    from narrows.models.hub.loading import load_model

    if out.suffix != ".safetensors":
        raise InputError(f"a prior is a .safetensors file, so --out must end so, not in {out.name!r}")
    with written_whole(out) as partial:
        faults: list[NarrowsError] = []
        corpora = [_read_corpus(name, data_dir, split, limit, seed, faults) for name in data]
        total = sum(len(corpus) for corpus in corpora if isinstance(corpus, Sized))
        counted = all(isinstance(corpus, Sized) for corpus in corpora)
        loaded = load_model(model, device, task)
        with progress_bar("Estimating the prior") as report:

            def counting() -> Iterator[Example]:
                for done, example in enumerate((example for corpus in corpora for example in corpus), start=1):
                    report(done, total if counted else None, note=f"{done:,} texts")
                    yield example

            estimate = estimate_prior(loaded.model, loaded.tokenizer, counting(), batch_size)
        estimate.save(partial)
    what = f"{estimate.model.blocks + 1} layers of {estimate.model.hidden} features"
    typer.echo(f"narrows: wrote {out}: {what} from {estimate.count:,} tokens", err=True)
    report_faults(faults)


def _read_corpus(
    data: str, data_dir: Path | None, split: str, limit: int | None, seed: int, faults: list[NarrowsError]
) -> Iterable[Example]:
    """Read the texts of a data set, or of a file: as a stream, or a random sample of it."""
    from narrows.data import datasets, tables

    if data in datasets.DATASETS:
        return datasets.load(data, split, data_dir, limit, seed)
    corpus = texts(tables.read_examples(Path(data)), faults)
    return corpus if limit is None else sample(corpus, limit, seed)


def _in_a_line(name: str) -> str:
    """Say what a method is and what its scores are; of further names of one class, by what they differ."""
    from narrows.methods.registry import find_method, method_names, settings_by_name
    from narrows.methods.settings import is_required, write_setting

    settings = settings_by_name(name)
    if any(map(is_required, settings.values())):
        return f"needs {', '.join(settings)}; see narrows methods {name}"
    found = find_method(name)
    complete = [each for each in method_names() if not any(map(is_required, settings_by_name(each).values()))]
    first = next(each for each in complete if type(find_method(each)) is type(found))
    usual = settings_by_name(first)
    differs = [f"{key}={write_setting(own.default)}" for key, own in settings.items() if own != usual[key]]
    facts = [found.label, found.unit, "signed" if found.signed else "unsigned", *["additive"] * found.additive]
    return f"{', '.join(facts)}. {f'As {first}, with ' + ', '.join(differs) + '.' if differs else found.caption}"
