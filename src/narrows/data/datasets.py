"""The benchmark data sets, as they are published, from a folder or the Hub; labels are names, bad rows are raised."""

import gzip
import random
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from narrows.data.example import Example
from narrows.data.tables import check_file, table_rows
from narrows.errors import DataError, InputError, need, strict


@dataclass(frozen=True)
class Dataset:
    """A benchmark data set; its labels are in the order of their indices on the Hub."""

    name: str
    labels: tuple[str, ...]
    hub: tuple[str, str | None]  # repository and configuration
    splits: Mapping[str, tuple[str, ...]]  # those with labels: patterns of their files; the first that exists is read
    report: str = "dev"  # the split that results are reported on; GLUE does not publish the labels of its test files
    renamed: Mapping[str, str] = field(default_factory=dict)  # labels in the files: ours, where they differ
    tested_by: tuple[str, ...] = ()  # the data sets that a model trained on this one is tested on; empty = itself


def _glue(folder: str, dev: str | None = "dev") -> dict[str, tuple[str, ...]]:
    """Say where GLUE's files are: in a folder glue, in the folder of its own download script, or in the data folder."""
    files = {"train": "train", "dev": dev} if dev else {"train": "train"}
    roots = ("glue/", "glue_data/", "GLUE/", "")
    return {split: tuple(f"{root}{folder}/{file}.tsv" for root in roots) for split, file in files.items()}


def _places(splits: str, *patterns: str) -> dict[str, tuple[str, ...]]:
    return {split: tuple(pattern.format(split) for pattern in patterns) for split in splits.split()}


SENTIMENT = ("negative", "positive")
NLI_LABELS = ("entailment", "neutral", "contradiction")
NEWS = ("World", "Sports", "Business", "Sci/Tech")
GLUE = "nyu-mll/glue"
_IMDB = _places("train test", "aclImdb/{}", "{}", "aclImdb*.tar.gz")
_AG_NEWS = _places("train test", "ag_news/{}.csv", "ag_news_csv/{}.csv", "{}.csv")
_SNLI = ("snli/{}.tsv", "snli_1.0/snli_1.0_{}.txt", "snli/snli_1.0_{}.txt", "snli_1.0_{}.txt", "glue_data/SNLI/{}.tsv")
_MNLI_TESTS = ("mnli_matched", "mnli_mismatched")
_ALL = (
    Dataset("sst2", SENTIMENT, (GLUE, "sst2"), _glue("SST-2"), renamed={"0": "negative", "1": "positive"}),
    Dataset("imdb", SENTIMENT, ("stanfordnlp/imdb", None), _IMDB, "test", {"neg": "negative", "pos": "positive"}),
    Dataset("ag_news", NEWS, ("fancyzhx/ag_news", None), _AG_NEWS, "test", {str(n): s for n, s in enumerate(NEWS, 1)}),
    Dataset("mnli", NLI_LABELS, (GLUE, "mnli"), _glue("MNLI", None), "train", tested_by=_MNLI_TESTS),
    *(Dataset(s, NLI_LABELS, (GLUE, "mnli"), _glue("MNLI", s.replace("mnli", "dev"))) for s in _MNLI_TESTS),
    Dataset("snli", NLI_LABELS, ("stanfordnlp/snli", None), _places("train dev test", *_SNLI), "test"),
    Dataset("rte", ("entailment", "not_entailment"), (GLUE, "rte"), _glue("RTE")),
)
DATASETS: dict[str, Dataset] = {data.name: data for data in _ALL}


def describe(name: str) -> Dataset:
    """Look up a data set by its name, or raise an `InputError` that lists the names."""
    if name not in DATASETS:
        raise InputError(f"no data set {name!r}; there are {', '.join(DATASETS)}")
    return DATASETS[name]


def load(
    name: str, split: str | None = None, data_dir: str | Path | None = None, limit: int | None = None, seed: int = 0
) -> list[Example]:
    """Load a split (None = that of reports), or a sample of it, in the order of its file; no folder = from the Hub."""
    data = describe(name)
    split = data.report if split is None else split
    if split not in data.splits:
        raise InputError(f"{name} has no split {split!r} with labels; it has {', '.join(data.splits)}")
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1, not {limit}")
    examples = list(_hub_examples(data, split) if data_dir is None else _local_examples(data, split, Path(data_dir)))
    if not examples:
        raise DataError(f"{name} ({split}): the file has no rows")
    if limit is None or limit >= len(examples):
        return examples
    return [examples[i] for i in sorted(random.Random(seed).sample(range(len(examples)), limit))]


