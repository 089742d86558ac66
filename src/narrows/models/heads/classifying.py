"""Classifiers: one class of several, several labels at once, or a number."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softmax

from narrows.errors import ModelError, TargetError
from narrows.models.cut.blocks import own_config
from narrows.models.heads.goals import Goal, Near, Present, Rather, SameEach
from narrows.models.heads.target import Contrast, Distribution
from narrows.models.heads.targets import GOLD, Label, class_labels, count_labels, find_label, resolve_target
from narrows.models.heads.task import Question, Resolved, Task, choose, find_both


@dataclass(frozen=True)
class ClassNames:
    """The labels of a classifier or a tagger in the order of its logits."""

    labels: tuple[str, ...]

    def name(self, index: int) -> str:
        """Return the name of a class."""
        return self.labels[index]

    def find(self, name: str | int) -> int:
        """Find a class by name or index."""
        return find_label(name, self.labels)


@dataclass(frozen=True)
class Classifying(Task):
    """Targets of a classification head: a label, `Contrast`, `Distribution`, or None."""

    model: nn.Module

    @property
    def one_of_several(self) -> bool:
        """Whether the classes exclude each other."""
        return not _is_multi_label(self.model) and count_labels(self.model) > 1

    def resolve(self, question: Question, logits: Tensor) -> Resolved:
        """Turn a target into a goal; logits are (classes,), or (1,) for a model that predicts a number."""
        if logits.ndim != 1:
            raise ModelError(
                f"{type(self.model).__name__} has no classification head: it gives no logits of shape (batch, classes)"
            )
        if len(logits) == 1:
            return _resolve_value(question, logits)
        names = ClassNames(class_labels(self.model, len(logits)))
        if _is_multi_label(self.model):
            return _resolve_labels(question, logits, names)
        target = question.target
        if isinstance(target, str):
            target = resolve_target(target, question.example, int(logits.argmax()), names.labels)
        goal, described = choose(_as_choice(target), logits, names)
        p = softmax(logits.cpu().double(), dim=-1).tolist()  # Apple's GPUs have no float64
        return Resolved(goal, described, names.name(int(logits.argmax())), dict(zip(names.labels, p, strict=True)))


def _is_multi_label(model: nn.Module) -> bool:
    return own_config(model).problem_type == "multi_label_classification"


def _as_choice(target: object) -> Label | Contrast | Distribution:
    if target is None or isinstance(target, (str, int, Contrast, Distribution)) or hasattr(target, "__index__"):
        return target  # type: ignore[return-value]  # integers of numpy and torch are indices too
    raise TargetError(f"the target of a classifier is a label, a Contrast or the Distribution, not {target!r}")


def _resolve_value(question: Question, logits: Tensor) -> Resolved:
    """Explain the number that a model predicts."""
    if question.target is not None and question.target != Distribution():
        raise TargetError(
            f"the model predicts one number, not classes: explain it with target None, not {question.target!r}"
        )
    value = float(logits[0])
    return Resolved(Near(value), f"{value:.6g}", f"{value:.6g}", {})


def _resolve_labels(question: Question, logits: Tensor, names: ClassNames) -> Resolved:
    """Explain one of several labels that may be present together, or all of them."""
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
