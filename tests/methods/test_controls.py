"""The controls: chance, and the size of one block's update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from narrows.data.example import Example
from narrows.errors import LayerError
from narrows.methods.controls import random_scores, update_norm
from narrows.methods.method import Batch, check_scores
from narrows.models.hub.loading import Classifier
from narrows.models.text.encoding import collate, padding_id

Make = Callable[..., tuple[Any, Any]]

EXAMPLES = [
    Example("good film"),
    Example("the film is not very good, it is bad acting"),
    Example("a"),
    Example("good", "film"),
]
TARGETS = [0, 1, 2, 1]


def wrap(pair: tuple[Any, Any]) -> Classifier:
    return Classifier(*pair, "tiny", None)


def test_random_scores_depend_on_seed_and_text_only(bert: tuple[Any, Any]) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, EXAMPLES)
    scores = random_scores(seed=4)(classifier, batch, TARGETS)
    check_scores("random", batch, scores)
    order = [3, 1, 0, 2]
    for row, own in zip(order, random_scores(4)(classifier, batch.take(order), [0, 0, 0, 0]), strict=True):
        np.testing.assert_array_equal(own, scores[row])
    assert not np.array_equal(random_scores(5)(classifier, batch, TARGETS)[1], scores[1])
    assert not np.array_equal(scores[0][:2], scores[3][:2])  # the same words, but a pair


def test_random_scores_are_uniform_from_0_to_1(bert: tuple[Any, Any]) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, [Example(f"good film {number}") for number in range(400)])
    drawn = np.concatenate(random_scores()(classifier, batch, [0] * 400))
    quantiles = np.quantile(drawn, np.linspace(0, 1, 11))
    np.testing.assert_allclose(quantiles, np.linspace(0, 1, 11), atol=0.04)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_the_update_norm_is_the_distance_between_hidden_states(any_classifier: tuple[Any, Any], layer: int) -> None:
    classifier = wrap(any_classifier)
    model = classifier.model
    batch = Batch.of(classifier, EXAMPLES)
    scores = update_norm(layer)(classifier, batch, TARGETS)
    check_scores("update_norm", batch, scores)
    blocks = next(module for module in model.modules() if isinstance(module, torch.nn.ModuleList))
    for own, encoding in zip(scores, batch.encodings, strict=True):
        seen: list[torch.Tensor] = []
        before = blocks[layer - 1].register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        after = blocks[layer - 1].register_forward_hook(
            lambda _, __, output, seen=seen: seen.append(output if isinstance(output, torch.Tensor) else output[0])
        )
        with torch.no_grad():
            model(**collate([encoding], padding_id(model, classifier.tokenizer), model.device))
        before.remove()
        after.remove()
        start, end = seen
        expected = [(end[0, token] - start[0, token]).pow(2).sum().sqrt() for token in range(len(own))]
        np.testing.assert_allclose(own, expected, rtol=1e-4)


def test_the_default_layer_is_at_three_quarters(bert: tuple[Any, Any]) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, EXAMPLES[:2])
    for own, other in zip(
        update_norm()(classifier, batch, [0, 0]), update_norm(2)(classifier, batch, [0, 0]), strict=True
    ):
        np.testing.assert_array_equal(own, other)


def test_a_text_gets_the_same_norms_alone_and_in_a_padded_batch(any_classifier: tuple[Any, Any]) -> None:
    classifier = wrap(any_classifier)
    batch = Batch.of(classifier, EXAMPLES)
    together = update_norm()(classifier, batch, TARGETS)
    for row in reversed(range(len(batch))):
        (alone,) = update_norm()(classifier, batch.take([row]), [0])
        np.testing.assert_allclose(alone, together[row], rtol=1e-4)


def test_the_model_is_left_as_it_was(make_classifier: Make) -> None:
    classifier = wrap(make_classifier("gpt2"))
    model = classifier.model.train()
    before = [(module.training, len(module._forward_hooks), sorted(module.__dict__)) for module in model.modules()]
    config = model.config.to_dict()
    update_norm()(classifier, Batch.of(classifier, EXAMPLES), TARGETS)
    random_scores()(classifier, Batch.of(classifier, EXAMPLES), TARGETS)
    after = [(module.training, len(module._forward_hooks), sorted(module.__dict__)) for module in model.modules()]
    assert after == before
    assert model.config.to_dict() == config
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_there_is_no_update_before_the_first_block(bert: tuple[Any, Any]) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, EXAMPLES[:1])
    with pytest.raises(LayerError, match="update_norm needs a layer before: choose layer 1 to 3"):
        update_norm(0)(classifier, batch, [0])
    with pytest.raises(LayerError, match="layer 4 is out of range"):
        update_norm(4)(classifier, batch, [0])
