"""Simpson's rule with as many steps as each text needs: the integral of its slope is known on every panel.

Along the path, the integral of the slope of the log-odds is the difference of the log-odds at both ends. So the error
of the rule on a panel need not be estimated, as other adaptive rules do (Lyness 1969): it is known. Panels on
which it is large are halved, which takes two new steps each; nothing that was looked at is looked at again.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Look = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Maps steps, (batch, steps), to values and their slopes there, (batch, steps), or (batch, steps, targets)."""

LEAST = 3  # steps of one panel: its ends and its middle
BEGUN = 4  # panels
SHORTEST = 2.0**-10


@dataclass(frozen=True)
class Panel:
    """A part of the path."""

    start: float
    end: float

    @property
    def places(self) -> tuple[float, float, float]:
        """Where the rule looks."""
        return self.start, (self.start + self.end) / 2, self.end

    @property
    def halves(self) -> "tuple[Panel, Panel]":
        """Both halves."""
        start, middle, end = self.places
        return Panel(start, middle), Panel(middle, end)

    def miss(self, known: dict[float, tuple[Array, Array]], rounding: float) -> float:
        """Compute by how much the rule misses the rise of the values, beyond rounding; of several targets the most."""
        at = [known[place] for place in self.places]
        with np.errstate(invalid="ignore"):  # infinity less infinity is no number
            slope = (at[0][1] + 4 * at[1][1] + at[2][1]) / 6
            missed = np.abs((self.end - self.start) * slope - (at[2][0] - at[0][0]))
            found = float((missed - rounding * (np.abs(at[0][0]) + np.abs(at[2][0]))).max())
        return max(found, 0.0) if np.isfinite(found) else np.inf


def place_steps(look: Look, texts: int, tolerance: float, most: int, rounding: float = 0.0) -> list[Tensor]:
    """Place steps on the path of each text until the rule misses the rise of its values by little.

    Args:
        look: Called with new steps of every text, (texts, steps); what it gives is used at once.
        texts: How many there are.
        tolerance: How much may be missed on the whole path.
        most: Steps of a text, at least 3; where they do not suffice, the worst panels are halved first.
        rounding: Of the values, relative. What a panel misses because of it is not mended by halves.

    Returns:
        The weight of every step, (texts, steps), for each call of `look`; 0 where a text needed fewer than others.
    """
    begun = min(BEGUN, (most - 1) // 2)
    panels = [[Panel(n / begun, (n + 1) / begun) for n in range(begun)] for _ in range(texts)]
    known: list[dict[float, tuple[Array, Array]]] = [{} for _ in range(texts)]
    wanted = [sorted({place for own in row for place in own.places}) for row in panels]
    looked = []
    while width := max(map(len, wanted)):
        masks = [row + [1.0] * (width - len(row)) for row in wanted]
        values, slopes = (each.cpu().double().numpy() for each in look(torch.tensor(masks, dtype=torch.float64)))
        for row, places in enumerate(wanted):
            known[row] |= {place: (values[row, n], slopes[row, n]) for n, place in enumerate(places)}
        looked.append(wanted)
        wanted = [[] for _ in range(texts)]
        for row, own in enumerate(panels):
            misses = {each: each.miss(known[row], rounding) for each in own}
            if looked[-1][row] and sum(misses.values()) > tolerance:
                worst = _worst(misses, tolerance / 2, (most - len(known[row])) // 2)
                panels[row] = [part for each in own for part in (each.halves if each in worst else (each,))]
                wanted[row] = sorted({place for each in panels[row] for place in each.places} - known[row].keys())
    return [_weights(panels, places) for places in looked]


def _worst(misses: dict[Panel, float], rest: float, room: int) -> set[Panel]:
    """Choose the worst panels to be halved, until the rest misses little; there is room for so many."""
    missed, worst = sum(misses.values()), set[Panel]()
    for own in sorted(misses, key=lambda own: -misses[own]):
        if len(worst) >= room or missed <= rest:
            break
        if own.end - own.start > SHORTEST:
            worst.add(own)
        missed -= misses[own]
    return worst


def _weights(panels: list[list[Panel]], looked: list[list[float]]) -> Tensor:
    """Give each place that was looked at its weight by Simpson's rule on the panels of its text."""
    weights = torch.zeros(len(looked), max(map(len, looked)), dtype=torch.float64)
    for row, places in enumerate(looked):
        share: dict[float, float] = {}
        for own in panels[row]:
            for place, weight in zip(own.places, (1 / 6, 4 / 6, 1 / 6), strict=True):
                share[place] = share.get(place, 0.0) + weight * (own.end - own.start)
        weights[row, : len(places)] = torch.tensor([share[place] for place in places], dtype=torch.float64)
    return weights
