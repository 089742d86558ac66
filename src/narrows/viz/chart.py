"""Curves on pages: SVG with numbers along both axes, their names, and a key; colours are classes, as everywhere."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from narrows.viz.caption import number

WIDTH, HEIGHT = 320, 130  # of the box that the curves are drawn in
_TICKS = 4  # about so many numbers along an axis

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """One curve; `look` is the class that colours it."""

    name: str
    points: Points
    look: str = "line"
    dots: bool = False


@dataclass(frozen=True)
class Axis:
    """What an axis counts, and its two ends."""

    name: str
    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Place a value between 0, the lower end, and 1; what is beyond an end is put there."""
        if self.high <= self.low:
            return 0.0
        if self.log:
            return math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def ticks(self) -> list[tuple[float, str]]:
        """List where numbers stand along it, and the numbers: of a logarithm tens, or both ends if it has no two."""
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            step = max(1, math.ceil((last - first) / _TICKS))
            inner = [10.0**power for power in range(first, last + 1, step)]
            values = [*inner] if len(inner) > 1 else [self.low, self.high]
        else:
            rough = (self.high - self.low) / _TICKS or 1.0
            power = 10.0 ** math.floor(math.log10(rough))
            step_size = next(own * power for own in (1, 2, 5, 10) if own * power >= rough * 0.999)
            first, last = math.ceil(self.low / step_size - 1e-9), math.floor(self.high / step_size + 1e-9)
            values = [own * step_size for own in range(first, last + 1)]
        return [(self.place(value), _short(value)) for value in values]


def chart(curves: Sequence[Curve], x: Axis, y: Axis, said: str) -> dict[str, Any]:
    """Return what the template needs of some curves on the same axes; `said` tells their course in words."""
    return {
        "x": x.name,
        "y": y.name,
        "said": said,
        "across": [(f"{WIDTH * at:.1f}", written) for at, written in x.ticks()],
        "up": [(f"{HEIGHT * (1 - at):.1f}", written) for at, written in y.ticks()],
        "curves": [
            {
                "name": curve.name,
                "look": curve.look,
                "dots": curve.dots,
                "points": [(f"{WIDTH * x.place(a):.1f}", f"{HEIGHT * (1 - y.place(b)):.1f}") for a, b in curve.points],
            }
            for curve in curves
        ],
    }


def _short(value: float) -> str:
    """Write the number of a tick: 0, 0.5, 20, 1,000, 100k."""
    if value >= 1e5:
        return f"{value / 1000:,.0f}k"
    return f"{value:,.0f}" if value == int(value) else number(value) if value < 0.001 else f"{value:.3g}"
