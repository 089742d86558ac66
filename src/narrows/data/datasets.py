"""The benchmark data sets, in the layouts in which they are published, from a local folder or from the Hub.

Labels are names, never indices, so that they can be matched with any checkpoint's `id2label`. Half a data set is no
benchmark: unlike in `narrows.data.tables`, the first malformed row is raised.
"""

from __future__ import annotations

import gzip
import importlib
import random
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from narrows.data.example import Example
from narrows.data.tables import Row, check_file, table_rows
from narrows.errors import DataError, DependencyError, InputError

SENTIMENT = ("negative", "positive")
NLI_LABELS = ("entailment", "neutral", "contradiction")
NEWS = ("World", "Sports", "Business", "Sci/Tech")
GLUE = "nyu-mll/glue"


@dataclass(frozen=True)
class Dataset:
    """A benchmark data set.

    Attributes:
        name: Its name here.
        labels: The names of its classes, in the order of their indices on the Hub.
        hub: Repository and configuration on the Hub.
        splits: The splits whose labels are published: patterns of their file or folder; the first that exists is read.
        report: The split that results are reported on; GLUE does not publish the labels of its test files.
        renamed: Names of labels in the published files, where they differ from ours.
        tested_by: The data sets that a model trained on this one is tested on, itself where empty.
    """

    name: str
    labels: tuple[str, ...]
    hub: tuple[str, str | None]
    splits: Mapping[str, tuple[str, ...]]
    report: str = "dev"
    renamed: Mapping[str, str] = field(default_factory=dict)
    tested_by: tuple[str, ...] = ()

    def hub_split(self, split: str) -> str:
        """Name a split as the Hub does, where the two test files of MNLI are splits of one data set."""
        return f"validation{'_'.join(['', *self.name.split('_')[1:]])}" if split == "dev" else split


def _glue(folder: str, **files: str) -> dict[str, tuple[str, ...]]:
    """Say where GLUE's files are: in a folder glue, in the folder of its own download script, or in the data folder."""
    roots = ("glue/", "glue_data/", "GLUE/", "")
    return {split: tuple(f"{root}{folder}/{file}.tsv" for root in roots) for split, file in files.items()}


def _snli(split: str) -> tuple[str, ...]:
    file = f"snli_1.0_{split}.txt"
    return f"snli/{split}.tsv", f"snli_1.0/{file}", f"snli/{file}", file, f"glue_data/SNLI/{split}.tsv"


def _ag_news(split: str) -> tuple[str, ...]:
    return f"ag_news/{split}.csv", f"ag_news_csv/{split}.csv", f"{split}.csv"


def _imdb(split: str) -> tuple[str, ...]:
    return f"aclImdb/{split}", split, "aclImdb*.tar.gz"


_BOTH = ("mnli_matched", "mnli_mismatched")
_ALL = (
    Dataset(
        "sst2",
        SENTIMENT,
        (GLUE, "sst2"),
        _glue("SST-2", train="train", dev="dev"),
        renamed={"0": "negative", "1": "positive"},
    ),
    Dataset(
        "imdb",
        SENTIMENT,
        ("stanfordnlp/imdb", None),
        {split: _imdb(split) for split in ("train", "test")},
        "test",
        {"neg": "negative", "pos": "positive"},
    ),
    Dataset(
        "ag_news",
        NEWS,
        ("fancyzhx/ag_news", None),
        {split: _ag_news(split) for split in ("train", "test")},
        "test",
        {str(number): name for number, name in enumerate(NEWS, start=1)},
    ),
    Dataset("mnli", NLI_LABELS, (GLUE, "mnli"), _glue("MNLI", train="train"), "train", tested_by=_BOTH),
    *(
        Dataset(name, NLI_LABELS, (GLUE, "mnli"), _glue("MNLI", train="train", dev=name.replace("mnli", "dev")))
        for name in _BOTH
    ),
    Dataset(
        "snli",
        NLI_LABELS,
        ("stanfordnlp/snli", None),
        {split: _snli(split) for split in ("train", "dev", "test")},
        "test",
    ),
    Dataset("rte", ("entailment", "not_entailment"), (GLUE, "rte"), _glue("RTE", train="train", dev="dev")),
)
DATASETS: dict[str, Dataset] = {data.name: data for data in _ALL}


