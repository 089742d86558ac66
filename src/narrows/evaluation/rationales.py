"""Agreement with what people marked in movie reviews (ERASER, DeYoung et al. 2020): is a map plausible to them?"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from narrows.attribution import Attribution
from narrows.attributions import Result
from narrows.data.example import Example
from narrows.data.tables import check_file
from narrows.errors import DataError, InputError, need, strict
from narrows.evaluation.degradation import Array
from narrows.models.text.encoding import Encoding

COLUMNS = ("text", "label", "rationale_token_spans")


@dataclass(frozen=True)
class Annotated:
    """A text, and the evidence that people marked in it."""

    example: Example  # the text and its gold label, by name
    spans: tuple[tuple[int, int], ...]  # start and end (exclusive) of each piece of evidence, in characters of the text


@dataclass(frozen=True)
class Agreement:
    """How well attributions agree with people, text by text."""

    auprc: Array  # see `auprc`; NaN for a text without an annotated token, (texts,)
    token_f1: Array  # see `token_f1`; likewise, (texts,)


def read_eraser(path: str | Path) -> Iterator[Annotated]:
    """Stream rows of ``text``, ``label`` and ``rationale_token_spans`` (words, end exclusive) of a ``.jsonl[.gz]``."""
    path = Path(path)
    check_file(path)
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        number = 0
        try:
            for line in file:
                number += 1
                if line.strip():
                    yield _annotated(line)
        except InputError as error:
            raise DataError(f"{path}, line {number}: {error}") from error
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: cannot be read after line {number}: {error}") from error


def token_truth(text: Encoding | Attribution, spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Tell which tokens of the first text share a character with evidence, (tokens,)."""
    places = zip(text.segments, text.offsets, strict=True)
    offsets = [offset if segment == 0 and offset else (0, 0) for segment, offset in places]
    return np.array([any(max(start, s) < min(end, e) for s, e in spans) for start, end in offsets], dtype=bool)


def auprc(scores: Array, truth: NDArray[np.bool_]) -> float:
    """Compute the area under the precision-recall curve, both (content tokens,); NaN where no token is evidence."""
    if not truth.any():
        return float("nan")
    metrics = need("sklearn.metrics", 'AUPRC needs scikit-learn: pip install "narrows[evaluate]"')
    return float(metrics.average_precision_score(truth, scores))


def token_f1(ranking: Sequence[int], truth: NDArray[np.bool_]) -> float:
    """Compute F1 of as many first tokens of a ranking as are evidence (ERASER: the mean share); NaN where none is."""
    marked = int(truth.sum())
    return float(truth[list(ranking[:marked])].sum() / marked) if marked else float("nan")


def agreement(attributions: Sequence[Result], spans: Sequence[Sequence[tuple[int, int]]]) -> Agreement:
    """Compare attributions, none an error, with spans that people marked, in characters; NaN where all were cut off."""
    rows = []
    for own, marked in zip(strict(attributions), spans, strict=True):
        truth, content = token_truth(own, marked), sorted(own.ranking)
        rows.append((auprc(own.scores[content], truth[content]), token_f1(own.ranking, truth)))
    both = np.array(rows).reshape(-1, 2)
    return Agreement(both[:, 0], both[:, 1])


def _annotated(line: bytes) -> Annotated:
    """Read a row, or raise an `InputError`."""
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 (byte {error.start + 1})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error!s:.80}") from error
    if not isinstance(row, dict):
        raise InputError(f"expected an object, not {type(row).__name__}")
    if missing := [column for column in COLUMNS if column not in row]:
        raise InputError(f"no {', '.join(missing)}; it has {', '.join(row) or 'nothing'}")
    text, label, spans = (row[column] for column in COLUMNS)
    if not isinstance(label, str):
        raise InputError(f"the label must be a name, not {label!r:.60}")
    example = Example(text, label=label)
    words = list(re.finditer(r"\S+", example.text))
    if row.get("n_tokens", len(words)) != len(words):
        raise InputError(f"n_tokens is {row['n_tokens']!r:.60}, but the text has {len(words)} words")
    if not isinstance(spans, list):
        raise InputError(f"rationale_token_spans must be a list, not {type(spans).__name__}")
    for span in spans:
        whole = isinstance(span, list) and len(span) == 2 and all(type(bound) is int for bound in span)
        if not (whole and 0 <= span[0] < span[1] <= len(words)):
            raise InputError(f"{span!r:.60} is no span of words of a text that has {len(words)}")
    return Annotated(example, tuple((words[first].start(), words[last - 1].end()) for first, last in spans))
