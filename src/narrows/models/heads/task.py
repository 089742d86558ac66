"""What can be explained of a model with a certain head: from a target to a goal and the words shown with the map."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from narrows.data.example import Example
from narrows.errors import TargetError
from narrows.models.heads.continuation import Continuation
from narrows.models.heads.goals import Goal, OneOf, Rather, Same
from narrows.models.heads.target import Choice, Contrast, Distribution, Target
from narrows.models.text.encoding import Encoding

MOST_LISTED = 5  # probabilities, of a vocabulary or of all spans


@dataclass(frozen=True)
class Resolved:
    """The target of one text: the goal of the bottleneck, and target and prediction in words."""

    goal: Goal
    target: str
    predicted: str
    probabilities: Mapping[str, float]  # of, at least, the most probable alternatives


@dataclass(frozen=True)
class Question:
    """One text, its tokens as the model gets them, and what to explain of it."""

    example: Example
    encoding: Encoding
    target: "Target | Continuation | Rival"


@dataclass(frozen=True)
class Rival:
    """A continuation that is held against another one, as text."""

    text: str


class Task(ABC):
    """What can be explained of a model's head."""

    takes_ids: ClassVar[bool] = False  # whether a list of token ids is one target

    def rivals(self, target: Target) -> "tuple[Rival, Rival] | None":
        """Return the two targets that are explained one by one and subtracted, where that is what is asked for."""
        return None

    def prepare(self, question: Question) -> Question:
        """Bring a text into the form that the head needs, and refuse targets that it does not have."""
        return question

    def reading(self, model: PreTrainedModel, questions: Sequence[Question]) -> AbstractContextManager[None]:
        """Let the head of a model's view compute only the logits that these questions need, if it has many."""
        return nullcontext()

    @abstractmethod
    def resolve(self, question: Question, logits: Tensor) -> Resolved:
        """Turn a target into a goal; the logits are one row of `narrows.models.cut.split.forward_head`."""


@dataclass(frozen=True)
class Names:
    """The names of the classes of an output."""

    name: Callable[[int], str]
    find: Callable[[str | int], int]  # by name or index; raises a TargetError if there is none


def choose(choice: Choice, logits: Tensor, names: Names) -> tuple[Goal, str]:
    """Turn a choice among classes that exclude each other into a goal, and into words; logits are (classes,)."""
    match choice:
        case Contrast():
            return choose_between(choice, names)
        case Distribution():
            return Same(logits.detach()), "the whole distribution"
    index = int(logits.argmax()) if choice is None else names.find(choice)
    return OneOf(index), names.name(index)


def choose_between(contrast: Contrast, names: Names) -> tuple[Goal, str]:
    """Turn a contrast of two different classes into a goal, and into words."""
    index, other = names.find(contrast.label), names.find(contrast.other)
    if index == other:
        raise TargetError(f"a contrast needs two different labels: {names.name(index)} was given twice")
    return Rather(index, other), f"{names.name(index)} rather than {names.name(other)}"


def list_probabilities(logits: Tensor, names: Names, goal: Goal) -> dict[str, float]:
    """List name to probability of the most probable classes and those of the goal, in falling order."""
    p = logits.cpu().double().softmax(dim=-1)
    listed = torch.topk(p, min(MOST_LISTED, len(p))).indices.tolist()
    about = [getattr(goal, name, None) for name in ("index", "other")]
    listed += [index for index in about if index is not None and index not in listed]
    listed.sort(key=lambda index: -float(p[index]))
    called = [names.name(index) for index in listed]
    labels = [f"{name} ({i})" if called.count(name) > 1 else name for name, i in zip(called, listed, strict=True)]
    return dict(zip(labels, p[listed].tolist(), strict=True))
