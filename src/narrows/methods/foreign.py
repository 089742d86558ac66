"""Scores of other tools, read from a file and carried over to our tokens.

Tools cut texts differently. Where the file's tokens are not ours, both are placed in the original string, and each
score is shared among our tokens by the characters that they have in common with its token. So sums over words stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any
from unicodedata import category, normalize

import numpy as np

from narrows.data.example import Example
from narrows.data.tables import Row, check_file, read_rows
from narrows.errors import DataError, DependencyError, InputError
from narrows.methods.method import Batch, Method, Scores, content_positions
from narrows.methods.run_folder import RunFolder
from narrows.models.hub.loading import Classifier
from narrows.models.text.encoding import Encoding

SEPARATORS = {"[SEP]", "<sep>", "</s>", "<eos>", "<|endoftext|>", "<|end_of_text|>"}
UNPLACED = {"[CLS]", "[PAD]", "[MASK]", "[UNK]", "<cls>", "<s>", "<pad>", "<mask>", "<unk>", "<bos>"}
UNPLACED |= {"<|begin_of_text|>"}
SPACES = "\u0120\u010a\u2581"  # before a token: a space and a line break in bytes; a space of SentencePiece

# How byte-level tokenizers spell the 256 bytes: those that can be seen as themselves, the others from U+0100 on.
_SEEN = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_BYTES = {chr(byte): byte for byte in _SEEN}
_BYTES |= {chr(0x100 + i): byte for i, byte in enumerate(byte for byte in range(256) if byte not in _SEEN)}


@dataclass(frozen=True)
class ScoredText:
    """One row of a file: a text as another tool cut and scored it.

    Attributes:
        line: Where it stands in the file, counted from 1.
        example: The text or the pair.
        tokens: As the other tool spells them, with or without special tokens.
        scores: One per token; a high one speaks for the target.
    """

    line: int
    example: Example
    tokens: tuple[str, ...]
    scores: tuple[float, ...]


def from_file(path: str) -> Method:
    """Give the scores that another tool wrote into a file.

    Scores of special tokens, and of [UNK] where the tokens are not ours, are left out; so is what our encoding cuts
    off. Where a text stands in several rows, the first counts.

    Args:
        path: As for `read_scores`; or the folder of ``narrows run``, of which only what is asked for is read.

    Returns:
        The method. It looks up every text by its string and raises a `DataError` for one that has no row, or whose
        tokens do not stand in it one after the other. It knows of no target: the file must be about the same ones.

    Raises:
        DataError: If the file is missing or malformed; names file and line.
    """
    find = _finder(Path(str(path)))

    def explain(classifier: Classifier, batch: Batch, targets: Sequence[int]) -> list[Scores]:
        scores = []
        for example, encoding in zip(batch.examples, batch.encodings, strict=True):
            row = find(example)
            if row is None:
                both = "text and text_pair" if example.text_pair is not None else "text (and no text_pair)"
                raise DataError(f"{path}: no row for {example.text!r:.60}: each text needs one with the same {both}")
            try:
                scores.append(align(row, encoding))
            except InputError as error:
                raise DataError(f"{path}, line {row.line}: {error}") from error
        return scores

    return explain


def _finder(path: Path) -> Callable[[Example], ScoredText | None]:
    """Make what finds the row of a text."""
    if path.is_dir():
        folder = RunFolder.of(path)

        def find(example: Example) -> ScoredText | None:
            row = folder.find(example.text, example.text_pair)
            return None if row is None else _scored_text(row)

        return find
    rows: dict[tuple[str, str | None], ScoredText] = {}
    for row in read_scores(path):
        rows.setdefault((row.example.text, row.example.text_pair), row)
    return lambda example: rows.get((example.text, example.text_pair))


def read_scores(path: Path) -> list[ScoredText]:
    """Read the scores of another tool.

    Args:
        path: A .jsonl or .parquet file. Each row has ``text``, for a pair ``text_pair`` (or the other names that
            `Example.of` knows), ``tokens``, a list of strings, and ``scores``, a list of as many numbers.

    Returns:
        The rows.

    Raises:
        DataError: If the file is missing, of another kind, or a row is malformed; names file and line.
        DependencyError: If a Parquet file is given and pyarrow is not installed.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "scores.jsonl"
        >>> _ = path.write_text('{"text": "Good film", "tokens": ["good", "film"], "scores": [0.8, 0.1]}')
        >>> read_scores(path)[0].scores
        (0.8, 0.1)
    """
    check_file(path)
    if path.suffix.lower() == ".parquet":
        rows: Iterator[Row | DataError] = _parquet_rows(path)
    elif path.suffix.lower() == ".jsonl":
        rows = read_rows(path)
    else:
        raise DataError(f"{path}: unknown kind of file for scores; use .jsonl or .parquet")
    found = []
    for row in rows:
        if isinstance(row, DataError):
            raise row
        try:
            found.append(_scored_text(row))
        except InputError as error:
            raise DataError(f"{path}, line {row.line}: {error}") from error
    if not found:
        raise DataError(f"{path}: holds no rows")
    return found


def align(row: ScoredText, encoding: Encoding) -> Scores:
    """Carry the scores of another tool over to our tokens of the same text.

    Tokens that are ours, with or without the special ones, are taken one to one. Others are searched in the text one
    after the other, whatever their case, accents and word-piece marks, and each score is shared among our tokens in
    proportion to the visible characters that they have in common.

    Args:
        row: The text as the other tool sees it.
        encoding: The text as our classifier reads it.

    Returns:
        One score per token of the encoding, 0 where there is nothing to carry over.

    Raises:
        InputError: If a token does not stand in the text where it should.
    """
    scores = np.zeros(len(encoding))
    content = content_positions(encoding)
    if row.tokens == encoding.tokens:
        scores[:] = row.scores
    elif row.tokens == tuple(encoding.tokens[position] for position in content):
        scores[content] = row.scores
    else:
        owners = _owners(row.example, encoding)
        for place, score in _locate(row):
            covered = [owners[character] for character in place if character in owners]
            for tokens in covered:
                scores[tokens] += score / len(covered) / len(tokens)
    return scores


_Character = tuple[int, int]  # segment and offset
_Placed = tuple[list[_Character], float]  # what a token covers, and its score


def _owners(example: Example, encoding: Encoding) -> dict[_Character, list[int]]:
    """List the tokens of every visible character; the bytes of an emoji are several tokens of one character."""
    owners: dict[_Character, list[int]] = {}
    for position, (segment, span) in enumerate(zip(encoding.segments, encoding.offsets, strict=True)):
        if segment is None or span is None:
            continue
        text = example.text if segment == 0 else example.text_pair or ""
        for offset in range(*span):
            if not text[offset].isspace():
                owners.setdefault((segment, offset), []).append(position)
    return owners


@dataclass(frozen=True)
class _Spelling:
    """A way to write texts and tokens as bytes without white space, so that one can be found in the other.

    Attributes:
        in_bytes: Tokens are spelled byte by byte, as by GPT-2 and RoBERTa; else by folded characters.
    """

    in_bytes: bool

    def character(self, character: str) -> bytes:
        """Write a character of the text, as nothing where it cannot be seen."""
        if character.isspace() and (character.isascii() or not self.in_bytes):
            return b""
        return character.encode("utf-8", "surrogatepass").lower() if self.in_bytes else _folded(character)

    def token(self, token: str) -> list[bytes]:
        """List what a token may be in the text: as it stands, or without its marks; nothing if it is white space."""
        if self.in_bytes:
            return [b"".join(bytes([_BYTES[character]]) for character in token).lower().translate(None, b" \t\n\r\f\v")]
        # WordPiece goes on with a word by ##; older byte-pair encodings end one by </w>, or go on with it by @@.
        spaced = token.lstrip(SPACES)
        bare = spaced.removeprefix("##").removesuffix("</w>").removesuffix("@@")
        return [_folded(token), _folded(spaced), _folded(bare)] if spaced else []


@lru_cache(maxsize=100_000)
def _folded(text: str) -> bytes:
    """Write a text without case, accents and white space."""
    letters = normalize("NFKD", normalize("NFKD", text).casefold())
    return "".join(c for c in letters if category(c) != "Mn" and not c.isspace()).encode("utf-8", "surrogatepass")


def _locate(row: ScoredText) -> list[_Placed]:
    """Find where the tokens of another tool stand.

    Args:
        row: The text with its tokens.

    Returns:
        The characters of each token that was found, and its score.

    Raises:
        InputError: If a token does not stand in the text where it should.
    """
    special = SEPARATORS | UNPLACED
    plain, bytewise = _Spelling(in_bytes=False), _Spelling(in_bytes=True)
    spellings = [plain]
    if all(character in _BYTES for token in row.tokens if token not in special for character in token):
        marked = any(token[:1] in ("\u0120", "\u010a") for token in row.tokens)
        spellings = [bytewise, plain] if marked else [plain, bytewise]
    problems = []
    for spelling in spellings:
        try:
            return _found(row, spelling)
        except InputError as error:
            problems.append(error)
    raise problems[0]


def _found(row: ScoredText, spelling: _Spelling) -> list[_Placed]:
    """Find all tokens in one spelling, or raise an `InputError`."""
    texts = [row.example.text, *([] if row.example.text_pair is None else [row.example.text_pair])]
    searches = [_Search.of(segment, text, spelling) for segment, text in enumerate(texts)]
    runs = _runs(row.tokens)
    found: list[_Placed] = []
    if len(searches) == len(runs) == 2:  # a separator says where the second text starts
        for search, run in zip(searches, runs, strict=True):
            found += _follow(row, run, [search], spelling)
        return found
    return _follow(row, [position for run in runs for position in run], searches, spelling)


def _runs(tokens: Sequence[str]) -> list[list[int]]:
    """List the positions of the tokens to be placed, between separators."""
    runs: list[list[int]] = [[]]
    for position, token in enumerate(tokens):
        if token in SEPARATORS and runs[-1]:
            runs.append([])
        elif token not in SEPARATORS | UNPLACED:
            runs[-1].append(position)
    return [run for run in runs if run]


@dataclass(frozen=True)
class _Search:
    """A text in which tokens are searched.

    Attributes:
        written: Its spelling.
        characters: The character of the text that each byte of it belongs to.
    """

    written: bytes
    characters: list[_Character]

    @classmethod
    def of(cls, segment: int, text: str, spelling: _Spelling) -> _Search:
        """Write down a text."""
        pieces = [spelling.character(character) for character in text]
        characters = [(segment, offset) for offset, piece in enumerate(pieces) for _ in piece]
        return cls(b"".join(pieces), characters)


def _follow(row: ScoredText, run: Sequence[int], searches: Sequence[_Search], spelling: _Spelling) -> list[_Placed]:
    """Find tokens one after the other; one that cannot be seen gives its score to the next, the last to the one before.

    Args:
        row: Their text.
        run: Their positions.
        searches: Where to look: the texts in their order.
        spelling: How both are written.

    Returns:
        The characters of each token that was found, and its score.

    Raises:
        InputError: If one is not found.
    """
    found: list[_Placed] = []
    segment = start = 0
    waiting = 0.0
    for position in run:
        wanted = [written for written in spelling.token(row.tokens[position]) if written]
        waiting += row.scores[position]
        if not wanted:
            continue
        place = None
        while place is None and segment < len(searches):
            search = searches[segment]
            hits = [(hit, len(written)) for written in wanted if (hit := search.written.find(written, start)) >= 0]
            place = min(hits, default=None)
            if place is None:
                segment, start = segment + 1, 0
        if place is None:
            raise InputError(_not_found(row, position))
        start = place[0] + place[1]
        found.append((list(dict.fromkeys(searches[segment].characters[place[0] : start])), waiting))
        waiting = 0.0
    if waiting and found:
        found[-1] = (found[-1][0], found[-1][1] + waiting)
    return found


def _not_found(row: ScoredText, position: int) -> str:
    after = " ".join(row.tokens[max(position - 3, 0) : position])
    where = f"after {after!r:.60} in" if after else "in"
    text = row.example.text if row.example.text_pair is None else f"{row.example.text} | {row.example.text_pair}"
    return f"token {position + 1}, {row.tokens[position]!r:.40}, does not stand {where} the text {text!r:.60}"


def _scored_text(row: Row) -> ScoredText:
    """Check a row, or raise an `InputError`."""
    values = {name: value for name, value in row.values.items() if not (name == "text_pair" and value in (None, ""))}
    tokens, scores = _listed(values, "tokens"), _listed(values, "scores")
    if len(tokens) != len(scores):
        raise InputError(f"{len(tokens)} tokens but {len(scores)} scores: each token needs one")
    for position, token in enumerate(tokens, start=1):
        if not isinstance(token, str):
            raise InputError(f"token {position} must be a string, not {token!r:.40}")
    for position, score in enumerate(scores, start=1):
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise InputError(f"score {position} must be a finite number, not {score!r:.40}")
    return ScoredText(row.line, Example.of(values), tuple(tokens), tuple(map(float, scores)))


def _listed(values: Mapping[str, Any], name: str) -> list[Any]:
    listed = values.get(name)
    if not isinstance(listed, list) or not listed:
        raise InputError(f"'{name}' must be a list with one entry per token, not {listed!r:.40}")
    return listed


def _parquet_rows(path: Path) -> Iterator[Row | DataError]:
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise DependencyError(f'{path}: Parquet needs pyarrow: pip install "narrows[parquet]"') from error
    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(number, values)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise DataError(f"{path}: not a Parquet file that can be read: {str(error).splitlines()[0]}") from error
