"""Occlusion: what leaving out one token costs."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from narrows.attribution import Attribution
from narrows.methods.method import Batch, Names, in_rows
from narrows.methods.perturbation import Removing, find_removable, leave_one_out
from narrows.models.text.removal import Removal


@dataclass(frozen=True)
class Occlusion(Removing):
    """What p(target) loses when one token is left out (Li et al., arXiv 1612.08220)."""

    removal: Annotated[Removal, "How a token is removed."] = "delete"

    names: ClassVar[Names] = {"occlusion": {}}
    label, unit = "occlusion", "probability"
    caption = "A token's score is what p(target) loses without it."

    @property
    def how(self) -> str:
        """How tokens were removed."""
        return f"One token at a time, by: {self.removal}."

    def explain(self, batch: Batch) -> list[Attribution]:
        """Leave out the tokens of all texts together."""
        scores = leave_one_out(batch, self.removal)
        return batch.attributions(self, in_rows(batch, find_removable(batch, self.removal), scores))
