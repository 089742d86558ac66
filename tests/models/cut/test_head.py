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
from transformers.models.bert.modeling_bert import BertPooler as BertsPooler

import tiny
from narrows.data.example import Example
from narrows.evaluation.cost import measured
from narrows.models.cut import split
from narrows.models.cut.blocks import find_blocks
from narrows.models.cut.head import as_read_by_head, passive, share_computed
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


def computed(model: PreTrainedModel, inputs: dict[str, Tensor]) -> tuple[Tensor, int]:
    """The logits of a view, and of how many tokens the last block gave."""
    view = borrowed(model)
    seen: list[int] = []
    watch = passive(lambda _, __, output: seen.append((output if isinstance(output, Tensor) else output[0]).shape[1]))
    find_blocks(view)[-1].register_forward_hook(watch)
    return forward_logits(view, inputs), seen[-1]


def plain(model: PreTrainedModel, inputs: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model.eval()(**inputs).logits  # type: ignore[no-any-return]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_logits_and_gradients_are_those_of_the_whole_block(
    family: str, layer: int, attention: str, make_classifier: Callable[..., Classifier]
) -> None:
    classifier = make_classifier(family)
    model, _ = classifier
    model.set_attn_implementation(attention)
    model = model.double()
    inputs = inputs_of(classifier)

    def run() -> tuple[Tensor, Tensor, Tensor]:
        network = Network.of(borrowed(model))
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
    inputs = inputs_of(classifier)
    logits, tokens = computed(classifier[0], inputs)
    assert tokens == 1
    torch.testing.assert_close(logits, plain(classifier[0], inputs))


@pytest.mark.parametrize("name", sorted(set(tiny.FAMILIES) - set(PRUNED)))
def test_other_models_are_left_alone(name: str, make_classifier: Callable[..., Classifier]) -> None:
    view = borrowed(make_classifier(name)[0])
    before = [dict(module.__dict__) for module in find_blocks(view)]
    with as_read_by_head(view):
        assert [module.__dict__ for module in find_blocks(view)] == before


class MeanPooler(nn.Module):
    """Reads all positions."""

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden.mean(dim=1)