def load_hub(*place: str | None, split: str, options: Mapping[str, Any] | None = None) -> Any:
    """Load one split of a repository (and configuration) on the Hub, as an iterable of rows."""
    message = f"{place[0]}: give a folder with its files, or pip install datasets to load it from the Hub"
    library = need("datasets", message)
    try:
        return library.load_dataset(*place, split=split, **(options or {}))
    except Exception as error:  # the library raises errors of many others; all mean that the data cannot be loaded
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"the Hub did not give {place[0]} ({split}): {reason}") from error


def _hub_examples(data: Dataset, split: str) -> Iterator[Example]:
    if split == "dev":  # the two test files of MNLI are splits of one data set there
        split = "_".join(["validation", *data.name.split("_")[1:]])
    try:
        rows = load_hub(*data.hub, split=split)
    except DataError as error:
        raise DataError(f"{data.name}: {error}; or name the folder of its files, --data-dir") from error
    for number, row in enumerate(rows):
        if row["label"] >= 0:  # -1: the annotators did not agree
            yield _example(data, f"{data.hub[0]} {split}, row {number}", row, data.labels[row["label"]])


def _local_examples(data: Dataset, split: str, root: Path) -> Iterator[Example]:
    """Read the published file (for IMDB, folder or archive) of a split: in a folder, or the file that is given."""
    patterns = data.splits[split]
    given = root.is_file() and any(root.match(pattern) for pattern in patterns)
    if not given and not root.is_dir():
        raise DataError(f"{root}: no such folder")
    path = root if given else next((path for each in patterns for path in sorted(root.glob(each))), None)
    if path is None:
        raise DataError(f"{data.name} ({split}) is not in {root}; looked for {', '.join(patterns)}")
    if data.name == "imdb":
        return _imdb_examples(data, split, path)
    check_file(path)
    return _ag_news_examples(data, path) if data.name == "ag_news" else _tsv_examples(data, path)


def _tsv_examples(data: Dataset, path: Path) -> Iterator[Example]:
    """Read a GLUE or SNLI file: unquoted, columns by name, so that the published files with more are read too."""
    for row in strict(table_rows(path, "\t")):
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
    for row in strict(chain(first, rows)):
        title, description = row.values["title"].strip(), row.values["description"].strip()
        text = title if joined else f"{title} {description}".strip()
        yield _example(data, f"{path}, line {row.line}", {"text": text}, row.values["class"].strip())


def _imdb_examples(data: Dataset, split: str, path: Path) -> Iterator[Example]:
    """Read the reviews in the order of their names, the same from the folder and from the archive."""
    found = _imdb_reviews(split, path)
    if not found:
        raise DataError(f"{path}: holds no reviews {split}/pos/*.txt and {split}/neg/*.txt")
    for name in sorted(found):
        try:
            text = found[name].decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}, {name}: is not UTF-8 (byte {error.start + 1})") from error
        yield _example(data, f"{path}, {name}", {"text": text}, name.split("/")[0])


def _imdb_reviews(split: str, path: Path) -> dict[str, bytes]:
    if path.is_dir():
        files = (file for sort in ("neg", "pos") for file in path.glob(f"{sort}/*.txt"))
        return {f"{file.parent.name}/{file.name}": file.read_bytes() for file in files}
    found: dict[str, bytes] = {}
    named = re.compile(rf"(?:\./)?aclImdb/{split}/((?:neg|pos)/.*\.txt)")
    try:
        with gzip.open(path) as packed, tarfile.open(fileobj=packed, mode="r:") as archive:
            for member in archive:
                name = named.fullmatch(member.name) if member.isfile() else None
                if name and (file := archive.extractfile(member)):
                    found[name[1]] = file.read()
            while packed.read(1 << 20):
                pass  # to the end, where the checksum is
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{path}: cannot be read as a tar.gz: {error}") from error
    return found


def _example(data: Dataset, where: str, row: Mapping[str, Any], label: str) -> Example:
    name = data.renamed.get(label, label)
    if name not in data.labels:
        raise DataError(f"{where}: label {label!r} is none of {', '.join(data.renamed or data.labels)}")
    try:
        return Example.of({**row, "label": name, "id": None})  # the Hub numbers rows, the published files do not
    except InputError as error:
        raise DataError(f"{where}: {error}") from error
