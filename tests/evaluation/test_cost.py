"""Counting passes through blocks: against what the algorithm must run, to the row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor

import tiny
from narrows.bottleneck.prior import Prior
from narrows.data.example import Example
from narrows.evaluation.cost import measured
from narrows.explainer import Explainer
from narrows.models.cut.blocks import find_blocks
from narrows.models.cut.network import Network
from narrows.models.cut.split import run_prefix, run_suffix
from narrows.models.cut.view import borrowed
from narrows.models.predict import predict
from narrows.models.text.encoding import collate, encode, padding_id
from tiny import BLOCKS, Classifier

TEXTS = ["good", "the film is not bad", "a bad act", "very very good film", "superb"]


@pytest.fixture
def any_classifier(family: str, make_classifier: Callable[..., Classifier]) -> Classifier:
    return tiny.probed(make_classifier(family))


def inputs_of(classifier: Classifier) -> dict[str, Tensor]:
    model, tokenizer = classifier
    encodings = [encode(tokenizer, Example(text), None) for text in TEXTS]
    return collate(encodings, padding_id(model, tokenizer), model.device)


@contextmanager
def watched(model: torch.nn.Module) -> Iterator[None]:
    """Look at the last block, so that all of it is computed (`narrows.models.cut.head`)."""
    handle = find_blocks(model)[-1].register_forward_hook(lambda *_: None)
    try:
        yield
    finally:
        handle.remove()


def share_of_last_block(family: str, tokens: int) -> float:
    """What counts of the last block for a text alone: keys and values (a sixth) of all tokens, the rest of one."""
    return 1.0 if family in ("distilbert", "gpt2") else 1 / 6 + 5 / 6 / tokens


def hooks_of(model: torch.nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_a_plain_forward_counts_every_text_once(any_classifier: Classifier) -> None:
    model, tokenizer = any_classifier
    encodings = [encode(tokenizer, Example(text), None) for text in TEXTS]
    with watched(model), measured(model) as cost:
        assert (cost.seconds, cost.forward_equivalents) == (0, 0)
        predict(model, tokenizer, encodings)
    assert (cost.forwards, cost.backwards, cost.forward_equivalents) == (5, 0, 5)
    assert cost.seconds > 0


def test_of_a_last_block_that_is_computed_in_part_that_part_counts(family: str, any_classifier: Classifier) -> None:
    model, tokenizer = any_classifier
    encoding = encode(tokenizer, Example(TEXTS[1]), None)
    with measured(model) as cost:
        predict(model, tokenizer, [encoding])
        predict(model, tokenizer, [encoding] * 3)
    assert cost.forwards == pytest.approx(4 * (BLOCKS - 1 + share_of_last_block(family, len(encoding))) / BLOCKS)


def test_a_backward_to_the_embeddings_counts_every_text_once_more(any_classifier: Classifier) -> None:
    model, _ = any_classifier
    inputs = inputs_of(any_classifier)
    kept: list[Tensor] = []
    handle = model.get_input_embeddings().register_forward_hook(
        lambda _, __, embedded: kept.append(embedded.requires_grad_())
    )
    view = borrowed(model)
    with measured(view) as cost:
        torch.autograd.grad(view(**inputs).logits[:, 0].sum(), kept)
    handle.remove()
    assert (cost.forwards, cost.backwards, cost.forward_equivalents) == (5, 5, 10)


def test_a_backward_to_the_weights_counts_too_and_a_second_one_again(bert: Classifier) -> None:
    model, _ = bert
    with measured(model) as cost:
        loss = model(**inputs_of(bert)).logits.sum()
        loss.backward(retain_graph=True)
        loss.backward()
    assert (cost.forwards, cost.backwards) == (5, 10)


def test_a_gradient_counts_only_the_blocks_that_it_goes_through(bert: Classifier) -> None:
    model, _ = bert
    kept: list[Tensor] = []
    handle = find_blocks(model)[1].register_forward_hook(lambda _, __, output: kept.append(output))
    with measured(model) as cost:
        logits = model(**inputs_of(bert)).logits
        torch.autograd.grad(logits.sum(), [kept[0]])  # to the output of block 2 of 3: through block 3 only
    handle.remove()
    assert cost.forwards == 5
    assert cost.backwards == pytest.approx(5 / BLOCKS)


@pytest.mark.parametrize("layer", range(BLOCKS + 1))
def test_the_suffix_counts_the_blocks_after_the_cut_there_and_back(any_classifier: Classifier, layer: int) -> None:
    model, _ = any_classifier
    inputs = inputs_of(any_classifier)
    model = borrowed(model)
    with watched(model):
        network = Network.of(model)
        prefix = run_prefix(network, inputs, range(BLOCKS + 1))
        activation = prefix.activations[layer].clone().requires_grad_()
        with measured(model) as cost:
            one = run_suffix(network, prefix, inputs, layer, activation)
            two = run_suffix(network, prefix, inputs, layer, activation)  # the same tensor: a graph of its own
            torch.autograd.grad(one.sum(), [activation])
        part = 5 * (BLOCKS - layer) / BLOCKS
        assert cost.forwards == pytest.approx(2 * part)
        assert cost.backwards == pytest.approx(part)
        with measured(model) as later, torch.no_grad():
            run_suffix(network, prefix, inputs, layer, activation)
        torch.autograd.grad(two.sum(), [activation])  # of neither: it began before, and ended after
        assert (later.forwards, later.backwards) == (pytest.approx(part), 0)
        assert cost.backwards == pytest.approx(part)


@pytest.mark.parametrize("method", ["information", "information_signed"])
@pytest.mark.parametrize("layer", range(BLOCKS + 1))
def test_an_explanation_costs_what_the_algorithm_says(
    any_classifier: Classifier, make_prior: Callable[..., Prior], layer: int, method: str
) -> None:
    model, tokenizer = any_classifier
    steps, samples = 3, 2
    own = f"{method}:steps={steps}:samples={samples}:layer={layer}"
    explainer = Explainer(model, tokenizer, own, make_prior(model))
    with watched(model), measured(model) as cost:
        explainer(list(TEXTS), batch_size=2)
    suffix = (BLOCKS - layer) / BLOCKS
    # The prefix; each step, there and back; the cross-entropy after the last; for the sign, once there and back.
    sign = suffix if method == "information_signed" else 0
    assert cost.forwards == pytest.approx(5 * (1 + (steps + 1) * samples * suffix + sign))
    assert cost.backwards == pytest.approx(5 * (steps * samples * suffix + sign))
    if method == "information":
        assert cost.forward_equivalents == pytest.approx(5 * (1 + (2 * steps + 1) * samples * suffix))


@pytest.mark.parametrize("layer", range(BLOCKS + 1))
def test_an_explanation_costs_less_where_the_last_block_is_computed_in_part(
    family: str, any_classifier: Classifier, make_prior: Callable[..., Prior], layer: int
) -> None:
    model, tokenizer = any_classifier
    explainer = Explainer(model, tokenizer, f"information:steps=3:samples=2:layer={layer}", make_prior(model))
    with measured(model) as cost:
        explainer(TEXTS[1])
    saved = 1 - share_of_last_block(family, len(encode(tokenizer, Example(TEXTS[1]), None)))
    if layer == BLOCKS:  # its whole output is wanted
        saved = 0
    prefix, suffix = (BLOCKS - saved) / BLOCKS, (BLOCKS - layer - saved) / BLOCKS
    assert cost.forwards == pytest.approx(prefix + 4 * 2 * suffix)
    assert cost.backwards == pytest.approx(3 * 2 * suffix)


def test_measuring_changes_no_map_and_leaves_no_hook(bert: Classifier, make_prior: Callable[..., Prior]) -> None:
    model, tokenizer = bert
    explainer = Explainer(model, tokenizer, "information_signed:steps=2:samples=2:layer=1", make_prior(model))
    plain = [attribution.scores for attribution in explainer(list(TEXTS))]
    before = hooks_of(model)
    with measured(model):
        counted = [attribution.scores for attribution in explainer(list(TEXTS))]
        assert hooks_of(model) == before + BLOCKS
    assert hooks_of(model) == before
    assert all(np.array_equal(one, other) for one, other in zip(plain, counted, strict=True))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_error_the_hooks_are_gone_and_the_cost_is_known(bert: Classifier, error: type[BaseException]) -> None:
    model, _ = bert
    before = hooks_of(model)
    with pytest.raises(error), measured(model) as cost:
        model(**inputs_of(bert))
        raise error
    assert hooks_of(model) == before
    assert cost.forwards == 5


def test_measurements_may_stand_inside_each_other(bert: Classifier) -> None:
    model, _ = bert
    with measured(model) as outer:
        model(**inputs_of(bert))
        with measured(model) as inner:
            model(**inputs_of(bert))
    assert (outer.forwards, inner.forwards) == (10, 5)


def test_the_seconds_are_those_of_the_clock() -> None:
    model, _ = tiny.classifier("bert")
    with measured(model) as cost:
        time.sleep(0.05)
    assert 0.05 <= cost.seconds < 5
    assert cost.forward_equivalents == 0
