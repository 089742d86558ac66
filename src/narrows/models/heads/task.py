"""What a model with a certain head can be asked: from a target to a goal, and to what is written beside the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import softmax

from narrows.data.example import Example
from narrows.errors import TargetError
from narrows.models.heads.goals import Goal, OneOf, Rather, Same
from narrows.models.heads.target import Choice, Contrast, Distribution, Target
from narrows.models.text.encoding import Encoding

MOST_LISTED = 5  # of the probabilities over a vocabulary or over all spans


@dataclass(frozen=True)
class Resolved:
    """The target of one text.

    Attributes:
        goal: What the bottleneck must keep.
        target: What is explained, in words.
        predicted: What the model predicts there, in words.
        probabilities: Of the alternatives, the most probable ones at least, by what they are called.
    """

    goal: Goal
    target: str
    predicted: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True)
class Question:
    """One text and what is asked of it.

    Attributes:
        example: The text.
        encoding: As the model reads it.
        target: What to explain.
    """

    example: Example
    encoding: Encoding
    target: Target


class Task(Protocol):
    """What a model's head is for."""

    def prepare(self, question: Question) -> Question:
        """Bring a text into the form in which the head is asked, and refuse what it cannot be asked."""

    def reading(self, questions: Sequence[Question]) -> AbstractContextManager[None]:
        """Let the head compute only what the questions of a batch need of it, where it can."""

    def resolve(self, question: Question, logits: Tensor) -> Resolved:
        """Turn a target into a goal.

        Args:
            question: The text and what is asked of it.
            logits: What the model gives for it: a row of `narrows.models.cut.split.forward_head`.

        Returns:
            The goal, and its description.
        """


class Names(Protocol):
    """What the classes of an output are called."""

    def name(self, index: int) -> str:
        """Name a class."""

    def find(self, name: str | int) -> int:
        """Find a class by name or index; a `TargetError` if there is none."""


def choose(choice: Choice, logits: Tensor, names: Names) -> tuple[Goal, str]:
    """Turn a choice among classes that exclude each other into a goal.

    Args:
        choice: Which.
        logits: Of the model itself, (classes,).
        names: What the classes are called.

    Returns:
        The goal, and what is explained in words.

    Raises:
        TargetError: If there is no such class.
    """
    match choice:
        case None:
            best = int(logits.argmax())
            return OneOf(best), names.name(best)
        case Contrast():
            index, other = find_both(choice, names)
            return Rather(index, other), f"{names.name(index)} rather than {names.name(other)}"
        case Distribution():
            return Same(logits.detach()), "the whole distribution"
        case _:
            index = names.find(choice)
            return OneOf(index), names.name(index)


def find_both(contrast: Contrast, names: Names) -> tuple[int, int]:
    """Find the two classes of a contrast.

    Args:
        contrast: The classes by name or index.
        names: What they are called.

    Returns:
        Their indices.

    Raises:
        TargetError: If they are one and the same.
    """
    index, other = names.find(contrast.label), names.find(contrast.other)
    if index == other:
        raise TargetError(f"a contrast needs two labels: {names.name(index)} was given twice")
    return index, other


def list_probabilities(logits: Tensor, names: Names, goal: Goal) -> dict[str, float]:
    """List the most probable classes, and those that a goal is about.

    Args:
        logits: (classes,).
        names: What the classes are called.
        goal: What is explained.

    Returns:
        Name to probability, most probable first.
    """
    p = softmax(logits.cpu().double(), dim=-1)
    listed = torch.topk(p, min(MOST_LISTED, len(p))).indices.tolist()
    about = [getattr(goal, name, None) for name in ("index", "other")]
    listed += [index for index in about if index is not None and index not in listed]
    listed.sort(key=lambda index: -float(p[index]))
    called = [names.name(index) for index in listed]
    return {
        f"{name} ({index})" if called.count(name) > 1 else name: float(p[index])
        for name, index in zip(called, listed, strict=True)
    }
