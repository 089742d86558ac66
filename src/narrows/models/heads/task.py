"""What can be explained of a model with a certain head: from a target to a goal and the words shown with the map."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from narrows.data.example import Example
from narrows.data.units import Place, group_by_places
from narrows.errors import TargetError
from narrows.models.heads.continuation import Continuation
from narrows.models.heads.goals import Goal, OneOf, Rather, Same
from narrows.models.heads.target import Choice, Contrast, Distribution, Target
from narrows.models.text.encoding import Encoding

MOST_LISTED = 5  # probabilities, of a vocabulary or of all spans


class TargetTokens(NamedTuple):
    """Tokens of a vocabulary that a target names: how they read, and their ids."""

    text: str
    ids: list[int]


@dataclass(frozen=True)
class Resolved:
    """The target of one text: the goal of the bottleneck, and target and prediction in words."""

    goal: Goal
    target: str
    predicted: str
    probabilities: Mapping[str, float]  # of, at least, the most probable alternatives
    tokens: "tuple[TargetTokens, ...] | None" = None  # what the target is of a vocabulary; of a contrast both sides

    @property
    def record(self) -> dict[str, Any]:
        """What the record of an attribution says of the target: the tokens and ids of what it names."""
        return {} if self.tokens is None else {"target_tokens": [own._asdict() for own in self.tokens]}


@dataclass(frozen=True)
class Question:
    """One text, its tokens as the model gets them, and what to explain of it."""

    example: Example
    encoding: Encoding
    target: "Target | Continuation | Rival"
    places: tuple[Place, ...] | None = None  # of the units that are explained as one; None = each token is one
    unit_of: str = "token"  # what results call a unit: a kind, or "span"

    @cached_property
    def units(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the tokens of each unit of which there are any; each token of the text where none are asked."""
        encoding, texts = self.encoding, (self.example.text, self.example.text_pair)
        if self.places is None:
            return tuple((n,) for n, segment in enumerate(encoding.segments) if segment is not None)
        return tuple(filter(None, group_by_places(texts, encoding.offsets, encoding.segments, self.places)))


@dataclass(frozen=True)
class Variant:
    """A text without some of its tokens, and the same asked of it."""

    question: Question
    goal: Goal
    places: tuple[int, ...]  # where its tokens stand in the whole text


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

    def gold(self, example: Example) -> Target:
        """Turn the label that came with a text into the target ``gold``; raise a TargetError if it is none."""
        if isinstance(example.label, str):
            return example.label
        label = "there is none" if example.label is None else f"{example.label!r} is none"
        raise TargetError(f"target 'gold' needs a label in words for every text; {label} for {example.text!r:.60}")

    def held(self, question: Question, goal: Goal) -> frozenset[int]:
        """List positions of tokens that are never removed: what is asked is about them."""
        return frozenset()

    def read_at(self, question: Question) -> int | None:
        """Return the position at which the answer is read, if it is one that might be removed."""
        return None

    def vary(self, question: Question, goal: Goal, left: Encoding, places: Sequence[int]) -> Variant:
        """Ask the same of what is left of a text, whose tokens stood at these places of the whole."""
        return Variant(replace(question, encoding=left), goal, tuple(places))

    def decide(self, variant: Variant, logits: Tensor) -> int:
        """Number what the model predicts of a variant, where it is read first; logits are a row of `forward_head`."""
        return int(logits.reshape(-1, logits.shape[-1])[0].argmax())

    def count_logits(self, model: PreTrainedModel, question: Question) -> int:
        """Count the logits that are computed of a text, where they are many: of a vocabulary."""
        return 0

    @abstractmethod
    def resolve(self, question: Question, logits: Tensor) -> Resolved:
        """Turn a target into a goal; the logits are one row of `narrows.models.cut.split.forward_head`."""


@dataclass(frozen=True)
class Names:
    """The names of the classes of an output."""

    name: Callable[[int], str]
    find: Callable[[str | int], int]  # by name or index; raises a TargetError if there is none


def choose(choice: Choice, logits: Tensor, names: Names) -> tuple[Goal, str]:
    """Turn a choice among classes that exclude each other into a goal and words; logits (classes,)."""
    match choice:
        case Contrast():
            index, other = names.find(choice.label), names.find(choice.other)
            if index == other:
                raise TargetError(f"a contrast needs two different labels: {names.name(index)} was given twice")
            return Rather(index, other), f"{names.name(index)} rather than {names.name(other)}"
        case Distribution():
            return Same(logits.detach()), "the whole distribution"
    index = int(logits.argmax()) if choice is None else names.find(choice)
    return OneOf(index), names.name(index)


def spell_goal(goal: Goal, names: Names) -> tuple[TargetTokens, ...]:
    """Give the tokens of a goal that is one of a vocabulary, or one rather than another; nothing for other goals."""
    indices = [getattr(goal, name, None) for name in ("index", "other")]
    return tuple(TargetTokens(names.name(index), [index]) for index in indices if index is not None)


def list_probabilities(logits: Tensor, names: Names, goal: Goal) -> dict[str, float]:
    """List name to probability of the most probable classes and those of the goal, in falling order."""
    p = logits.cpu().double().softmax(dim=-1)
    listed = torch.topk(p, min(MOST_LISTED, len(p))).indices.tolist()
    about = [getattr(goal, name, None) for name in ("index", "other")]
    listed += [index for index in about if index is not None and index not in listed]
    listed.sort(key=lambda index: (-float(p[index]), index))  # the first is the predicted one
    called = [names.name(index) for index in listed]
    # The target keeps its name, by which its probability is looked up; others that read the same get their number.
    plain = next((index for index in about if index is not None), None)
    labels = [
        f"{name} ({index})" if called.count(name) > 1 and index != plain else name
        for name, index in zip(called, listed, strict=True)
    ]
    return dict(zip(labels, p[listed].tolist(), strict=True))
