"""What a calibration found: which settings serve a model, and what maps are worth on texts of the user's own."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

Figure = tuple[float, float, float]  # a mean over texts, and its 95 % interval
MOST_LABELS = 3  # of a typical text, in its line


@dataclass(frozen=True)
class Calibration:
    """How maps fare on texts that took no part in choosing how they are made.

    Attributes:
        method: What made the maps, as the command line spells it.
        layers: Where it measures evidence in this model; None = where it does by itself.
        texts: How many were measured.
        drops: By method, the fall of p(predicted) without the ninth of the tokens that it ranks first.
        comprehensiveness: By method, the mean fall over all ninths, first ranked first (DeYoung et al. 2020).
        sufficiency: By method, the same with only these ninths left; low is good.
        above_chance: By how much the drop of the method exceeds that of a random order, on the same texts.
        interval: The part of the path that it measures in this model; None = what the method says by itself.
        typical: What the model predicts where every token is at the prior's mean, by label, a mean over the layers and
            the measured texts: where paths start. None for other heads than classifiers of texts: what a language model
            or a tagger says there depends on which token is read, and its answers are too many to tell; a number has
            no probability.
    """

    method: str
    layers: tuple[int, ...] | None
    texts: int
    drops: Mapping[str, Figure]
    comprehensiveness: Mapping[str, Figure]
    sufficiency: Mapping[str, Figure]
    above_chance: Figure
    interval: tuple[float, float] | None = None
    typical: Mapping[str, float] | None = None

    @property
    def trusted(self) -> bool:
        """Whether the maps are better than chance: the interval of `above_chance` begins above 0."""
        return self.above_chance[1] > 0

    @property
    def typical_text(self) -> str:
        """What is predicted of a typical text, in words, most probable labels first; empty where it is not known."""
        ranked = sorted((self.typical or {}).items(), key=lambda own: -own[1])
        said = ", ".join(f"p({label}) {p:.2f}" for label, p in ranked[:MOST_LABELS])
        return said and f"a typical text: {said}{', ...' if len(ranked) > MOST_LABELS else ''}"

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
        interval, typical = saved["interval"], saved["typical"]
        return cls(
            method=str(saved["method"]),
            layers=layers,
            texts=int(saved["texts"]),
            above_chance=_figure(saved["above_chance"]),
            interval=None if interval is None else (float(interval[0]), float(interval[1])),
            typical=None if typical is None else {str(label): float(p) for label, p in typical.items()},
            **figures,
        )


def _figure(values: Any) -> Figure:
    mean, low, high = map(float, values)
    return mean, low, high
