"""What a calibration found: which layers serve a model, and what maps are worth on texts of the user's own."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

Figure = tuple[float, float, float]  # a mean over texts, and its 95 % interval


@dataclass(frozen=True)
class Calibration:
    """How maps fare on texts that took no part in choosing how they are made."""

    method: str  # what made the maps, as the command line spells it
    layers: tuple[int, ...] | None  # where it measures evidence in this model; None = where it does by itself
    texts: int  # how many were measured
    drops: Mapping[str, Figure]  # by method, the fall of p(predicted) without the ninth that it ranks first
    comprehensiveness: Mapping[str, Figure]  # by method, the mean fall over all ninths (DeYoung et al. 2020)
    sufficiency: Mapping[str, Figure]  # by method, the same with only these ninths left; low is good
    above_chance: Figure  # by how much the drop of the method exceeds that of a random order, on the same texts

    @property
    def trusted(self) -> bool:
        """Whether the maps are better than chance: the interval of `above_chance` begins above 0."""
        return self.above_chance[1] > 0

    def to_dict(self) -> dict[str, Any]:
        """Give the saved form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Calibration":
        """Read what `to_dict` gave, perhaps through JSON."""
        figures = {
            name: {method: _figure(own) for method, own in saved[name].items()}
            for name in ("drops", "comprehensiveness", "sufficiency")
        }
        layers = None if saved["layers"] is None else tuple(int(layer) for layer in saved["layers"])
        above = _figure(saved["above_chance"])
        return cls(method=str(saved["method"]), layers=layers, texts=int(saved["texts"]), above_chance=above, **figures)


def _figure(values: Any) -> Figure:
    mean, low, high = map(float, values)
    return mean, low, high
