"""The straight path through the bottleneck: all masks open together, and the evidence of every token is summed up.

With one mask lambda for all tokens and the prior's mean in place of the noise, T = mean + lambda (X - mean) runs from a
typical activation, lambda = 0, to that of the text, lambda = 1. Along it the log-odds of the target rise, and

    evidence_t = integral over lambda of the derivative of log2 odds(target | T) to the mask of token t

shares the rise out among the tokens. Over the whole path, from 0 to 1, the evidence of all tokens adds up to the rise.
This is integrated gradients (Sundararajan et al. 2017) at an inner layer, from the mean of the prior, on the scale of
the weight of evidence (Good 1985): one bit doubles the odds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from narrows.bottleneck.channel import NATS_PER_BIT, widened
from narrows.bottleneck.prior import Gaussian

LogOdds = Callable[[Tensor], Tensor]
"""Maps activations (batch, steps, tokens, hidden) to log-odds of the target in nats, (batch, steps).

Of several targets: (batch, steps, targets).
"""


@dataclass(frozen=True)
class StraightPath:
    """Bits per token, (batch, tokens), 0 at padding: the evidence, of log-odds, and log_p, of log2 p(target)."""

    # Above 0 = for the target. Features, (batch, tokens, hidden), add up to the evidence; no hidden = not asked for.
    evidence: Tensor
    log_p: Tensor
    features: Tensor

    def __add__(self, other: "StraightPath") -> "StraightPath":
        """Join two parts of a path."""
        return StraightPath(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


@dataclass(frozen=True)
class Slopes:
    """What stands at some steps of the path, in bits; with several targets, (batch, steps, targets, ...)."""

    odds: Tensor  # log-odds of the target, (batch, steps)
    evidence: Tensor  # how they rise with the mask of each token, (batch, steps, tokens); 0 at padding
    features: Tensor  # with the mask of each feature, (batch, steps, tokens, hidden); no hidden = not asked for

    @classmethod
    def join(cls, parts: Sequence["Slopes"]) -> "Slopes":
        """Put the steps of several parts behind each other."""
        return cls(*(torch.cat([getattr(part, each.name) for part in parts], dim=1) for each in fields(cls)))

    def weigh(self, weights: Tensor) -> StraightPath:
        """Integrate; weights are (steps,), or (batch, steps)."""
        weights = weights.to(self.evidence).expand(self.evidence.shape[:2])
        # Both scales come from one gradient: d log p = (1 - p) d log-odds.
        unsure = logsigmoid(-self.odds * NATS_PER_BIT).exp()
        evidence = torch.einsum("bp,bp...t->b...t", weights, self.evidence)
        log_p = torch.einsum("bp,bp...,bp...t->b...t", weights, unsure, self.evidence)
        return StraightPath(evidence, log_p, torch.einsum("bp,bp...->b...", weights, self.features))


def look(
    log_odds: LogOdds, activation: Tensor, prior: Gaussian, real: Tensor, masks: Tensor, features: bool = False
) -> Slopes:
    """Look at steps of the path of X, (batch, tokens, hidden), that share one forward and one backward pass.

    Args:
        log_odds: Of the target.
        activation: X.
        prior: Whose mean the path begins at.
        real: True where a token moves along the path, (batch, tokens).
        masks: Where, 0 to 1: (steps,), or of each text its own, (batch, steps).
        features: Whether to keep the slope of every feature of a token.
    """
    rise, opened = _open(activation, prior, real, masks)
    odds = log_odds(opened)
    # Weighted only after the backward pass: a small number may not fit in half precision.
    (gradient,) = torch.autograd.grad(odds.sum(), [opened])
    along = gradient.to(rise) * rise.unsqueeze(1) / NATS_PER_BIT
    kept = along if features else along[..., :0].clone()  # a view would keep all of it in memory
    return Slopes(odds.detach().to(rise) / NATS_PER_BIT, along.sum(dim=-1), kept)


def look_for_each(log_odds: LogOdds, activation: Tensor, prior: Gaussian, real: Tensor, masks: Tensor) -> Slopes:
    """Look at steps of the path for each of several targets, as `look` for one."""
    # All steps and all targets share one forward pass; each target has a backward pass of its own.
    rise, opened = _open(activation, prior, real, masks)
    odds = log_odds(opened)  # (batch, steps, targets)
    last = odds.shape[-1] - 1
    rows = []
    # One by one: all together (is_grads_batched) took as long and held the memory of all at once.
    for target, own in enumerate(odds.unbind(dim=-1)):
        (gradient,) = torch.autograd.grad(own.sum(), [opened], retain_graph=target < last)
        rows.append((gradient.to(rise) * rise.unsqueeze(1)).sum(dim=-1) / NATS_PER_BIT)
    evidence = torch.stack(rows, dim=2)
    return Slopes(odds.detach().to(rise) / NATS_PER_BIT, evidence, evidence[..., None][..., :0])


def _open(activation: Tensor, prior: Gaussian, real: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Give X - mean, 0 where a token is not real, and T at all masks, (batch, steps, tokens, hidden), as a leaf."""
    x = widened(activation, real)
    mean = prior.mean.to(x).expand_as(x)
    opened = masks.to(x).reshape(-1, masks.shape[-1], 1, 1) * (x - mean).unsqueeze(1) + mean.unsqueeze(1)
    return (x - mean) * real.unsqueeze(-1), opened.to(activation.dtype).requires_grad_()


def gauss_legendre(steps: int, interval: tuple[float, float] = (0.0, 1.0)) -> tuple[Tensor, Tensor]:
    """Give the Gauss-Legendre rule on an interval: rising steps, and weights that add up to its length, float64."""
    places, weights = np.polynomial.legendre.leggauss(steps)
    start, end = interval
    return torch.from_numpy(start + (end - start) * (places + 1) / 2), torch.from_numpy((end - start) * weights / 2)


def van_der_corput(numbers: range, interval: tuple[float, float] = (0.0, 1.0)) -> tuple[Tensor, Tensor]:
    """Give these steps, from 0, of the van der Corput sequence on an interval, rising, and equal weights.

    The sequence 1/2, 1/4, 3/4, 1/8, 5/8, ... (van der Corput 1935) covers the interval evenly wherever it stops, so
    iterations that take the next steps each see different parts of the path and together all of it.

    Example:
        >>> van_der_corput(range(1, 3))
        (tensor([0.2500, 0.7500], dtype=torch.float64), tensor([0.5000, 0.5000], dtype=torch.float64))
    """
    start, end = interval
    places = sorted(_radical_inverse(number + 1) for number in numbers)
    masks = torch.tensor(places, dtype=torch.float64) * (end - start) + start
    return masks, torch.full((len(numbers),), (end - start) / len(numbers), dtype=torch.float64)


def _radical_inverse(number: int) -> float:
    """Mirror the binary digits of a number at the step: 6 = 110 becomes .011 = 3/8."""
    digits = f"{number:b}"
    return int(digits[::-1], 2) / (1 << len(digits))
