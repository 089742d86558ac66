"""Scores of another tool, or of an earlier run, read from a file: to compare them with other methods."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar

from narrows.attribution import Attribution
from narrows.data.example import Example
from narrows.data.scores import Find, ScoredText, align, first_of, ranking_of, scores_from
from narrows.errors import DataError, InputError
from narrows.methods.method import Batch, Names, Scores
from narrows.models.text.encoding import Encoding


@dataclass(frozen=True)
class FromFile:
    """Scores from a file (`narrows.data.scores.scores_from`), by text; it must be about the same targets."""

    path: Annotated[str, "A .jsonl or .parquet file of scores, or the folder of a run."]

    names: ClassVar[Names] = {"file": {}}
    quantity, unit, signed, additive, copies = "score", "score", True, False, 1
    how = (
        "Where the tokens of the file are the model's, their scores are taken as they are. Others are placed in the "
        "text, and each score is shared among the model's tokens by the characters that they have in common."
    )

    @property
    def label(self) -> str:
        """For tables and figures: the name of the file."""
        return f"file {Path(self.path).name}"

    @property
    def caption(self) -> str:
        """One plain sentence."""
        return f"These scores were not computed here: they come from {Path(self.path).name}."

    def check(self, texts: Iterable[tuple[Example, Encoding]]) -> None:
        """Make sure that the file scores all texts, before hours of work; else a `DataError` on what it lacks."""
        faults = [self._fault(example, encoding) for example, encoding in texts]
        if found := [fault for fault in faults if fault is not None]:
            raise DataError(f"{len(found):,} of {len(faults):,} texts have no scores: {first_of(found)}")

    def explain(self, batch: Batch) -> list[Attribution]:
        """Look up the scores of texts; a `DataError` names one without a row, or a row whose tokens are not in it."""
        scores, rankings = [], []
        for example, encoding in zip(batch.examples, batch.encodings, strict=True):
            row, own = self._scores(example, encoding)
            scores.append(own)
            rankings.append(ranking_of(row, encoding))
        return batch.attributions(self, scores, rankings=rankings)

    def _fault(self, example: Example, encoding: Encoding) -> str | None:
        try:
            self._scores(example, encoding)
        except DataError as error:
            return str(error)
        return None

    def _scores(self, example: Example, encoding: Encoding) -> tuple[ScoredText, Scores]:
        """Find the row of a text, and its scores on our tokens, (tokens,)."""
        row = self._row(example)
        try:
            return row, align(row, encoding)
        except InputError as error:
            raise DataError(f"{self.path}, line {row.line}: {error}") from error

    def _row(self, example: Example) -> ScoredText:
        path = Path(self.path)
        changed = max((place.stat().st_mtime_ns for place in (path, path / "parts") if place.exists()), default=0)
        found = _opened(path, changed)(example)
        if found is None:
            both = "text and text_pair" if example.text_pair is not None else "text (and no text_pair)"
            raise DataError(f"{path}: no row for {example.text!r:.60}: each text needs one with the same {both}")
        return found


@lru_cache(maxsize=8)
def _opened(path: Path, changed: int) -> Find:
    """Read a file once, as long as it does not change."""
    return scores_from(path)
