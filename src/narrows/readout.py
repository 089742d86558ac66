"""Readouts: how a map is made of the optimised bottleneck."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.bottleneck import direction
from narrows.config import Readout
from narrows.optimize import NegativeLogLikelihood
from narrows.prior import Gaussian

HALFWAY = 0.5


def read_out(readout: Readout, bits: Tensor, nll: NegativeLogLikelihood, activation: Tensor, prior: Gaussian) -> Tensor:
    """Turn the information of the tokens into scores.

    Args:
        readout: ``information``, bits as they are, or ``signed``, bits with the direction of the token's evidence.
        bits: Information per token, bits, (batch, tokens).
        nll: -log p(target) of activations, in nats.
        activation: X, (batch, tokens, hidden).
        prior: Mean and deviation, broadcastable to X.

    Returns:
        Scores in bits, (batch, tokens); above 0 = the token speaks for the target.
    """
    match readout:
        case "signed":
            return bits * evidence_direction(nll, activation, prior)
        case _:
            return bits


def evidence_direction(nll: NegativeLogLikelihood, activation: Tensor, prior: Gaussian) -> Tensor:
    """Tell for each token whether what it carries speaks for or against the target, by one backward pass without noise.

    The gradient is taken halfway between the prior's mean and the activation. At the activation itself a model that is
    sure of its prediction is flat, and the sign there is often wrong (docs/defaults.md).

    Args:
        nll: -log p(target) of activations, in nats.
        activation: X, (batch, tokens, hidden).
        prior: Its mean is where a token is taken to say nothing.

    Returns:
        +1, 0 or -1 per token, (batch, tokens).
    """
    wide = torch.promote_types(activation.dtype, torch.float32)
    x = activation.detach().to(wide)
    mean = prior.mean.to(x).expand_as(x)
    halfway = torch.lerp(mean, x, HALFWAY).to(activation.dtype).requires_grad_()
    (gradient,) = torch.autograd.grad(-nll(halfway.unsqueeze(1)).sum(), [halfway])
    return direction(gradient.to(wide), x, mean)
