"""One mask for the tokens of a unit, against a loop over units in plain torch, with the same noise handed to both."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from test_optimize import HIDDEN, PoolingHead, batch
from torch import Tensor

from narrows.bottleneck.optimize import NoiseSource, Optimization, optimize
from narrows.bottleneck.prior import Gaussian

LENGTHS, TARGETS, SEEDS = (5, 3), (2, 0), (11, 12)
UNITS = (((0, 1, 3), (2,), (4,)), ((0,), (1, 2)))  # of each text; single ones are tokens outside of all units
PRIOR = Gaussian(torch.tensor([0.5, -0.25, 0.0], dtype=torch.float64), torch.tensor([1.0, 2.0, 0.5]).double())


def by_loop(
    x: Tensor, units: Sequence[Sequence[int]], head: PoolingHead, target: int, seed: int, config: Optimization
) -> tuple[list[float], list[float]]:
    """Information of each unit in nats and the cross-entropies, one text, one unit after the other."""
    tokens, width = x.shape[0], HIDDEN if config.granularity == "feature" else 1
    alphas = [torch.full((width,), config.initial_alpha, dtype=torch.float64, requires_grad=True) for _ in units]
    adam = torch.optim.Adam(alphas, lr=config.learning_rate, eps=config.adam_eps)
    source = NoiseSource([seed], torch.ones(1, tokens, dtype=torch.bool), HIDDEN)

    def loss() -> tuple[Tensor, list[Tensor]]:
        noise = source.draw(config.samples)[0].double()
        kept = [torch.empty(0)] * tokens
        nats = []
        for unit, alpha in zip(units, alphas, strict=True):
            mask = torch.sigmoid(alpha)
            own = torch.zeros((), dtype=torch.float64)
            for token in unit:
                eps = PRIOR.mean + PRIOR.std * noise[:, token]
                kept[token] = mask * x[token] + (1 - mask) * eps
                r = (x[token] - PRIOR.mean) / PRIOR.std
                kl = -0.5 * (1 + 2 * torch.log1p(-mask) - mask**2 * r**2 - (1 - mask) ** 2)
                own = own + kl.expand(HIDDEN).sum()
            nats.append(own)
        narrowed = torch.stack(kept, dim=1).unsqueeze(0)  # (1, samples, tokens, hidden)
        nll = head.nll(torch.ones(1, tokens, dtype=torch.bool), [target])
        return nll(narrowed).mean(), nats

    entropies = []
    for _ in range(config.steps):
        entropy, nats = loss()
        adam.zero_grad()
        (entropy + float(config.beta) * sum(nats) / (tokens * HIDDEN)).backward()
        adam.step()
        entropies.append(entropy.item())
    entropy, nats = loss()
    return [own.item() for own in nats], [*entropies, entropy.item()]


@pytest.mark.parametrize("granularity", ["token", "feature"])
def test_a_unit_has_one_mask(granularity: str) -> None:
    config = Optimization(granularity=granularity, beta=0.5, steps=4, samples=3, initial_alpha=2.0)  # type: ignore[arg-type]
    (x, real), head = batch(LENGTHS), PoolingHead()
    shared = torch.arange(5).repeat(2, 1)
    for row, units in zip(shared, UNITS, strict=True):
        for unit in units:
            row[list(unit)] = unit[0]
    found = optimize(head.nll(real, TARGETS), x, PRIOR, real, config, SEEDS, shared)
    for row, units in enumerate(UNITS):
        nats, entropies = by_loop(x[row, : LENGTHS[row]], units, head, TARGETS[row], SEEDS[row], config)
        for unit, expected in zip(units, nats, strict=True):
            assert float(found.nats[row, list(unit)].sum()) == pytest.approx(expected, rel=1e-9)
            assert (found.alpha[row, list(unit)] == found.alpha[row, unit[0]]).all()
        assert found.cross_entropy[:, row].tolist() == pytest.approx(entropies, rel=1e-9)
    assert not math.isclose(float(found.alpha[0, 0, 0]), float(found.alpha[0, 2, 0]), rel_tol=1e-3)


def test_masks_that_each_token_has_alone_are_those_without_units() -> None:
    config = Optimization(steps=3, samples=2)
    (x, real), head = batch(LENGTHS), PoolingHead()
    alone = optimize(head.nll(real, TARGETS), x, PRIOR, real, config, SEEDS)
    own = torch.arange(5).repeat(2, 1)
    assert torch.equal(optimize(head.nll(real, TARGETS), x, PRIOR, real, config, SEEDS, own).nats, alone.nats)
