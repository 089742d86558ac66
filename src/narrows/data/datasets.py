"""The benchmark data sets, in the layouts in which they are published, from a local folder or from the Hub.

Labels are names, never indices, so that they can be matched with any checkpoint's `id2label`. In an evaluation a
half-read data set is worth nothing, so here, other than in `narrows.data.tables`, the first malformed row is raised.
"""

from __future__ import annotations

import gzip
import importlib
import random
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from narrows.data.example import Example
from narrows.data.tables import check_file, table_rows
from narrows.errors import DataError, DependencyError, InputError

NLI_LABELS = ("entailment", "neutral", "contradiction")


@dataclass(frozen=True)
class Layout:
    """Where one split of a data set may lie under the data folder, and how it is called on the Hub.

    Attributes:
        paths: Patterns (glob) of the published file or folder; the first that is there is read.
        hub: The split's name on the Hub.
    """

    paths: tuple[str, ...]
    hub: str


@dataclass(frozen=True)
class Dataset:
    """What is known of a benchmark data set.

    Attributes:
        name: Its name here.
        labels: The names of its classes, in the order of their indices on the Hub.
        splits: The splits whose labels are published.
        report: The split that results are reported on; GLUE keeps the labels of its test files to itself.
        hub: Repository and configuration on the Hub.
        renamed: Names of labels in the published files, where they differ from ours.
        columns: The columns of the text (and of the second text).
        tested_by: The data sets that a model trained on this one is tested on, itself where empty.
    """

    name: str
    labels: tuple[str, ...]
    splits: Mapping[str, Layout]
    report: str
    hub: tuple[str, str | None]
    renamed: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ("sentence1", "sentence2")
    tested_by: tuple[str, ...] = ()


def _glue(folder: str, files: Mapping[str, str]) -> dict[str, Layout]:
    """Say where GLUE's files lie: in a folder glue, in the folder of its own download script, or right there."""
    hub = {"train": "train", "dev": "validation", "dev_matched": "validation_matched"}
    hub["dev_mismatched"] = "validation_mismatched"
    roots = ("glue/", "glue_data/", "GLUE/", "")
    return {
        split: Layout(tuple(f"{root}{folder}/{file}.tsv" for root in roots), hub[file]) for split, file in files.items()
    }


def _imdb(split: str) -> Layout:
    return Layout((f"aclImdb/{split}", split, "aclImdb*.tar.gz"), split)


def _snli(split: str, hub: str) -> Layout:
    published = f"snli_1.0_{split}.txt"
    names = (
        f"snli/{split}.tsv",
        f"snli_1.0/{published}",
        f"snli/{published}",
        published,
        f"glue_data/SNLI/{split}.tsv",
    )
    return Layout(names, hub)


def _ag_news(split: str) -> Layout:
    return Layout((f"ag_news/{split}.csv", f"ag_news_csv/{split}.csv", f"{split}.csv"), split)


DATASETS: dict[str, Dataset] = {
    data.name: data
    for data in (
        Dataset(
            "sst2",
            ("negative", "positive"),
            _glue("SST-2", {"train": "train", "dev": "dev"}),
            "dev",
            ("nyu-mll/glue", "sst2"),
            {"0": "negative", "1": "positive"},
            ("sentence",),
        ),
        Dataset(
            "imdb",
            ("negative", "positive"),
            {"train": _imdb("train"), "test": _imdb("test")},
            "test",
            ("stanfordnlp/imdb", None),
            {"neg": "negative", "pos": "positive"},
            ("text",),
        ),
        Dataset(
            "ag_news",
            ("World", "Sports", "Business", "Sci/Tech"),
            {"train": _ag_news("train"), "test": _ag_news("test")},
            "test",
            ("fancyzhx/ag_news", None),
            {"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"},
            ("text",),
        ),
        Dataset(
            "mnli",
            NLI_LABELS,
            _glue("MNLI", {"train": "train"}),
            "train",
            ("nyu-mll/glue", "mnli"),
            tested_by=("mnli_matched", "mnli_mismatched"),
        ),
        Dataset(
            "mnli_matched",
            NLI_LABELS,
            _glue("MNLI", {"train": "train", "dev": "dev_matched"}),
            "dev",
            ("nyu-mll/glue", "mnli"),
        ),
        Dataset(
            "mnli_mismatched",
            NLI_LABELS,
            _glue("MNLI", {"train": "train", "dev": "dev_mismatched"}),
            "dev",
            ("nyu-mll/glue", "mnli"),
        ),
        Dataset(
            "snli",
            NLI_LABELS,
            {
                "train": _snli("train", "train"),
                "dev": _snli("dev", "validation"),
                "test": _snli("test", "test"),
            },
            "test",
            ("stanfordnlp/snli", None),
        ),
        Dataset(
            "rte",
            ("entailment", "not_entailment"),
            _glue("RTE", {"train": "train", "dev": "dev"}),
            "dev",
            ("nyu-mll/glue", "rte"),
        ),
    )
}


