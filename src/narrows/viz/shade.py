"""The one mapping from score to colour, shared by the terminal, the page and the figures.

Scores without a sign run from the surface to blue; signed scores run from orange (against the target) over the surface
to blue (for it), a pair of hues that every common form of colour blindness keeps apart. Colours are mixed in OKLab
(Ottosson, 2020), where equal steps look equal, and come in a fixed number of levels, so that a page needs one rule for
each of them and a test can check them all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from narrows.data.schema import AttributionDict
from narrows.errors import InputError

SIGNED_READOUTS = ("signed", "evidence")
Theme = Literal["light", "dark"]

LEVELS = 24
SURFACE: dict[Theme, str] = {"light": "#ffffff", "dark": "#15181e"}

_FOR: dict[Theme, tuple[str, str, str]] = {
    "light": (SURFACE["light"], "#8dbcf0", "#0b4a93"),
    "dark": (SURFACE["dark"], "#1f5fa6", "#a6d4ff"),
}
_AGAINST: dict[Theme, tuple[str, str, str]] = {
    "light": (SURFACE["light"], "#f7b66f", "#a84300"),
    "dark": (SURFACE["dark"], "#96480a", "#ffcb96"),
}


@dataclass(frozen=True)
class Shade:
    """A background and the text colour that is read on it, both as ``#rrggbb``."""

    background: str
    foreground: str


@dataclass(frozen=True)
class Scale:
    """How the scores of one picture are turned into levels.

    Attributes:
        largest: The largest magnitude among the content tokens, in bits; 0 for a picture without information.
        signed: Whether the picture tells "for" from "against".

    Example:
        >>> scale = Scale.of([0.0, 2.0, 8.0], signed=False)
        >>> scale.level(8.0), scale.level(2.0), scale.level(100.0)
        (24, 6, 24)
    """

    largest: float
    signed: bool

    @classmethod
    def of(cls, scores: Iterable[float], signed: bool) -> Scale:
        """Fit a scale to the scores of the content tokens.

        Args:
            scores: In bits; NaN and infinity, which only a damaged file holds, are passed over.
            signed: Whether the picture tells "for" from "against".

        Returns:
            The scale, whose ends are plus and minus the largest magnitude.
        """
        return cls(max((abs(score) for score in scores if math.isfinite(score)), default=0.0), signed)

    def level(self, score: float) -> int:
        """Return the level of a score: 0 is the surface, plus and minus `LEVELS` the ends.

        Args:
            score: In bits. Beyond the scale (a special token may be) it is drawn at the end of it.

        Returns:
            The level; never negative unless the scale is signed.
        """
        if not math.isfinite(score) or self.largest <= 0:
            return 0
        level = round(max(-1.0, min(1.0, score / self.largest)) * LEVELS)
        return level if self.signed else max(0, level)

    def levels(self) -> range:
        """Return all levels of the scale from its lower end to its upper end."""
        return range(-LEVELS if self.signed else 0, LEVELS + 1)


def is_signed(attributions: Sequence[AttributionDict]) -> bool:
    """Tell whether a picture needs a diverging scale.

    Args:
        attributions: Everything that the picture shows.

    Returns:
        True if the readout has a sign, or any score is negative.
    """
    return any(
        attribution["config"].get("readout") in SIGNED_READOUTS
        or any(token["score"] < 0 for token in attribution["tokens"])
        for attribution in attributions
    )


@cache
def shade(level: int, theme: Theme = "light") -> Shade:
    """Return the colours of a level.

    Args:
        level: From minus to plus `LEVELS`.
        theme: ``light`` or ``dark``: what the picture is drawn on.

    Returns:
        The background, and black or white on it, whichever is read better: at least 4.5 to 1 on every level.

    Raises:
        InputError: If there is no such level.

    Example:
        >>> shade(0, "light").background
        '#ffffff'
    """
    if not -LEVELS <= level <= LEVELS:
        raise InputError(f"levels of shade run from {-LEVELS} to {LEVELS}, not {level}")
    zero, half, full = (_FOR if level >= 0 else _AGAINST)[theme]
    position = 2 * abs(level) / LEVELS
    background = _mix(zero, half, position) if position <= 1 else _mix(half, full, position - 1)
    return Shade(background, max("#000000", "#ffffff", key=lambda text: contrast(text, background)))


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2 defines it, between 1 and 21.

    Args:
        one: A colour, ``#rrggbb``.
        other: Another one.

    Returns:
        The ratio of their relative luminances, each with 0.05 of stray light.

    Example:
        >>> round(contrast("#000000", "#ffffff"))
        21
    """
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = _linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(colour: str) -> tuple[float, float, float]:
    """Return red, green and blue of ``#rrggbb`` without the sRGB transfer curve."""
    channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return red, green, blue


def _mix(one: str, other: str, share: float) -> str:
    """Return a mix of two colours in OKLab, ``share`` of the second one."""
    return _from_oklab(*(a + (b - a) * share for a, b in zip(_to_oklab(one), _to_oklab(other), strict=True)))


def _cube_root(value: float) -> float:
    return float(max(0.0, value) ** (1 / 3))  # math.cbrt came with Python 3.11


def _to_oklab(colour: str) -> tuple[float, float, float]:
    red, green, blue = _linear(colour)
    long = _cube_root(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    medium = _cube_root(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = _cube_root(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def _from_oklab(lightness: float, a: float, b: float) -> str:
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    clipped = (max(0.0, min(1.0, channel)) for channel in linear)
    curved = (c * 12.92 if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055 for c in clipped)
    return "#" + "".join(f"{round(channel * 255):02x}" for channel in curved)
