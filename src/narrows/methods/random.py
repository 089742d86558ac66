"""Chance: what every method has to beat."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from narrows.attribution import Attribution
from narrows.bottleneck.optimize import check_seed
from narrows.methods.method import Batch, Names, in_rows


@dataclass(frozen=True)
class Random:
    """Scores drawn by chance, uniformly from 0 to 1."""

    seed: Annotated[int, "Of what is drawn; each text draws from its own."] = 0

    names: ClassVar[Names] = {"random": {}}
    label, quantity, unit, signed, additive, copies = "random", "score", "score", False, False, 1
    caption, how = "The scores are drawn by chance and mean nothing: a baseline for comparisons.", ""

    def __post_init__(self) -> None:
        check_seed(self.seed)

    def explain(self, batch: Batch) -> list[Attribution]:
        """Draw a number for every token, or for every unit, however long it is."""
        drawn = [batch.generator(self.seed, row).random(len(e)) for row, e in enumerate(batch.encodings)]
        asked = [question.places is not None for question in batch.questions]
        own = in_rows(batch, batch.units, drawn)
        return batch.attributions(self, [own[row] if asked[row] else drawn[row] for row in range(len(batch))])
