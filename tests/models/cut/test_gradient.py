"""Parts that pass no gradient back are found and named, alone or beside a path that does; all others pass."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

from narrows.errors import ModelError, PriorError
from narrows.explainer import Explainer
from narrows.methods.registry import method_names, settings_by_name
from narrows.models.corpus import estimate_prior
from narrows.models.cut import gradient, leak
from narrows.models.cut.blocks import find_blocks, identify
from tiny import Classifier

TEXT = "the film is not bad"
BY_GRADIENT = {
    *("fast", "best", "complete", "paper", "information", "information_signed", "released", "rollout"),
    *("ig", "layer_ig", "gradient_shap", "gradient_x_input", "saliency"),
}
WITHOUT = {"occlusion", "lime", "kernel_shap", "update_norm", "random", "recency"}


class Weights8(nn.Module):
    """A linear layer as weight-only quantisation has it: int8 numbers, float again in every run."""

    def __init__(self, layer: nn.Linear, parameter: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(layer.weight.detach().abs().amax(dim=1, keepdim=True) / 127, requires_grad=False)
        numbers = (layer.weight.detach() / self.scale).round().to(torch.int8)
        self.bias = layer.bias
        if parameter:  # as bitsandbytes
            self.numbers = nn.Parameter(numbers, requires_grad=False)
        else:
            self.register_buffer("numbers", numbers)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.numbers.to(x.dtype) * self.scale, self.bias)


class Weights4(Weights8):
    """The same with 4 bits, two numbers in a byte."""

    def __init__(self, layer: nn.Linear, parameter: bool) -> None:
        super().__init__(layer, parameter)
        self.scale.data *= 127 / 7
        coarse = (layer.weight.detach() / self.scale).round().to(torch.int16) + 8
        packed = (coarse[:, ::2] * 16 + coarse[:, 1::2]).to(torch.uint8)
        self.numbers = nn.Parameter(packed, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        coarse = torch.stack([self.numbers // 16, self.numbers % 16], dim=-1).flatten(1).to(x.dtype) - 8
        return linear(x, coarse * self.scale, self.bias)


class Activations8(Weights8):
    """A linear layer as dynamic quantisation has it: integers all through, so without a gradient."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            step = x.abs().max() / 127
            return super().forward((x / step).round() * step)


class Rounded(Weights8):
    """Integers all through, by operations whose gradient is zero."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x * 16).round() / 16)


class _Unwritten(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        return None


class _Zero(_Unwritten):
    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return torch.zeros_like(gradients[0])


class Unwritten(Weights8):
    """A kernel without a backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        return _Unwritten.apply(super().forward(x))  # type: ignore[no-any-return, no-untyped-call]


