"""The beam search against all removals there are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from narrows.data.example import Example
from narrows.data.units import by_score
from narrows.errors import InputError
from narrows.evaluation.ceiling import find_worst_removals
from narrows.evaluation.degradation import removal_counts
from narrows.models.predict import predict
from narrows.models.text.encoding import encode
from narrows.models.text.removal import Removal, remove
from removing import degrade_classes
from tiny import Classifier

LONG = Example("the film is not bad, it is very good and the act is superb", "a good act")
EXAMPLES = [Example("good film"), LONG, Example("bad")]
TARGETS = [1, 0, 2]


@pytest.mark.parametrize("removal", ["delete", "mask"])
def test_a_wide_beam_finds_the_worst_of_all_removals(bert: Classifier, removal: Removal) -> None:
    encodings = [encode(bert[1], example, None) for example in EXAMPLES]
    found = find_worst_removals(*bert, encodings, TARGETS, 100, removal)
    for encoding, target, worst in zip(encodings, TARGETS, found, strict=True):
        content = [i for i, segment in enumerate(encoding.segments) if segment is not None]
        sets = list(combinations(content, removal_counts(len(content))[1]))
        p = predict(*bert, [encoding, *(remove(encoding, gone, removal, bert[1]) for gone in sets)])[:, target]
        assert worst.probability == pytest.approx(p[1:].min(), abs=1e-6)
        assert p[1 + sets.index(worst.positions)] == pytest.approx(worst.probability, abs=1e-6)
        assert worst.drop == pytest.approx(p[0] - p[1:].min(), abs=1e-6)


def test_a_map_of_the_removal_found_has_its_drop_and_no_map_a_larger_one(bert: Classifier) -> None:
    encodings = [encode(bert[1], LONG, None)]
    (worst,) = find_worst_removals(*bert, encodings, [0], 100)
    of_the_set = np.zeros(len(encodings[0]))
    of_the_set[list(worst.positions)] = 1.0
    draw = np.random.default_rng(0)
    maps = [of_the_set, *(draw.random(len(encodings[0])) for _ in range(20))]
    rankings = [by_score(own, encodings[0].segments) for own in maps]
    curves = degrade_classes(bert, encodings * 21, rankings, [0] * 21)
    drops = curves.morf[:, 0] - curves.morf[:, 1]
    assert drops[0] == pytest.approx(worst.drop, abs=1e-6)
    assert (drops <= worst.drop + 1e-6).all()


def test_a_greedy_search_is_not_ahead_of_a_wide_one(bert: Classifier) -> None:
    encodings = [encode(bert[1], LONG, None)]
    (greedy,), (wide,) = (find_worst_removals(*bert, encodings, [0], width) for width in (1, 100))
    assert greedy.probability >= wide.probability - 1e-6


def test_a_beam_without_width_is_refused(bert: Classifier) -> None:
    with pytest.raises(InputError, match="at least 1, not 0"):
        find_worst_removals(*bert, [], [], 0)
