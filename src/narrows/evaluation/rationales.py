"""Agreement with people: are the tokens with high scores those that annotators marked as evidence?

The data are the movie reviews of ERASER (DeYoung et al. 2020; Zaidan et al. 2007). Agreement says how plausible a map
is to people, not how faithful it is to the model: the degradation test measures that.
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

from narrows.attribution import Attribution
from narrows.data.example import Example
from narrows.data.tables import check_file
from narrows.errors import DataError, DependencyError, InputError
from narrows.evaluation.degradation import Array
from narrows.models.text.encoding import Encoding

Span = tuple[int, int]
COLUMNS = ("text", "label", "rationale_token_spans")


@dataclass(frozen=True)
class Annotated:
    """A text, and the evidence that people marked in it."""

    example: Example  # the text and its gold label, by name
    spans: tuple[Span, ...]  # start and end (exclusive) of each piece of evidence, in characters of the text


@dataclass(frozen=True)
class Agreement:
    """How well attributions agree with people, text by text."""

    auprc: Array  # see `auprc`; NaN for a text without an annotated token, (texts,)
    token_f1: Array  # see `token_f1`; likewise, (texts,)


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


def token_truth(text: Encoding | Attribution, spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Tell which tokens of a text are evidence: True for a content token that shares a character with a span.

    Args:
        text: The text; what was cut off has no tokens, and evidence there is lost.
        spans: Start and end (exclusive) in characters of the first text.

    Returns:
        One per token, (tokens,).
    """
    return np.array(
        [
            segment == 0 and offset is not None and any(max(offset[0], s) < min(offset[1], e) for s, e in spans)
            for segment, offset in zip(text.segments, text.offsets, strict=True)
        ],
        dtype=bool,
    )


def auprc(scores: Array, truth: NDArray[np.bool_]) -> float:
    """Compute the area under the precision-recall curve (`sklearn.metrics.average_precision_score`).

    The sum over thresholds of (recall - recall before) * precision; tokens of equal score share a threshold.

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


def token_f1(ranking: Sequence[int], truth: NDArray[np.bool_]) -> float:
    """Compute F1 of the first k tokens of a ranking, k = the number of tokens that are evidence.

    As many tokens are chosen as people marked, so precision, recall and F1 are one number, and no threshold has to be
    tuned. ERASER chooses the mean share of evidence in the data set instead.

    Args:
        ranking: Positions of the content tokens, the most relevant first.
        truth: Which tokens are evidence, (tokens,).

    Returns:
        From 0 to 1; NaN where no token is evidence.

    Example:
        >>> token_f1([0, 2, 1], np.array([True, True, False]))
        0.5
    """
    marked = int(truth.sum())
    return float(truth[list(ranking[:marked])].sum() / marked) if marked else float("nan")


def agreement(attributions: Sequence[Attribution], spans: Sequence[Sequence[Span]]) -> Agreement:
    """Compare attributions with what people marked.

    Args:
        attributions: The attribution of each text.
        spans: The evidence of each text, in characters.

    Returns:
        The agreement; NaN for texts whose evidence was all cut off.
    """
    rows = []
    for own, marked in zip(attributions, spans, strict=True):
        truth, content = token_truth(own, marked), sorted(own.ranking)
        rows.append((auprc(own.scores[content], truth[content]), token_f1(own.ranking, truth)))
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
    except InputError as error:
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
