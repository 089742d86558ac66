"""Scores of a run over a data set, found by their text: only what is asked for is read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from narrows.data.tables import Row
from narrows.errors import DataError, DependencyError

KEPT = 4  # files whose rows are held at a time


@dataclass(frozen=True)
class RunFolder:
    """The folder that ``narrows run`` wrote, or any folder of Parquet files with the same columns.

    Attributes:
        places: Of each text that was explained, by its hash: the file, and the number of the row in it.
    """

    places: dict[bytes, tuple[Path, int]]

    @classmethod
    def of(cls, folder: Path) -> RunFolder:
        """Look through a folder.

        Args:
            folder: Of the run.

        Returns:
            Where its texts are; of a text that is there twice, the first.

        Raises:
            DataError: If there are no files in it, or one is damaged.
        """
        paths = sorted((folder / "parts").glob("*.parquet")) or sorted(folder.glob("*.parquet"))
        if not paths:
            raise DataError(f"{folder}: neither a file of scores nor the folder of a run: it holds no .parquet files")
        places: dict[bytes, tuple[Path, int]] = {}
        for path in paths:
            for number, values in enumerate(_read(path, ("text", "text_pair", "error"))):
                if values["error"] is None:
                    places.setdefault(_key(values["text"], values["text_pair"]), (path, number))
        return cls(places)

    def find(self, text: str, text_pair: str | None) -> Row | None:
        """Find the row of a text.

        Args:
            text: The text.
            text_pair: The second text of a pair.

        Returns:
            Its text, tokens and scores; None where it is not there.
        """
        place = self.places.get(_key(text, text_pair))
        if place is None:
            return None
        path, number = place
        return Row(number + 1, dict(_scores(path)[number]))


def _key(text: str, text_pair: str | None) -> bytes:
    return hashlib.blake2b(repr((text, text_pair)).encode("utf-8", "surrogatepass"), digest_size=16).digest()


@lru_cache(maxsize=KEPT)
def _scores(path: Path) -> list[dict[str, Any]]:
    return _read(path, ("text", "text_pair", "tokens", "scores"))


def _read(path: Path, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise DependencyError(f'{path}: Parquet needs pyarrow: pip install "narrows[parquet]"') from error
    try:
        with parquet.ParquetFile(path) as file:
            return file.read(columns=list(columns)).select(columns).to_pylist()  # type: ignore[no-any-return]
    except (OSError, ValueError, KeyError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise DataError(f"{path}: not a part of a run that can be read: {str(error).splitlines()[0]}") from error
