"""The check of a map on its own text: what the model says without the parts that the map ranks first."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from narrows.data.schema import CheckDict


@dataclass(frozen=True)
class Check:
    """What becomes of a prediction without the strongest parts of its text, by the model itself."""

    odds: bool  # whether p(target) is a probability; of a number or a whole distribution it is exp(-loss)
    unit_of: str  # what is removed as one: ``word``, or what was explained as one
    removed: tuple[str, ...]  # the parts that the map ranks first, in this order, as they stand in the text
    whole: float  # p(target) of the whole text
    without: tuple[float, ...]  # p(target) without the first, the first two, the first three, ... of them
    masked: tuple[float, ...] | None  # the same with the mask token in their places; None where the model has none
    chance: tuple[float, ...]  # p(target) without as many parts drawn at random: mean over a few draws
    other: str | None = None  # of the other parts, the one whose removal alone costs most; None in long texts
    without_other: float | None = None  # p(target) without it
    flip: int | None = None  # the smallest number of them without which the model decides otherwise; None = none
    decision: str | None = None  # what it decides then
    needed: tuple[str, ...] = ()  # those that it takes: with one of these put back, the decision stays as it was

    @property
    def minimal(self) -> bool:
        """Whether the parts that flip the decision all have to go; False where none flip it."""
        return self.flip is not None and len(self.needed) == self.flip

    def to_dict(self) -> CheckDict:
        """Give the saved form."""
        return {name: list(own) if isinstance(own, tuple) else own for name, own in asdict(self).items()}  # type: ignore[return-value]

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Check":
        """Read what `to_dict` gives."""
        read: dict[str, Any] = {own.name: saved[own.name] for own in fields(cls)}
        read |= {name: tuple(own) for name, own in read.items() if isinstance(own, list)}
        return cls(**read)
