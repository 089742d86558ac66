"""Goals: what must be kept of the logits of one text's copies, (samples, ...), as a loss in nats, (samples,)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid

CERTAIN = 1e4  # log-odds are cut here, so that infinite logits and a choice of one stay finite


class Goal(ABC):
    """What to keep of an output: a loss and log-odds from the logits of one text's noise copies, (samples, ...)."""

    @property
    def has_odds(self) -> bool:
        """Whether the goal is an event with a probability p, so that its loss is -log p."""
        return False

    @abstractmethod
    def __call__(self, logits: Tensor) -> Tensor:
        """Compute the loss in nats, (samples,)."""

    def log_odds(self, logits: Tensor) -> Tensor:
        """Compute log p - log(1 - p) in nats, (samples,); without a p it is minus the loss: nats of the loss."""
        return -self(logits)


@dataclass(frozen=True)
class OneOf(Goal):
    """One of several classes that exclude each other: -log softmax(logits)[index], logits (samples, classes)."""

    index: int
    has_odds = True

    def __call__(self, logits: Tensor) -> Tensor:
        """Compute -log p."""
        return -log_softmax(logits, dim=-1)[..., self.index]

    def log_odds(self, logits: Tensor) -> Tensor:
        """Hold the class against all others: its logit minus the logsumexp of theirs."""
        return _against_rest(logits, torch.full(logits.shape[:-1], self.index, device=logits.device))


@dataclass(frozen=True)
class Rather(Goal):
    """One class rather than another: -log sigmoid(difference of their logits), logits (samples, classes)."""

    index: int
    other: int
    has_odds = True

    def __call__(self, logits: Tensor) -> Tensor:
        """Compute -log p(index | index or other)."""
        return -logsigmoid(logits[..., self.index] - logits[..., self.other])

    def log_odds(self, logits: Tensor) -> Tensor:
        """Subtract the other logit."""
        return (logits[..., self.index] - logits[..., self.other]).clamp(-CERTAIN, CERTAIN)


@dataclass(frozen=True, eq=False)
class Same(Goal):
    """The whole distribution over classes: KL[softmax of the model's own || softmax(logits)], (samples, classes)."""

    logits: Tensor

    def __call__(self, logits: Tensor) -> Tensor:
        """Compute the divergence."""
        log_p = log_softmax(self.logits.to(logits), dim=-1)
        return (log_p.exp() * (log_p - log_softmax(logits, dim=-1))).sum(dim=-1)


@dataclass(frozen=True)
class Present(Goal):
    """One of several labels that may be present together: -log sigmoid(logits)[index], logits (samples, labels)."""

    index: int
    has_odds = True

    def __call__(self, logits: Tensor) -> Tensor:
        """Compute -log p."""
        return -logsigmoid(logits[..., self.index])

    def log_odds(self, logits: Tensor) -> Tensor:
        """Take the logit as it is."""
        return logits[..., self.index].clamp(-CERTAIN, CERTAIN)


@dataclass(frozen=True, eq=False)
class SameEach(Goal):
    """All labels that may be present together: the sum of their divergences, logits (samples, labels)."""

    logits: Tensor

    def __call__(self, logits: Tensor) -> Tensor:
        """Add up the divergences, each between two Bernoulli distributions."""
        own = self.logits.to(logits)
        there = torch.sigmoid(own) * (logsigmoid(own) - logsigmoid(logits))
        absent = torch.sigmoid(-own) * (logsigmoid(-own) - logsigmoid(-logits))
        return (there + absent).sum(dim=-1)


@dataclass(frozen=True)
class Near(Goal):
    """A number: (output - value)^2 / 2, the divergence between Gaussians of deviation 1, outputs (samples, numbers)."""

    value: float
    number: int = 0  # which

    def __call__(self, logits: Tensor) -> Tensor:
        """Compute the divergence."""
        return 0.5 * (logits[..., self.number] - self.value).square()


@dataclass(frozen=True)
class At(Goal):
    """A goal at one position of an output with several, logits (samples, positions, classes)."""

    place: int
    goal: Goal

    @property
    def has_odds(self) -> bool:
        """Whether the goal at that place has them."""
        return self.goal.has_odds

    def __call__(self, logits: Tensor) -> Tensor:
        """Compute the loss at the place."""
        return self.goal(logits[:, self.place])

    def log_odds(self, logits: Tensor) -> Tensor:
        """Compute the log-odds at the place."""
        return self.goal.log_odds(logits[:, self.place])


