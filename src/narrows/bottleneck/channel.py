"""The mathematics of the bottleneck: pure functions on tensors, nothing about models or optimisation.

A bottleneck replaces the activation X of a layer by T = lambda X + (1 - lambda) eps, where lambda = sigmoid(alpha) is
the mask and eps is drawn from the prior N(mean, std^2). What T still tells about X is measured against the prior by the
Kullback-Leibler divergence. Formulas: Jiang et al. (Findings of EMNLP 2020), equations 2 to 5, after Schulz et al.
(ICLR 2020).
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid

from narrows.errors import NumericsError

NATS_PER_BIT = math.log(2.0)


def widened(activation: Tensor, real: Tensor) -> Tensor:
    """Return X, (batch, tokens, hidden), in float32 at least, 0 where not real: some models leave NaN at padding."""
    wide = activation.detach().to(torch.promote_types(activation.dtype, torch.float32))
    return torch.where(real.unsqueeze(-1), wide, 0.0)


def insert_noise(activation: Tensor, alpha: Tensor, noise: Tensor) -> Tensor:
    """Mix X, (..., tokens, hidden), with noise: T = lambda X + (1 - lambda) eps (paper, equation 2); all broadcast."""
    return noise + torch.sigmoid(alpha) * (activation - noise)


def information(activation: Tensor, alpha: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Measure what passes the bottleneck, in nats per element of X, (batch, tokens, hidden); all broadcast, std > 0.

    Given X, T is Gaussian with mean lambda X + (1 - lambda) mean and deviation (1 - lambda) std. With
    R = (X - mean) / std,

        KL[P(T|X) || N(mean, std^2)] = -1/2 [1 + 2 log(1 - lambda) - lambda^2 R^2 - (1 - lambda)^2].

    log(1 - lambda) is taken as logsigmoid(-alpha), which stays finite however far the mask is open.
    """
    kept, dropped = torch.sigmoid(alpha), torch.sigmoid(-alpha)
    deviation = (activation - mean) / std
    return 0.5 * ((kept * deviation).square() + dropped.square() - 1.0) - logsigmoid(-alpha)


def token_bits(nats: Tensor, real: Tensor) -> Tensor:
    """Sum nats over features: (batch, tokens, hidden) -> bits, (batch, tokens), at least 0; 0 where not real."""
    return (nats.sum(dim=-1) * real / NATS_PER_BIT).clamp(min=0.0)


def direction(gradient: Tensor, activation: Tensor, mean: Tensor) -> Tensor:
    """Tell by its sign whether a token speaks for or against the target, (batch, tokens)."""
    # It is gradient . (X - mean), the first-order change of log p(target) from the prior's mean to X.
    return (gradient * (activation - mean)).sum(dim=-1)


def as_half(features: Tensor) -> NDArray[np.float16]:
    """Give features, (tokens, hidden), in half precision, as they are kept; a `NumericsError` if one does not fit."""
    found: NDArray[np.float16] = features.half().cpu().numpy()
    if not np.isfinite(found).all():
        largest = float(features.abs().max())
        raise NumericsError(f"a feature has {largest:.3g} bits, and 65,504 are the most that is kept")
    return found
