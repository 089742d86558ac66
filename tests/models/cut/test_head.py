"""Computing of the last block only what the head reads: the same logits and gradients, and hands off others' blocks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

import tiny
from narrows.data.example import Example
from narrows.evaluation.cost import measured
from narrows.models.cut import split
from narrows.models.cut.blocks import find_blocks
from narrows.models.cut.head import as_read_by_head, share_computed
from narrows.models.cut.network import Network
from narrows.models.cut.split import forward_logits, run_prefix, run_suffix
from narrows.models.cut.view import borrowed
from narrows.models.text.encoding import collate, encode, padding_id
from tiny import Classifier

TEXTS = ["good", "the film is not bad, it is good", "a bad act"]
PRUNED = ("bert", "roberta", "electra")


def inputs_of(classifier: Classifier) -> dict[str, Tensor]:
    model, tokenizer = classifier
    encodings = [encode(tokenizer, Example(text), None) for text in TEXTS]
    return collate(encodings, padding_id(model, tokenizer), model.device)


def last_shapes(model: PreTrainedModel, inputs: dict[str, Tensor]) -> list[int]:
    """How many tokens the last block gives."""
    seen: list[int] = []
    block: Any = find_blocks(model)[-1]
    watch = block.output if hasattr(block, "output") else block
    original = watch.forward

    def spy(*args: Any, **kwargs: Any) -> Any:
        out = original(*args, **kwargs)
        seen.append((out if isinstance(out, Tensor) else out[0]).shape[1])
        return out

    with patch("narrows.models.cut.head._is_watched", lambda _: False), patch.object(watch, "forward", spy):
        forward_logits(model, inputs)
    return seen


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_logits_and_gradients_are_those_of_the_whole_block(
    family: str, layer: int, attention: str, make_classifier: Callable[..., Classifier]
) -> None:
    classifier = make_classifier(family)
    model, tokenizer = classifier
    model.set_attn_implementation(attention)
    model = model.double()
    inputs = inputs_of(classifier)

    def run() -> tuple[Tensor, Tensor, Tensor]:
        with borrowed(model, padding_id(model, tokenizer)):
            network = Network.of(model)
            prefix = run_prefix(network, inputs, [layer])
            activation = prefix.activations[layer].clone().requires_grad_()
            logits = run_suffix(network, prefix, inputs, layer, activation)
            (gradient,) = torch.autograd.grad(logits[:, 1].sum(), activation)
        return prefix.logits, logits.detach(), gradient

    with patch.object(split, "as_read_by_head", lambda _: nullcontext()):
        whole = run()
    for own, expected in zip(run(), whole, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", PRUNED)
def test_the_last_block_computes_one_token(name: str, make_classifier: Callable[..., Classifier]) -> None:
    classifier = make_classifier(name)
    assert last_shapes(classifier[0], inputs_of(classifier)) == [1]


@pytest.mark.parametrize("name", sorted(set(tiny.FAMILIES) - set(PRUNED)))
def test_other_models_are_left_alone(name: str, make_classifier: Callable[..., Classifier]) -> None:
    model, _ = make_classifier(name)
    before = [dict(module.__dict__) for module in model.modules()]
    with as_read_by_head(model):
        assert [dict(module.__dict__) for module in model.modules()] == before


def test_a_block_that_somebody_hooked_is_computed_whole(bert: Classifier) -> None:
    model, _ = bert
    inputs = inputs_of(bert)
    seen: list[torch.Size] = []
    block = find_blocks(model)[-1]
    part = block.attention.output.dense  # type: ignore[union-attr]
    for watched in (block, part):
        handle = watched.register_forward_hook(lambda _, __, output: seen.append(output.shape))  # type: ignore[union-attr]
        forward_logits(model, inputs)
        handle.remove()
    assert [shape[1] for shape in seen] == [inputs["input_ids"].shape[1]] * 2


def test_a_head_of_the_users_own_is_given_the_whole_block(bert: Classifier) -> None:
    model, _ = bert

    class MeanPooler(nn.Module):
        def forward(self, hidden: Tensor) -> Tensor:
            assert hidden.shape[1] > 1
            return hidden.mean(dim=1)

    model.bert.pooler = MeanPooler()
    forward_logits(model, inputs_of(bert))


def test_the_last_layer_is_kept_whole_where_it_is_asked_for(bert: Classifier) -> None:
    model, _ = bert
    inputs = inputs_of(bert)
    prefix = run_prefix(Network.of(model), inputs, [3])
    expected = model(**inputs, output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(prefix.activations[3], expected.detach())


def test_it_is_undone_after_an_error(bert: Classifier) -> None:
    model, _ = bert
    with pytest.raises(RuntimeError, match="stop"), as_read_by_head(model):
        raise RuntimeError("stop")
    assert "forward" not in find_blocks(model)[-1].__dict__


def test_the_cost_counts_the_share_that_is_computed(bert: Classifier) -> None:
    model, _ = bert
    inputs = inputs_of(bert)
    tokens = inputs["input_ids"].shape[1]
    with measured(model) as cost, torch.no_grad():
        forward_logits(model, inputs)
    assert cost.forwards == pytest.approx(3 * (2 + share_computed(1, tokens)) / 3)
