"""The texts of a run, a stream that is cut into chunks of a fixed number of rows: one chunk makes one part.

A row that cannot be read stands in its place as the error that it gave, so that numbers of rows never shift.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from narrows.data import datasets
from narrows.data.example import Example, Item, sample
from narrows.data.tables import SUFFIXES, read_examples
from narrows.errors import DataError, DependencyError, InputError, NarrowsError

Text = Example | NarrowsError


@dataclass(frozen=True)
class Source:
    """Where the texts of a run come from; read as often as is wanted, always the same.

    Attributes:
        name: A file, a folder of files, a benchmark data set, or ``OWNER/NAME`` on the Hub.
        split: Of a data set; None = the one that results are reported on, on the Hub ``train``.
        data_dir: Folder with the data set's published files; None = from the Hub.
        limit: Take a random sample of so many texts; None = all.
        seed: Of that sample.
    """

    name: str
    split: str | None = None
    data_dir: Path | None = None
    limit: int | None = None
    seed: int = 0

    def __iter__(self) -> Iterator[Text]:
        rows = self._rows()
        if self.limit is None:
            return rows
        good = (row for row in rows if isinstance(row, Example))
        return iter(sample(good, self.limit, self.seed))

    def _rows(self) -> Iterator[Text]:
        if self.name in datasets.DATASETS:
            return iter(_benchmark(self.name, self.split, self.data_dir))
        path = Path(self.name)
        if path.is_dir():
            return _folder(path)
        if path.exists() or path.suffix.lower() in SUFFIXES:
            return _file(path)
        if self.name.count("/") == 1:
            return _hub(self.name, self.split or "train")
        known = ", ".join(datasets.DATASETS)
        raise InputError(f"no data set {self.name!r}; there are {known}, or give a file, a folder or OWNER/NAME")


@dataclass(frozen=True)
class Given:
    """Texts that the caller hands over: a list or a `datasets.Dataset`, or an iterator, which can be read only once.

    Attributes:
        items: The texts.
    """

    items: Iterable[Item]

    @property
    def once(self) -> bool:
        """Whether reading uses the texts up."""
        return iter(self.items) is self.items

    def __iter__(self) -> Iterator[Text]:
        return map(_given, self.items)


Texts = Source | Given


@dataclass(frozen=True)
class Chunk:
    """Some rows that follow each other: what becomes one part.

    Attributes:
        part: Its number, from 0.
        first: Number of its first row, from 0.
        rows: The texts, and what is wrong with those that cannot be read.
    """

    part: int
    first: int
    rows: tuple[Text, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the rows, in hexadecimal digits."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def to_json(self) -> bytes:
        """Write the rows down.

        Returns:
            What `from_json` reads.
        """
        rows = [str(r) if isinstance(r, NarrowsError) else [r.text, r.text_pair, r.label] for r in self.rows]
        return json.dumps([self.part, self.first, rows]).encode()

    @classmethod
    def from_json(cls, written: bytes) -> Chunk:
        """Read what `to_json` wrote.

        Args:
            written: The rows.

        Returns:
            The chunk.

        Example:
            >>> chunk = Chunk(0, 0, (Example("Good."), DataError("line 2: not JSON")))
            >>> Chunk.from_json(chunk.to_json()).digest == chunk.digest
            True
        """
        part, first, rows = json.loads(written)
        return cls(part, first, tuple(DataError(row) if isinstance(row, str) else Example(*row) for row in rows))


def cut(texts: Iterable[Text], size: int) -> Iterator[Chunk]:
    """Cut a stream into chunks.

    Args:
        texts: The stream; no more of it is held than one chunk.
        size: Rows of a chunk; the last one may have fewer.

    Yields:
        The chunks.
    """
    stream = iter(texts)
    part = 0
    while rows := tuple(islice(stream, size)):
        yield Chunk(part, part * size, rows)
        part += 1


@dataclass(frozen=True)
class Survey:
    """What one look through all texts tells, before any is explained.

    Attributes:
        rows: How many there are.
        sha256: Of all texts.
        work: For each part, how much work it is, in a unit of its own.
    """

    rows: int
    sha256: str
    work: tuple[float, ...]

    @classmethod
    def of(cls, texts: Iterable[Text], size: int, work: Callable[[Example], float]) -> Survey:
        """Look through texts.

        Args:
            texts: The texts.
            size: Rows of a chunk.
            work: How much a text is.

        Returns:
            What was seen.
        """
        rows, amounts, digest = 0, [], hashlib.sha256()
        for chunk in cut(texts, size):
            rows += len(chunk.rows)
            digest.update(chunk.digest.encode())
            amounts.append(sum(work(row) for row in chunk.rows if isinstance(row, Example)))
        return cls(rows, digest.hexdigest(), tuple(amounts))


def _given(item: Item) -> Text:
    try:
        example = Example.of(item)
        for text in (example.text, example.text_pair):
            (text or "").encode()
    except InputError as error:
        return error
    except UnicodeEncodeError:
        return InputError("holds half of a character (a lone surrogate)")
    label: Any = example.label
    if label is None or isinstance(label, str):
        return example
    if not hasattr(label, "__index__"):
        return InputError(f"the label must be a name or an index, not {label!r:.60}")
    return Example(example.text, example.text_pair, int(label))  # those of numpy, too


@lru_cache(maxsize=1)
def _benchmark(name: str, split: str | None, data_dir: Path | None) -> tuple[Example, ...]:
    """Hold a benchmark, which is small, so that an archive is not unpacked at every look through it."""
    return tuple(datasets.load(name, split, data_dir))


def _file(path: Path) -> Iterator[Text]:
    """Read a file; what is wrong with a row is told by the file's name, the same wherever the file lies."""
    rows = read_examples(path)
    return (DataError(str(row).replace(str(path), path.name, 1)) if isinstance(row, DataError) else row for row in rows)


def _folder(folder: Path) -> Iterator[Text]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise DataError(f"{folder}: holds no file that ends in {', '.join(SUFFIXES)}")
    return (row for path in paths for row in _file(path))


def _hub(name: str, split: str) -> Iterator[Text]:
    try:
        library = import_module("datasets")
    except ImportError as error:
        raise DependencyError(
            f"{name}: data sets of the Hub need the package datasets: pip install datasets"
        ) from error
    try:
        rows = library.load_dataset(name, split=split, streaming=True)
    except Exception as error:  # the library raises errors of many others, all of which mean: not to be had
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"the Hub did not give {name} ({split}): {reason}") from error
    return map(_given, rows)
