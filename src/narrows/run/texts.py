"""The texts of a run, a stream that is cut into chunks of a fixed number of rows: one chunk makes one part.

A row that cannot be read stands in its place as the error that it gave, so that numbers of rows never shift.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from narrows.data.example import Example, Item
from narrows.data.source import Source, Text
from narrows.errors import DataError, NarrowsError


class Given(Source):
    """Texts that the caller holds."""

    def __init__(self, items: Iterable[Item]) -> None:
        """Keep them, unread."""
        super().__init__(items=items)


Texts = Source


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
