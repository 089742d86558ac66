"""The paper's method on real architectures: against the loop-based reference, and the direction of signed bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import reference
import tiny
from asking import explain
from narrows.bottleneck.optimize import AUTO_BETA_FLOOR, NoiseSource, text_seed
from narrows.bottleneck.prior import Prior
from narrows.errors import InputError, LayerError, PriorError
from narrows.methods import information
from narrows.methods.information import InformationBottleneck
from narrows.methods.registry import find_method
from tiny import Classifier

TEXTS = ["a good film", "bad", "the acting is superb, it is not a bad film", "not very good", "it is"]


@pytest.mark.parametrize("granularity", ["feature", "token"])
@pytest.mark.parametrize("prior", ["corpus", "instance", "residual"])
def test_the_whole_explanation_equals_the_reference(
    bert: Classifier, make_prior: Callable[..., Prior], granularity: Any, prior: str
) -> None:
    """Bits of a real architecture in float64 against loops; the model is asked for gradients with a plain hook."""
    model, tokenizer = bert
    model.double()
    corpus = make_prior(model)
    layer, text, target = 2, "not very good", 1
    beta: Any = 1e-5 if granularity == "feature" else "auto"
    method = InformationBottleneck(granularity, beta, steps=4, samples=2, seed=3, layer=layer)
    (got,) = explain(bert, method, [text], [target], corpus if prior == "corpus" else prior)

    block = model.bert.encoder.layer[layer - 1]
    inputs = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        states = model(**inputs, output_hidden_states=True).hidden_states
    x = states[layer][0]

    def suffix(t: reference.Matrix) -> tuple[list[float], Any]:
        put_in = torch.tensor(t, dtype=torch.float64).unsqueeze(0).requires_grad_()
        handle = block.register_forward_hook(lambda *_: put_in)
        logits = model(**inputs).logits[0]
        handle.remove()

        def back(slopes: list[float]) -> reference.Matrix:
            (gradient,) = torch.autograd.grad(logits @ torch.tensor(slopes).double(), [put_in])
            return gradient[0].tolist()  # type: ignore[no-any-return]

        return logits.tolist(), back

    if prior == "corpus":
        mean, std = corpus.mean[layer].double().expand_as(x), corpus.std[layer].double().expand_as(x)
    elif prior == "residual":
        mean, std = states[layer - 1][0], torch.full_like(x, 1e-5**0.5)
    else:
        moments = reference.instance_moments(x.tolist())
        mean, std = (torch.tensor(value).double().expand_as(x) for value in moments)
    source = NoiseSource([text_seed(3, text, None)], torch.ones(1, len(x), dtype=torch.bool), x.shape[1])
    noise = [source.draw(2)[0].tolist() for _ in range(5)]
    want = reference.explain(
        x.tolist(), mean.tolist(), std.tolist(), suffix, target, noise, 4, None if beta == "auto" else beta,
        granularity == "token", beta_floor=AUTO_BETA_FLOOR,
    )  # fmt: skip
    assert got.record["beta"] == pytest.approx(want.beta, rel=1e-4)
    np.testing.assert_allclose(got.scores, want.bits, rtol=1e-3)
    assert [point.cross_entropy for point in got.trace] == pytest.approx(want.cross_entropy, rel=1e-4)
    assert [point.information for point in got.trace] == pytest.approx(
        [total / math.log(2) for total in want.total_nats], rel=1e-3
    )


@pytest.mark.parametrize("prior", ["instance", "residual", "corpus"])
@pytest.mark.parametrize("granularity", ["feature", "token"])
def test_every_family_prior_and_granularity_gives_finite_bits(
    any_classifier: Classifier, make_prior: Callable[..., Prior], prior: str, granularity: str
) -> None:
    chosen = make_prior(any_classifier[0]) if prior == "corpus" else prior
    for layer in range(1 if prior == "residual" else 0, tiny.BLOCKS + 1):
        method = f"information:layer={layer}:granularity={granularity}:steps=3:samples=2"
        (attribution,) = explain(any_classifier, method, TEXTS[:1], prior=chosen)
        assert attribution.layers == (layer,)
        assert (attribution.scores >= 0).all()
        assert len(attribution.trace) == 4
        assert 0 < attribution.scores.sum() < attribution.trace[0].information
        assert attribution.scores.sum() == pytest.approx(attribution.trace[-1].information, rel=1e-5)


def test_the_names_are_the_papers_settings_and_what_departs_from_them() -> None:
    paper = find_method("paper")
    assert paper == InformationBottleneck()
    assert (paper.granularity, paper.beta, paper.steps, paper.samples, paper.learning_rate, paper.initial_alpha) == (
        *("feature", 1e-5, 10, 10, 1.0, 5.0),
    )
    assert (paper.sign, paper.prior, paper.layer, paper.adam_eps) == (False, None, None, 1e-8)
    assert find_method("information") == InformationBottleneck("token", "auto")
    assert find_method("information_signed") == InformationBottleneck("token", "auto", sign=True)
    assert find_method("released") == InformationBottleneck(prior="residual")
    assert [find_method(name).signed for name in ("paper", "information", "information_signed", "released")] == [
        *(False, False, True, False)
    ]
    assert find_method("paper:samples=7").copies == 7


@pytest.mark.parametrize(("blocks", "layer"), [(12, 9), (24, 18), (6, 5), (3, 3), (4, 3)])
def test_the_bottleneck_stands_after_three_quarters_of_the_blocks_rounded_up(blocks: int, layer: int) -> None:
    assert math.ceil(information.DEPTH * blocks) == layer


def test_it_does_stand_there(bert: Classifier) -> None:
    assert explain(bert, "paper:steps=1:samples=1", TEXTS[:1])[0].layers == (3,)


def test_the_map_of_several_layers_is_the_mean_of_theirs(bert: Classifier) -> None:
    several = explain(bert, "paper:layer=1,2:steps=3:samples=2", TEXTS[:2])
    parts = [explain(bert, f"paper:layer={layer}:steps=3:samples=2", TEXTS[:2]) for layer in (1, 2)]
    for own, one, other in zip(several, *parts, strict=True):
        np.testing.assert_allclose(own.scores, (one.scores + other.scores) / 2, rtol=1e-4)
        assert own.layers == (1, 2)


def test_released_is_the_residual_prior_whatever_the_explainers_is(
    bert: Classifier, make_prior: Callable[..., Prior]
) -> None:
    (released,) = explain(bert, "released:steps=3:samples=2", TEXTS[:1], prior=make_prior(bert[0]))
    (residual,) = explain(bert, "paper:steps=3:samples=2", TEXTS[:1], prior="residual")
    np.testing.assert_array_equal(released.scores, residual.scores)
    assert released.prior == residual.prior == "residual"
    with pytest.raises(LayerError, match="layer 1"):
        explain(bert, "released:layer=0", TEXTS[:1])


def test_a_prior_of_the_methods_own_must_be_the_models(
    make_classifier: Callable[..., Classifier], make_prior: Callable[..., Prior], tmp_path: Any
) -> None:
    make_prior(make_classifier("bert", 1)[0]).save(tmp_path / "other.safetensors")
    method = InformationBottleneck(prior=str(tmp_path / "other.safetensors"), steps=1)
    with pytest.raises(PriorError, match="another model"):
        explain(make_classifier("bert"), method, TEXTS[:1])
    with pytest.raises(PriorError, match="instance, residual"):
        explain(make_classifier("bert"), InformationBottleneck(prior="instanse"), TEXTS[:1])


@pytest.mark.parametrize("family", ["bert", "gpt2", "distilbert"])
@pytest.mark.parametrize("layer", [0, 2])
def test_signed_bits_have_the_sign_of_a_finite_difference(
    any_classifier: Classifier, make_prior: Callable[..., Prior], layer: int
) -> None:
    """log p(target) as one token alone moves a little towards the prior's mean, all tokens standing halfway to it."""
    model, tokenizer = any_classifier
    prior = make_prior(model)
    model.double()
    text, target = "not a bad film", 2
    quick = f"steps=3:samples=2:layer={layer}"
    (signed,) = explain(any_classifier, f"information_signed:{quick}", [text], [target], prior)
    (plain,) = explain(any_classifier, f"information:{quick}", [text], [target], prior)
    np.testing.assert_allclose(np.abs(signed.scores), plain.scores)

    inputs = tokenizer(text, return_tensors="pt")
    blocks = next(m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == tiny.BLOCKS)
    mean = prior.mean[layer].double()

    def log_p(token: int, step: float) -> float:
        def towards_the_mean(x: torch.Tensor) -> torch.Tensor:
            halfway = (x + mean) / 2
            halfway[0, token] += step * (mean - x[0, token])
            return halfway

        if layer == 0:
            handle = blocks[0].register_forward_pre_hook(lambda _, args: (towards_the_mean(args[0]), *args[1:]))
        else:
            handle = tiny.register_on_output(blocks[layer - 1], towards_the_mean)
        with torch.no_grad():
            value = model(**inputs).logits.log_softmax(dim=-1)[0, target].item()
        handle.remove()
        return value

    slopes = [(log_p(token, -1e-4) - log_p(token, 1e-4)) / 2e-4 for token in range(len(signed.tokens))]
    clear = [token for token, slope in enumerate(slopes) if abs(slope) > 1e-7]
    assert len(clear) > 2
    assert {np.sign(slopes[token]) for token in clear} == {-1.0, 1.0}
    for token in clear:
        assert np.sign(signed.scores[token]) == np.sign(slopes[token])


