"""Texts to work on, wherever they come from: a benchmark, files, the Hub, or what the caller holds.

A row that cannot be read is given as the error in its place, so that the numbers of the other rows never change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from narrows.data import datasets
from narrows.data.example import Example, check_label, sample
from narrows.data.tables import SUFFIXES, read_examples
from narrows.errors import DataError, InputError, NarrowsError

Text = Example | NarrowsError


@dataclass(frozen=True)
class Source:
    """Where texts come from; read as often as needed, always the same (but for an iterator, which can be read once).

    Attributes:
        name: A file, a folder of files, a benchmark data set, or ``OWNER/NAME`` on the Hub; empty for `items`.
        split: Of a data set; None = the one that results are reported on, on the Hub ``train``.
        data_dir: Folder with the data set's published files; None = from the Hub.
        limit: Take a random sample of so many texts; None = all.
        seed: Of that sample.
        items: Texts that the caller holds: a list, a `datasets.Dataset`, a pandas Series, a DataFrame with the columns
            ``text``, ``text_pair`` and ``label``, an array of strings, or an iterator.

    Example:
        >>> list(Source(items=["Good.", ("It rains.", "It is wet.")]))[1].text_pair
        'It is wet.'
        >>> print(*Source(items=["Good.", float("nan")]), sep=", ")
        Example(text='Good.', text_pair=None, label=None), texts[1]: expected a text, a pair or a row with a 'text'
        column, not float
    """

    name: str = ""
    split: str | None = None
    data_dir: Path | None = None
    limit: int | None = None
    seed: int = 0
    items: Any = None

    @classmethod
    def of(cls, texts: str | Path | Source | Iterable[Any]) -> Source:
        """Make a source of a name, of a path, or of texts that the caller holds.

        Args:
            texts: Any of these, or a source, which is returned as it is.

        Returns:
            The source.
        """
        if isinstance(texts, Source):
            return texts
        return cls(str(texts)) if isinstance(texts, (str, Path)) else cls(items=texts)

    def __iter__(self) -> Iterator[Text]:
        if self.name in datasets.DATASETS:
            return iter(_benchmark(self.name, self.split, self.data_dir, self.limit, self.seed))
        rows = self._rows()
        if self.limit is None:
            return rows
        return iter(sample((row for row in rows if isinstance(row, Example)), self.limit, self.seed))

    @property
    def once(self) -> bool:
        """Whether the texts can be read only once."""
        return self.items is not None and iter(self.items) is self.items

    @property
    def named_split(self) -> str:
        """The split by its name; empty for texts that have none."""
        if self.split is None and self.name in datasets.DATASETS:
            return datasets.DATASETS[self.name].report
        return self.split or ""

    def read(self) -> list[Example]:
        """Read all texts.

        Returns:
            The texts.

        Raises:
            DataError: If there are none, or a row cannot be read; names the first such row.
        """
        if self.limit is not None and self.name not in datasets.DATASETS:
            examples = sample(strict(self._rows()), self.limit, self.seed)
        else:
            examples = list(strict(self))
        if not examples:
            raise DataError(f"{self.name or 'the list'} holds no texts")
        return examples

    def _rows(self) -> Iterator[Text]:
        if self.items is not None:
            return read_items(self.items)
        path = Path(self.name)
        if path.is_dir():
            return _folder(path)
        if path.exists() or path.suffix.lower() in SUFFIXES:
            return _file(path)
        if self.name.count("/") == 1:
            split = self.split or "train"
            return read_items(datasets.load_hub(self.name, split=split, streaming=True), f"{self.name} {split}")
        known = ", ".join(datasets.DATASETS)
        raise InputError(f"no data set {self.name!r}; there are {known}, or give a file, a folder or OWNER/NAME")


def is_single(texts: Any) -> bool:
    """Tell one text (a string, an `Example`, a pair, a row) from several."""
    pair = isinstance(texts, tuple) and len(texts) == 2 and all(isinstance(text, str) for text in texts)
    return pair or isinstance(texts, (str, Example, Mapping))


def read_items(items: Iterable[Any], name: str = "texts") -> Iterator[Text]:
    """Read texts that the caller holds; what is wrong with one is told by its position, counted from 0 as in Python.

    Args:
        items: As for `Source.items`.
        name: What to call them in messages.

    Yields:
        The examples, and in the place of one that cannot be read an `InputError`.
    """
    for position, item in enumerate(_unpacked(items)):
        try:
            yield check_label(Example.of(item))
        except InputError as error:
            yield InputError(f"{name}[{position}]: {error}")


def strict(texts: Iterable[Text]) -> Iterator[Example]:
    """Read texts and raise the first error among them."""
    for text in texts:
        if isinstance(text, NarrowsError):
            raise text
        yield text


def _unpacked(items: Any) -> Iterable[Any]:
    """Give the rows of a DataFrame and the values of a Series, with None for what is missing; else the items."""
    values: Any = items.astype(object).where(items.notna(), None) if hasattr(items, "notna") else items
    if not hasattr(values, "itertuples"):
        return values  # type: ignore[no-any-return]
    names = list(values.columns)
    return (dict(zip(names, row, strict=True)) for row in values.itertuples(index=False, name=None))


@lru_cache(maxsize=1)
def _benchmark(
    name: str, split: str | None, data_dir: Path | None, limit: int | None, seed: int
) -> tuple[Example, ...]:
    """Hold a benchmark, which is small, so that an archive is not unpacked each time it is read."""
    return tuple(datasets.load(name, split, data_dir, limit, seed))


def _file(path: Path) -> Iterator[Text]:
    """Read a file; errors name it without its folder, so that they are the same wherever the file is."""
    rows = read_examples(path)
    return (DataError(str(row).replace(str(path), path.name, 1)) if isinstance(row, DataError) else row for row in rows)


def _folder(folder: Path) -> Iterator[Text]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise DataError(f"{folder}: holds no file that ends in {', '.join(SUFFIXES)}")
    return (row for path in paths for row in _file(path))
