"""The parts of a run: chunks of its texts, and for each a file that appears whole or not at all, with a receipt."""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from narrows.data.example import Example
from narrows.data.output import PARTIAL, written_whole
from narrows.data.parquet import load_arrow, write_rows
from narrows.data.source import Text
from narrows.errors import DataError, NarrowsError

FOLDER = "parts"
COSTS = "costs"  # beside the parts: what was measured differs from run to run
RECEIPT = b"narrows"  # where a part has its receipt, in the metadata of its schema


@dataclass(frozen=True)
class Chunk:
    """Rows that follow each other; one that cannot be read is an error in its place, and so moves no other."""

    part: int  # the number of the part, from 0
    first: int  # the number of its first row, from 0
    rows: tuple[Text, ...]  # the texts; an error for each that cannot be read

    @property
    def digest(self) -> str:
        """SHA-256 of the rows, in hexadecimal digits."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def to_json(self) -> bytes:
        """Write the chunk as JSON."""
        rows = [str(r) if isinstance(r, NarrowsError) else [r.text, r.text_pair, r.label, r.id] for r in self.rows]
        return json.dumps([self.part, self.first, rows]).encode()

    @classmethod
    def from_json(cls, written: bytes) -> "Chunk":
        """Read what `to_json` wrote."""
        part, first, rows = json.loads(written)
        return cls(part, first, tuple(DataError(row) if isinstance(row, str) else Example(*row) for row in rows))


def cut(texts: Iterable[Text], size: int) -> "Iterator[Chunk]":
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
    def of(cls, texts: Iterable[Text], size: int, work: Callable[[Example], float]) -> "Survey":
        """Read all texts once, in chunks of so many rows."""
        rows, amounts, digest = 0, [], hashlib.sha256()
        for chunk in cut(texts, size):
            rows += len(chunk.rows)
            digest.update(chunk.digest.encode())
            amounts.append(sum(work(row) for row in chunk.rows if isinstance(row, Example)))
        return cls(rows, digest.hexdigest(), tuple(amounts))


@dataclass(frozen=True)
class Receipt:
    """What a part says of itself."""

    part: int  # its number, from 0
    rows: int  # texts in it, those with an error included
    errors: int  # texts that could not be explained
    tokens: int  # tokens that were explained
    texts_sha256: str  # of the texts that it was made from
    run_sha256: str  # of the settings, model and versions that it was made with
    first_error: str = ""  # the first text with an error, and the error; empty if there is none


Made = tuple[Receipt, str]  # a part's receipt, and the SHA-256 of its file


def part_file(out: Path, part: int) -> Path:
    """Name the file of a part in the folder of a run."""
    return out / FOLDER / f"part-{part:07d}.parquet"


def cost_file(out: Path, part: int) -> Path:
    """Name the file that says what a part cost."""
    return out / COSTS / f"part-{part:07d}.json"


def present_parts(out: Path) -> list[int]:
    """List the numbers of the parts in the folder of a run, rising."""
    numbers = (path.stem.removeprefix("part-") for path in (out / FOLDER).glob("part-*.parquet"))
    return sorted(int(number) for number in numbers if number.isdecimal())


def clean_folder(out: Path) -> None:
    """Make the folder of parts, and remove what an interrupted run left unfinished there; the run must be locked."""
    (out / FOLDER).mkdir(exist_ok=True)
    for path in (out / FOLDER).glob(f".*{PARTIAL}"):
        path.unlink(missing_ok=True)


def save_part(path: Path, rows: Iterable[Mapping[str, Any]], schema: Any, receipt: "Receipt") -> Made:
    """Write a part; it gets its name when it is on the disk. The same rows give the same bytes."""
    buffer = io.BytesIO()
    write_rows(buffer, rows, schema.with_metadata({RECEIPT: json.dumps(asdict(receipt))}))
    path.parent.mkdir(parents=True, exist_ok=True)
    # On a cluster two workers may make the same part, when one was thought dead: hence shared.
    with written_whole(path, durable=True, shared=True) as partial:
        partial.write_bytes(buffer.getbuffer())
    return receipt, hashlib.sha256(buffer.getbuffer()).hexdigest()


def check_part(path: Path) -> Made:
    """Read a whole part and check its checksums; a `DataError` if it is missing, damaged, or not a part."""
    arrow, parquet = load_arrow()
    try:
        content = path.read_bytes()
        with parquet.ParquetFile(io.BytesIO(content), page_checksum_verification=True) as file:
            receipt = Receipt(**json.loads(file.schema_arrow.metadata[RECEIPT]))
            rows = sum(batch.num_rows for batch in file.iter_batches())
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: run the same command again to make it") from error
    except (OSError, arrow.ArrowException, KeyError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} is damaged: {reason:.200}") from error
    if rows != receipt.rows:
        raise DataError(f"{path} is damaged: {rows} rows instead of {receipt.rows}")
    return receipt, hashlib.sha256(content).hexdigest()
