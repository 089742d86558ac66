"""Scores of another tool, or of an earlier run, read from a file: to compare them with other methods."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np

from narrows.attribution import Attribution
from narrows.data.example import Example
from narrows.data.scores import Find, ScoredText, align, first_of, ranking_of, scores_from
from narrows.data.units import by_score
from narrows.errors import DataError, InputError
from narrows.methods.method import Batch, Names, Scores
from narrows.models.heads.continuation import Continuation
from narrows.models.heads.task import Question
from narrows.models.text.encoding import take


@dataclass(frozen=True)
class FromFile:
    """Scores from a file (`narrows.data.scores.scores_from`), by text; it must be about the same targets."""

    path: Annotated[str, "A .jsonl or .parquet file of scores, or the folder of a run; or NAME=FILE, to call it so."]

    names: ClassVar[Names] = {"file": {}}
    quantity, unit, signed, additive, copies = "score", "score", True, False, 1
    how = (
        "Where the tokens of the file are the model's, their scores are taken as they are. Others are placed in the "
        "text, and each score is shared among the model's tokens by the characters that they have in common."
    )

    @property
    def label(self) -> str:
        """For tables and figures: the name of the file."""
        return self._named[0] or f"file {self.file.name}"

    @property
    def file(self) -> Path:
        """The file or folder."""
        return Path(self._named[1])

    @property
    def _named(self) -> tuple[str, str]:
        """The name that the user gave, or none, and the path."""
        name, equals, path = self.path.partition("=")
        if equals and path and re.fullmatch(r"[^/\\]*\w[^/\\]*", name) and not Path(self.path).exists():
            return name.strip(), path
        return "", self.path

    @property
    def caption(self) -> str:
        """One plain sentence."""
        return f"These scores were not computed here: they come from {self.file.name}."

    def check(self, questions: Iterable[Question]) -> None:
        """Make sure that the file scores all texts, before hours of work; else a `DataError` on what it lacks."""
        faults = [self._fault(question) for question in questions]
        if found := [fault for fault in faults if fault is not None]:
            raise DataError(f"{len(found):,} of {len(faults):,} texts have no scores: {first_of(found)}")

    def explain(self, batch: Batch) -> list[Attribution]:
        """Look up the scores of texts; a `DataError` names one without a row, or a row whose tokens are not in it."""
        scores, rankings = zip(*map(self._scores, batch.questions), strict=True)
        return batch.attributions(self, scores, rankings=rankings)

    def _fault(self, question: Question) -> str | None:
        try:
            self._scores(question)
        except DataError as error:
            return str(error)
        return None

    def _scores(self, question: Question) -> tuple[Scores, Sequence[int]]:
        """Find the scores of a text on our tokens, (tokens,), and its ranking."""
        row, whole = self._row(question), question.encoding
        # Other tools score the prompt only; what the model reads of a continuation then has no score.
        continues = isinstance(question.target, Continuation) and row.example.text_pair is None
        size = len(whole) - (len(question.target.ids) - 1 if continues else 0)  # type: ignore[union-attr]
        scores, scored = np.zeros(len(whole)), take(whole, range(size))
        try:
            scores[:size] = align(row, scored)
        except InputError as error:
            raise DataError(f"{self.file}, line {row.line}: {error}") from error
        units = [unit for unit in question.units if unit[-1] < size]
        ranking = ranking_of(row, scored) or by_score(scores[:size], scored.segments, units)
        return scores, (*ranking, *(place for place in range(size, len(whole)) if whole.segments[place] is not None))

    def _row(self, question: Question) -> ScoredText:
        path, example = self.file, question.example
        changed = max((place.stat().st_mtime_ns for place in (path, path / "parts") if place.exists()), default=0)
        find = _opened(path, changed)
        found = find(example)
        if found is None and isinstance(question.target, Continuation):
            found = find(Example(example.text))
        if found is None:
            both = "text and text_pair" if example.text_pair is not None else "text (and no text_pair)"
            raise DataError(f"{path}: no row for {example.text!r:.60}: each text needs one with the same {both}")
        return found


@lru_cache(maxsize=8)
def _opened(path: Path, changed: int) -> Find:
    """Read a file once, as long as it does not change."""
    return scores_from(path)
