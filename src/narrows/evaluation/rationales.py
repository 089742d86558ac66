"""Agreement with people: do the tokens that a map scores high lie in what annotators marked as evidence?

The data are the movie reviews of ERASER (DeYoung et al. 2020; Zaidan et al. 2007). Agreement says how plausible a map
looks to people, not how faithful it is to the model: that is what the degradation test is for.
"""

from __future__ import annotations

import gzip
import importlib
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.data.example import Example
from narrows.data.tables import check_file
from narrows.errors import DataError, DependencyError, InputError
from narrows.evaluation.degradation import Array, removal_order
from narrows.models.text.encoding import Encoding

Span = tuple[int, int]
COLUMNS = ("text", "label", "rationale_token_spans")


@dataclass(frozen=True)
class Annotated:
    """A text with the evidence that people marked in it.

    Attributes:
        example: The text and its gold label, by name.
        spans: Start and end (exclusive) of each piece of evidence, in characters of the text.
    """

    example: Example
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Agreement:
    """How well maps agree with people, text by text.

    Attributes:
        auprc: See `auprc`; NaN for a text without an annotated token, (texts,).
        token_f1: See `token_f1`; likewise, (texts,).
    """

    auprc: Array
    token_f1: Array


def read_eraser(path: str | Path) -> Iterator[Annotated]:
    """Stream annotated reviews from JSON lines, compressed by gzip or not.

    A row has ``text``, ``label`` and ``rationale_token_spans``: first and last (exclusive) of the words of the text,
    split at white space. Where it has ``n_tokens`` too, that must be the number of words.

    Args:
        path: A ``.jsonl`` or ``.jsonl.gz`` file.

    Yields:
        The reviews.

    Raises:
        DataError: If the file cannot be read or a row is malformed; names the line.
    """
    path = Path(path)
    check_file(path)
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        number = 0
        try:
            for line in file:
                number += 1
                if line.strip():
                    yield _annotated(f"{path}, line {number}", line)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: cannot be read after line {number}: {error}") from error


def token_truth(encoding: Encoding, spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Tell which content tokens lie in the evidence.

    Args:
        encoding: The text; what was cut off has no tokens, and evidence there is lost.
        spans: Start and end (exclusive) in characters of the first text.

    Returns:
        True for a token that shares a character with a span, (content tokens,).
    """
    return np.array(
        [
            segment == 0 and any(max(offset[0], start) < min(offset[1], end) for start, end in spans)
            for segment, offset in zip(encoding.segments, encoding.offsets, strict=True)
            if segment is not None and offset is not None
        ],
        dtype=bool,
    )


def auprc(scores: Array, truth: NDArray[np.bool_]) -> float:
    """Compute the area under the curve of precision over recall, as average precision.

    sum over thresholds of (recall - recall before) * precision, without interpolation; tokens of equal score share a
    threshold (`sklearn.metrics.average_precision_score`).

    Args:
        scores: One per content token, (content tokens,); high = evidence.
        truth: Which of them are evidence, (content tokens,).

    Returns:
        From about the share of evidence (chance) to 1; NaN where no token is evidence.

    Raises:
        DependencyError: If scikit-learn is missing.
    """
    if not truth.any():
        return float("nan")
    try:
        metrics = importlib.import_module("sklearn.metrics")
    except ImportError as error:
        raise DependencyError('AUPRC needs scikit-learn: pip install "narrows[evaluate]"') from error
    return float(metrics.average_precision_score(truth, scores))


def token_f1(scores: Array, truth: NDArray[np.bool_]) -> float:
    """Compute F1 of the k tokens of highest score, k = the number of tokens that are evidence.

    As many tokens are chosen as people marked, so precision, recall and F1 are one number, and no threshold has to be
    tuned for maps of different scales. ERASER chooses the mean share of evidence in the data set instead. Ties go by
    position, as in the degradation test.

    Args:
        scores: One per content token, (content tokens,); high = evidence.
        truth: Which of them are evidence, (content tokens,).

    Returns:
        From 0 to 1; NaN where no token is evidence.

    Example:
        >>> token_f1(np.array([0.9, 0.1, 0.5]), np.array([True, True, False]))
        0.5
    """
    marked = int(truth.sum())
    if not marked:
        return float("nan")
    chosen = removal_order(scores, [True] * len(truth), "morf")[:marked]
    return float(truth[chosen].sum() / marked)


def agreement(scores: Sequence[Array], encodings: Sequence[Encoding], spans: Sequence[Sequence[Span]]) -> Agreement:
    """Compare maps with what people marked.

    Args:
        scores: The map of each text: one score per token, special tokens included; high = evidence.
        encodings: The texts as they were explained.
        spans: The evidence of each text, in characters.

    Returns:
        The agreement; NaN for texts of whose evidence nothing is left after the cut.

    Raises:
        InputError: If a map does not fit its text.
    """
    rows = []
    for own, encoding, marked in zip(scores, encodings, spans, strict=True):
        if len(own) != len(encoding):
            raise InputError(f"a map of {len(own)} scores does not fit a text of {len(encoding)} tokens")
        content = np.array([segment is not None for segment in encoding.segments])
        truth = token_truth(encoding, marked)
        kept = np.asarray(own, dtype=np.float64)[content]
        rows.append((auprc(kept, truth), token_f1(kept, truth)))
    both = np.array(rows).reshape(-1, 2)
    return Agreement(both[:, 0], both[:, 1])


def _annotated(where: str, line: bytes) -> Annotated:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: is not UTF-8 (byte {error.start + 1})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON: {error!s:.80}") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected an object, not {type(row).__name__}")
    missing = [column for column in COLUMNS if column not in row]
    if missing:
        raise DataError(f"{where}: no {', '.join(missing)}; it has {', '.join(row) or 'nothing'}")
    if not isinstance(row["label"], str):
        raise DataError(f"{where}: the label must be a name, not {row['label']!r:.60}")
    try:
        example = Example(row["text"], label=row["label"])
        example.text.encode()  # half of a character, which JSON's escapes can make, is no text
    except (InputError, UnicodeEncodeError) as error:
        raise DataError(f"{where}: {error}") from error
    return Annotated(example, _character_spans(where, example.text, row))


def _character_spans(where: str, text: str, row: dict[str, Any]) -> tuple[Span, ...]:
    words = list(re.finditer(r"\S+", text))
    if row.get("n_tokens", len(words)) != len(words):
        raise DataError(f"{where}: n_tokens is {row['n_tokens']!r:.60}, but the text has {len(words)} words")
    spans = row["rationale_token_spans"]
    if not isinstance(spans, list):
        raise DataError(f"{where}: rationale_token_spans must be a list, not {type(spans).__name__}")
    for span in spans:
        whole = isinstance(span, list) and len(span) == 2 and all(type(bound) is int for bound in span)
        if not (whole and 0 <= span[0] < span[1] <= len(words)):
            raise DataError(f"{where}: {span!r:.60} is no span of words of a text that has {len(words)}")
    return tuple((words[first].start(), words[last - 1].end()) for first, last in spans)
