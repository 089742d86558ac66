"""Rate and distortion with one mask for all tokens: how many bits pass, and what they leave of the prediction.

Bits are those of a channel with noise, so the prediction is measured behind the noise as well: at the channel's mean a
prediction often still stands where it is a guess once noise is drawn.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from narrows.bottleneck.channel import information, insert_noise, token_bits, widened
from narrows.bottleneck.optimize import NegativeLogLikelihood, NoiseSource
from narrows.bottleneck.prior import Gaussian

MASKS = 11  # at which the curve of a text is measured


def even_alphas(widest: float) -> list[float]:
    """Choose masks from open, with the logit `widest`, to closed, evenly by their logits."""
    return [widest * (1 - 2 * place / (MASKS - 1)) for place in range(MASKS)]


def measure_rate(activation: Tensor, prior: Gaussian, real: Tensor, alphas: Sequence[float]) -> Tensor:
    """Measure what passes X, (batch, tokens, hidden), when all tokens share a mask: bits of a text, (masks, batch)."""
    x, mean, std = _widened(activation, prior, real)
    passing = [token_bits(information(x, x.new_tensor(alpha), mean, std), real).sum(dim=-1) for alpha in alphas]
    return torch.stack(passing)


def measure_distortion(
    nll: NegativeLogLikelihood,
    activation: Tensor,
    prior: Gaussian,
    real: Tensor,
    alphas: Sequence[float],
    seeds: Sequence[int],
    draws: int = 2,
) -> Tensor:
    """Measure -log p(target) in nats when all tokens share a mask, per pair of draws, (draws / 2, masks, batch)."""
    # Draws, an even number, come in opposite pairs, the same at all masks, so that the curve is smooth.
    x, mean, std = _widened(activation, prior, real)
    masks = x.new_tensor(alphas).view(1, -1, 1, 1)
    source = NoiseSource(seeds, real, x.shape[-1])
    pairs = []
    for _ in range(draws // 2):
        drawn = std * source.draw(1).squeeze(1).to(x)
        with torch.no_grad():
            pair = [
                nll(insert_noise(x.unsqueeze(1), masks, (mean + noise).unsqueeze(1)).to(activation.dtype)).to(x)
                for noise in (drawn, -drawn)
            ]
        pairs.append(torch.stack(pair).mean(dim=0).T)
    return torch.stack(pairs)


def _widened(activation: Tensor, prior: Gaussian, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return X, 0 at padding, and mean and deviation of the prior, in float32 at least."""
    x = widened(activation, real)
    return x, prior.mean.to(x).expand_as(x), prior.std.to(x).expand_as(x)