def describe(name: str) -> Dataset:
    """Look up a data set by its name.

    Args:
        name: For instance ``imdb``.

    Returns:
        What is known of it.

    Raises:
        InputError: If there is none of that name.

    Example:
        >>> describe("rte").labels
        ('entailment', 'not_entailment')
    """
    if name not in DATASETS:
        raise InputError(f"no data set {name!r}; there are {', '.join(DATASETS)}")
    return DATASETS[name]


def load(
    name: str,
    split: str | None = None,
    data_dir: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> list[Example]:
    """Load a split of a data set, in the order of the published file.

    Args:
        name: The data set.
        split: ``train``, ``dev`` or ``test``; None = the split that results are reported on.
        data_dir: The folder that holds the published files; None = load from the Hub with the package ``datasets``.
        limit: Take a random sample of so many examples (files are often sorted by label); None = all.
        seed: Of that sample.

    Returns:
        The examples, with the names of their gold labels.

    Raises:
        InputError: If there is no such data set or split, or the limit is not positive.
        DataError: If a file is missing or malformed.
        DependencyError: If ``datasets`` is needed and not installed.
    """
    data = describe(name)
    split = data.report if split is None else split
    if split not in data.splits:
        raise InputError(f"{name} has no split {split!r} with labels; it has {', '.join(data.splits)}")
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1, not {limit}")
    rows = _hub_examples(data, split) if data_dir is None else _local_examples(data, split, Path(data_dir))
    examples = list(rows)
    if not examples:
        raise DataError(f"{name} ({split}): the file has no rows")
    if limit is None or limit >= len(examples):
        return examples
    return [examples[i] for i in sorted(random.Random(seed).sample(range(len(examples)), limit))]


def locate(name: str, split: str, data_dir: str | Path) -> Path:
    """Find the published file (or, for IMDB, folder or archive) of a split.

    Args:
        name: The data set.
        split: One of its splits.
        data_dir: The folder to look in, or the published file itself.

    Returns:
        The first of the known places where something lies.

    Raises:
        DataError: If there is nothing; names the places.
    """
    root = Path(data_dir)
    patterns = describe(name).splits[split].paths
    if root.is_file() and any(root.match(pattern) for pattern in patterns):
        return root
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    for pattern in patterns:
        if found := sorted(root.glob(pattern)):
            return found[0]
    raise DataError(f"{name} ({split}) is not in {root}; looked for {', '.join(patterns)}")


def _local_examples(data: Dataset, split: str, data_dir: Path) -> Iterator[Example]:
    path = locate(data.name, split, data_dir)
    if data.name == "imdb":
        return _imdb_examples(data, split, path)
    check_file(path)
    if data.name == "ag_news":
        return _ag_news_examples(data, path)
    return _tsv_examples(data, path)


def _tsv_examples(data: Dataset, path: Path) -> Iterator[Example]:
    """Read a GLUE or SNLI file: unquoted, columns by name, so that the fuller published files are read too."""
    for row in table_rows(path, "\t"):
        if isinstance(row, DataError):
            raise row
        label = row.values.get("gold_label", row.values.get("label"))
        if label == "-":
            continue  # the annotators did not agree
        missing = [column for column in data.columns if column not in row.values]
        if missing or label is None:
            raise DataError(f"{path}: no column {', '.join(missing) or 'label'}; it has {', '.join(row.values)}")
        yield _example(data, f"{path}, line {row.line}", [row.values[column] for column in data.columns], label)


def _ag_news_examples(data: Dataset, path: Path) -> Iterator[Example]:
    """Read class, title and description; a copy in which title and description are joined already is read too."""
    # The third column of such a copy says where the row is from, in one word; descriptions are seldom one word.
    rows = table_rows(path, ",", ("class", "title", "description"))
    first = list(islice(rows, 100))
    joined = all(len(row.values["description"].split()) == 1 for row in first if not isinstance(row, DataError))
    for row in chain(first, rows):
        if isinstance(row, DataError):
            raise row
        title, description = row.values["title"].strip(), row.values["description"].strip()
        text = title if joined else f"{title} {description}".strip()
        yield _example(data, f"{path}, line {row.line}", [text], row.values["class"].strip())


def _imdb_examples(data: Dataset, split: str, path: Path) -> Iterator[Example]:
    """Read the reviews in the order of their names, the same from the folder and from the archive."""
    found = _imdb_folder(path) if path.is_dir() else _imdb_archive(split, path)
    if not found:
        raise DataError(f"{path}: holds no reviews {split}/pos/*.txt and {split}/neg/*.txt")
    for name in sorted(found):
        try:
            text = found[name].decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}, {name}: is not UTF-8 (byte {error.start + 1})") from error
        yield _example(data, f"{path}, {name}", [text], name.split("/")[0])


