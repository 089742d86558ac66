"""Maps of one or several layers, read in one round or in several, in which the strongest tokens are closed.

Where two words say the same, the model can do without either, and evidence that is read once, with every other token
open, may be shared out badly. So it can be read again with the strongest tokens closed (their mask at 0, the prior's
mean in their place), and what the others say without them decides which come next. Tokens are closed inside of the
bottleneck only, at the first layer that is read, from where the model carries on without what they say; none is deleted
from the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from narrows.config import BottleneckConfig
from narrows.readout import Bottleneck, Reading, mean_reading, read_evidence, read_out

NINTH = 1 / 9  # of the content tokens: what the rounds pick, each its part, and the degradation test looks at first
EDGE = 1e-5  # by which part a token that was closed stays above those that were not


def read_layers(bottlenecks: Sequence[Bottleneck], content: Tensor, config: BottleneckConfig) -> Reading:
    """Make maps of a batch of texts: the mean over some layers, in as many rounds as the settings say.

    Args:
        bottlenecks: Where the texts are narrowed, one per layer.
        content: True where a token is part of a text and may be closed, (batch, tokens).
        config: The readout and the number of rounds.

    Returns:
        The maps. In one round, the mean of what is read at the layers. In several, the score of a picked token is the
        mean of its evidence in all rounds until then, that of another the mean of its evidence in the first round and
        of that in all; scores of picked tokens are lifted, all of a round alike and only so far that none falls below
        a token that was picked later or not at all. The way is that of the first round.
    """
    if config.rounds == 1:
        return mean_reading([read_out(bottleneck, config) for bottleneck in bottlenecks])
    first = _read_round(bottlenecks, config, 0)
    scores, picked = first.scores, torch.zeros_like(content)
    taken: list[tuple[Tensor, Tensor]] = []
    for done, share in enumerate(picked_shares(config.rounds)):
        if done:
            again = _read_round(close(bottlenecks, picked), config, done)
            points = config.points_of_round(done)
            scores = scores + (again.scores - scores) * len(points) / points.stop  # the mean over all points so far
        wanted = _count(content, share) - picked.sum(dim=1)
        strongest = pick_strongest(scores, content & ~picked, wanted)
        taken.append((strongest, scores))
        picked = picked | strongest
    scores = (first.scores + scores) / 2
    below = content & ~picked
    for strongest, evidence in reversed(taken):
        scores = torch.where(strongest, evidence + _lift(evidence, strongest, scores, below), scores)
        below = below | strongest
    return replace(first, bits=scores.abs(), scores=scores)


def picked_shares(rounds: int) -> list[float]:
    """Give the share of the content tokens that is picked by the end of each round, in equal steps up to a ninth.

    Args:
        rounds: How often evidence is read.

    Returns:
        Rising shares.

    Example:
        >>> [round(share, 3) for share in picked_shares(3)]
        [0.037, 0.074, 0.111]
    """
    return [NINTH * done / rounds for done in range(1, rounds + 1)]


def pick_strongest(scores: Tensor, candidates: Tensor, wanted: Tensor) -> Tensor:
    """Pick the tokens with the highest scores; of equals those that come first.

    Args:
        scores: (batch, tokens).
        candidates: True where a token may be picked, (batch, tokens).
        wanted: How many of each text, (batch,); fewer where there are not as many.

    Returns:
        True where a token is picked, (batch, tokens).

    Example:
        >>> scores, every = torch.tensor([[1.0, 3.0, 3.0, 2.0]]), torch.tensor([[True, True, True, False]])
        >>> pick_strongest(scores, every, torch.tensor([1])).tolist()
        [[False, True, False, False]]
    """
    order = scores.masked_fill(~candidates, -torch.inf).argsort(dim=1, descending=True, stable=True)
    place = order.argsort(dim=1)
    return (place < wanted.unsqueeze(1)) & candidates


def close(bottlenecks: Sequence[Bottleneck], closed: Tensor) -> list[Bottleneck]:
    """Put the prior's mean in the place of some tokens at the first layer, and go on from there to the deeper ones.

    Args:
        bottlenecks: Where the texts are narrowed, one per layer, the first layer first.
        closed: True where a token is closed, (batch, tokens).

    Returns:
        The same bottlenecks with what arrives at each of them without the closed tokens.
    """
    first, *deeper = bottlenecks
    mean = first.prior.mean.to(first.activation).expand_as(first.activation)
    shut = torch.where(closed.unsqueeze(-1), mean, first.activation)
    carried = first.carry(shut) if deeper else {}
    return [replace(first, activation=shut), *(replace(each, activation=carried[each.layer]) for each in deeper)]


def _read_round(bottlenecks: Sequence[Bottleneck], config: BottleneckConfig, done: int) -> Reading:
    return mean_reading([read_evidence(bottleneck, config, done) for bottleneck in bottlenecks])


def _count(content: Tensor, share: float) -> Tensor:
    """Count the tokens of a share of each text: to the nearest, at least one, as the degradation test does."""
    return torch.floor(content.sum(dim=1) * share + 0.5).clamp(min=1).long()


def _lift(evidence: Tensor, strongest: Tensor, scores: Tensor, below: Tensor) -> Tensor:
    """Find by how much the evidence of a round must rise so that none of it falls below later tokens, (batch, 1)."""
    floor = scores.masked_fill(~below, -torch.inf).amax(dim=1, keepdim=True)
    lowest = evidence.masked_fill(~strongest, torch.inf).amin(dim=1, keepdim=True)
    missing = floor + EDGE * floor.abs() - lowest
    return missing.clamp(min=0.0).nan_to_num(nan=0.0, posinf=0.0)  # where nothing is below, or nothing was closed
