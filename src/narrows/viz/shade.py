"""The one mapping from score to colour, in few levels: from the surface to blue, and to orange for a minus."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from narrows.data.schema import AttributionDict
from narrows.viz import caption
from narrows.viz.spans import compared, read_at

Theme = Literal["light", "dark"]

LEVELS = 24
SURFACE: dict[Theme, str] = {"light": "#ffffff", "dark": "#15181e"}

# Every fourth level, mixed in OKLab (Ottosson, 2020), where equal steps look equal; levels between are mixed in sRGB.
_FOR: dict[Theme, str] = {
    "light": "#ffffff #d9e9fb #b3d3f6 #8dbcf0 #6395d1 #3a6fb2 #0b4a93",
    "dark": "#15181e #1c2f48 #1f4675 #1f5fa6 #4d85c4 #79ace1 #a6d4ff",
}
_AGAINST: dict[Theme, str] = {
    "light": "#ffffff #fee7d1 #fbcfa1 #f7b66f #dd904f #c36a2e #a84300",
    "dark": "#15181e #3d2921 #68391d #96480a #b9733f #dc9e6a #ffcb96",
}
_STEP = 4


@dataclass(frozen=True)
class Shade:
    """A background and the text colour that is read on it, both as ``#rrggbb``."""

    background: str
    foreground: str


@dataclass(frozen=True)
class Scale:
    """How the scores of a picture are turned into levels."""

    largest: float  # the largest magnitude among the content tokens; 0 for a picture without any score
    signed: bool  # whether the picture tells "for" from "against"
    grey: bool = False

    @classmethod
    def of(cls, scores: Iterable[float], signed: bool, grey: bool = False) -> "Scale":
        """Fit a scale to the scores of the content tokens; NaN and infinity are passed over."""
        return cls(max((abs(score) for score in scores if math.isfinite(score)), default=0.0), signed, grey)

    def level(self, score: float) -> int:
        """Return the level of a score: 0 is the surface, plus and minus `LEVELS` the ends and all beyond them."""
        if not math.isfinite(score) or self.largest <= 0:
            return 0
        level = round(max(-1.0, min(1.0, score / self.largest)) * LEVELS)
        return level if self.signed else max(0, level)

    def levels(self) -> range:
        """Return all levels of the scale from its lower end to its upper end."""
        return range(-LEVELS if self.signed else 0, LEVELS + 1)

    def shade(self, level: int, theme: Theme = "light") -> "Shade":
        """Return the colours of a level, grey ones if the scale is grey."""
        return shade(level, theme, self.grey)

    def ends(self) -> tuple[str, str]:
        """Return what stands at the two ends of the scale; the unit stands before it."""
        low, high = (caption.number(end, self.signed) for end in (-self.largest, self.largest))
        return (f"{low} against", f"{high} for the target") if self.signed else ("0", high)


def is_signed(attributions: Sequence[AttributionDict]) -> bool:
    """Tell whether any of the results can speak, or speaks, against its target."""
    return any(one["method"]["signed"] or any(token["score"] < 0 for token in one["tokens"]) for one in attributions)


def scales_of(attributions: Sequence[AttributionDict], shared: bool = True) -> "list[Scale]":
    """Return the scale of each result: one for all that are of one quantity and unit, or one of its own for each."""
    keys = [caption.quantity(result) if shared else str(place) for place, result in enumerate(attributions)]
    groups: dict[str, list[AttributionDict]] = {key: [] for key in keys}
    for key, result in zip(keys, attributions, strict=True):
        groups[key].append(result)
    scales = {
        key: Scale.of((span.score for result in group for span in compared(result)), is_signed(group))
        for key, group in groups.items()
    }
    pairs = zip(keys, attributions, strict=True)
    return [replace(scales[key], grey=caption.explains_little(own)) for key, own in pairs]


def scale_of_all(attributions: Sequence[AttributionDict]) -> "Scale":
    """Return one scale for tokens by layers: grey if no layer explains more than a little."""
    scores = (
        token["score"]
        for result in attributions
        for place, token in enumerate(result["tokens"])
        if not token["special"] and place != read_at(result)
    )
    return Scale.of(scores, is_signed(attributions), all(map(caption.explains_little, attributions)))


@cache
def shade(level: int, theme: Theme = "light", grey: bool = False) -> "Shade":
    """Return the colours of a level; text on it has a contrast of at least 4.5 to 1."""
    table = (_FOR if level >= 0 or grey else _AGAINST)[theme].split()
    step, rest = divmod(abs(level), _STEP)
    pairs = zip(_channels(table[step]), _channels(table[min(step + 1, len(table) - 1)]), strict=True)
    background = "#" + "".join(f"{round(a + (b - a) * (rest / _STEP)):02x}" for a, b in pairs)
    if grey and level:  # of the same luminance
        y = _luminance(background)
        y = y * 12.92 if y <= 0.0031308 else 1.055 * y ** (1 / 2.4) - 0.055
        background = "#" + 3 * f"{round(255 * y):02x}"
    return Shade(background, max("#000000", "#ffffff", key=lambda text: contrast(text, background)))


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2 defines it, between 1 and 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _channels(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]


def _luminance(colour: str) -> float:
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _channels(colour)))
    return sum(weight * channel for weight, channel in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
