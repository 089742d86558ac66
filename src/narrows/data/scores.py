"""Scores of other tools and of runs, read from files and carried over to our tokens; sums over words stay."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby
from pathlib import Path
from typing import Any
from unicodedata import category, normalize

import numpy as np
from numpy.typing import NDArray

from narrows.data import parquet
from narrows.data.example import PAIR_COLUMNS, SINGLE_COLUMNS, Example
from narrows.data.tables import Row, check_file, parquet_rows, read_rows
from narrows.data.units import Place
from narrows.errors import DataError, InputError, NarrowsError

PER_TOKEN = ("scores", "starts", "ends", "segments", "ranks")
COLUMNS = (*dict.fromkeys([*chain(*PAIR_COLUMNS), *SINGLE_COLUMNS]), "tokens", *PER_TOKEN, "error")
SEPARATORS = {"[SEP]", "<sep>", "</s>", "<eos>", "<|endoftext|>", "<|end_of_text|>"}
UNPLACED = {"[CLS]", "[PAD]", "[MASK]", "[UNK]", "<cls>", "<s>", "<pad>", "<mask>", "<unk>", "<bos>"}
SPECIAL = SEPARATORS | UNPLACED | {"<|begin_of_text|>"}
SPACES = "\u0120\u010a\u2581"  # before a token: a space and a line break in bytes; a space of SentencePiece
# How byte-level tokenizers spell the 256 bytes: the visible ones as themselves, the others from U+0100 on.
_SEEN = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_BYTES = {chr(byte): byte for byte in _SEEN}
_BYTES |= {chr(0x100 + i): byte for i, byte in enumerate(byte for byte in range(256) if byte not in _SEEN)}
SHOWN = 3  # faults that a message names
Character = tuple[int, int]  # segment and offset
Placed = tuple[list[Character], float]  # what a token covers, and its score


@dataclass(frozen=True)
class ScoredText:
    """One row of a file: a text as another tool cut and scored it."""

    line: int  # in the file, counted from 1
    example: Example
    tokens: tuple[str, ...]  # as the other tool spells them, with or without special tokens
    scores: tuple[float, ...]  # a high one speaks for the target
    spans: tuple[Place | None, ...] | None = None  # None for a special token, and where the file does not say
    ranks: tuple[int | None, ...] | None = None  # the order of removal, 1 = first; None as above


Find = Callable[[Example], ScoredText | None]


def scores_from(path: Path) -> Find:
    """Find a text's scores in a file or a run: the row with its texts, ``tokens`` and as many ``scores``."""
    if path.is_dir():
        return _folder(path)
    check_file(path)
    if path.suffix.lower() not in (".jsonl", ".parquet"):
        raise DataError(f"{path}: unknown kind of file for scores; use .jsonl or .parquet")
    rows: dict[bytes, ScoredText] = {}
    faults: list[str] = []
    for row in parquet_rows(path, COLUMNS) if path.suffix.lower() == ".parquet" else read_rows(path):
        if isinstance(row, NarrowsError):
            faults.append(str(row))
        elif row.values.get("error") is None:
            try:
                scored = _scored_text(row)
                first = rows.setdefault(_key(scored.example.text, scored.example.text_pair), scored)
                _check_twin(first, scored)
            except InputError as error:
                faults.append(f"{path}, line {row.line}: {error}")
    if faults:
        raise DataError(first_of(faults))
    if not rows:
        raise DataError(f"{path}: holds no rows")
    return lambda example: rows.get(_key(example.text, example.text_pair))


def first_of(faults: Sequence[str]) -> str:
    """Say what is wrong with rows: the first few, and how many more there are."""
    more = len(faults) - SHOWN
    return "; ".join(faults[:SHOWN]) + (f"; and {more:,} more" if more > 0 else "")


def align(row: ScoredText, encoding: Any) -> NDArray[np.float64]:
    """Carry scores over to our tokens of the same text, (tokens,); 0 for special ones and what the other tool lacks."""
    scores = np.zeros(len(encoding.tokens))
    if (same := _same(row, encoding)) is not None:
        scores[same] = row.scores
        return scores
    # Each score is shared among our tokens in proportion to the visible characters that they have in common with its
    # token, which is placed in the text by its span, else by searching, whatever its case, accents and marks.
    owners: dict[Character, list[int]] = {}  # of a visible character: the bytes of an emoji are several tokens
    for position, (segment, span) in enumerate(zip(encoding.segments, encoding.offsets, strict=True)):
        if segment is not None and span is not None:
            for character in _visible(row.example, segment, *span):
                owners.setdefault(character, []).append(position)
    for place, score in _located(row):
        covered = [owners[character] for character in place if character in owners]
        for tokens in covered:
            scores[tokens] += score / len(covered) / len(tokens)
    return scores


