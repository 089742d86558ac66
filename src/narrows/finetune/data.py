"""What a run trains and is tested on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from narrows.data import datasets
from narrows.data.datasets import Dataset
from narrows.data.example import Example
from narrows.errors import DataError, InputError, NarrowsWarning
from narrows.finetune.settings import FinetuneConfig
from narrows.models.hub.card import TrainingData


@dataclass(frozen=True)
class TrainingSet:
    """Everything that a run reads.

    Attributes:
        labels: The names of the classes.
        train: The training examples of all data sets, one after the other.
        tests: The examples to measure the accuracy on, by data set.
        sources: What each data set contributed.
    """

    labels: tuple[str, ...]
    train: list[Example]
    tests: dict[str, list[Example]]
    sources: tuple[TrainingData, ...]


def read_data(config: FinetuneConfig) -> TrainingSet:
    """Load the data sets of a run, and leave out training rows whose text is in a test file too.

    Args:
        config: Settings.

    Returns:
        The data.

    Raises:
        InputError: If the data sets have different classes, or nothing is left to train on.
    """
    known = [datasets.describe(name) for name in config.dataset]
    tested = [datasets.describe(test) for name in config.evaluate or config.dataset for test in _tests_of(name)]
    labels = known[0].labels
    for data in [*known, *tested]:
        if set(data.labels) != set(labels):
            raise InputError(f"{data.name} has the classes {', '.join(data.labels)}, not {', '.join(labels)}")

    def load(name: str, split: str) -> list[Example]:
        return datasets.load(name, split, config.data_dir, config.limit, config.seed)

    tests = {
        data.name: load(data.name, data.report) for data in (tested if config.evaluate else _at_hand(config, tested))
    }
    held_out = {_key(example) for examples in tests.values() for example in examples}
    train: list[Example] = []
    sources = []
    for data in known:
        examples = load(data.name, "train")
        kept = [example for example in examples if _key(example) not in held_out]
        sources.append(TrainingData(data.name, "train", len(kept), len(examples) - len(kept)))
        train += kept
    if not train:
        raise InputError("no rows to train on: all of them are in a test file too")
    return TrainingSet(labels, train, tests, tuple(sources))


def _tests_of(name: str) -> tuple[str, ...]:
    return datasets.describe(name).tested_by or (name,)


def _at_hand(config: FinetuneConfig, tested: Sequence[Dataset]) -> list[Dataset]:
    """Of the data sets that would be tested on by default, keep those whose test file is there, and tell the others."""
    if config.data_dir is None:
        return list(tested)
    found = []
    for data in tested:
        try:
            datasets.locate(data.name, data.report, config.data_dir)
        except DataError as error:
            warnings.warn(f"no accuracy will be measured on {data.name}: {error}", NarrowsWarning, stacklevel=3)
        else:
            found.append(data)
    if not found:
        raise InputError("no test file of the data sets to train on is there; name another data set with --evaluate")
    return found


def _key(example: Example) -> tuple[str, str]:
    return " ".join(example.text.lower().split()), " ".join((example.text_pair or "").lower().split())
