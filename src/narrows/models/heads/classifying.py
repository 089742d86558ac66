"""Classifiers: one class of several, several labels at once, or a number."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from narrows.errors import ModelError, TargetError
from narrows.models.heads.goals import Goal, Near, Present, SameEach
from narrows.models.heads.target import Contrast, Distribution
from narrows.models.heads.targets import Label, class_labels, find_label, is_multi_label, resolve_target
from narrows.models.heads.task import Names, Question, Resolved, Task, choose, choose_between


@dataclass(frozen=True)
class Classifying(Task):
    """Targets of a classification head: a label, `Contrast`, `Distribution`, or None."""

    model: nn.Module

    def resolve(self, question: Question, logits: Tensor) -> Resolved:
        """Turn a target into a goal; logits are (classes,), or (1,) for a model that predicts a number."""
        if logits.ndim != 1:
            called = type(self.model).__name__
            raise ModelError(f"{called} has no classification head: it gives no logits of shape (batch, classes)")
        if len(logits) == 1:
            if question.target not in (None, Distribution()):
                asked = f"explain it with target None, not {question.target!r}"
                raise TargetError(f"the model predicts one number, not classes: {asked}")
            value = float(logits[0])
            return Resolved(Near(value), f"{value:.6g}", f"{value:.6g}", {})
        labels, best = class_labels(self.model, len(logits)), int(logits.argmax())
        names = name_classes(labels)
        target = _as_choice(question.target)
        if isinstance(target, str):
            target = resolve_target(target, question.example, best, labels)
        several = is_multi_label(self.model)
        goal, described = _choose_labels(target, logits, names) if several else choose(target, logits, names)
        wide = logits.cpu().double()  # Apple's GPUs have no float64
        p = (torch.sigmoid(wide) if several else wide.softmax(dim=-1)).tolist()
        return Resolved(goal, described, labels[best], dict(zip(labels, p, strict=True)))


def name_classes(labels: tuple[str, ...]) -> Names:
    """Name the classes of a classifier or a tagger by its labels, in the order of its logits."""
    return Names(labels.__getitem__, lambda name: find_label(name, labels))


def _as_choice(target: object) -> Label | Contrast | Distribution:
    if target is None or isinstance(target, (str, int, Contrast, Distribution)) or hasattr(target, "__index__"):
        return target  # type: ignore[return-value]  # integers of numpy and torch are indices too
    raise TargetError(f"the target of a classifier is a label, a Contrast or the Distribution, not {target!r}")


def _choose_labels(target: Label | Contrast | Distribution, logits: Tensor, names: Names) -> tuple[Goal, str]:
    """Turn a choice among labels that may be present together into a goal, and into words."""
    match target:
        case Contrast():
            return choose_between(target, names)
        case Distribution():
            return SameEach(logits.detach()), "all labels"
    index = int(logits.argmax()) if target is None else names.find(target)
    return Present(index), names.name(index)
