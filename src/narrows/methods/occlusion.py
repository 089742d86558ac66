"""Occlusion: what leaving out one token costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from narrows.attribution import Attribution
from narrows.methods.captum import load_captum
from narrows.methods.method import Batch, in_rows
from narrows.methods.perturbation import check_batch, check_settings, leave_one_out
from narrows.models.text.removal import Removal


@dataclass(frozen=True)
class Occlusion:
    """What p(target) loses when one token is left out (Li et al., arXiv 1612.08220).

    Raises:
        InputError: If there is no such removal; later, if the tokenizer has no mask token.
        DependencyError: If captum is missing.
    """

    removal: Annotated[Removal, "How a token is removed."] = "delete"

    names: ClassVar = {"occlusion": {}}
    label: ClassVar[str] = "occlusion"
    quantity: ClassVar[str] = "score"
    unit: ClassVar[str] = "probability"
    signed: ClassVar[bool] = True
    additive: ClassVar[bool] = False
    copies: ClassVar[int] = 1
    caption: ClassVar[str] = "A token's score is what p(target) loses without it."

    def __post_init__(self) -> None:
        check_settings(self.removal)
        load_captum()

    @property
    def how(self) -> str:
        """How tokens were removed."""
        return f"One token at a time, by: {self.removal}."

    def explain(self, batch: Batch) -> list[Attribution]:
        """Leave out the tokens of all texts together."""
        check_batch(batch, self.removal)
        return batch.attributions(self, in_rows(batch, leave_one_out(batch, self.removal)))
