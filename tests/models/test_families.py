"""Every family of the matrix, on a tiny random model of its own architecture."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import transformers
from packaging.version import Version
from torch import Tensor

import families
from families import FAMILIES, REFUSALS, Family, Refusal
from narrows.data.example import Example
from narrows.errors import ModelError, NarrowsError
from narrows.explainer import Explainer
from narrows.models.cut.leak import check_cut
from narrows.models.cut.network import Network
from narrows.models.cut.split import carry, repeat_inputs, run_prefix, run_suffix
from narrows.models.cut.view import borrowed
from narrows.models.padding import sees_padding
from narrows.models.text.encoding import collate, encode, padding_id
from tiny import Classifier

TEXTS = ("a good film, not bad", "bad", "the acting is superb it is")
COPIES = 2
QUICK = "information:steps=2:samples=2:layer=1"


NEWEST = Version(transformers.__version__) >= Version("5.23")  # older ones have fewer families, and SDPA elsewhere


@functools.cache
def built(row: Family) -> Classifier:
    return families.classifier(row)


@pytest.fixture(params=FAMILIES, ids=lambda row: row.name)
def row(request: pytest.FixtureRequest) -> Family:
    row: Family = request.param
    if not NEWEST and not hasattr(transformers, row.model_class):
        pytest.skip(f"transformers {transformers.__version__} has no {row.model_class}")
    return row


def inputs_of(classifier: Classifier, texts: tuple[str, ...]) -> dict[str, Tensor]:
    model, tokenizer = classifier
    encodings = [encode(tokenizer, Example(text), None) for text in texts]
    return collate(encodings, padding_id(model, tokenizer), model.device)


@contextmanager
def lent(classifier: Classifier) -> Iterator[Network]:
    model, _ = classifier
    with torch.no_grad():
        yield Network.of(borrowed(model))


def test_the_model_is_tiny_and_has_its_blocks(row: Family) -> None:
    model, tokenizer = built(row)
    assert sum(parameter.numel() for parameter in model.parameters()) == row.parameters
    assert len(Network.of(model).blocks) == row.blocks
    assert len(tokenizer) <= families.VOCABULARY
    if NEWEST:
        assert model._supports_sdpa == ("sdpa" in row.attention)


def test_the_suffix_gives_the_models_own_logits_from_every_layer(row: Family) -> None:
    """With each implementation of attention, one row per text and several; and it is not deaf to what is put in."""
    classifier = built(row)
    model, _ = classifier
    inputs = inputs_of(classifier, TEXTS)
    for attention in row.attention:
        if attention == "sdpa" and not model._supports_sdpa:
            continue
        model.set_attn_implementation(attention)
        with lent(classifier) as network:
            layers = range(row.blocks + 1)
            expected = network.model(**inputs).logits
            prefix = run_prefix(network, inputs, layers)
            torch.testing.assert_close(prefix.logits, expected, rtol=1e-5, atol=1e-5)
            for layer in layers:
                activation = prefix.activations[layer]
                got = run_suffix(network, prefix, inputs, layer, activation)
                torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
                copies = activation.repeat_interleave(COPIES, dim=0)
                got = run_suffix(network, prefix, repeat_inputs(inputs, COPIES), layer, copies)
                torch.testing.assert_close(got[::COPIES], expected, rtol=1e-5, atol=1e-5)
                moved = run_suffix(network, prefix, inputs, layer, activation.roll(1, dims=-1))
                assert (moved - expected).abs().max() > 1e-3
                check_cut(network, classifier[1], [layer])


def test_what_is_carried_on_is_what_the_model_makes_of_it(row: Family) -> None:
    """From every layer: the model's own activations deeper down, and from them the logits that the first one gives."""
    classifier = built(row)
    inputs = inputs_of(classifier, TEXTS)
    with lent(classifier) as network:
        layers = range(row.blocks + 1)
        prefix = run_prefix(network, inputs, layers)
        for layer in layers[:-1]:
            own, deeper = prefix.activations[layer], layers[layer + 1 :]
            for other, activation in carry(network, prefix, inputs, layer, own, deeper).items():
                torch.testing.assert_close(activation, prefix.activations[other], rtol=1e-5, atol=1e-5)
            moved = own.roll(1, dims=-1)
            expected = run_suffix(network, prefix, inputs, layer, moved)
            for other, activation in carry(network, prefix, inputs, layer, moved, deeper).items():
                got = run_suffix(network, prefix, inputs, other, activation)
                torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_half_precision_gives_the_models_own_logits_and_finite_bits(row: Family) -> None:
    if not row.half:
        pytest.skip("float32 only")
    model, tokenizer = families.classifier(row)
    classifier = model.to(torch.bfloat16), tokenizer
    inputs = inputs_of(classifier, TEXTS)
    with lent(classifier) as network:
        prefix = run_prefix(network, inputs, [1])
        got = run_suffix(network, prefix, inputs, 1, prefix.activations[1])
        torch.testing.assert_close(got, model(**inputs).logits, rtol=0.02, atol=0.02)
    attribution = Explainer(*classifier, QUICK, "instance")(TEXTS[0])
    assert attribution.record["dtype"] == "bfloat16"
    assert 0 < attribution.scores.sum() < attribution.trace[0].information


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_gives_what_each_text_gets_alone_whatever_side_the_tokenizer_pads(row: Family, side: str) -> None:
    model, tokenizer = built(row)
    tokenizer.padding_side = side
    explainer = Explainer(model, tokenizer, QUICK, "instance")
    for attribution in explainer(list(TEXTS)):
        alone = explainer(attribution.text)
        assert attribution.probabilities == pytest.approx(alone.probabilities, abs=1e-4)
        np.testing.assert_allclose(attribution.scores, alone.scores, rtol=5e-3, atol=1e-2)


def test_padding_is_told_to_be_seen(row: Family) -> None:
    assert sees_padding(*built(row)) == row.sees_padding


def test_nothing_of_the_text_gets_past_the_bottleneck(row: Family) -> None:
    """Of two texts of one length, each with the other's activation, both give what the other gives."""
    classifier = built(row)
    texts = ("a good film", "a film good")
    inputs = inputs_of(classifier, texts)
    with lent(classifier) as network:
        prefix = run_prefix(network, inputs, range(row.blocks + 1))
        assert (prefix.logits[0] - prefix.logits[1]).abs().max() > 1e-3
        for layer in range(row.blocks + 1):
            swapped = run_suffix(network, prefix, inputs, layer, prefix.activations[layer].flip(0))
            torch.testing.assert_close(swapped, prefix.logits.flip(0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
def test_what_cannot_be_explained_is_refused_in_one_line(refusal: Refusal) -> None:
    model = families.build(refusal)
    tokenizer = families.tokenizer("wordpiece")
    for layer in refusal.layers or (1,):
        with pytest.raises(NarrowsError, match=refusal.says) as caught:
            Explainer(model, tokenizer, f"paper:layer={layer}:steps=1", "instance")(TEXTS[0])
        assert isinstance(caught.value, ModelError)
        assert "\n" not in str(caught.value)
    if refusal.layers:
        assert (
            Explainer(model, tokenizer, f"paper:layer={max(refusal.layers) + 1}", "instance")(TEXTS[0]).scores.sum() > 0
        )
