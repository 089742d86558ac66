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
from narrows.data.example import Example
from narrows.errors import LayerError, ModelError
from narrows.methods import attention
from narrows.methods.attention import rollout
from narrows.methods.method import Batch, Scores, check_scores
from narrows.models.hub.loading import Classifier
from narrows.models.text.encoding import collate, padding_id

Make = Callable[..., tuple[Any, Any]]

EXAMPLES = [
    Example("good film"),
    Example("the film is not very good, it is bad acting"),
    Example("a"),
    Example("not bad", "superb film"),
]
TARGETS = [0, 1, 2, 1]


def wrap(pair: tuple[Any, Any]) -> Classifier:
    return Classifier(*pair, "tiny", None)


def by_loops(classifier: Classifier, batch: Batch, row: int, read: list[int]) -> Scores:
    """The whole product of matrices, number by number."""
    model = copy.deepcopy(classifier.model)
    model.set_attn_implementation("eager")
    inputs = collate([batch.encodings[row]], padding_id(model, classifier.tokenizer), model.device)
    with torch.no_grad():
        blocks = [a[0].double().numpy() for a in model(**inputs, output_attentions=True).attentions]
    tokens = len(batch.encodings[row])
    product = np.eye(tokens)
    for heads in blocks:
        mixed = np.zeros((tokens, tokens))
        for i in range(tokens):
            for j in range(tokens):
                mixed[i, j] = sum(head[i, j] for head in heads) / len(heads) + (i == j)
            mixed[i] /= sum(mixed[i])
        product = mixed @ product
    return np.asarray(sum(product[position] for position in read) / len(read))


def test_rollout_is_the_product_of_the_attentions_where_the_head_reads(family: str, make_classifier: Make) -> None:
    classifier = wrap(make_classifier(family))
    batch = Batch.of(classifier, EXAMPLES)
    scores = rollout()(classifier, batch, TARGETS)
    check_scores("rollout", batch, scores)
    for row, own in enumerate(scores):
        read = len(own) - 1 if family == "gpt2" else 0
        np.testing.assert_allclose(own, by_loops(classifier, batch, row, [read]), atol=1e-5)
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
    return wrap((ModernBertForSequenceClassification(config).eval(), tokenizer))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_head_that_pools_is_read_at_all_that_it_pools(pooling: str) -> None:
    classifier = modern_bert(pooling)
    batch = Batch.of(classifier, EXAMPLES)
    for row, own in enumerate(rollout()(classifier, batch, TARGETS)):
        read = list(range(len(own))) if pooling == "mean" else [0]
        np.testing.assert_allclose(own, by_loops(classifier, batch, row, read), atol=1e-5)


