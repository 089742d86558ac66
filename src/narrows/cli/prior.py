"""``narrows prior``: what an uninformative activation looks like."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from narrows.cli.terminal import BATCH_SIZE, BatchOption, DeviceOption, ModelOption, progress_bar, report_faults, texts
from narrows.data.example import Example, sample
from narrows.errors import DataError

commands = typer.Typer()


@commands.command()
def prior(  # noqa: PLR0913 - every option of the command
    out: Annotated[Path, typer.Option(help="The safetensors file to write.")],
    data: Annotated[list[str], typer.Option(help="A .txt, .csv, .jsonl, ... file or a data set; again for more.")],
    model: ModelOption = "sentiment",
    data_dir: Annotated[Path | None, typer.Option(help="Folder with the data set's published files.")] = None,
    split: Annotated[str, typer.Option(help="Split of the data set.")] = "train",
    limit: Annotated[int | None, typer.Option(min=1, help="Use a random sample of so many texts of each.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    device: DeviceOption = None,
    batch_size: BatchOption = BATCH_SIZE,
) -> None:
    """Estimate a prior: what an uninformative activation of a model looks like, at every layer."""
    from narrows.data.output import written_whole
    from narrows.models.corpus import estimate_prior
    from narrows.models.hub.loading import load_classifier

    with written_whole(out) as partial:
        faults: list[DataError] = []
        corpora = [_read_corpus(name, data_dir, split, limit, seed, faults) for name in data]
        lengths = [len(corpus) if isinstance(corpus, list) else None for corpus in corpora]
        total = None if None in lengths else sum(length or 0 for length in lengths)
        classifier = load_classifier(model, device)
        with progress_bar() as progress:
            tracked = progress.track(chain(*corpora), total=total, description="Estimating the prior")
            estimate = estimate_prior(classifier.model, classifier.tokenizer, tracked, batch_size)
        estimate.save(partial)
    what = f"{estimate.model.blocks + 1} layers of {estimate.model.hidden} features"
    typer.echo(f"narrows: wrote {out}: {what} from {estimate.count:,} tokens", err=True)
    report_faults(faults)


def _read_corpus(
    data: str, data_dir: Path | None, split: str, limit: int | None, seed: int, faults: list[DataError]
) -> Iterable[Example]:
    """Read the texts of a data set, or of a file: as a stream, or a random sample of it."""
    from narrows.data import datasets
    from narrows.data.tables import read_examples

    if data in datasets.DATASETS:
        return datasets.load(data, split, data_dir, limit, seed)
    corpus = texts(read_examples(Path(data)), faults)
    return corpus if limit is None else sample(corpus, limit, seed)
