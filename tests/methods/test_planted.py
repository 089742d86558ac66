"""A word that alone decides the label: every method that is told the target must rank it first."""

from __future__ import annotations

import numpy as np
import pytest

import planted
from narrows.methods.method import Batch, content_positions
from narrows.methods.registry import METHODS, Spec

# Chance, attention and the norm of an update know nothing of the target; a file says what somebody wrote. The released
# code's bottleneck gates what one block changes: before the last one nothing here, in the last one [CLS] alone.
BLIND = {"random", "rollout", "update_norm", "file", "iba_released"}
SPECS = {
    "narrows": "narrows:prior=instance:layer=1",
    "iba": "iba:prior=instance:layer=1:beta=0.1",
    "layer_ig": "layer_ig:layer=1",
}


@pytest.mark.parametrize("name", sorted(set(METHODS) - BLIND))
def test_the_deciding_word_comes_first(name: str) -> None:
    classifier = planted.planted_classifier()
    batch = Batch.of(classifier, planted.EXAMPLES)
    maps = Spec.parse(SPECS.get(name, name)).make(0)(classifier, batch, [planted.TARGET] * len(batch))
    for encoding, own in zip(batch.encodings, maps, strict=True):
        content = content_positions(encoding)
        first = content[int(np.argmax(own[content]))]
        assert encoding.tokens[first] == planted.WORD, (encoding.tokens, own.round(3))