@dataclass(frozen=True)
class AnswerSpan(Goal):
    """Where an answer starts and ends: -log p(start) - log p(end), among its tokens; logits (samples, tokens, 2)."""

    start: int
    end: int
    tokens: int
    has_odds = True

    def __call__(self, logits: Tensor) -> Tensor:
        """Compute -log of the product of both probabilities."""
        log_p = log_softmax(logits[:, : self.tokens], dim=1)
        return -log_p[:, self.start, 0] - log_p[:, self.end, 1]

    def log_odds(self, logits: Tensor) -> Tensor:
        """Compute the log-odds of the product of both probabilities."""
        start, end = logits[:, : self.tokens].unbind(dim=-1)
        return _of_all(torch.stack([OneOf(self.start).log_odds(start), OneOf(self.end).log_odds(end)]))


@dataclass(frozen=True)
class Together(Goal):
    """Several goals at once: the sum of their losses, so p is the product of their probabilities."""

    goals: tuple[Goal, ...]

    @property
    def has_odds(self) -> bool:
        """Whether every goal has them."""
        return all(goal.has_odds for goal in self.goals)

    def __call__(self, logits: Tensor) -> Tensor:
        """Add up the losses."""
        return torch.stack([goal(logits) for goal in self.goals]).sum(dim=0)

    def log_odds(self, logits: Tensor) -> Tensor:
        """Compute the log-odds of the product of the probabilities; minus the loss where there are none."""
        return _of_all(torch.stack([goal.log_odds(logits) for goal in self.goals])) if self.has_odds else -self(logits)


@dataclass(frozen=True)
class LogP(Goal):
    """A goal by its log p in place of log-odds: what is found for one can be subtracted from another."""

    goal: Goal

    def __call__(self, logits: Tensor) -> Tensor:
        """Compute the loss of the goal."""
        return self.goal(logits)


@dataclass(frozen=True)
class Each(Goal):
    """Several goals side by side, not one of them all: every number becomes one per goal, (samples, goals)."""

    goals: tuple[Goal, ...]

    @property
    def has_odds(self) -> bool:
        """Whether every goal has them."""
        return all(goal.has_odds for goal in self.goals)

    def __call__(self, logits: Tensor) -> Tensor:
        """Compute the loss of each."""
        return torch.stack([goal(logits) for goal in self.goals], dim=-1)

    def log_odds(self, logits: Tensor) -> Tensor:
        """Compute the log-odds of each."""
        return torch.stack([goal.log_odds(logits) for goal in self.goals], dim=-1)


def together(goals: Sequence[Goal]) -> Goal:
    """Aim at several goals at once, at least one."""
    return goals[0] if len(goals) == 1 else Together(tuple(goals))


def all_of(ids: Sequence[int]) -> Goal:
    """Aim at tokens of a language model, each at the next place of those that are read."""
    return together([At(place, OneOf(token)) for place, token in enumerate(ids)])


def judge(goals: Sequence[Goal], logits: Tensor) -> Tensor:
    """Compute the loss of each text by its own goal: (batch, samples, ...) -> nats, (batch, samples)."""
    logits, classes = _wide(goals, logits)
    if classes is not None:
        return -log_softmax(logits, dim=-1)[torch.arange(len(logits), device=logits.device), :, classes]
    return torch.stack([goal(own) for goal, own in zip(goals, logits, strict=True)])


def judge_odds(goals: Sequence[Goal], logits: Tensor) -> Tensor:
    """Compute the log-odds of each text's own goal, (batch, samples) in nats; see `Goal.log_odds`."""
    logits, classes = _wide(goals, logits)
    if classes is not None:
        return _against_rest(logits, classes.unsqueeze(1).expand(logits.shape[:-1]))
    return torch.stack([goal.log_odds(own) for goal, own in zip(goals, logits, strict=True)])


def _wide(goals: Sequence[Goal], logits: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the logits in float32 at least, and the classes, (batch,), where every goal is one, as most often."""
    classes = [goal.index for goal in goals if type(goal) is OneOf]
    chosen = torch.tensor(classes, device=logits.device) if len(classes) == len(goals) else None
    return logits.to(torch.promote_types(logits.dtype, torch.float32)), chosen


def _against_rest(logits: Tensor, index: Tensor) -> Tensor:
    """Return logits[index] - logsumexp(the others): (..., classes) and (...) -> (...)."""
    own = index.unsqueeze(-1)
    rest = logits.scatter(-1, own, torch.finfo(logits.dtype).min).logsumexp(dim=-1)
    return (logits.gather(-1, own).squeeze(-1) - rest).clamp(-CERTAIN, CERTAIN)


def _of_all(odds: Tensor) -> Tensor:
    """Return the log-odds of independent events together from those of each: (events, ...) -> (...)."""
    # 1 - p1 p2 ... = (1 - p1) + p1 (1 - p2) + ... is a sum of positive terms: exact however close p is to 1.
    log_p = logsigmoid(odds)
    before = torch.cat([torch.zeros_like(log_p[:1]), log_p[:-1].cumsum(dim=0)])
    return log_p.sum(dim=0) - (before + logsigmoid(-odds)).logsumexp(dim=0)
