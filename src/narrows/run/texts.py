"""The texts of a run in chunks of so many rows, each of which becomes a part; a bad row is an error in its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from narrows.data.example import Example
from narrows.data.source import Text
from narrows.errors import DataError, NarrowsError


@dataclass(frozen=True)
class Chunk:
    """Rows that follow each other."""

    part: int  # the number of the part, from 0
    first: int  # the number of its first row, from 0
    rows: tuple[Text, ...]  # the texts; an error for each that cannot be read

    @property
    def digest(self) -> str:
        """SHA-256 of the rows, in hexadecimal digits."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def to_json(self) -> bytes:
        """Write the chunk as JSON."""
        rows = [str(r) if isinstance(r, NarrowsError) else [r.text, r.text_pair, r.label] for r in self.rows]
        return json.dumps([self.part, self.first, rows]).encode()

    @classmethod
    def from_json(cls, written: bytes) -> Chunk:
        """Read what `to_json` wrote."""
        part, first, rows = json.loads(written)
        return cls(part, first, tuple(DataError(row) if isinstance(row, str) else Example(*row) for row in rows))


def cut(texts: Iterable[Text], size: int) -> Iterator[Chunk]:
    """Cut a stream into chunks of so many rows, the last one perhaps shorter; holds one chunk at a time."""
    stream, part = iter(texts), -1
    while rows := tuple(islice(stream, size)):
        part += 1
        yield Chunk(part, part * size, rows)


@dataclass(frozen=True)
class Survey:
    """What one pass over all texts finds before any is explained; nothing of those that can be read only once."""

    rows: int | None = None  # how many there are
    sha256: str | None = None  # of all texts
    work: tuple[float, ...] = ()  # the estimated work of each part, in tokens

    @classmethod
    def of(cls, texts: Iterable[Text], size: int, work: Callable[[Example], float]) -> Survey:
        """Read all texts once, in chunks of so many rows."""
        rows, amounts, digest = 0, [], hashlib.sha256()
        for chunk in cut(texts, size):
            rows += len(chunk.rows)
            digest.update(chunk.digest.encode())
            amounts.append(sum(work(row) for row in chunk.rows if isinstance(row, Example)))
        return cls(rows, digest.hexdigest(), tuple(amounts))
