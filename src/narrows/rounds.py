"""Maps of one or several layers, read in one round or in several, in which the strongest tokens are closed.

Where two words say the same, either can do without the other, and evidence that is read once, with every other token
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
from narrows.readout import Bottleneck, Reading, mean_reading, read_out

NINTH = 1 / 9  # of the content tokens: what the rounds pick, each its part, and the degradation test looks at first
EDGE = 1e-5  # by which part a token that was closed stays above those that were not


def read_layers(bottlenecks: Sequence[Bottleneck], content: Tensor, config: BottleneckConfig) -> Reading:
    """Make maps of a batch of texts: the mean over some layers, in as many rounds as the settings say.

    Args:
        bottlenecks: Where the texts are narrowed, one per layer.
        content: True where a token is part of a text and may be closed, (batch, tokens).
        config: The readout, the number of rounds, and whether later ones leave out the first layer.

    Returns:
        The maps. In one round, the mean of what is read at the layers. In several, the score of a token that was closed
        is its evidence in the round that closed it, and that of another the mean of its evidence in the first round and
        in the last; scores of tokens that were closed are lifted, all of a round alike and only so far that none falls
        below a token that was left open longer. The way is that of the first round.
    """
    first = reading = _read_all(bottlenecks, config)
    closed = torch.zeros_like(content)
    taken: list[tuple[Tensor, Tensor]] = []
    for share in closed_shares(config.rounds):
        wanted = _count(content, share) - closed.sum(dim=1)
        strongest = pick_strongest(reading.scores, content & ~closed, wanted)
        taken.append((strongest, reading.scores))
        closed = closed | strongest
        narrowed = close(bottlenecks, closed)
        deeper = narrowed[1:] if config.reread == "deeper" else []
        reading = _read_all(deeper or narrowed, config)
    if not taken:
        return first
    scores = (first.scores + reading.scores) / 2
    below = content & ~closed
    for strongest, evidence in reversed(taken):
        scores = torch.where(strongest, evidence + _lift(evidence, strongest, scores, below), scores)
        below = below | strongest
    return replace(first, bits=scores.abs(), scores=scores)


def closed_shares(rounds: int) -> list[float]:
    """Give the share of the content tokens that is closed after each round but the last, in equal steps.

    Args:
        rounds: How often evidence is read; each picks as much of the first ninth.

    Returns:
        Rising shares.

    Example:
        >>> closed_shares(1), [round(share, 3) for share in closed_shares(3)]
        ([], [0.037, 0.074])
    """
    return [NINTH * done / rounds for done in range(1, rounds)]


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


def _read_all(bottlenecks: Sequence[Bottleneck], config: BottleneckConfig) -> Reading:
    return mean_reading([read_out(bottleneck, config) for bottleneck in bottlenecks])


def _count(content: Tensor, share: float) -> Tensor:
    """Count the tokens of a share of each text: to the nearest, at least one, as the degradation test does."""
    return torch.floor(content.sum(dim=1) * share + 0.5).clamp(min=1).long()


def _lift(evidence: Tensor, strongest: Tensor, scores: Tensor, below: Tensor) -> Tensor:
    """Find by how much the evidence of a round must rise so that none of it falls below later tokens, (batch, 1)."""
    floor = scores.masked_fill(~below, -torch.inf).amax(dim=1, keepdim=True)
    lowest = evidence.masked_fill(~strongest, torch.inf).amin(dim=1, keepdim=True)
    missing = floor + EDGE * floor.abs() - lowest
    return missing.clamp(min=0.0).nan_to_num(nan=0.0, posinf=0.0)  # where nothing is below, or nothing was closed
