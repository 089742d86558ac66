"""What the commands share that calibrate: texts are read, and the work shows its progress."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.cli.terminal import progress_bar, texts
from narrows.data.columns import USUAL, Columns
from narrows.data.example import Example, sample
from narrows.errors import NarrowsError

if TYPE_CHECKING:
    from narrows.bottleneck.prior import Prior
    from narrows.methods.method import Method
    from narrows.models.hub.loading import LoadedModel

SAMPLE = 2000  # texts of each file


@dataclass(frozen=True)
class Corpus:
    """Texts, and the rows that could not be read."""

    examples: list[Example]
    faults: list[NarrowsError]


def read_corpus(
    data: Sequence[str],
    sampled: int = SAMPLE,
    seed: int = 0,
    data_dir: Path | None = None,
    split: str = "train",
    columns: Columns = USUAL,
) -> Corpus:
    """Read a random sample of the texts of each data set or file."""
    from narrows.data import datasets, tables

    examples, faults = list[Example](), list[NarrowsError]()
    for name in data:
        if name in datasets.DATASETS:
            examples += datasets.load(name, split, data_dir, sampled, seed)
        else:
            examples += sample(texts(tables.read_examples(Path(name), columns), faults), sampled, seed)
    return Corpus(examples, faults)


def calibrated(
    loaded: "LoadedModel", corpus: Corpus, method: "str | Method", limit: int = 128, seed: int = 0
) -> "Prior":
    """Calibrate a model on texts."""
    from narrows.evaluation.calibrate import calibrate

    with progress_bar("Calibrating") as report:
        return calibrate(loaded.model, loaded.tokenizer, corpus.examples, method, limit, seed, report)
