"""``narrows models``, ``finetune`` and ``prior``: the demo models, how models are made, and their priors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from narrows.cli.options import takes_settings
from narrows.cli.terminal import BATCH_SIZE, BatchOption, DeviceOption, ModelOption, progress_bar, report_faults, texts
from narrows.data.example import Example, sample
from narrows.errors import NarrowsError
from narrows.models.hub.finetune_settings import FinetuneSettings

commands = typer.Typer()


@commands.command()
@takes_settings(FinetuneSettings)
def finetune(settings: FinetuneSettings) -> None:
    """Fine-tune a small classifier on data sets or files with labels: weights, prior and a card with accuracies."""
    from narrows.models.hub.finetune import finetune as train

    with progress_bar(f"Reading {', '.join(settings.dataset)}") as report:

        def step_by_step(step: int, steps: int, loss: float) -> None:
            what = "Training" if step < steps else "Measuring the accuracy"
            report(step, steps, what, f"{step}/{steps}, loss {loss:.3f}")

        card = train(settings, step_by_step)
    for result in card.accuracy:
        typer.echo(f"{result.dataset} {result.split}: {result.accuracy:.4f} of {result.n}")


@commands.command()
def models() -> None:
    """List the demo models, what they were trained on and how accurate they are."""
    from rich.table import Table

    from narrows.models.hub import bundled

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


@commands.command()
def prior(  # noqa: PLR0913 - every option of the command
    out: Annotated[Path, typer.Option(help="The safetensors file to write.")],
    data: Annotated[list[str], typer.Option(help="A .txt, .csv, .jsonl, ... file or a data set; again for more.")],
    model: ModelOption = "sentiment",
    data_dir: Annotated[Path | None, typer.Option(help="Folder with the data set's published files.")] = None,
    split: Annotated[str, typer.Option(help="Split of the data set.")] = "train",
    limit: Annotated[int | None, typer.Option(min=1, help="Use a random sample of this many texts of each.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    device: DeviceOption = None,
    batch_size: BatchOption = BATCH_SIZE,
) -> None:
    """Estimate a prior: mean and deviation of a model's activations over a corpus, at every layer."""
    from narrows.data.output import written_whole
    from narrows.models.corpus import estimate_prior
    from narrows.models.hub.loading import load_classifier

    with written_whole(out) as partial:
        faults: list[NarrowsError] = []
        corpora = [_read_corpus(name, data_dir, split, limit, seed, faults) for name in data]
        total = sum(len(corpus) for corpus in corpora if isinstance(corpus, Sized))
        counted = all(isinstance(corpus, Sized) for corpus in corpora)
        classifier = load_classifier(model, device)
        with progress_bar("Estimating the prior") as report:

            def counting() -> Iterator[Example]:
                for done, example in enumerate((example for corpus in corpora for example in corpus), start=1):
                    report(done, total if counted else None, note=f"{done:,} texts")
                    yield example

            estimate = estimate_prior(classifier.model, classifier.tokenizer, counting(), batch_size)
        estimate.save(partial)
    what = f"{estimate.model.blocks + 1} layers of {estimate.model.hidden} features"
    typer.echo(f"narrows: wrote {out}: {what} from {estimate.count:,} tokens", err=True)
    report_faults(faults)


def _read_corpus(
    data: str, data_dir: Path | None, split: str, limit: int | None, seed: int, faults: list[NarrowsError]
) -> Iterable[Example]:
    """Read the texts of a data set, or of a file: as a stream, or a random sample of it."""
    from narrows.data import datasets
    from narrows.data.tables import read_examples

    if data in datasets.DATASETS:
        return datasets.load(data, split, data_dir, limit, seed)
    corpus = texts(read_examples(Path(data)), faults)
    return corpus if limit is None else sample(corpus, limit, seed)
