"""What iterations found so far: evidence with nothing masked, and the order in which tokens were picked and masked."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from narrows.bottleneck.path import StraightPath

SHARE = 1 / 10  # of the content tokens: picked in equal shares, one after each iteration
SHORTEST = 3  # content tokens; in shorter texts nothing is picked: of two words, neither can be read without the other
OPEN = 10**6  # an iteration that never comes


@dataclass(frozen=True)
class Iterations:
    """What the iterations found so far for a batch of texts; every part is (batch, tokens) unless said otherwise."""

    content: Tensor  # True where a token is part of a text, or the first of a unit
    iteration: Tensor  # after which a token was picked; `OPEN` for those that never were
    total: Tensor  # bits of log2 p, summed over all steps
    picked: Tensor  # bits of log2 p by which a token was picked, its mean until then
    evidence: Tensor  # bits of log-odds, summed over the steps at which nothing of the text was masked
    steps: int  # so far
    clean: Tensor  # those at which nothing of the text was masked, (batch, 1)

    @classmethod
    def empty(cls, content: Tensor) -> "Iterations":
        """Start with nothing measured; content: True where a token can be picked, (batch, tokens)."""
        zero = torch.zeros(content.shape, device=content.device)
        never = torch.full(content.shape, OPEN, device=content.device)
        return cls(content, never, zero, zero, zero, 0, zero[:, :1])

    @property
    def masked(self) -> Tensor:
        """True where a token was picked, and is masked from then on, (batch, tokens)."""
        return self.iteration < OPEN

    @property
    def scores(self) -> Tensor:
        """Evidence in bits of log-odds, measured with nothing masked, (batch, tokens)."""
        return self.evidence / self.clean

    @property
    def order(self) -> Tensor:
        """What puts tokens in order: bits of log2 p, the mean until a token was picked, (batch, tokens)."""
        return torch.where(self.masked, self.picked, self.total / self.steps)

    def add(self, path: StraightPath, steps: int) -> "Iterations":
        """Add what an iteration of so many steps measured."""
        clean = (~self.masked.any(dim=1, keepdim=True)).to(path.evidence) * steps
        return replace(
            self,
            total=self.total + path.log_p * steps,
            evidence=self.evidence + path.evidence * clean,
            steps=self.steps + steps,
            clean=self.clean + clean,
        )

    def pick(self, iteration: int, part: float) -> "Iterations":
        """Pick the strongest open tokens by the mean log2 p of all steps, up to a part of `SHARE`, to be masked."""
        mean = self.total / self.steps
        wanted = picked_counts(self.content, part) - self.masked.sum(dim=1)
        chosen = pick_strongest(mean, self.content & ~self.masked, wanted)
        after = torch.where(chosen, iteration, self.iteration)
        return replace(self, iteration=after, picked=torch.where(chosen, mean, self.picked))

    def rankings(self) -> list[list[int]]:
        """Rank the tokens of each text: picked ones by iteration, then the others; within these by order, by place."""
        rankings = []
        for row in zip(self.content.tolist(), self.iteration.tolist(), self.order.tolist(), strict=True):
            tokens = enumerate(zip(*row, strict=True))
            ranked = sorted((iteration, -order, place) for place, (own, iteration, order) in tokens if own)
            rankings.append([place for *_, place in ranked])
        return rankings


def picked_counts(content: Tensor, part: float) -> Tensor:
    """Count tokens to pick, (batch,): a part of `SHARE`, to the nearest, at least one; none of one or two tokens."""
    count = content.sum(dim=1)
    wanted = torch.floor(count * SHARE * part + 0.5).clamp(min=1).long()
    return torch.where(count < SHORTEST, 0, wanted)


def pick_strongest(order: Tensor, candidates: Tensor, wanted: Tensor) -> Tensor:
    """Pick so many candidates of each text, (batch,), the highest first, of equals by place; masks (batch, tokens)."""
    places = order.masked_fill(~candidates, -torch.inf).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return (places < wanted.unsqueeze(1)) & candidates