def ranking_of(row: ScoredText, encoding: Any) -> tuple[int, ...] | None:
    """Give the file's order of removal, as positions; None if it has none, or tokens other than ours."""
    if (same := _same(row, encoding)) is None or row.ranks is None:
        return None
    ranked = [(rank, place) for rank, place in zip(row.ranks, same, strict=True) if rank is not None]
    return tuple(place for _, place in sorted(ranked))


def _same(row: ScoredText, encoding: Any) -> list[int] | None:
    """List our positions of the file's tokens where these are ours: all, or all that are not special."""
    everything = list(range(len(encoding.tokens)))
    content = [position for position in everything if encoding.segments[position] is not None]
    same = (own for own in (everything, content) if row.tokens == tuple(encoding.tokens[i] for i in own))
    return next(same, None)


def _folder(folder: Path) -> Find:
    """Find scores in the parts of a run, or in any folder of Parquet files with the same columns."""
    paths = sorted((folder / "parts").glob("*.parquet")) or sorted(folder.glob("*.parquet"))
    if not paths:
        raise DataError(f"{folder}: neither a file of scores nor the folder of a run: it holds no .parquet files")
    places: dict[bytes, tuple[Path, int]] = {}
    for path in paths:
        for number, values in enumerate(parquet.read_rows(path, ("text", "text_pair", "error"))):
            if values.get("error") is None:
                places.setdefault(_key(values.get("text"), values.get("text_pair")), (path, number))

    @lru_cache(maxsize=4)  # files whose rows are held at a time
    def rows(path: Path) -> list[parquet.ParquetRow]:
        return list(parquet.read_rows(path, COLUMNS))

    def find(example: Example) -> ScoredText | None:
        path, number = places.get(_key(example.text, example.text_pair), (None, 0))
        try:
            return None if path is None else _scored_text(Row(number + 1, rows(path)[number]))
        except InputError as error:
            raise DataError(f"{path}, line {number + 1}: {error}") from error

    return find


def _key(text: str | None, text_pair: str | None) -> bytes:
    return hashlib.blake2b(repr((text, text_pair)).encode(), digest_size=16).digest()


def _scored_text(row: Row) -> ScoredText:
    """Check a row, or raise an `InputError`."""
    values = {name: value for name, value in row.values.items() if not (name == "text_pair" and value == "")}
    if isinstance(values.get("tokens"), list) and all(isinstance(token, Mapping) for token in values["tokens"]):
        # Our own records: an object per token.
        values |= {name: [token.get(key) for token in values["tokens"]] for key, name in parquet.TOKEN.items()}
    tokens, scores = _listed(values, "tokens"), _listed(values, "scores")
    for name in PER_TOKEN:
        if values.get(name) is not None and len(_listed(values, name)) != len(tokens):
            raise InputError(f"{len(tokens)} tokens but {len(values[name])} {name}: each token needs one")
    for position, (token, score) in enumerate(zip(tokens, scores, strict=True), start=1):
        if not isinstance(token, str):
            raise InputError(f"token {position} must be a string, not {token!r:.40}")
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise InputError(f"score {position} must be a finite number, not {score!r:.40}")
    for name in ("starts", "ends", "segments", "ranks"):
        for position, number in enumerate(values.get(name) or (), start=1):
            if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
                raise InputError(f"{name}, token {position}: must be a whole number or null, not {number!r:.40}")
    example = Example.of(values)
    ranks = None if values.get("ranks") is None else tuple(values["ranks"])
    return ScoredText(row.line, example, tuple(tokens), tuple(map(float, scores)), _spans(values, example), ranks)


def _check_twin(first: ScoredText, other: ScoredText) -> None:
    """Raise an `InputError` if two rows score one text differently; the same again, but for rounding, is no harm."""
    alike = first.tokens == other.tokens and np.allclose(first.scores, other.scores, rtol=1e-3, atol=1e-6)
    if not alike:
        raise InputError(f"scores the text of line {first.line} again, and differently")


def _listed(values: Mapping[str, Any], name: str) -> list[Any]:
    listed = values.get(name)
    if not isinstance(listed, list) or not listed:
        raise InputError(f"'{name}' must be a list with one entry per token, not {listed!r:.40}")
    return listed


def _spans(values: Mapping[str, Any], example: Example) -> tuple[Place | None, ...] | None:
    """Check the places of tokens, where a row has them."""
    starts, ends = values.get("starts"), values.get("ends")
    if starts is None or ends is None:
        return None
    sizes = (len(example.text), len(example.text_pair or ""))
    spans: list[Place | None] = []
    for place in zip(values.get("segments") or [0] * len(starts), starts, ends, strict=True):
        segment, start, end = place
        if None not in place and not (segment in (0, 1) and 0 <= start <= end <= sizes[segment]):
            raise InputError(f"token {len(spans) + 1} is at {start!r} to {end!r}, which is not in the text")
        spans.append(None if None in place else place)
    return tuple(spans)


def _visible(example: Example, segment: int, start: int, end: int) -> list[Character]:
    text = example.text_pair or "" if segment else example.text
    return [(segment, offset) for offset in range(start, end) if not text[offset].isspace()]


