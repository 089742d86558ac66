"""The mathematics of the bottleneck: pure functions on tensors, nothing about models or optimisation.

A bottleneck replaces the activation X of a layer by T = lambda X + (1 - lambda) eps, where lambda = sigmoid(alpha) is
the mask and eps is drawn from the prior N(mean, std^2). What T still tells about X is measured against the prior by the
Kullback-Leibler divergence. Formulas: Jiang et al. (Findings of EMNLP 2020), equations 2 to 5, after Schulz et al.
(ICLR 2020).
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

NATS_PER_BIT = math.log(2.0)


def insert_noise(activation: Tensor, alpha: Tensor, noise: Tensor) -> Tensor:
    """Mix an activation with noise: T = lambda X + (1 - lambda) eps (paper, equation 2).

    Args:
        activation: X, (..., tokens, hidden).
        alpha: Logit of the mask, broadcastable to X; sigmoid(alpha) = 1 lets all of X pass, 0 lets nothing pass.
        noise: eps, drawn from the prior, broadcastable with X.

    Returns:
        T, of the broadcast shape.

    Example:
        >>> x, noise = torch.ones(1, 2, 3), torch.zeros(1, 2, 3)
        >>> insert_noise(x, torch.tensor(0.0), noise)[0, 0]
        tensor([0.5000, 0.5000, 0.5000])
    """
    return noise + torch.sigmoid(alpha) * (activation - noise)


def information(activation: Tensor, alpha: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Measure what passes the bottleneck, element by element, in nats.

    Given X, T is Gaussian with mean lambda X + (1 - lambda) mean and deviation (1 - lambda) std. With
    R = (X - mean) / std,

        KL[P(T|X) || N(mean, std^2)] = -1/2 [1 + 2 log(1 - lambda) - lambda^2 R^2 - (1 - lambda)^2].

    log(1 - lambda) is taken as logsigmoid(-alpha), which stays finite however far the mask is open.

    Args:
        activation: X, (batch, tokens, hidden).
        alpha: Logit of the mask, (batch, tokens, hidden), or (batch, tokens, 1) for one mask per token.
        mean: Mean of the prior, broadcastable to X.
        std: Standard deviation of the prior, broadcastable to X, above zero.

    Returns:
        Information in nats, (batch, tokens, hidden), never negative up to rounding.

    Example:
        >>> x = torch.zeros(1, 1, 1)
        >>> closed = information(x, torch.tensor(-20.0), torch.tensor(0.0), torch.tensor(1.0))
        >>> round(closed.item(), 6)
        0.0
    """
    kept, dropped = torch.sigmoid(alpha), torch.sigmoid(-alpha)
    deviation = (activation - mean) / std
    return 0.5 * ((kept * deviation).square() + dropped.square() - 1.0) - logsigmoid(-alpha)


def token_bits(nats: Tensor, real: Tensor) -> Tensor:
    """Sum the information of a token's features and turn nats into bits.

    Args:
        nats: Information per element in nats, (batch, tokens, hidden).
        real: True where a token is not padding, (batch, tokens).

    Returns:
        Bits per token, (batch, tokens); 0 at padding, and rounding below zero is cut off.
    """
    return (nats.sum(dim=-1) * real / NATS_PER_BIT).clamp(min=0.0)


def direction(gradient: Tensor, activation: Tensor, mean: Tensor) -> Tensor:
    """Tell whether what a token carries beyond the prior's mean speaks for or against the target.

    The first-order change of log p(target) as the token moves from the prior's mean to its activation is
    gradient . (X - mean), summed over the features; its sign is the direction.

    Args:
        gradient: Gradient of log p(target) to the activation, (batch, tokens, hidden).
        activation: X, (batch, tokens, hidden).
        mean: Mean of the prior, broadcastable to X.

    Returns:
        +1, 0 or -1 per token, (batch, tokens).
    """
    return (gradient * (activation - mean)).sum(dim=-1).sign()
