"""The size of one block's update, against hidden states that hooks of our own see."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tiny
from asking import explain, scores
from by_hand import EXAMPLES, TARGETS, encoded, inputs_of
from narrows.errors import LayerError
from tiny import Classifier


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_it_is_the_distance_between_hidden_states(any_classifier: Classifier, layer: int) -> None:
    maps = explain(any_classifier, f"update_norm:layer={layer}", EXAMPLES, TARGETS)
    blocks = next(module for module in any_classifier[0].modules() if isinstance(module, torch.nn.ModuleList))
    for example, attribution in zip(EXAMPLES, maps, strict=True):
        seen: list[torch.Tensor] = []
        before = blocks[layer - 1].register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        after = tiny.register_on_output(blocks[layer - 1], lambda x, seen=seen: seen.append(x) or x)
        with torch.no_grad():
            any_classifier[0](**inputs_of(any_classifier, encoded(any_classifier, example)))
        before.remove()
        after.remove()
        start, end = seen
        expected = [(end[0, t] - start[0, t]).pow(2).sum().sqrt() for t in range(len(attribution.tokens))]
        np.testing.assert_allclose(attribution.scores, expected, rtol=1e-4)
        assert attribution.layers == (layer,)


def test_the_default_layer_is_at_three_quarters_and_the_target_plays_no_part(bert: Classifier) -> None:
    for own, other in zip(
        scores(bert, "update_norm", EXAMPLES[:2], [0, 0]),
        scores(bert, "update_norm:layer=3", EXAMPLES[:2], [1, 2]),
        strict=True,
    ):
        np.testing.assert_array_equal(own, other)


def test_there_is_no_update_before_the_first_block(bert: Classifier) -> None:
    with pytest.raises(LayerError, match="layer 1 to 3"):
        scores(bert, "update_norm:layer=0", EXAMPLES[:1])
    with pytest.raises(LayerError, match="4"):
        scores(bert, "update_norm:layer=4", EXAMPLES[:1])
