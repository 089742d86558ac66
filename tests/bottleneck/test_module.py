"""LayerInformationBottleneck: captum's calling conventions, and the same bits as the explainer's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import narrows.bottleneck.module
from narrows.bottleneck.module import LayerInformationBottleneck, estimate_layer_prior
from narrows.bottleneck.optimize import Optimization, text_seed
from narrows.bottleneck.prior import Gaussian, Prior
from narrows.errors import InputError, ModelError, TargetError
from narrows.explainer import Explainer
from narrows.methods.information import InformationBottleneck
from tiny import Classifier

QUICK = Optimization(granularity="token", beta="auto", steps=3, samples=2)
STANDARD = Gaussian(torch.zeros(1), torch.ones(1))


class Mixer(nn.Module):
    """Two inputs, an argument of another kind, tokens, and an output of two dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.block, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(
        self, x: Tensor, other: Tensor | None = None, scale: Tensor | None = None, tags: bool = False
    ) -> Tensor:
        hidden = self.embed(x if other is None else x + other)
        hidden = self.block(torch.tanh(hidden if scale is None else hidden * scale.view(-1, 1, 1)))
        return self.head(hidden if tags else hidden.mean(dim=1))


@pytest.fixture
def mixer() -> Mixer:
    return Mixer().eval()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(5, 7, 4)


TARGETS = [1, torch.tensor(1), torch.tensor([1]), torch.tensor([1] * 5), [1] * 5]


@pytest.mark.parametrize("target", TARGETS, ids=["int", "scalar", "one", "tensor", "list"])
def test_targets_have_the_forms_that_captum_takes(mixer: Mixer, x: Tensor, target: Any) -> None:
    captum = pytest.importorskip("captum.attr")
    theirs = captum.LayerGradientXActivation(mixer, mixer.block).attribute(x, target=target)
    ours = LayerInformationBottleneck(mixer, mixer.block, optimization=QUICK).attribute(x, target=target)
    assert ours.shape == theirs.shape
    torch.testing.assert_close(
        ours, LayerInformationBottleneck(mixer, mixer.block, optimization=QUICK).attribute(x, target=1)
    )


def test_tuples_pick_from_an_output_of_more_dimensions(mixer: Mixer, x: Tensor) -> None:
    captum = pytest.importorskip("captum.attr")
    bottleneck = LayerInformationBottleneck(mixer, mixer.block, optimization=QUICK)
    for target in ((2, 1), [(2, 1)] * 5):
        args = {"target": target, "additional_forward_args": (None, None, True)}
        assert bottleneck.attribute(x, **args).shape == captum.LayerActivation(mixer, mixer.block).attribute(x).shape
        captum.LayerGradientXActivation(mixer, mixer.block).attribute(x, **args)
    with pytest.raises(TargetError, match="does not fit"):
        bottleneck.attribute(x, target=1, additional_forward_args=(None, None, True))


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_rows_that_run_together_change_nothing(mixer: Mixer, x: Tensor, rows: int) -> None:
    bottleneck = LayerInformationBottleneck(mixer, mixer.block, optimization=QUICK)
    scale = torch.rand(5) + 0.5
    args = {"target": [0, 1, 2, 0, 1], "additional_forward_args": (scale,)}
    whole = bottleneck.attribute((x, x * 0.1), **args)
    torch.testing.assert_close(
        bottleneck.attribute((x, x * 0.1), **args, internal_batch_size=rows), whole, rtol=1e-3, atol=1e-3
    )
    alone = bottleneck.attribute((x[3:4], x[3:4] * 0.1), target=0, additional_forward_args=scale[3:4])
    torch.testing.assert_close(alone, whole[3:4], rtol=1e-3, atol=1e-3)


def test_an_argument_that_all_rows_share_is_not_split_where_it_has_as_many_entries_as_a_part(x: Tensor) -> None:
    layer = nn.Linear(x.shape[-1], 2)

    def forward(rows: Tensor, shared: Tensor) -> Tensor:
        return layer(rows).sum(dim=1) * shared

    bottleneck = LayerInformationBottleneck(forward, layer, optimization=QUICK)
    args = {"target": np.int64(1), "additional_forward_args": torch.tensor([1.0, 2.0])}
    whole = bottleneck.attribute(x, **args)
    for rows in (2, 4):
        parts = bottleneck.attribute(x, **args, internal_batch_size=rows)
        torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-3)
    with pytest.raises(InputError, match="no row"):
        bottleneck.attribute(x[:0], **args)


def test_the_layers_input_and_a_function_for_a_model(mixer: Mixer, x: Tensor) -> None:
    at_input = LayerInformationBottleneck(mixer.forward, mixer.embed, optimization=QUICK)
    assert at_input.attribute(x, target=0, attribute_to_layer_input=True).shape == x.shape
    prior = estimate_layer_prior(mixer, mixer.embed, [x], attribute_to_layer_input=True)
    torch.testing.assert_close(prior.mean, x.flatten(0, 1).mean(dim=0))
    at_output = LayerInformationBottleneck(mixer, mixer.embed, optimization=QUICK)
    assert at_output.attribute(x, target=0).shape == (5, 7, 6)


