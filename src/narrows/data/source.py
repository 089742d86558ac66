"""Texts from a benchmark, files, the Hub or the caller; a row that cannot be read is given as an error in its place."""

import os
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from operator import ne
from pathlib import Path
from typing import Any

from narrows.data import datasets
from narrows.data.columns import USUAL, Columns
from narrows.data.example import (
    COLUMNS,
    ID_COLUMNS,
    LABEL_COLUMNS,
    Example,
    check_columns,
    check_label,
    is_chat,
    is_missing,
    known_of,
    sample,
)
from narrows.data.tables import SUFFIXES, read_examples, read_lines
from narrows.errors import DataError, InputError, NarrowsError, shown, strict

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
    items: Any = None  # a list, iterator, Series, array, or a table with the columns of `Example`: see `rows_of`
    columns: Columns = USUAL  # what files and data sets on the Hub call their columns
    piped: bytes | None = field(default=None, repr=False)  # what stdin gave, a text a line; it can be read only once

    @classmethod
    def of(cls, texts: "str | Path | Source | Iterable[Any]") -> "Source":
        """Make a source of a name, of a path, or of texts that the caller holds; a source is returned as it is."""
        if isinstance(texts, Source):
            return texts
        return cls(str(texts)) if isinstance(texts, (str, Path)) else cls(items=texts)

    def __iter__(self) -> Iterator[Text]:
        if self.name in datasets.DATASETS:
            if self.columns.named:
                raise InputError(f"{self.name} has its own layout: leave out the names of columns")
            return iter(_held(self.name, self.split, self.data_dir, self.limit, self.seed))
        rows = self._rows()
        if self.limit is None:
            return rows
        return iter(sample(rows, self.limit, self.seed))

    @property
    def once(self) -> bool:
        """Whether the texts can be read only once."""
        return isinstance(self.items, Iterator)

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

    @property
    def class_names(self) -> Sequence[str]:
        """What a `datasets.Dataset`, or a data set of the Hub, calls the numbers of its labels; none for the rest."""
        if self.items is None and self.piped is None and self._is_on_hub():
            return class_names(self._on_hub(), self.columns)
        return class_names(self.items)

    def _is_on_hub(self) -> bool:
        path = Path(self.name)
        return self.name.count("/") == 1 and path.suffix.lower() not in SUFFIXES and not path.exists()

    def _on_hub(self) -> Any:
        return datasets.load_hub(self.name, split=self.split or "train", options={"streaming": True})

    def _rows(self) -> Iterator[Text]:
        if self.items is not None:
            return read_items(self.items)
        if not self.name and self.piped is None:
            raise InputError("the name of the data is empty: give a file, a folder, a data set or OWNER/NAME")
        path = Path(self.name)
        file = self.piped is not None or path.exists() or path.suffix.lower() in SUFFIXES
        if file and (self.split or self.data_dir):
            given = "--split" if self.split else "--data-dir"
            raise InputError(f"{self.name} is read as it is: {given} goes with a data set")
        if self.piped is not None:
            return read_lines(self.piped, self.name, self.columns)
        if path.is_dir():
            paths = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            if not paths:
                raise DataError(f"{path}: holds no file that ends in {', '.join(SUFFIXES)}")
            return (row for file in paths for row in _file(file, self.columns))
        if file:
            return _file(path, self.columns)
        if self._is_on_hub():
            rows = self._on_hub()
            if self.columns.named:
                self.columns.check(rows.column_names or [])
                rows = map(self.columns.rename, rows)
            return read_items(rows, f"{self.name} {self.split or 'train'}")
        known = ", ".join(datasets.DATASETS)
        raise InputError(f"no data set {self.name!r}; there are {known}, or give a file, a folder or OWNER/NAME")


def rows_of(items: Any) -> Iterable[Any] | None:
    """Give the rows of a table or the texts of a collection in their order, as they come; None for a single item.

    A table is a frame of pandas or polars, a table of pyarrow, a `datasets.Dataset` or a mapping of columns. An
    `InputError` refuses one without texts, and whatever has no order.
    """
    if isinstance(items, (bytes, bytearray)):
        raise InputError("bytes are not text yet: decode them, as in data.decode('utf-8')")
    if isinstance(items, os.PathLike):
        path = shown(os.fspath(items))
        raise InputError(f"{path} is a path, not a text: give the text or the rows that the file holds")
    if isinstance(items, (set, frozenset)):
        raise InputError(f"a {type(items).__name__} has no order, so no result could be told from another: give a list")
    if isinstance(items, ItemsView):
        raise InputError("items() of a dictionary are keys with values, which would be read as pairs: give values()")
    if isinstance(items, (str, Example)) or is_chat(items) or getattr(items, "ndim", None) == 0 or _is_pair(items):
        return None
    if hasattr(items, "with_format") and hasattr(items, "column_names"):  # of the datasets library: rows, when needed
        names = items.column_names
        if isinstance(names, Mapping):
            raise InputError(f"several splits, {', '.join(names)}: give one of them")
        if names is not None:
            check_columns(names)
            items = items.select_columns([name for name in names if name in COLUMNS])
        return items.with_format(None)  # type: ignore[no-any-return]
    names = getattr(items, "column_names", getattr(items, "columns", None))
    if names is not None and hasattr(items, "__len__"):
        return _rows_of_columns(list(names), items)
    # A row, by column; a mapping of columns; or a Series, by whatever its index holds.
    if callable(getattr(items, "keys", None)):
        known = [name for name in COLUMNS.difference(ID_COLUMNS) if name in items.keys()]  # noqa: SIM118
        if isinstance(items, Mapping) and known and all(_is_column(items[name]) for name in known):
            return _rows_of_columns(list(items), items)
        if isinstance(items, Mapping) or known:
            return None
    if not isinstance(items, Iterable):
        raise InputError(f"expected a text, a pair, a row, a table or an iterable of these, not {type(items).__name__}")
    if len(shape := getattr(items, "shape", ())) > 1:
        raise InputError(f"an array of shape {tuple(shape)}: give one of texts, or a frame with named columns")
    if (index := _index(items)) is not None:
        return map(_as_row, listed(items), index)
    return listed(items) if hasattr(items, "notna") or hasattr(items, "to_pylist") else items


