"""The straight path through the bottleneck: all masks open together, and the evidence of every token is summed up.

With one mask lambda for all tokens and the prior's mean in place of the noise, T = mean + lambda (X - mean) runs from
an activation that says nothing, lambda = 0, to that of the text, lambda = 1. On the way log2 p(target) rises by

    evidence_t = integral over lambda from 0 to 1 of the derivative of log2 p(target | T) to the mask of token t

for every token, and the evidence of all tokens adds up to the whole rise. That is integrated gradients (Sundararajan et
al. 2017) at an inner layer, from the mean of the prior. The integral can be confined to a stretch of the path, from
lambda = a to lambda = b; then it adds up to the rise from T(a) to T(b). Near its ends the path says little: at first
the activation is like none that the model knows, in the end a model that is sure is flat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from narrows.bottleneck.channel import NATS_PER_BIT
from narrows.bottleneck.optimize import NegativeLogLikelihood
from narrows.bottleneck.prior import Gaussian


@dataclass(frozen=True)
class StraightPath:
    """What was gathered on the way.

    Attributes:
        evidence: Bits per token, (batch, tokens); above 0 = speaks for the target; 0 at padding.
        features: The same for every feature of a token, (batch, tokens, hidden), which add up to its evidence.
    """

    evidence: Tensor
    features: Tensor


def follow_path(
    nll: NegativeLogLikelihood, activation: Tensor, prior: Gaussian, real: Tensor, points: tuple[Tensor, Tensor]
) -> StraightPath:
    """Integrate the evidence of a batch of texts; all points share one pass there and back.

    Args:
        nll: -log p(target) of activations, in nats.
        activation: X, (batch, tokens, hidden), of any floating dtype; the sums are float32 (float64 for float64).
        prior: Its mean, broadcastable to X, is where the path starts.
        real: True where a token is not padding, (batch, tokens).
        points: Masks, rising, and weights of the rule, (points,) each: `gauss_legendre` or `van_der_corput`.

    Returns:
        The evidence.
    """
    wide = activation.detach().to(torch.promote_types(activation.dtype, torch.float32))
    x = torch.where(real.unsqueeze(-1), wide, 0.0)  # some models leave NaN at padding
    mean = prior.mean.to(x).expand_as(x)
    masks, weights = points
    opened = masks.to(x).view(1, -1, 1, 1) * (x - mean).unsqueeze(1) + mean.unsqueeze(1)
    opened = opened.to(activation.dtype).requires_grad_()  # (batch, points, tokens, hidden)
    # Weighted only after the way back, where a small number may not fit in half precision.
    (gradient,) = torch.autograd.grad(-nll(opened).sum(), [opened])
    integral = torch.einsum("p,bpth->bth", weights.to(x), gradient.to(x))
    nats = integral * (x - mean)
    evidence = nats.sum(dim=-1) * real / NATS_PER_BIT
    return StraightPath(evidence, nats * real.unsqueeze(-1) / NATS_PER_BIT)


def gauss_legendre(points: int, stretch: tuple[float, float] = (0.0, 1.0)) -> tuple[Tensor, Tensor]:
    """Give the points and weights of the Gauss-Legendre rule on a stretch of the way from 0 to 1.

    Args:
        points: How many.
        stretch: Where it begins and ends.

    Returns:
        Points, rising, and weights, which add up to the length of the stretch, (points,) each, float64.

    Example:
        >>> gauss_legendre(1)
        (tensor([0.5000], dtype=torch.float64), tensor([1.], dtype=torch.float64))
    """
    places, weights = np.polynomial.legendre.leggauss(points)
    start, end = stretch
    return torch.from_numpy(start + (end - start) * (places + 1) / 2), torch.from_numpy((end - start) * weights / 2)


def van_der_corput(numbers: range, stretch: tuple[float, float] = (0.0, 1.0)) -> tuple[Tensor, Tensor]:
    """Give points of the van der Corput sequence on a stretch of the way from 0 to 1.

    The sequence, 1/2, 1/4, 3/4, 1/8, 5/8, ..., the digits of 1, 2, 3, ... to base 2 behind the point and backwards (van
    der Corput 1935), lies ever closer on the stretch, evenly wherever one stops: what the Gauss-Legendre rule, whose
    points are all others with every one more, cannot.

    Args:
        numbers: Which of its points, the first one is 0.
        stretch: Where it begins and ends.

    Returns:
        Points, rising, and equal weights, which add up to the length of the stretch, (points,) each, float64.

    Example:
        >>> van_der_corput(range(1, 3))
        (tensor([0.2500, 0.7500], dtype=torch.float64), tensor([0.5000, 0.5000], dtype=torch.float64))
    """
    start, end = stretch
    places = sorted(_radical_inverse(number + 1) for number in numbers)
    masks = torch.tensor(places, dtype=torch.float64) * (end - start) + start
    return masks, torch.full((len(numbers),), (end - start) / len(numbers), dtype=torch.float64)


def _radical_inverse(number: int) -> float:
    """Put the binary digits of a number behind the point, the last one first."""
    digits = f"{number:b}"
    return int(digits[::-1], 2) / (1 << len(digits))