def describe(name: str) -> Dataset:
    """Look up a data set by its name, or raise an `InputError` that lists the names."""
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
    """Find the published file (for IMDB, folder or archive) of a split: in a folder, or the file that is given."""
    root = Path(data_dir)
    patterns = describe(name).splits[split]
    if root.is_file() and any(root.match(pattern) for pattern in patterns):
        return root
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    for pattern in patterns:
        if found := sorted(root.glob(pattern)):
            return found[0]
    raise DataError(f"{name} ({split}) is not in {root}; looked for {', '.join(patterns)}")


def load_hub(*place: str | None, split: str, **options: Any) -> Any:
    """Load one split of a repository (and configuration) on the Hub, as an iterable of rows."""
    try:
        library = importlib.import_module("datasets")
    except ImportError as error:
        raise DependencyError(
            f"{place[0]}: give a folder with its files, or pip install datasets to load it from the Hub"
        ) from error
    try:
        return library.load_dataset(*place, split=split, **options)
    except Exception as error:  # the library raises errors of many others; all mean that the data cannot be loaded
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"the Hub did not give {place[0]} ({split}): {reason}") from error


def _hub_examples(data: Dataset, split: str) -> Iterator[Example]:
    split = data.hub_split(split)
    try:
        rows = load_hub(*data.hub, split=split)
    except DataError as error:
        raise DataError(f"{data.name}: {error}; or name the folder of its files, --data-dir") from error
    for number, row in enumerate(rows):
        if row["label"] >= 0:  # -1: the annotators did not agree
            yield _example(data, f"{data.hub[0]} {split}, row {number}", row, data.labels[row["label"]])


def _local_examples(data: Dataset, split: str, data_dir: Path) -> Iterator[Example]:
    path = locate(data.name, split, data_dir)
    if data.name == "imdb":
        return _imdb_examples(data, split, path)
    check_file(path)
    return _ag_news_examples(data, path) if data.name == "ag_news" else _tsv_examples(data, path)


def _tsv_examples(data: Dataset, path: Path) -> Iterator[Example]:
    """Read a GLUE or SNLI file: unquoted, columns by name, so that the published files with more are read too."""
    for row in _sound(table_rows(path, "\t")):
        label = row.values.get("gold_label", row.values.get("label"))
        if label is None:
            raise DataError(f"{path}: no column label; it has {', '.join(row.values)}")
        if label != "-":  # the annotators did not agree
            yield _example(data, f"{path}, line {row.line}", row.values, label)


def _ag_news_examples(data: Dataset, path: Path) -> Iterator[Example]:
    """Read class, title and description; a copy in which title and description are joined already is read too."""
    # The third column of such a copy says where the row is from, in one word; descriptions are seldom one word.
    rows = table_rows(path, ",", ("class", "title", "description"))
    first = list(islice(rows, 100))
    joined = all(len(row.values["description"].split()) == 1 for row in first if not isinstance(row, DataError))
    for row in _sound(chain(first, rows)):
        title, description = row.values["title"].strip(), row.values["description"].strip()
        text = title if joined else f"{title} {description}".strip()
        yield _example(data, f"{path}, line {row.line}", {"text": text}, row.values["class"].strip())


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
        yield _example(data, f"{path}, {name}", {"text": text}, name.split("/")[0])


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
                pass  # to the end, where the checksum is
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{path}: cannot be read as a tar.gz: {error}") from error
    return found


def _sound(rows: Iterable[Row | DataError]) -> Iterator[Row]:
    for row in rows:
        if isinstance(row, DataError):
            raise row
        yield row


def _example(data: Dataset, where: str, row: Mapping[str, Any], label: str) -> Example:
    name = data.renamed.get(label, label)
    if name not in data.labels:
        raise DataError(f"{where}: label {label!r} is none of {', '.join(data.renamed or data.labels)}")
    try:
        return Example.of({**row, "label": name})
    except InputError as error:
        raise DataError(f"{where}: {error}") from error
