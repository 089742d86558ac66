"""Names beside points, laid so that they can be read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from narrows.viz.canvas import INK, LINES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = 7.0  # points
_LETTER = 0.58  # mean width of a letter of the font, in its size
_MARK = 2.5  # half of a mark, in points
_GAP = 2.5
_SHIFTS = (0, 8, 13, 18, 24, 30, 37, 45, 54)  # up or down, in points


@dataclass(frozen=True)
class _Box:
    left: float
    right: float
    bottom: float
    top: float

    def meets(self, other: _Box) -> bool:
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.top <= other.bottom or other.top <= self.bottom)

    def is_within(self, other: _Box) -> bool:
        across = other.left <= self.left and self.right <= other.right
        return across and other.bottom <= self.bottom and self.top <= other.top


@dataclass(frozen=True)
class _Place:
    """Where a name may stand: off its point, in points, and its side."""

    x: float
    y: float
    side: str

    def box(self, at: tuple[float, float], width: float) -> _Box:
        left = {"left": 0.0, "center": -width / 2, "right": -width}[self.side]
        x, y = at[0] + self.x + left, at[1] + self.y
        return _Box(x, x + width, y - _SIZE * 0.6, y + _SIZE * 0.6)


def place_labels(panel: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Write a name beside each point, covering neither another name nor a point, if there is such a place.

    The figure must be laid out already: the places are sought on paper.

    Args:
        panel: Where.
        points: From a name to x and y, in the units of the axes; those that are not finite are left out.
    """
    scale = 72 / panel.figure.dpi
    found = {name: point for name, point in points.items() if all(map(math.isfinite, point))}
    at = {name: tuple(panel.transData.transform(point) * scale) for name, point in found.items()}
    extent = panel.get_window_extent()
    frame = _Box(extent.x0 * scale, extent.x1 * scale, extent.y0 * scale, extent.y1 * scale)
    # A name keeps away from the sides of foreign points, where it would be taken for theirs.
    marks = {name: _Box(x - 2 * _MARK, x + 2 * _MARK, y - _MARK, y + _MARK) for name, (x, y) in at.items()}
    names: list[_Box] = []
    for name in sorted(at, key=lambda name: (-at[name][1], at[name][0])):
        width = _SIZE * _LETTER * len(name)
        boxes = {place: place.box(at[name], width) for place in _places()}
        taken = [*names, *(mark for other, mark in marks.items() if other != name)]
        place = min(boxes, key=partial(_crowd, boxes, frame, taken))  # the first that is free, else the emptiest
        names.append(boxes[place])
        leader = {"arrowstyle": "-", "linewidth": 0.4, "color": LINES, "shrinkA": 1, "shrinkB": 2}
        panel.annotate(
            name,
            found[name],
            (place.x, place.y),
            textcoords="offset points",
            ha=place.side,
            va="center",
            fontsize=_SIZE,
            color=INK,
            arrowprops=leader if place.y else None,
            parse_math=False,
        )


def _crowd(boxes: Mapping[_Place, _Box], frame: _Box, taken: Sequence[_Box], place: _Place) -> tuple[bool, int]:
    """Tell how bad a place is: outside of the frame, then how much it covers."""
    box = boxes[place]
    return not box.is_within(frame), sum(map(box.meets, taken))


def _places() -> Iterator[_Place]:
    """List the places around a point, the best first."""
    beside = _MARK + _GAP
    for shift in _SHIFTS:
        for y in (shift, -shift) if shift else (0,):
            yield _Place(beside, y, "left")
            yield _Place(-beside, y, "right")
            if y:
                yield _Place(0, y, "center")