class BertPooler(BertsPooler):
    """A subclass of the same name that reads the last position."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        return super().forward(hidden_states.flip(1))


def mean_pooler(model: Any) -> None:
    model.bert.pooler = MeanPooler()


def pooler_of_the_same_name(model: Any) -> None:
    model.bert.pooler.__class__ = BertPooler


def patched_model(model: Any) -> None:
    own = model.bert.forward

    def mean(*args: Any, **kwargs: Any) -> Any:
        output = own(*args, **kwargs)
        output.pooler_output = output.last_hidden_state.mean(dim=1)
        return output

    model.bert.forward = mean


def patched_pooler(model: Any) -> None:
    model.bert.pooler.forward = lambda hidden: hidden.mean(dim=1)


def hook_on_the_encoder(model: Any) -> None:
    def lift(_: nn.Module, __: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state + output.last_hidden_state.mean(dim=1, keepdim=True)
        return output

    model.bert.encoder.register_forward_hook(lift)


def hook_on_the_pooler(model: Any) -> None:
    model.bert.pooler.register_forward_pre_hook(lambda _, args: (args[0].mean(dim=1, keepdim=True),))


def hook_on_a_part_of_the_block(model: Any) -> None:
    model.bert.encoder.layer[-1].attention.output.dense.register_forward_hook(
        lambda _, __, output: output - output.mean(dim=1, keepdim=True)
    )


def another_last_block(model: Any) -> None:
    class Mixing(type(model.bert.encoder.layer[-1])):  # type: ignore[misc]
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            output = super().forward(*args, **kwargs)
            return output.flip(1)

    model.bert.encoder.layer[-1].__class__ = Mixing


def another_encoder(model: Any) -> None:
    class Flipping(type(model.bert.encoder)):  # type: ignore[misc]
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            output = super().forward(*args, **kwargs)
            output.last_hidden_state = output.last_hidden_state.flip(1)
            return output

    model.bert.encoder.__class__ = Flipping


def quantised_block(model: Any) -> None:
    class Scaled(nn.Linear):
        """As dynamic quantisation: one scale for all positions that are computed together."""

        def forward(self, input: Tensor) -> Tensor:
            scale = input.abs().amax(dim=(1, 2), keepdim=True) / 7
            return super().forward((input / scale).round() * scale)

    for part in model.bert.encoder.layer[-1].modules():
        if type(part) is nn.Linear:
            part.__class__ = Scaled


def activation_of_the_users_own(model: Any) -> None:
    class Centred(nn.Module):
        def forward(self, hidden: Tensor) -> Tensor:
            return hidden - hidden.mean(dim=1, keepdim=True)

    model.bert.encoder.layer[-1].intermediate.intermediate_act_fn = Centred()


CHANGES = (
    *(mean_pooler, pooler_of_the_same_name, patched_model, patched_pooler, hook_on_the_encoder, hook_on_the_pooler),
    *(hook_on_a_part_of_the_block, another_last_block, another_encoder, quantised_block, activation_of_the_users_own),
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(change.__name__))
def test_a_model_that_somebody_changed_gives_its_own_logits(bert: Classifier, change: Callable[[Any], None]) -> None:
    model, _ = bert
    inputs = inputs_of(bert)
    unchanged, _ = computed(model, inputs)  # the check once per model has been made by now
    change(model)
    expected = plain(model, inputs)
    assert (expected - unchanged).abs().max() > 1e-3
    logits, tokens = computed(model, inputs)
    assert tokens == inputs["input_ids"].shape[1]
    torch.testing.assert_close(logits, expected)


def test_a_head_of_stock_parts_that_reads_all_positions(make_classifier: Callable[..., Classifier]) -> None:
    classifier = make_classifier("roberta")
    model: Any = classifier[0]
    inputs = inputs_of(classifier)
    tokens = inputs["input_ids"].shape[1]
    model.classifier = nn.Sequential(nn.Flatten(), nn.Linear(tokens * tiny.HIDDEN, 3))
    logits, given = computed(model, inputs)
    assert given == tokens
    torch.testing.assert_close(logits, plain(model, inputs))


def test_code_that_is_exchanged_in_the_class_is_found_by_comparing_the_logits(
    bert: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = bert
    inputs = inputs_of(bert)
    assert computed(model, inputs)[1] == 1
    monkeypatch.setattr(BertsPooler, "forward", lambda self, hidden: torch.tanh(self.dense(hidden.mean(dim=1))))
    logits, tokens = computed(model, inputs)
    assert tokens > 1
    torch.testing.assert_close(logits, plain(model, inputs))


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_an_adapter_in_the_last_block_gives_its_own_logits(bert: Classifier) -> None:
    model, _ = bert
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query", "dense"], init_lora_weights=False)
    ).eval()
    inputs = inputs_of(bert)
    logits, tokens = computed(adapted.base_model.model, inputs)
    assert tokens > 1
    torch.testing.assert_close(logits, plain(adapted, inputs))


def test_a_hook_of_torch_on_all_modules_sees_the_whole_block(bert: Classifier) -> None:
    model, _ = bert
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert computed(model, inputs_of(bert))[1] > 1
    handle.remove()


def test_the_last_layer_is_kept_whole_where_it_is_asked_for(bert: Classifier) -> None:
    model, _ = bert
    inputs = inputs_of(bert)
    prefix = run_prefix(Network.of(borrowed(model)), inputs, [3])
    expected = model(**inputs, output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(prefix.activations[3], expected.detach())


def test_it_is_undone_after_an_error(bert: Classifier) -> None:
    view = borrowed(bert[0])
    with pytest.raises(RuntimeError, match="stop"), as_read_by_head(view):
        assert "forward" in find_blocks(view)[-1].__dict__
        raise RuntimeError("stop")
    assert "forward" not in find_blocks(view)[-1].__dict__


def test_the_cost_counts_the_share_that_is_computed(bert: Classifier) -> None:
    inputs = inputs_of(bert)
    tokens = inputs["input_ids"].shape[1]
    with measured(bert[0]) as cost, torch.no_grad():
        forward_logits(borrowed(bert[0]), inputs)  # the check once per model is not counted
    assert cost.forwards == pytest.approx(3 * (2 + share_computed(1, tokens)) / 3)