def test_a_text_gets_the_same_alone_in_a_padded_batch_in_any_order_and_for_any_target(
    any_classifier: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = wrap(any_classifier)
    batch = Batch.of(classifier, EXAMPLES)
    together = rollout()(classifier, batch, TARGETS)
    order = [2, 0, 3, 1]
    for switched_off in (torch.no_grad(), torch.inference_mode()):
        with switched_off:
            shuffled = rollout()(classifier, batch.take(order), [0, 0, 0, 0])
        for row, own in zip(order, shuffled, strict=True):
            np.testing.assert_allclose(own, together[row], atol=1e-5)
    monkeypatch.setattr(attention, "ATTENTION_TOKENS", 1)
    for own, other in zip(rollout()(classifier, batch, TARGETS), together, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-5)


def state_of(model: nn.Module) -> list[Any]:
    """Whatever a guest could leave behind."""
    modules = [
        (m.training, list(m._forward_hooks), len(m._forward_pre_hooks), sorted(m.__dict__)) for m in model.modules()
    ]
    configs = [m.config._attn_implementation for m in model.modules() if hasattr(m, "config")]
    parameters = [(p.requires_grad, p.grad is None) for p in model.parameters()]
    return [modules, parameters, model.config.to_dict(), configs]


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_as_it_was(any_classifier: tuple[Any, Any], implementation: str, fails: bool) -> None:
    classifier = wrap(any_classifier)
    model = classifier.model
    model.set_attn_implementation(implementation)
    model.train()
    batch = Batch.of(classifier, EXAMPLES[:2])
    before = state_of(model)
    if fails:
        handle = model.get_input_embeddings().register_forward_hook(stop)
        with pytest.raises(KeyboardInterrupt):
            rollout()(classifier, batch, [0, 1])
        handle.remove()
    else:
        rollout()(classifier, batch, [0, 1])
    assert state_of(model) == before


def stop(*_: Any) -> None:
    raise KeyboardInterrupt


def test_attentions_can_be_asked_for_before_and_after(bert: tuple[Any, Any]) -> None:
    classifier = wrap(bert)
    model = classifier.model
    model.set_attn_implementation("eager")
    batch = Batch.of(classifier, EXAMPLES[:1])
    inputs = collate(batch.encodings, 0, model.device)
    rollout()(classifier, batch, [0])
    first = model(**inputs, output_attentions=True).attentions
    hooks = [list(module._forward_hooks) for module in model.modules()]
    assert any(hooks) or any("forward" in module.__dict__ for module in model.modules())  # transformers keeps its own
    (again,) = rollout()(classifier, batch, [0])
    assert [list(module._forward_hooks) for module in model.modules()] == hooks
    second = model(**inputs, output_attentions=True).attentions
    assert len(first) == len(second) == tiny.BLOCKS
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert again.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("whole", "part"), [("sdpa", "eager"), ("eager", "sdpa")])
def test_a_part_with_its_own_implementation_is_switched_and_keeps_it(
    bert: tuple[Any, Any], whole: str, part: str
) -> None:
    classifier = wrap(bert)
    model = classifier.model
    batch = Batch.of(classifier, EXAMPLES[:1])
    (expected,) = rollout()(classifier, batch, [0])
    own = copy.deepcopy(model.config)
    for module in model.bert.modules():
        if hasattr(module, "config"):
            module.config = own
    model.config._attn_implementation = whole
    own._attn_implementation = part
    np.testing.assert_allclose(rollout()(classifier, batch, [0])[0], expected, atol=1e-5)
    assert (model.config._attn_implementation, own._attn_implementation) == (whole, part)


def test_a_model_without_attention_is_refused() -> None:
    tokenizer = tiny.wordpiece_tokenizer()
    sizes = {name: value for name, value in tiny.ENCODER.items() if name != "num_attention_heads"}
    config = FNetConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes, **tiny.LABELS)
    classifier = wrap((FNetForSequenceClassification(config).eval(), tokenizer))
    with pytest.raises(ModelError, match=r"^FNetForSequenceClassification gives no attention weights .* of each block"):
        rollout()(classifier, Batch.of(classifier, EXAMPLES[:1]), [0])


@pytest.mark.parametrize("spoil", [lambda given: given[:-1], lambda given: (None,) * 3, lambda given: None])
def test_attentions_of_some_blocks_only_do_not_do(bert: tuple[Any, Any], spoil: Callable[[Any], Any]) -> None:
    classifier = wrap(bert)

    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        return SimpleNamespace(logits=output.logits, attentions=spoil(output.attentions))

    classifier.model.register_forward_hook(hook)
    with pytest.raises(ModelError, match="rollout needs them"):
        rollout()(classifier, Batch.of(classifier, EXAMPLES[:1]), [0])


def test_a_head_that_reads_nothing_is_refused(bert: tuple[Any, Any]) -> None:
    classifier = wrap(bert)
    with torch.no_grad():
        classifier.model.classifier.weight.zero_()
    with pytest.raises(ModelError, match="the head of BertForSequenceClassification reads no position"):
        rollout()(classifier, Batch.of(classifier, EXAMPLES[:1]), [0])


def test_a_model_whose_blocks_cannot_be_told_is_refused(bert: tuple[Any, Any]) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, EXAMPLES[:1])
    classifier.model.config.num_hidden_layers = 7
    with pytest.raises(LayerError, match="cannot tell the blocks"):
        rollout()(classifier, batch, [0])