@pytest.mark.parametrize("sign", [False, True])
def test_features_add_up_to_their_token(bert: Classifier, sign: bool) -> None:
    method = InformationBottleneck(steps=2, samples=2, layer=(1, 2), features=True, sign=sign)
    (attribution,) = explain(bert, method, TEXTS[:1])
    assert attribution.features is not None
    assert attribution.features.shape == (len(attribution.tokens), tiny.HIDDEN)
    np.testing.assert_allclose(
        attribution.features.astype(float).sum(axis=-1), attribution.scores, rtol=5e-3, atol=0.05
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("prior", ["instance", "residual", "corpus"])
def test_half_precision_models_keep_masks_information_and_loss_in_float32(
    any_classifier: Classifier,
    make_prior: Callable[..., Prior],
    dtype: torch.dtype,
    prior: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, _ = any_classifier
    chosen = make_prior(model) if prior == "corpus" else prior
    model.to(dtype)
    seen: list[Any] = []
    original = information.optimize

    def spy(nll: Any, activation: torch.Tensor, *args: Any) -> Any:
        seen.extend([activation.dtype, nll(activation.unsqueeze(1)).dtype])
        result = original(nll, activation, *args)
        seen.extend([result.alpha.dtype, result.nats.dtype, result.cross_entropy.dtype, result.beta.dtype])
        return result

    monkeypatch.setattr(information, "optimize", spy)
    (attribution,) = explain(any_classifier, "information_signed:steps=3:samples=2:layer=1", TEXTS[:1], prior=chosen)
    assert seen == [dtype, *[torch.float32] * 5]
    assert np.abs(attribution.scores).sum() > 0
    assert attribution.record["dtype"] == str(dtype).removeprefix("torch.")
    assert next(model.parameters()).dtype == dtype


def test_half_precision_maps_are_close_to_float32(bert: Classifier, make_prior: Callable[..., Prior]) -> None:
    model, tokenizer = bert
    prior = make_prior(model)
    method = "information:beta=1:layer=1:steps=3:samples=2"
    (full,) = explain(bert, method, TEXTS[2:3], [0], prior)
    (half,) = explain((model.to(torch.bfloat16), tokenizer), method, TEXTS[2:3], [0], prior)
    assert half.trace[0].information == pytest.approx(full.trace[0].information, rel=0.02)
    assert half.scores.sum() == pytest.approx(full.scores.sum(), rel=0.2)


def test_the_first_cross_entropy_is_close_to_that_of_the_models_own_prediction(bert: Classifier) -> None:
    (attribution,) = explain(bert, "information:samples=50:steps=1", TEXTS[:1])
    expected = -np.log(attribution.probabilities[attribution.target])
    assert attribution.trace[0].cross_entropy == pytest.approx(expected, abs=0.1)  # the mask starts at 0.9933


def test_what_the_optimisation_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="steps"):
        InformationBottleneck(steps=0)
