"""Readouts: how a map is made of the optimised bottleneck."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.bottleneck import direction
from narrows.config import Readout
from narrows.optimize import NegativeLogLikelihood
from narrows.prior import Gaussian


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
    """Tell for each token whether what it carries speaks for or against the target, by one clean backward pass.

    Args:
        nll: -log p(target) of activations, in nats.
        activation: X, (batch, tokens, hidden).
        prior: Its mean is where a token is taken to say nothing.

    Returns:
        +1, 0 or -1 per token, (batch, tokens).
    """
    x = activation.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(-nll(x.unsqueeze(1)).sum(), [x])
    wide = torch.promote_types(x.dtype, torch.float32)
    return direction(gradient.to(wide), x.detach().to(wide), prior.mean.to(x.device, wide))
