"""Texts from a benchmark, files, the Hub or the caller; a row that cannot be read is given as an error in its place."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from narrows.data import datasets
from narrows.data.example import Example, check_label, sample
from narrows.data.tables import SUFFIXES, read_examples, strict
from narrows.errors import DataError, InputError, NarrowsError

Text = Example | NarrowsError
_held = lru_cache(maxsize=1)(datasets.load)  # benchmarks are small; an archive is not unpacked each time it is read


@dataclass(frozen=True)
class Source:
    """Where texts come from; read as often as needed, always the same (but for an iterator, which can be read once)."""

    name: str = ""  # a file, a folder of files, a benchmark data set, or ``OWNER/NAME`` on the Hub; empty for `items`
    split: str | None = None  # of a data set; None = the one that results are reported on, on the Hub ``train``
    data_dir: Path | None = None  # folder with the data set's published files; None = from the Hub
    limit: int | None = None  # take a random sample of so many texts; None = all
    seed: int = 0  # of that sample
    items: Any = None  # a list, `datasets.Dataset`, Series, DataFrame with the columns of `Example`, array or iterator

    @classmethod
    def of(cls, texts: "str | Path | Source | Iterable[Any]") -> "Source":
        """Make a source of a name, of a path, or of texts that the caller holds; a source is returned as it is."""
        if isinstance(texts, Source):
            return texts
        return cls(str(texts)) if isinstance(texts, (str, Path)) else cls(items=texts)

    def __iter__(self) -> Iterator[Text]:
        if self.name in datasets.DATASETS:
            return iter(_held(self.name, self.split, self.data_dir, self.limit, self.seed))
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
        known = datasets.DATASETS.get(self.name)
        return (known.report if known and self.split is None else self.split) or ""

    def read(self) -> list[Example]:
        """Read all texts; raises a `DataError` if there are none, and the error of the first that cannot be read."""
        sampled = self.limit is not None and self.name not in datasets.DATASETS
        examples = sample(strict(self._rows()), self.limit or 0, self.seed) if sampled else list(strict(self))
        if not examples:
            raise DataError(f"{self.name or 'the list'} holds no texts")
        return examples

    def _rows(self) -> Iterator[Text]:
        if self.items is not None:
            return read_items(self.items)
        path = Path(self.name)
        if path.is_dir():
            paths = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            if not paths:
                raise DataError(f"{path}: holds no file that ends in {', '.join(SUFFIXES)}")
            return (row for file in paths for row in _file(file))
        if path.exists() or path.suffix.lower() in SUFFIXES:
            return _file(path)
        if self.name.count("/") == 1:
            split = self.split or "train"
            rows = datasets.load_hub(self.name, split=split, options={"streaming": True})
            return read_items(rows, f"{self.name} {split}")
        known = ", ".join(datasets.DATASETS)
        raise InputError(f"no data set {self.name!r}; there are {known}, or give a file, a folder or OWNER/NAME")


def read_items(items: Any, name: str = "texts") -> Iterator[Text]:
    """Read texts as in `Source.items`; an `InputError` in the place of one names its position, from 0 as in Python."""
    values: Any = items.astype(object).where(items.notna(), None) if hasattr(items, "notna") else items  # pandas
    if hasattr(values, "itertuples"):
        names, rows = list(values.columns), values.itertuples(index=False, name=None)
        values = (dict(zip(names, row, strict=True)) for row in rows)
    for position, item in enumerate(values):
        try:
            yield check_label(Example.of(item))
        except InputError as error:
            error.place = f"{name}[{position}]"
            yield error


def _file(path: Path) -> Iterator[Text]:
    """Read a file; errors name it without its folder, so that they are the same wherever the file is."""
    rows = read_examples(path)
    return (DataError(str(row).replace(str(path), path.name, 1)) if isinstance(row, DataError) else row for row in rows)