def _located(row: ScoredText) -> list[Placed]:
    """Find the characters of each token: by its span, or by searching; an `InputError` if one is not there."""
    if row.spans is not None:
        scored = [(span, score) for span, score in zip(row.spans, row.scores, strict=True) if span]
        placed = [[(_visible(row.example, *span), s) for span, s in scored if span[0] == segment] for segment in (0, 1)]
        return _settled(placed[0]) + _settled(placed[1])
    texts = [row.example.text] if row.example.text_pair is None else [row.example.text, row.example.text_pair]
    spellings = [False]
    if all(character in _BYTES for token in row.tokens if token not in SPECIAL for character in token):
        # Spelled byte by byte perhaps, as by GPT-2 and RoBERTa: tried first where their marks are seen.
        spellings = [True, False] if any(token[:1] in ("\u0120", "\u010a") for token in row.tokens) else [False, True]
    problems = []
    for in_bytes in spellings:
        try:
            return _searched(row, [_Search(segment, text, in_bytes) for segment, text in enumerate(texts)])
        except InputError as error:
            problems.append(error)
    raise problems[0]


def _settled(placed: list[Placed]) -> list[Placed]:
    """Give the score of a token that cannot be seen to the next one, that of the last to the one before."""
    settled: list[Placed] = []
    waiting = 0.0
    for place, score in placed:
        if place:
            settled.append((place, waiting + score))
        waiting = 0.0 if place else waiting + score
    if settled:
        settled[-1] = (settled[-1][0], settled[-1][1] + waiting)
    return settled


class _Search:
    """A text to search tokens in: bytes without white space and case, and, if not spelled in bytes, without accents."""

    def __init__(self, segment: int, text: str, in_bytes: bool) -> None:
        self.in_bytes = in_bytes
        pieces = [_lowered(character.encode()) if in_bytes else _folded(character) for character in text]
        self.characters = [(segment, offset) for offset, piece in enumerate(pieces) for _ in piece]  # of each byte
        self.written = b"".join(pieces)

    def find(self, token: str, start: int) -> tuple[int, int] | None:
        """Find the first place of a token, as bytes, from a byte on."""
        places = ((self.written.find(w, start), len(w)) for w in _spelled(token, self.in_bytes))
        return min(((place, place + size) for place, size in places if place >= 0), default=None)


def _spelled(token: str, in_bytes: bool) -> list[bytes]:
    """List what a token may be in the text: as it is, or without its marks; nothing if it is white space."""
    if in_bytes:
        return [written] if (written := _lowered(bytes(_BYTES[character] for character in token))) else []
    # WordPiece continues a word by ##; older byte-pair encodings end one by </w>, or continue it by @@.
    spaced = token.lstrip(SPACES)
    bare = spaced.removeprefix("##").removesuffix("</w>").removesuffix("@@")
    return [written for spelling in (token, spaced, bare) if spaced and (written := _folded(spelling))]


def _lowered(written: bytes) -> bytes:
    return written.lower().translate(None, b" \t\n\r\f\v")


@lru_cache(maxsize=100_000)
def _folded(text: str) -> bytes:
    """Write a text without case, accents and white space."""
    letters = normalize("NFKD", normalize("NFKD", text).casefold())
    return "".join(c for c in letters if category(c) != "Mn" and not c.isspace()).encode("utf-8", "surrogatepass")


def _searched(row: ScoredText, searches: Sequence[_Search]) -> list[Placed]:
    """Find all tokens in the texts, in order; a separator says where the second text starts."""
    parts = groupby(range(len(row.tokens)), key=lambda position: row.tokens[position] in SEPARATORS)
    runs = [[i for i in part if row.tokens[i] not in SPECIAL] for separates, part in parts if not separates]
    runs = [run for run in runs if run]
    if len(searches) == len(runs) == 2:
        return [placed for search, run in zip(searches, runs, strict=True) for placed in _followed(row, run, [search])]
    return _followed(row, [*chain(*runs)], searches)


def _followed(row: ScoredText, run: Sequence[int], searches: Sequence[_Search]) -> list[Placed]:
    """Find tokens one after the other in the texts."""
    placed: list[Placed] = []
    segment = start = 0
    for position in run:
        place: list[Character] = []
        token = row.tokens[position]
        if segment < len(searches) and _spelled(token, searches[segment].in_bytes):
            while (hit := searches[segment].find(token, start)) is None:
                segment, start = segment + 1, 0
                if segment == len(searches):
                    texts = " | ".join(filter(None, (row.example.text, row.example.text_pair)))
                    after = " ".join(row.tokens[max(position - 3, 0) : position])
                    where = f"after {after!r:.60} in" if after else "in"
                    raise InputError(f"token {position + 1}, {token!r:.40}, is not {where} the text {texts!r:.60}")
            start = hit[1]
            place = list(dict.fromkeys(searches[segment].characters[slice(*hit)]))
        placed.append((place, row.scores[position]))
    return _settled(placed)
