"""Classifiers: one class out of several, several labels at once, or a number."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softmax

from narrows.errors import ModelError, TargetError
from narrows.models.cut.blocks import text_config
from narrows.models.heads.goals import Goal, Near, Present, Rather, SameEach
from narrows.models.heads.target import Contrast, Distribution
from narrows.models.heads.targets import GOLD, Label, class_labels, find_label, resolve_target
from narrows.models.heads.task import Question, Resolved, choose, find_both


@dataclass(frozen=True)
class ClassNames:
    """The labels of a classifier or a tagger in the order of its logits.

    Attributes:
        labels: Their names.
    """

    labels: tuple[str, ...]

    def name(self, index: int) -> str:
        """Name a class."""
        return self.labels[index]

    def find(self, name: str | int) -> int:
        """Find a class by name or index."""
        return find_label(name, self.labels)


@dataclass(frozen=True)
class Classifying:
    """What a sequence classification head can be asked.

    Attributes:
        model: The classifier.
    """

    model: nn.Module

    @property
    def one_of_several(self) -> bool:
        """Whether the classes exclude each other."""
        config = text_config(self.model)
        return config.problem_type != "multi_label_classification" and int(config.num_labels or 0) > 1

    def prepare(self, question: Question) -> Question:
        """Take a text as it is."""
        return question

    def reading(self, questions: Sequence[Question]) -> AbstractContextManager[None]:
        """Compute all logits: there are few."""
        return nullcontext()

    def resolve(self, question: Question, logits: Tensor) -> Resolved:
        """Turn a label, a contrast, the whole distribution, or the predicted value into a goal.

        Args:
            question: The text and what is asked of it.
            logits: (classes,).

        Returns:
            The goal, and its description.

        Raises:
            ModelError: If the head gives anything but one number per class.
            TargetError: If the model cannot be asked that.
        """
        if logits.ndim != 1:
            raise ModelError(
                f"{type(self.model).__name__} has no classification head: it gives no logits of shape (batch, classes)"
            )
        if len(logits) == 1:
            return _resolve_value(question, logits)
        names = ClassNames(class_labels(self.model, len(logits)))
        if text_config(self.model).problem_type == "multi_label_classification":
            return _resolve_labels(question, logits, names)
        target = question.target
        if isinstance(target, str):
            target = resolve_target(target, question.example, int(logits.argmax()), names.labels)
        goal, described = choose(_as_choice(target), logits, names)
        p = softmax(logits.cpu().double(), dim=-1).tolist()  # Apple's GPUs know no float64
        return Resolved(goal, described, names.name(int(logits.argmax())), dict(zip(names.labels, p, strict=True)))


def _as_choice(target: object) -> Label | Contrast | Distribution:
    if target is None or isinstance(target, (str, int, Contrast, Distribution)) or hasattr(target, "__index__"):
        return target  # type: ignore[return-value]  # an integer of numpy or torch is one, too
    raise TargetError(f"a classifier can be asked for a label, a Contrast or the Distribution, not {target!r}")


def _resolve_value(question: Question, logits: Tensor) -> Resolved:
    """Explain the number that a model gives."""
    if question.target is not None and question.target != Distribution():
        raise TargetError(f"the model gives one number, not classes: target None explains it, not {question.target!r}")
    value = float(logits[0])
    return Resolved(Near(value), f"{value:.6g}", f"{value:.6g}", {})


def _resolve_labels(question: Question, logits: Tensor, names: ClassNames) -> Resolved:
    """Explain one label that may stand beside others, or all of them."""
    target = _as_choice(question.target)
    best = int(logits.argmax())
    goal: Goal
    match target:
        case Contrast():
            index, other = find_both(target, names)
            goal, described = Rather(index, other), f"{names.name(index)} rather than {names.name(other)}"
        case Distribution():
            goal, described = SameEach(logits.detach()), "all labels"
        case _:
            if target == GOLD and GOLD not in names.labels:
                target = resolve_target(target, question.example, best, names.labels)
            index = best if target is None else names.find(target)
            goal, described = Present(index), names.name(index)
    p = torch.sigmoid(logits.cpu().double()).tolist()
    return Resolved(goal, described, names.name(best), dict(zip(names.labels, p, strict=True)))
