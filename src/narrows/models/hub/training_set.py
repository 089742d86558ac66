"""What a fine-tuning run reads: data sets by name and files of texts with labels, for training and for testing."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from narrows.data import datasets
from narrows.data.columns import Columns
from narrows.data.example import Example, sample
from narrows.data.tables import read_examples
from narrows.errors import DataError, InputError, warn
from narrows.models.hub.card import TrainingData
from narrows.models.hub.finetune_settings import FinetuneSettings

_HELD_OUT = 10  # one row in so many of a file is kept for testing where no test is named


@dataclass(frozen=True)
class Part:
    """Some rows of a data set, or of a file; ``split`` says which."""

    dataset: str
    split: str
    examples: list[Example]


@dataclass(frozen=True)
class TrainingSet:
    """Everything that a run reads."""

    labels: tuple[str, ...]  # the names of the classes, in the order of the logits
    train: list[Example]  # of all data sets, one after the other
    tests: list[Part]  # the rows to measure the accuracy on
    sources: tuple[TrainingData, ...]  # what each data set contributed


def read_training_set(settings: FinetuneSettings) -> TrainingSet:
    """Read the data of a run, and leave out training rows whose text is in a test too."""
    asked = settings.evaluate or settings.dataset
    tests_of = [(name,) if _is_file(name) else datasets.describe(name).tested_by or (name,) for name in asked]
    tested = list(dict.fromkeys(chain(*tests_of)))
    names = dict.fromkeys([*settings.dataset, *tested])
    files = {name: _read_file(name, settings) for name in names if _is_file(name)}
    labels = _labels([name for name in names if name not in files], files, settings)
    train, tests = [], []
    for name in settings.dataset:
        if name not in files:
            train.append(Part(name, "train", _load(name, "train", settings)))
        elif settings.evaluate:
            train.append(Part(name, "all rows", files[name]))
        else:
            rows = files[name]
            held_out = set(random.Random(settings.seed).sample(range(len(rows)), -(-len(rows) // _HELD_OUT)))
            train.append(Part(name, "the others", [row for i, row in enumerate(rows) if i not in held_out]))
            tests.append(Part(name, "held out", [row for i, row in enumerate(rows) if i in held_out]))
    if settings.evaluate:
        tests += [Part(name, "all rows", files[name]) for name in tested if name in files]
    tests += _named_tests([name for name in tested if name not in files], settings)
    if not tests:
        raise InputError("no test file of the data sets to train on is there; name another data set with --evaluate")
    held = {_key(example) for part in tests for example in part.examples}
    kept = [replace(part, examples=[row for row in part.examples if _key(row) not in held]) for part in train]
    if not any(part.examples for part in kept):
        raise InputError("no rows to train on: all of them are in a test too")
    counts = [(len(part.examples), len(whole.examples)) for part, whole in zip(kept, train, strict=True)]
    sources = tuple(TrainingData(p.dataset, p.split, n, of - n) for p, (n, of) in zip(kept, counts, strict=True))
    return TrainingSet(labels, [example for part in kept for example in part.examples], tests, sources)


def _is_file(name: str) -> bool:
    return name not in datasets.DATASETS and ("." in name or Path(name).exists())


def _named_tests(names: Iterable[str], settings: FinetuneSettings) -> list[Part]:
    """Load the data sets to test on; one that the user did not ask for may be missing, which is warned of."""
    parts = []
    for name in names:
        split = datasets.describe(name).report
        try:
            parts.append(Part(name, split, _load(name, split, settings)))
        except DataError as error:
            if settings.evaluate:
                raise
            warn(f"no accuracy will be measured on {name}: {error}")
    return parts


def _load(name: str, split: str, settings: FinetuneSettings) -> list[Example]:
    return datasets.load(name, split, settings.data_dir, settings.limit, settings.seed)


def _read_file(name: str, settings: FinetuneSettings) -> list[Example]:
    """Read a file, every row of which must have a label; labels are strings here."""
    examples: list[Example] = []
    columns = Columns(settings.text_column, settings.pair_column, settings.label_column)
    for number, row in enumerate(read_examples(Path(name), columns), start=1):
        if isinstance(row, DataError):
            raise row
        if row.label is None:
            needed = f"need a column {settings.label_column or 'label'!r}"
            raise DataError(f"{name}: row {number} has no label; texts to train or test on {needed}")
        examples.append(replace(row, label=str(row.label)))
    if not examples:
        raise DataError(f"{name}: the file has no rows")
    return examples if settings.limit is None else sample(examples, settings.limit, settings.seed)


def _labels(named: Sequence[str], files: dict[str, list[Example]], settings: FinetuneSettings) -> tuple[str, ...]:
    """Choose the classes: those of the data sets, or where there are only files those in the training files."""
    found = {name: {str(example.label) for example in examples} for name, examples in files.items()}
    known = [datasets.describe(name) for name in named]
    trained: set[str] = set().union(*(found.get(name, ()) for name in settings.dataset))
    by_number = sorted(trained, key=lambda label: (int(label) if label.isdecimal() else -1, label))
    labels = known[0].labels if known else tuple(by_number)
    if len(labels) < 2:
        raise InputError(f"all texts to train on have the label {labels[0]!r}: there is nothing to tell apart")
    for data in known:
        if set(data.labels) != set(labels):
            raise InputError(f"{data.name} has the classes {', '.join(data.labels)}, not {', '.join(labels)}")
    for name in found:
        if other := sorted(found[name] - set(labels)):
            raise InputError(f"{name} has the label {other[0]!r}, which is none of {', '.join(labels)}")
    return labels


def _key(example: Example) -> tuple[str, str]:
    return " ".join(example.text.lower().split()), " ".join((example.text_pair or "").lower().split())