def _imdb_folder(path: Path) -> dict[str, bytes]:
    return {f"{kind}/{file.name}": file.read_bytes() for kind in ("neg", "pos") for file in path.glob(f"{kind}/*.txt")}


def _imdb_archive(split: str, path: Path) -> dict[str, bytes]:
    found = {}
    try:
        with gzip.open(path) as packed, tarfile.open(fileobj=packed, mode="r:") as archive:
            for member in archive:
                parts = member.name.removeprefix("./").split("/")
                if member.isfile() and parts[:2] == ["aclImdb", split] and parts[2:3] in (["neg"], ["pos"]):
                    file = archive.extractfile(member)
                    if file is not None and parts[-1].endswith(".txt"):
                        found["/".join(parts[2:])] = file.read()
            while packed.read(1 << 20):
                pass  # to the end, where the checksum stands that tells of damage
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{path}: cannot be read as a tar.gz: {error}") from error
    return found


def _example(data: Dataset, where: str, texts: list[Any], label: str) -> Example:
    name = data.renamed.get(label, label)
    if name not in data.labels:
        raise DataError(f"{where}: label {label!r} is none of {', '.join(data.renamed or data.labels)}")
    try:
        return Example(texts[0], texts[1] if len(texts) > 1 else None, name)
    except InputError as error:
        raise DataError(f"{where}: {error}") from error


def _hub_examples(data: Dataset, split: str) -> Iterator[Example]:
    try:
        library = importlib.import_module("datasets")
    except ImportError as error:
        raise DependencyError(
            f"{data.name}: give a folder with its files, or pip install datasets to load it from the Hub"
        ) from error
    repository, configuration = data.hub
    hub_split = data.splits[split].hub
    columns = ("premise", "hypothesis") if data.labels == NLI_LABELS else data.columns
    try:
        rows = library.load_dataset(repository, configuration, split=hub_split)
    except Exception as error:  # the library raises errors of many others, all of which mean: not to be had
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{data.name}: the Hub did not give {repository}: {reason}; or name the folder of its files, --data-dir"
        ) from error
    for number, row in enumerate(rows):
        if row["label"] >= 0:  # -1: the annotators did not agree
            texts = [row[column] for column in columns]
            yield _example(data, f"{repository} {hub_split}, row {number}", texts, data.labels[row["label"]])
