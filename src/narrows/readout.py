"""Readouts: how a map is made of the bottleneck after one layer.

``information`` and ``signed`` narrow it first, as far as the prediction survives, and read what still passes;
``evidence`` opens it on the straight path and reads what each token adds to the prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from narrows.bottleneck.channel import NATS_PER_BIT, direction, token_bits
from narrows.bottleneck.optimize import NegativeLogLikelihood, optimize
from narrows.bottleneck.path import follow_path, gauss_legendre, van_der_corput
from narrows.bottleneck.prior import Gaussian
from narrows.bottleneck.rate import even_alphas, measure_distortion, measure_rate
from narrows.config import BottleneckConfig, Readout

HALFWAY = 0.5
WHOLE = (0.0, 1.0)  # of the path


@dataclass(frozen=True)
class Bottleneck:
    """The place where a batch of texts is narrowed.

    Attributes:
        layer: Where it stands: 0 = after the embeddings, n = after the n-th block.
        nll: -log p(target) of activations, in nats.
        carry: What becomes of an activation, (batch, tokens, hidden), at the deeper layers that are read as well.
        activation: X, (batch, tokens, hidden).
        prior: Mean and deviation, broadcastable to X.
        real: True where a token is not padding, (batch, tokens).
        seeds: One per text, for its noise.
        untouched: -log p(target) of the texts as they are, nats, (batch,).
    """

    layer: int
    nll: NegativeLogLikelihood
    carry: Callable[[Tensor], Mapping[int, Tensor]]
    activation: Tensor
    prior: Gaussian
    real: Tensor
    seeds: Sequence[int]
    untouched: Tensor


@dataclass(frozen=True)
class Reading:
    """What a readout gives for a batch of texts.

    Attributes:
        bits: Of each token, (batch, tokens), at least 0: the information that had to pass, or the size of the evidence.
        scores: The map, bits, (batch, tokens); above 0 = speaks for the target, where the readout has a sign.
        cross_entropy: Nats along the way, (points, batch).
        total_bits: Information of all tokens along the way, (points, batch).
        beta: Weight of the information, (batch,); None where it had none.
        features: The map of every feature of a token, (batch, tokens, hidden), bits, which add up to its score; None
            where the setting ``features`` does not ask for it.
    """

    bits: Tensor
    scores: Tensor
    cross_entropy: Tensor
    total_bits: Tensor
    beta: Tensor | None
    features: Tensor | None = None


def read_out(bottleneck: Bottleneck, config: BottleneckConfig) -> Reading:
    """Make maps of a batch of texts.

    Args:
        bottleneck: Where it is narrowed.
        config: The readout, and how to narrow.

    Returns:
        The maps and how they came about.
    """
    return READERS[config.readout](bottleneck, config)


def mean_reading(readings: Sequence[Reading]) -> Reading:
    """Average what was read at several layers.

    Args:
        readings: Of the same texts, by the same readout.

    Returns:
        The mean of each part. Evidence that adds up at every layer adds up in the mean, to the mean rise.
    """

    def mean(part: Callable[[Reading], Tensor]) -> Tensor:
        return torch.stack([part(reading) for reading in readings]).mean(dim=0)

    betas = [reading.beta for reading in readings if reading.beta is not None]
    features = [reading.features for reading in readings if reading.features is not None]
    scores = mean(lambda reading: reading.scores)
    return Reading(
        bits=scores.abs(),
        scores=scores,
        cross_entropy=mean(lambda reading: reading.cross_entropy),
        total_bits=mean(lambda reading: reading.total_bits),
        beta=torch.stack(betas).mean(dim=0) if betas else None,
        features=torch.stack(features).mean(dim=0) if features else None,
    )


def read_information(bottleneck: Bottleneck, config: BottleneckConfig) -> Reading:
    """Read the bits of each token that had to pass: the paper's readout.

    Args:
        bottleneck: Where the texts are narrowed.
        config: How.

    Returns:
        Maps that are never negative.
    """
    found = optimize(bottleneck.nll, bottleneck.activation, bottleneck.prior, bottleneck.real, config, bottleneck.seeds)
    bits = token_bits(found.nats, bottleneck.real)
    features = found.nats / NATS_PER_BIT if config.features else None
    return Reading(bits, bits, found.cross_entropy, found.total_nats / NATS_PER_BIT, found.beta, features)


def read_signed(bottleneck: Bottleneck, config: BottleneckConfig) -> Reading:
    """Read the bits of each token that had to pass, with the direction of what it carries.

    Args:
        bottleneck: Where the texts are narrowed.
        config: How.

    Returns:
        Maps of which a minus says that the token speaks against the target.
    """
    plain = read_information(bottleneck, config)
    towards = evidence_direction(bottleneck.nll, bottleneck.activation, bottleneck.prior)
    features = None if plain.features is None else plain.features * towards.unsqueeze(-1)
    return replace(plain, scores=plain.bits * towards, features=features)


def read_evidence(bottleneck: Bottleneck, config: BottleneckConfig, done: int = 0) -> Reading:
    """Read by how many bits each token raises log2 p(target) as the bottleneck opens (`narrows.bottleneck.path`).

    Args:
        bottleneck: Where the texts are narrowed; nothing is optimised, and the evidence knows no noise.
        config: Number of points on the path, its stretch, and how far open the open mask is.
        done: Rounds that were read before. Read once, the points are those of the Gauss-Legendre rule; in rounds, each
            takes the next of the van der Corput sequence.

    Returns:
        Maps that add up to the rise of log2 p(target) on the stretch, but for the error of the rule: on the whole path,
        from the prior's mean to the text. Along the way stands the open mask; where the whole path is followed at once,
        then others down to the closed one, with what they leave of the prediction behind the noise (`bottleneck.rate`).
    """
    x, real, prior = bottleneck.activation, bottleneck.real, bottleneck.prior
    points = (
        gauss_legendre(config.points, config.stretch)
        if config.rounds == 1
        else van_der_corput(config.points_of_round(done), config.stretch)
    )
    path = follow_path(bottleneck.nll, x, prior, real, points)
    if config.rounds == 1 and tuple(config.stretch) == WHOLE:
        alphas = even_alphas(config.initial_alpha)
        cross_entropy = measure_distortion(bottleneck.nll, x, prior, real, alphas, bottleneck.seeds)
    else:  # who wants a map in a few passes does not want to pay for the curve
        alphas, cross_entropy = [config.initial_alpha], bottleneck.untouched.unsqueeze(0)
    return Reading(
        bits=path.evidence.abs(),
        scores=path.evidence,
        cross_entropy=cross_entropy.to(path.evidence),
        total_bits=measure_rate(x, prior, real, alphas),
        beta=None,
        features=path.features if config.features else None,
    )


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


READERS: Mapping[Readout, Callable[[Bottleneck, BottleneckConfig], Reading]] = {
    "information": read_information,
    "signed": read_signed,
    "evidence": read_evidence,
}
