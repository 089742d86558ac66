"""What the commands share that calibrate: texts are read, and the work shows its progress."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.cli.terminal import find_source, progress_bar
from narrows.data.columns import USUAL, Columns
from narrows.data.example import Example
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

    @property
    def sha256(self) -> str:
        """Hash of the texts."""
        texts = json.dumps([[example.text, example.text_pair] for example in self.examples])
        return hashlib.sha256(texts.encode()).hexdigest()


def read_corpus(
    data: Sequence[str],
    sampled: int = SAMPLE,
    seed: int = 0,
    data_dir: Path | None = None,
    split: str = "train",
    columns: Columns = USUAL,
) -> Corpus:
    """Read a random sample of the texts of each data set or file."""
    from narrows.data import datasets

    rows: list[Example | NarrowsError] = []
    for name in data:
        where = (split, data_dir) if name in datasets.DATASETS else (None, None)
        rows += find_source(name, columns, where[0], where[1], sampled, seed)
    faults = [row for row in rows if isinstance(row, NarrowsError)]
    return Corpus([row for row in rows if isinstance(row, Example)], faults)


def calibrated(
    loaded: "LoadedModel", corpus: Corpus, method: "str | Method", limit: int = 128, seed: int = 0
) -> "Prior":
    """Calibrate a model on texts."""
    from narrows.evaluation.calibrate import calibrate

    with progress_bar("Calibrating") as report:
        return calibrate(loaded.model, loaded.tokenizer, corpus.examples, method, limit, seed, report)
