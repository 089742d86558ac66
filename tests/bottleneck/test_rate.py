"""Rate and distortion: against slow loops, behind the noise, and the same whatever stands beside a text."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_optimize import CLASSES, HIDDEN, PoolingHead
from test_path import some_texts
from torch import Tensor

import reference
from narrows.bottleneck.optimize import NoiseSource
from narrows.bottleneck.prior import Gaussian
from narrows.bottleneck.rate import MASKS, even_alphas, measure_distortion, measure_rate

MEAN, STD = [0.3, -0.2, 0.1], [1.0, 0.5, 2.0]
PRIOR = Gaussian(torch.tensor(MEAN, dtype=torch.float64), torch.tensor(STD, dtype=torch.float64))
ALPHAS = [3.0, 0.0, -2.0]


def slow_distortion(
    head: PoolingHead, x: reference.Matrix, target: int, alpha: float, noise: reference.Matrix
) -> float:
    """Narrow a text twice, with noise and with its opposite, by loops: mean of -log p(target) in nats."""
    mask = 1 / (1 + math.exp(-alpha))
    found = []
    for sign in (1, -1):
        t = [
            [mask * value + (1 - mask) * (m + sign * s * n) for value, m, s, n in zip(*rows, strict=True)]
            for rows in zip(x, [MEAN] * len(x), [STD] * len(x), noise, strict=True)
        ]
        found.append(reference.cross_entropy(head.plain(t)[0], target)[0])
    return sum(found) / 2


@given(seed=st.integers(0, 100), target=st.integers(0, CLASSES - 1), tokens=st.integers(1, 5))
def test_rate_and_distortion_are_those_of_slow_loops(seed: int, target: int, tokens: int) -> None:
    x, real = some_texts([tokens], seed)
    head = PoolingHead(seed)
    distortion = measure_distortion(head.nll(real, [target]), x, PRIOR, real, ALPHAS, [seed], draws=4)
    plain = x[0].tolist()
    source = NoiseSource([seed], real, HIDDEN)
    assert distortion.shape == (2, len(ALPHAS), 1)
    for pair in distortion:
        noise = source.draw(1)[0, 0].tolist()
        slow = [slow_distortion(head, plain, target, alpha, noise) for alpha in ALPHAS]
        assert pair[:, 0].tolist() == pytest.approx(slow, abs=1e-6)
    bits = [
        sum(reference.kl(value, alpha, m, s) for token in plain for value, m, s in zip(token, MEAN, STD, strict=True))
        / math.log(2)
        for alpha in ALPHAS
    ]
    assert measure_rate(x, PRIOR, real, ALPHAS)[:, 0].tolist() == pytest.approx(bits)


def test_a_closed_mask_tells_nothing_of_the_text_and_an_open_one_leaves_it_alone() -> None:
    x, real = some_texts([4])
    head = PoolingHead()
    nll = head.nll(real, [1])

    def measured(activation: Tensor) -> list[float]:
        found: list[float] = measure_distortion(nll, activation, PRIOR, real, [40.0, -40.0], [7])[0, :, 0].tolist()
        return found

    (open_, closed), (_, other) = measured(x), measured(x + 1)
    assert open_ == pytest.approx(float(nll(x.unsqueeze(1))))
    assert closed == pytest.approx(other)
    # Noise is not its mean: what p would be there says nothing of what passes.
    assert closed != pytest.approx(float(nll(PRIOR.mean.expand_as(x).unsqueeze(1))), abs=0.01)


def test_padding_and_neighbours_have_no_part_in_it() -> None:
    x, real = some_texts([2, 5])
    x[0, 2:] = math.nan  # as some models leave it
    head = PoolingHead()
    together = measure_distortion(head.nll(real, [1, 2]), x, PRIOR, real, ALPHAS, [3, 4])
    alone = measure_distortion(head.nll(real[:1, :2], [1]), x[:1, :2], PRIOR, real[:1, :2], ALPHAS, [3])
    assert together[0, :, 0].tolist() == pytest.approx(alone[0, :, 0].tolist(), abs=1e-12)
    rates = measure_rate(x, PRIOR, real, ALPHAS), measure_rate(x[:1, :2], PRIOR, real[:1, :2], ALPHAS)
    assert rates[0][:, 0].tolist() == pytest.approx(rates[1][:, 0].tolist())


def test_masks_are_even_in_their_logits() -> None:
    alphas = even_alphas(5.0)
    assert len(alphas) == MASKS and (alphas[0], alphas[-1]) == (5.0, -5.0)
    assert alphas == sorted(alphas, reverse=True)
