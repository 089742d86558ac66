"""Goals: what a bottleneck must keep of a model's output, as a loss in nats.

A goal maps the logits of the noise copies of one text, (samples, ...), to nats, (samples,). All are computed in float32
or better. How far the output may drift before it costs a nat is the same for each: they are log-likelihoods, or
divergences between what the model says and what it says behind the bottleneck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid


class Goal(Protocol):
    """From the logits of one text's noise copies, (samples, ...), to a loss in nats, (samples,)."""

    def __call__(self, logits: Tensor) -> Tensor:
        """Judge an output."""


@dataclass(frozen=True)
class OneOf:
    """One of several classes that exclude each other: -log softmax(logits)[index].

    Attributes:
        index: The class.
    """

    index: int

    def __call__(self, logits: Tensor) -> Tensor:
        """Judge logits (samples, classes)."""
        return -log_softmax(logits, dim=-1)[..., self.index]


@dataclass(frozen=True)
class Rather:
    """One class rather than another: -log p(index | index or other) = -log sigmoid(difference of the logits).

    Attributes:
        index: The class.
        other: What it is held against.
    """

    index: int
    other: int

    def __call__(self, logits: Tensor) -> Tensor:
        """Judge logits (samples, classes)."""
        return -logsigmoid(logits[..., self.index] - logits[..., self.other])


@dataclass(frozen=True, eq=False)
class Same:
    """The whole distribution over classes that exclude each other: KL[p || softmax(logits)].

    Attributes:
        logits: Of the model itself, (classes,); p is their softmax.
    """

    logits: Tensor

    def __call__(self, logits: Tensor) -> Tensor:
        """Judge logits (samples, classes)."""
        log_p = log_softmax(self.logits.to(logits), dim=-1)
        return (log_p.exp() * (log_p - log_softmax(logits, dim=-1))).sum(dim=-1)


@dataclass(frozen=True)
class Present:
    """One of several labels that do not exclude each other: -log sigmoid(logits)[index].

    Attributes:
        index: The label.
    """

    index: int

    def __call__(self, logits: Tensor) -> Tensor:
        """Judge logits (samples, labels)."""
        return -logsigmoid(logits[..., self.index])


@dataclass(frozen=True, eq=False)
class SameEach:
    """All labels that do not exclude each other: the sum of the divergences of each, present or absent.

    Attributes:
        logits: Of the model itself, (labels,).
    """

    logits: Tensor

    def __call__(self, logits: Tensor) -> Tensor:
        """Judge logits (samples, labels)."""
        own = self.logits.to(logits)
        there = torch.sigmoid(own) * (logsigmoid(own) - logsigmoid(logits))
        absent = torch.sigmoid(-own) * (logsigmoid(-own) - logsigmoid(-logits))
        return (there + absent).sum(dim=-1)


@dataclass(frozen=True)
class Near:
    """A number: (output - value)^2 / 2, the divergence between Gaussians of deviation 1 around the two.

    Attributes:
        value: What the model itself gives, in its own unit.
    """

    value: float

    def __call__(self, logits: Tensor) -> Tensor:
        """Judge numbers (samples, 1)."""
        return 0.5 * (logits[..., 0] - self.value).square()


@dataclass(frozen=True)
class At:
    """A goal at one place of an output with several.

    Attributes:
        place: Position of the token, or of what is read of it.
        goal: What is to be kept there.
    """

    place: int
    goal: Goal

    def __call__(self, logits: Tensor) -> Tensor:
        """Judge logits (samples, places, classes)."""
        return self.goal(logits[:, self.place])


@dataclass(frozen=True)
class Span:
    """Where an answer starts and ends: -log p(start) - log p(end), each over the tokens of the text.

    Attributes:
        start: Position of its first token.
        end: Position of its last token.
        tokens: Of the text; what comes after is padding.
    """

    start: int
    end: int
    tokens: int

    def __call__(self, logits: Tensor) -> Tensor:
        """Judge logits (samples, tokens, 2)."""
        log_p = log_softmax(logits[:, : self.tokens], dim=1)
        return -log_p[:, self.start, 0] - log_p[:, self.end, 1]


@dataclass(frozen=True)
class Together:
    """Several goals at once: their sum.

    Attributes:
        goals: At least one.
    """

    goals: tuple[Goal, ...]

    def __call__(self, logits: Tensor) -> Tensor:
        """Judge logits of any shape that all of them take."""
        return torch.stack([goal(logits) for goal in self.goals]).sum(dim=0)


def judge(goals: Sequence[Goal], logits: Tensor) -> Tensor:
    """Judge the outputs of a batch, each text by its own goal.

    Args:
        goals: One per text.
        logits: (batch, samples, ...), of any floating dtype.

    Returns:
        Nats, (batch, samples), float32 or better.
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    classes = [goal.index for goal in goals if type(goal) is OneOf]
    if len(classes) == len(goals):  # by far the most common, at once
        wanted = torch.tensor(classes, device=wide.device)
        rows = torch.arange(len(wide), device=wide.device)
        return -log_softmax(wide, dim=-1)[rows, :, wanted]
    return torch.stack([goal(own) for goal, own in zip(goals, wide, strict=True)])