def test_probabilities_and_log_probabilities_give_what_logits_give(mixer: Mixer, x: Tensor) -> None:
    expected = LayerInformationBottleneck(mixer, mixer.block, optimization=QUICK).attribute(x, target=2)
    for forward, output in (
        (lambda x: mixer(x).softmax(-1), "probabilities"),
        (lambda x: mixer(x).log_softmax(-1), None),
        (lambda x: mixer(x).log_softmax(-1), "logits"),
        (lambda x: mixer(x).softmax(-1).log(), "logits"),
    ):
        torch.testing.assert_close(
            LayerInformationBottleneck(forward, mixer.block, optimization=QUICK, output=output).attribute(x, target=2),
            expected,
            rtol=1e-3,
            atol=1e-3,
        )
    of_one = LayerInformationBottleneck(lambda x: mixer(x).log_softmax(-1)[:, 2], mixer.block, optimization=QUICK)
    torch.testing.assert_close(of_one.attribute(x), expected, rtol=1e-3, atol=1e-3)


def test_what_a_function_returns_is_said_and_never_guessed(mixer: Mixer, x: Tensor) -> None:
    """Logits may look like probabilities, as those of a head of non-negative rows that sum to 1 do."""

    def explain(forward: Callable[[Tensor], Tensor], output: Any = None) -> Tensor:
        return LayerInformationBottleneck(forward, mixer.block, optimization=QUICK, output=output).attribute(
            x, target=2
        )

    def like(x: Tensor) -> Tensor:
        return mixer(x).softmax(-1)

    with pytest.raises(InputError, match=r"output='probabilities' or output='logits'"):
        explain(like)
    torch.testing.assert_close(explain(like, "logits"), explain(lambda x: like(x) + 1), rtol=1e-3, atol=1e-3)
    with pytest.raises(InputError, match="do not sum to 1"):
        explain(mixer, "probabilities")
    with pytest.raises(InputError, match="logits, probabilities"):
        explain(mixer, "odds")


def test_images_and_vectors(x: Tensor) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
    images = torch.randn(2, 3, 8, 8)
    assert LayerInformationBottleneck(net, net[0], optimization=QUICK).attribute(images, target=1).shape == (2, 4, 6, 6)
    with pytest.raises(InputError, match="a prior is needed"):
        LayerInformationBottleneck(net, net[3], optimization=QUICK).attribute(images, target=1)
    prior = estimate_layer_prior(net, net[3], [torch.randn(50, 3, 8, 8), torch.randn(30, 3, 8, 8)])
    assert prior.mean.shape == (5,)
    assert LayerInformationBottleneck(net, net[3], prior, optimization=QUICK).attribute(images, target=1).shape == (
        2,
        5,
    )
    with pytest.raises(InputError, match="no batch"):
        estimate_layer_prior(net, net[3], [])


def test_the_feature_that_decides_keeps_the_most_bits() -> None:
    net = nn.Sequential(nn.Identity(), nn.Linear(6, 2, bias=False)).eval()
    with torch.no_grad():
        net[1].weight.zero_()
        net[1].weight[1, 2] = 8.0
    rows = torch.randn(8, 6)
    rows[:, 2] = 1.0
    bits = LayerInformationBottleneck(net, net[0], STANDARD, Optimization(steps=20, beta=0.1)).attribute(rows, target=1)
    assert (bits.argmax(dim=1) == 2).all()


@pytest.mark.parametrize("granularity", ["feature", "token"])
def test_a_transformers_bits_are_the_explainers(
    bert: Classifier, make_prior: Callable[..., Prior], monkeypatch: pytest.MonkeyPatch, granularity: Any
) -> None:
    """The whole model at every step against prefix and suffix, with the same noise."""
    model, tokenizer = bert
    prior, text, layer = make_prior(model), "not very good", 2
    settings = Optimization(granularity=granularity, steps=3, samples=2, beta=0.3, seed=4)
    method = InformationBottleneck(layer=layer, **asdict(settings))
    expected = Explainer(model, tokenizer, method, prior)(text, "positive")
    monkeypatch.setattr(narrows.bottleneck.module, "_row_seed", lambda *_: text_seed(4, text, None))
    encoded = tokenizer(text, return_tensors="pt")
    got = LayerInformationBottleneck(
        lambda ids, mask: model(ids, attention_mask=mask).logits,
        model.bert.encoder.layer[layer - 1],
        prior.at(layer),
        settings,
    ).attribute(encoded["input_ids"], target=2, additional_forward_args=encoded["attention_mask"])
    np.testing.assert_allclose(got[0].sum(dim=-1).numpy(), expected.scores, rtol=1e-3)


def test_the_model_is_as_it_was_and_gradients_may_be_off(mixer: Mixer, x: Tensor) -> None:
    mixer.head.weight.requires_grad_(False)
    before = [parameter.requires_grad for parameter in mixer.parameters()]
    with torch.no_grad():
        LayerInformationBottleneck(mixer, mixer.block, optimization=QUICK).attribute(x, target=0)
    assert [parameter.requires_grad for parameter in mixer.parameters()] == before
    assert all(parameter.grad is None for parameter in mixer.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in mixer.modules())


def test_what_is_wrong_is_told_in_one_line(mixer: Mixer, x: Tensor) -> None:
    bottleneck = LayerInformationBottleneck(mixer, mixer.block, optimization=QUICK)
    for target, says in ((None, "a target is needed"), (3, "does not fit"), ([1, 2], "5 rows but 2 targets")):
        with pytest.raises(TargetError, match=says):
            bottleneck.attribute(x, target=target)
    with pytest.raises(ModelError, match="it was run 0 times"):
        LayerInformationBottleneck(mixer, nn.Linear(2, 2), optimization=QUICK).attribute(x, target=0)