def class_names(items: Any, own: Columns = USUAL) -> Sequence[str]:
    """List the names that a `datasets.Dataset` gives its numbered labels; none for anything else."""
    features = getattr(items, "features", None)
    names = LABEL_COLUMNS if own.label is None else (own.label,)
    columns = [features[name] for name in names if name in features] if isinstance(features, Mapping) else []
    return getattr(columns[0], "names", None) or () if columns else ()


def listed(values: Any) -> list[Any]:
    """List a column of pandas, polars, pyarrow, numpy, torch or Python; None is where a value is missing."""
    convert = next((name for name in ("to_pylist", "to_list", "tolist") if hasattr(values, name)), None)
    found = list(values) if convert is None else getattr(values, convert)()
    return [None if is_missing(value) else value for value in found]


def _rows_of_columns(names: list[Any], table: Any) -> Iterator[dict[str, Any]]:
    """Give the rows of a table by its columns, those of them that are known."""
    check_columns(names)
    known = [name for name in names if name in COLUMNS]
    try:
        columns = [listed(table[name]) for name in known]
    except TypeError as error:  # a relation of duckdb, whose columns are relations again
        raise InputError(f"the columns of {type(table).__name__} cannot be read: give a frame of pandas") from error
    if (index := _index(table)) is not None and not any(name in ID_COLUMNS for name in known):
        known, columns = [*known, ID_COLUMNS[0]], [*columns, list(index)]
    if len({len(column) for column in columns}) > 1:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in zip(known, columns, strict=True))
        raise InputError(f"columns of different lengths: {lengths}")
    return (dict(zip(known, row, strict=True)) for row in zip(*columns, strict=True))


def _index(items: Any) -> Any:
    """Give the index of a data frame or a Series, which names its texts; None if it just counts them."""
    return items.index if hasattr(items, "notna") and any(map(ne, items.index, count())) else None


def _as_row(text: Any, own_id: Any) -> Any:
    """Make a row with an id of what a Series holds."""
    if isinstance(text, Mapping):
        return text if any(name in text for name in ID_COLUMNS) else {**text, ID_COLUMNS[0]: own_id}
    if isinstance(text, tuple) and len(text) == 2:
        return {"text": text[0], "text_pair": text[1], ID_COLUMNS[0]: own_id}
    return {"text": text, ID_COLUMNS[0]: own_id} if isinstance(text, str) or is_missing(text) else text


def _is_column(value: Any) -> bool:
    """Tell whether a value of a mapping is a column, not a text or a label."""
    return hasattr(value, "__len__") and not isinstance(value, (str, Mapping)) and getattr(value, "ndim", 1) == 1


def _is_pair(items: Any) -> bool:
    return isinstance(items, tuple) and (
        hasattr(items, "_asdict") or (len(items) == 2 and all(isinstance(text, str) for text in items))
    )


def read_items(items: Any, name: str = "texts") -> Iterator[Text]:
    """Read texts as in `Source.items`; an `InputError` in the place of one names its position, from 0 as in Python."""
    rows = rows_of(items)
    if rows is None:
        if is_chat(items):
            Example.of(items)  # which says how a chat is read here
        raise InputError("expected a list or a table of texts, not a single one")
    for position, item in enumerate(rows):
        try:
            yield check_label(Example.of(item))
        except InputError as error:
            error.place, error.row = f"{name}[{position}]", known_of(item)
            yield error


def _file(path: Path, columns: Columns) -> Iterator[Text]:
    """Read a file; errors name it without its folder, so that they are the same wherever the file is."""
    return (_without_folder(row, path) if isinstance(row, DataError) else row for row in read_examples(path, columns))


def _without_folder(error: DataError, path: Path) -> DataError:
    named = DataError(str(error).replace(str(path), path.name, 1))
    named.row = error.row
    return named
