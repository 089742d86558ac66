"""Names beside points: none on top of another while there is room, and spread out where there is none."""

from __future__ import annotations

from collections import Counter

import pytest

from narrows.viz.labels import place_labels

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.mark.parametrize(("count", "most"), [(5, 1), (60, 4)])
def test_names_of_points_in_one_place_are_spread_out(count: int, most: int) -> None:
    figure, panel = plt.subplots(figsize=(4, 3))
    try:
        panel.set(xlim=(0, 1), ylim=(0, 1))
        place_labels(panel, {f"method {number}": (0.5, 0.5) for number in range(count)})
        places = Counter((text.xyann, text.get_horizontalalignment()) for text in panel.texts)
        assert sum(places.values()) == count
        assert max(places.values()) <= most
    finally:
        plt.close(figure)
