"""The check of a map on its own text: what the model says without the parts that the map ranks first."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from narrows.data.schema import CheckDict


@dataclass(frozen=True)
class Check:
    """What becomes of a prediction without the strongest parts of its text, by the model itself.

    Attributes:
        odds: Whether p(target) is a probability; of a number or a whole distribution it is exp(-loss).
        unit_of: What is removed as one: ``word``, or what was explained as one.
        removed: The parts that the map ranks first, in this order, as they stand in the text.
        whole: p(target) of the whole text.
        without: p(target) without the first, the first two, the first three, ... of them.
        masked: The same with the mask token in their places; None where the model has none.
        chance: p(target) without as many parts drawn at random: mean over a few draws.
        other: Of all other parts, the one whose removal alone costs most; None in long texts, and where there is none.
        without_other: p(target) without it.
        flip: The smallest number of `removed` without which the model decides otherwise; None if none of them does.
        decision: What it decides then.
        needed: Those of them that it takes: with one of these put back, the decision stays as it was.
    """

    odds: bool
    unit_of: str
    removed: tuple[str, ...]
    whole: float
    without: tuple[float, ...]
    masked: tuple[float, ...] | None
    chance: tuple[float, ...]
    other: str | None = None
    without_other: float | None = None
    flip: int | None = None
    decision: str | None = None
    needed: tuple[str, ...] = ()

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
