"""The mathematics of the bottleneck against loops, torch's own distributions and finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

import reference
from asking import negative_log_likelihood
from narrows.bottleneck.channel import as_half, direction, information, insert_noise, token_bits
from narrows.data.example import Example
from narrows.errors import NumericsError
from narrows.models.cut.network import Network
from narrows.models.cut.split import run_prefix
from narrows.models.cut.view import borrowed
from narrows.models.heads.goals import OneOf
from narrows.models.text.encoding import collate, encode, padding_id
from tiny import Classifier

alphas = st.floats(-50, 50)
values = st.floats(-30, 30)
deviations = st.floats(1e-3, 30)


def scalar(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64).reshape(1, 1, 1)


def some(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(x=values, alpha=alphas, mean=values, std=deviations)
def test_information_equals_the_formula_written_out(x: float, alpha: float, mean: float, std: float) -> None:
    nats = information(scalar(x), scalar(alpha), scalar(mean), scalar(std)).item()
    assert nats == pytest.approx(reference.kl(x, alpha, mean, std), rel=1e-9, abs=1e-12)


@given(x=values, alpha=st.floats(-50, 15), mean=values, std=deviations)
def test_information_is_the_divergence_of_two_normals(x: float, alpha: float, mean: float, std: float) -> None:
    kept, rest = torch.sigmoid(scalar(alpha)), torch.sigmoid(-scalar(alpha))
    given_x = Normal(kept * scalar(x) + rest * scalar(mean), rest * scalar(std))
    expected = kl_divergence(given_x, Normal(scalar(mean), scalar(std)))
    nats = information(scalar(x), scalar(alpha), scalar(mean), scalar(std))
    torch.testing.assert_close(nats, expected, rtol=1e-6, atol=1e-9)


@given(x=values, alpha=alphas, mean=values, std=deviations)
def test_information_is_never_negative(x: float, alpha: float, mean: float, std: float) -> None:
    assert information(scalar(x), scalar(alpha), scalar(mean), scalar(std)).item() >= -1e-12


@given(x=values, std=deviations, low=alphas, high=alphas)
def test_a_wider_open_mask_never_passes_less(x: float, std: float, low: float, high: float) -> None:
    low, high = sorted((low, high))
    less, more = (information(scalar(x), scalar(a), scalar(0.0), scalar(std)).item() for a in (low, high))
    assert less <= more + 1e-9 * abs(more)


@pytest.mark.parametrize("alpha", [-100.0, 100.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_information_and_its_gradient_stay_finite_far_out(alpha: float, dtype: torch.dtype) -> None:
    a = torch.full((1, 1, 1), alpha, dtype=dtype, requires_grad=True)
    one = torch.ones(1, 1, 1, dtype=dtype)
    nats = information(3 * one, a, one, 0.1 * one)
    (gradient,) = torch.autograd.grad(nats.sum(), [a])
    assert torch.isfinite(nats).all()
    assert torch.isfinite(gradient).all()
    assert nats.item() == pytest.approx(reference.kl(3, alpha, 1, 0.1), rel=1e-4, abs=1e-6)


@given(x=values, alpha=st.floats(-30, 30), mean=values, std=deviations)
def test_gradient_of_information_equals_the_derivative_written_out(
    x: float, alpha: float, mean: float, std: float
) -> None:
    a = scalar(alpha).requires_grad_()
    (gradient,) = torch.autograd.grad(information(scalar(x), a, scalar(mean), scalar(std)), [a])
    assert gradient.item() == pytest.approx(reference.kl_gradient(x, alpha, mean, std), rel=1e-7, abs=1e-10)


@pytest.mark.parametrize("width", [1, 4])
def test_insert_noise_equals_loops(width: int) -> None:
    x, alpha, noise = some(2, 1, 3, 4), 3 * some(2, 1, 3, width, seed=1), some(2, 5, 3, 4, seed=2)
    mixed = insert_noise(x, alpha, noise)
    assert mixed.shape == (2, 5, 3, 4)
    for b in range(2):
        for s in range(5):
            for t in range(3):
                for f in range(4):
                    a = alpha[b, 0, t, f if width > 1 else 0].item()
                    expected = reference.mix(x[b, 0, t, f].item(), a, noise[b, s, t, f].item())
                    assert mixed[b, s, t, f].item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_the_mask_open_is_the_activation_and_shut_is_the_noise() -> None:
    x, noise = some(1, 2, 3), some(1, 2, 3, seed=1)
    torch.testing.assert_close(insert_noise(x, torch.tensor(100.0), noise), x)
    torch.testing.assert_close(insert_noise(x, torch.tensor(-100.0), noise), noise)


def test_a_feature_that_half_precision_cannot_hold_is_told() -> None:
    assert as_half(torch.tensor([[1.5, -2.0]])).tolist() == [[1.5, -2.0]]
    with pytest.raises(NumericsError, match=r"7e\+04 bits"):
        as_half(torch.tensor([[0.0, -7e4]]))


def test_token_bits_sums_features_turns_nats_to_bits_and_is_zero_at_padding() -> None:
    nats = some(2, 3, 4).abs()
    real = torch.tensor([[True, True, True], [True, False, False]])
    bits = token_bits(nats, real)
    for b in range(2):
        expected = reference.bits_of(nats[b].tolist())
        for t in range(3):
            assert bits[b, t].item() == pytest.approx(expected[t] if real[b, t] else 0.0)


def test_token_bits_of_one_nat_is_one_over_log_two() -> None:
    assert token_bits(torch.ones(1, 1, 1), torch.ones(1, 1).bool()).item() == pytest.approx(1 / math.log(2))


def test_token_bits_cuts_off_rounding_below_zero() -> None:
    assert token_bits(torch.full((1, 1, 2), -1e-9), torch.ones(1, 1).bool()).item() == 0.0


def test_direction_equals_loops() -> None:
    gradient, x, mean = some(2, 5, 4), some(2, 5, 4, seed=1), some(4, seed=2)
    signs = direction(gradient, x, mean).sign()
    for b in range(2):
        assert signs[b].tolist() == reference.direction(gradient[b].tolist(), x[b].tolist(), [mean.tolist()] * 5)


@pytest.mark.parametrize("width", [1, 16])
def test_gradient_of_the_whole_loss_equals_finite_differences(
    make_classifier: Callable[..., Classifier], width: int
) -> None:
    """L = mean CE + beta * mean KL, through the suffix of a real architecture in float64, two texts, one padded."""
    model, tokenizer = make_classifier("bert")
    model.double()
    encodings = [encode(tokenizer, Example(text), None) for text in ("a good film", "bad")]
    inputs = collate(encodings, padding_id(model, tokenizer), model.device)
    real = inputs["attention_mask"].bool()
    network = Network.of(borrowed(model))
    with torch.enable_grad():
        prefix = run_prefix(network, inputs, [1])
        x = prefix.activations[1]
        nll = negative_log_likelihood(network, prefix, inputs, 1, [OneOf(0), OneOf(2)])
        mean, std = some(16, seed=4), some(16, seed=5).abs() + 0.3
        noise = mean + std * some(2, 3, *x.shape[1:], seed=6)

        def loss(alpha: torch.Tensor) -> torch.Tensor:
            """One number per text."""
            ce = nll(insert_noise(x.unsqueeze(1), alpha.unsqueeze(1), noise)).mean(dim=1)
            nats = information(x, alpha, mean, std) * real.unsqueeze(-1)
            return ce + 0.1 * nats.sum(dim=(1, 2)) / (real.sum(dim=1) * x.shape[-1])

        alpha = 2 * some(*x.shape[:2], width, seed=7)
        alpha.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(alpha).sum(), [alpha])
        step = 1e-6
        for b, t, w in [(0, 0, 0), (0, 2, width // 2), (0, 4, width - 1), (1, 1, 0), (1, 2, width - 1)]:
            bump = torch.zeros_like(alpha)
            bump[b, t, w] = step
            with torch.no_grad():
                slope = (loss(alpha + bump) - loss(alpha - bump)) / (2 * step)
            assert gradient[b, t, w].item() == pytest.approx(slope[b].item(), rel=1e-5, abs=1e-9)
            assert slope[1 - b].item() == 0.0  # a text's alpha moves no other text's loss
        assert (gradient[1, 3:] == 0).all()  # nor does padding