class StraightThrough(Weights8):
    """Rounded in training: the gradient is that of the plain layer."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + ((x * 64).round() / 64 - x).detach())


Quantised = Callable[[nn.Linear, bool], nn.Module]


def exchange(model: nn.Module, kind: Quantised, only: str = "", parameter: bool = True) -> nn.Module:
    """Exchange the linear layers of which the name holds a word, those of the head aside."""
    for name, part in list(model.named_modules()):
        for own, layer in list(part.named_children()):
            if type(layer) is nn.Linear and only in f"{name}.{own}" and "layer" in name:
                setattr(part, own, kind(layer, parameter))
    return model


def scores(classifier: Classifier, method: str = "fast") -> Any:
    return Explainer(*classifier, method=method, prior="instance")(TEXT).scores


@pytest.mark.parametrize("kind", [Activations8, Rounded, Unwritten])
@pytest.mark.parametrize("only", ["", "attention.self.query", "intermediate", "layer.2.output"])
def test_a_part_without_a_gradient_is_named_also_beside_a_path_that_has_one(
    kind: Quantised, only: str, bert: Classifier
) -> None:
    exchange(bert[0], kind, only)
    with pytest.raises(ModelError, match=rf"{only}.*{kind.__name__}.*no gradient") as caught:  # type: ignore[attr-defined]
        scores(bert)
    assert "\n" not in str(caught.value)
    assert "occlusion" in str(caught.value)


@pytest.mark.parametrize("method", sorted(BY_GRADIENT - {"rollout"}))
def test_all_methods_by_gradients_refuse_it(method: str, bert: Classifier) -> None:
    exchange(bert[0], Activations8, "layer.2.intermediate")
    at = ":layer=2" if "layer" in settings_by_name(method) else ""
    with pytest.raises(ModelError, match=r"layer\.2\.intermediate"):
        scores(bert, method + at)


def test_rollout_refuses_a_head_without_a_gradient_and_takes_blocks_without_one(bert: Classifier) -> None:
    before = scores(copy.deepcopy(bert), "rollout")
    np.testing.assert_allclose(
        scores((exchange(bert[0], Activations8, "output.dense"), bert[1]), "rollout"), before, atol=0.1
    )  # type: ignore[arg-type]
    bert[0].bert.pooler.dense = Activations8(bert[0].bert.pooler.dense, True)
    with pytest.raises(ModelError, match=r"bert\.pooler\.dense"):
        scores(bert, "rollout")


# One step for the whole batch makes every text depend a little on its company, which is warned of.
@pytest.mark.filterwarnings("ignore:.*in a batch with others:narrows.errors.NarrowsWarning")
@pytest.mark.parametrize("method", sorted(WITHOUT))
def test_methods_without_gradients_explain_it(method: str, bert: Classifier) -> None:
    exchange(bert[0], Activations8)
    assert scores(bert, method).any()


def test_every_method_is_in_one_of_the_two_lists() -> None:
    assert BY_GRADIENT | WITHOUT | {"file"} == set(method_names())


@pytest.mark.filterwarnings("ignore")  # deprecated
def test_the_real_dynamic_quantisation_of_torch_is_refused(bert: Classifier) -> None:
    from torch.ao.quantization import quantize_dynamic

    engines = [name for name in torch.backends.quantized.supported_engines if name != "none"]
    if not engines:
        pytest.skip("this build of torch has no engine for quantised layers")
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "fbgemm" if "fbgemm" in engines else engines[0]
    try:
        model: Any = quantize_dynamic(bert[0], {nn.Linear}, dtype=torch.qint8)
        with pytest.raises(ModelError, match=r"layer\.0\.attention\.self\.query \(DynamicQuantizedLinear\)"):
            scores((model, bert[1]), "ig")
        assert scores((model, bert[1]), "occlusion").any()
        assert len(identify(model).probe) > len([p for p in model.parameters()]) * 4  # the packed weights count too
    finally:
        torch.backends.quantized.engine = before


def test_after_the_last_such_part_a_layer_can_be_explained(bert: Classifier) -> None:
    exchange(bert[0], Activations8)
    assert scores(bert, "fast:layer=3").any()


@pytest.mark.parametrize("kind", [Weights8, Weights4, StraightThrough])
@pytest.mark.parametrize("method", ["fast", "ig:steps=20"])
def test_weights_that_are_quantised_alone_give_the_map_of_the_same_float_weights(
    kind: Quantised, method: str, bert: Classifier
) -> None:
    model, tokenizer = copy.deepcopy(bert)
    plain = copy.deepcopy(model)
    exchange(model, kind)
    for name, part in model.named_modules():
        if isinstance(part, Weights8):
            rows = plain.get_submodule(name)
            eye = torch.eye(rows.in_features)  # type: ignore[arg-type]
            rows.weight.data = (Weights4.forward if kind is Weights4 else Weights8.forward)(part, eye).T - part.bias[
                :, None
            ]  # type: ignore[operator, arg-type, index]
    tolerance = {"rtol": 0.1, "atol": 0.05} if kind is StraightThrough else {"rtol": 1e-3, "atol": 1e-4}
    np.testing.assert_allclose(scores((model, tokenizer), method), scores((plain, tokenizer), method), **tolerance)


@pytest.mark.parametrize("parameter", [True, False])
@pytest.mark.parametrize("kind", [Weights8, Weights4])
def test_a_prior_of_the_float_model_is_not_that_of_the_quantised_one(
    kind: Quantised, parameter: bool, bert: Classifier
) -> None:
    model, tokenizer = bert
    of_float = estimate_prior(model, tokenizer, [TEXT, "a good act"])
    quantised: Any = exchange(copy.deepcopy(model), kind, parameter=parameter)
    own = estimate_prior(quantised, tokenizer, [TEXT, "a good act"])
    assert Explainer(quantised, tokenizer, prior=own)(TEXT).scores.any()
    with pytest.raises(PriorError, match="another model"):
        Explainer(quantised, tokenizer, prior=of_float)
    other: Any = copy.deepcopy(quantised)  # trained further, in its quantised weights alone
    for part in other.modules():
        if isinstance(part, Weights8):
            part.numbers.data = part.numbers.data.flip(0, 1)  # type: ignore[operator]
    with pytest.raises(PriorError, match="another model"):
        Explainer(other, tokenizer, prior=own)


def test_a_zero_gradient_by_hand_is_refused_and_a_saturated_head_is_not(bert: Classifier) -> None:
    model, _ = bert
    model.classifier = nn.Sequential(model.classifier, _Apply(_Zero))
    with pytest.raises(ModelError, match="no gradient"):
        scores(bert, "fast:layer=3")
    model.classifier = model.classifier[0]
    model.bert.pooler.dense.weight.data *= 1e4  # tanh is 1 or -1 everywhere: the gradient is truly zero
    assert not scores(bert, "saliency").any()


class _Apply(nn.Module):
    def __init__(self, function: type[_Unwritten]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function.apply(x)  # type: ignore[no-any-return, no-untyped-call]


def test_a_gradient_that_is_cut_off_between_two_parts_is_found_in_the_part_around_them(bert: Classifier) -> None:
    block: Any = find_blocks(bert[0])[2]
    plain = block.feed_forward_chunk
    with (
        patch.object(block, "feed_forward_chunk", lambda x: block.output(block.intermediate(x.detach()), x)),
        pytest.raises(ModelError, match=r"bert\.encoder\.layer\.2 \(BertLayer\)"),
    ):
        scores(bert)
    assert plain == block.feed_forward_chunk


def test_a_model_is_tried_out_once_and_again_when_it_changes(bert: Classifier) -> None:
    with patch.object(leak, "check_gradient", wraps=gradient.check_gradient) as tried:
        explainer = Explainer(*bert, prior="instance")
        explainer([TEXT, "bad"])
        explainer(TEXT)
        assert tried.call_count == 1  # what comes after a deeper layer is a part of what comes after the first
        exchange(bert[0], Activations8)
        with pytest.raises(ModelError, match="no gradient"):
            explainer(TEXT)


def test_nothing_of_the_model_and_of_the_callers_random_numbers_is_changed(bert: Classifier) -> None:
    model, tokenizer = bert
    before = [(dict(part._forward_hooks), dict(part._forward_pre_hooks), part.training) for part in model.modules()]
    drawn = torch.get_rng_state()
    exchange(model, Activations8, "nothing")
    scores((model, tokenizer))
    assert torch.equal(drawn, torch.get_rng_state())
    assert before == [(part._forward_hooks, part._forward_pre_hooks, part.training) for part in model.modules()]


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")
@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing(reentrant: bool, bert: Classifier) -> None:
    model, tokenizer = bert
    expected = scores(copy.deepcopy(bert))
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    model.train()
    np.testing.assert_allclose(scores(bert), expected, atol=1e-5)
    for block in find_blocks(model):  # switched on also where nothing is trained
        plain = block.forward
        block.forward = lambda *args, plain=plain, **kwargs: checkpoint(  # type: ignore[method-assign]
            lambda *inner: plain(*inner, **kwargs), *args, use_reentrant=reentrant
        )
    if reentrant:
        with pytest.raises(ModelError, match="use_reentrant=False"):
            scores((model, tokenizer))
    else:
        np.testing.assert_allclose(scores((model, tokenizer)), expected, atol=1e-5)
