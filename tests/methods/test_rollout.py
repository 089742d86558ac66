"""Attention rollout against plain loops, and the model put back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    FNetConfig,
    FNetForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
)

import tiny
from asking import scores, state_of
from by_hand import encoded, inputs_of
from narrows.data.example import Example
from narrows.errors import LayerError, ModelError
from narrows.methods import rollout
from tiny import Classifier

EXAMPLES = [
    Example("good film"),
    Example("the film is not very good, it is bad acting"),
    Example("a"),
    Example("not bad", "superb film"),
]
TARGETS = [0, 1, 2, 1]


def by_loops(classifier: Classifier, example: Example, read: list[int]) -> Any:
    """The whole product of matrices, number by number."""
    encoding = encoded(classifier, example)
    model = copy.deepcopy(classifier[0])
    model.set_attn_implementation("eager")
    with torch.no_grad():
        output = model(**inputs_of(classifier, encoding), output_attentions=True)
    blocks = [attention[0].double().numpy() for attention in output.attentions]
    tokens = len(encoding)
    product = np.eye(tokens)
    for heads in blocks:
        mixed = np.zeros((tokens, tokens))
        for i in range(tokens):
            for j in range(tokens):
                mixed[i, j] = sum(head[i, j] for head in heads) / len(heads) + (i == j)
            mixed[i] /= sum(mixed[i])
        product = mixed @ product
    return np.asarray(sum(product[position] for position in read) / len(read))


def test_it_is_the_product_of_the_attentions_where_the_head_reads(family: str, any_classifier: Classifier) -> None:
    for example, own in zip(EXAMPLES, scores(any_classifier, "rollout", EXAMPLES, TARGETS), strict=True):
        read = len(own) - 1 if family == "gpt2" else 0
        np.testing.assert_allclose(own, by_loops(any_classifier, example, [read]), atol=1e-5)
        assert own.sum() == pytest.approx(1, abs=1e-5)
        assert (own >= 0).all()


def modern_bert(pooling: str) -> Classifier:
    """Attention within a window of two, and a head that may pool all tokens."""
    tokenizer = tiny.wordpiece_tokenizer(token_types=False)
    ids = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0)
    windows = {"global_attn_every_n_layers": 2, "local_attention": 4}
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=64,
        classifier_pooling=pooling,
        **windows,
        **ids,
        **tiny.ENCODER,
        **tiny.LABELS,
    )
    torch.manual_seed(0)
    return ModernBertForSequenceClassification(config).eval(), tokenizer


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_head_that_pools_is_read_at_all_that_it_pools(pooling: str) -> None:
    classifier = modern_bert(pooling)
    for example, own in zip(EXAMPLES, scores(classifier, "rollout", EXAMPLES, TARGETS), strict=True):
        read = list(range(len(own))) if pooling == "mean" else [0]
        np.testing.assert_allclose(own, by_loops(classifier, example, read), atol=1e-5)


def test_a_text_gets_the_same_in_small_passes_in_any_order_and_for_any_target(
    any_classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = scores(any_classifier, "rollout", EXAMPLES, TARGETS)
    for own, other in zip(scores(any_classifier, "rollout", EXAMPLES[::-1], [0] * 4)[::-1], together, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-5)
    monkeypatch.setattr(rollout, "ATTENTION_TOKENS", 1)
    for own, other in zip(scores(any_classifier, "rollout", EXAMPLES, TARGETS), together, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-5)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_implementation_of_attention_is_put_back(
    any_classifier: Classifier, implementation: str, fails: bool
) -> None:
    model, _ = tiny.probed(any_classifier, ["good", "a bad film"])
    model.set_attn_implementation(implementation)
    model.train()
    before = state_of(model)
    if fails:
        seen: list[str] = []

        def stop(*_: Any) -> None:
            seen.append(model.config._attn_implementation)
            if len(seen) == 2:  # the first run is the plain one
                raise KeyboardInterrupt

        handle = model.get_input_embeddings().register_forward_hook(stop)
        with pytest.raises(KeyboardInterrupt):
            scores(any_classifier, "rollout", EXAMPLES[:2], TARGETS[:2])
        handle.remove()
        assert seen == [implementation, "eager"]
    else:
        scores(any_classifier, "rollout", EXAMPLES[:2], TARGETS[:2])
    assert state_of(model) == before


def test_attentions_can_be_asked_for_before_and_after(bert: Classifier) -> None:
    model = bert[0]
    model.set_attn_implementation("eager")
    inputs = inputs_of(bert, encoded(bert, EXAMPLES[0]))
    scores(bert, "rollout", EXAMPLES[:1])
    first = model(**inputs, output_attentions=True).attentions
    hooks = [list(module._forward_hooks) for module in model.modules()]
    assert any(hooks) or any("forward" in module.__dict__ for module in model.modules())  # transformers keeps its own
    (again,) = scores(bert, "rollout", EXAMPLES[:1])
    assert [list(module._forward_hooks) for module in model.modules()] == hooks
    second = model(**inputs, output_attentions=True).attentions
    assert len(first) == len(second) == tiny.BLOCKS
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert again.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("whole", "part"), [("sdpa", "eager"), ("eager", "sdpa")])
def test_a_part_with_its_own_implementation_is_switched_and_keeps_it(bert: Classifier, whole: str, part: str) -> None:
    model = bert[0]
    (expected,) = scores(bert, "rollout", EXAMPLES[:1])
    own = copy.deepcopy(model.config)
    for module in model.bert.modules():
        if hasattr(module, "config"):
            module.config = own
    model.config._attn_implementation = whole
    own._attn_implementation = part
    np.testing.assert_allclose(scores(bert, "rollout", EXAMPLES[:1])[0], expected, atol=1e-5)
    assert (model.config._attn_implementation, own._attn_implementation) == (whole, part)


def test_a_model_without_attention_is_refused() -> None:
    tokenizer = tiny.wordpiece_tokenizer()
    sizes = {name: value for name, value in tiny.ENCODER.items() if name != "num_attention_heads"}
    config = FNetConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes, **tiny.LABELS)
    classifier = FNetForSequenceClassification(config).eval(), tokenizer
    with pytest.raises(ModelError, match=r"^FNetForSequenceClassification gives no attention weights .* of each block"):
        scores(classifier, "rollout", EXAMPLES[:1])


@pytest.mark.parametrize("spoil", [lambda given: given[:-1], lambda given: (None,) * 3, lambda given: None])
def test_attentions_of_some_blocks_only_do_not_do(bert: Classifier, spoil: Callable[[Any], Any]) -> None:
    classifier = tiny.probed(bert)

    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        return SimpleNamespace(logits=output.logits, attentions=output.attentions and spoil(output.attentions))

    classifier[0].register_forward_hook(hook)
    with pytest.raises(ModelError, match="rollout needs them"):
        scores(classifier, "rollout", EXAMPLES[:1])


def test_a_head_that_reads_nothing_is_refused(bert: Classifier) -> None:
    classifier = tiny.probed(bert)
    with torch.no_grad():
        classifier[0].classifier.weight.zero_()
    with pytest.raises(ModelError, match="the head of BertForSequenceClassification reads no position"):
        scores(classifier, "rollout", EXAMPLES[:1])


def test_a_model_whose_blocks_cannot_be_told_is_refused(bert: Classifier) -> None:
    classifier = tiny.probed(bert)
    classifier[0].config.num_hidden_layers = 7
    with pytest.raises(LayerError, match="cannot tell the blocks"):
        scores(classifier, "rollout", EXAMPLES[:1])
