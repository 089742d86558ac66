"""Classifiers: one class of several, several labels at once, or a number."""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from narrows.data.example import Example
from narrows.data.labels import find_label
from narrows.errors import ModelError, TargetError
from narrows.models.cut.causal import looks_back_only
from narrows.models.heads.goals import Goal, Near, OneOf, Present, SameEach, together
from narrows.models.heads.target import Choice, Contrast, Distribution, Target
from narrows.models.heads.targets import GOLD, Label, class_labels, kind_of_outputs, resolve_target
from narrows.models.heads.task import Names, Question, Resolved, Task, choose


@dataclass(frozen=True)
class Classifying(Task):
    """Targets of a classification head: a label or a number by name, `Contrast`, `Distribution`, or None."""

    model: PreTrainedModel

    def gold(self, example: Example) -> Target:
        """Leave it to `resolve`: a class may be called so."""
        return GOLD

    def read_at(self, question: Question) -> int | None:
        """Return the last position in a decoder; what encoders read is special, or everything."""
        last = len(question.encoding) - 1
        return last if question.encoding.segments[last] is not None and looks_back_only(self.model) else None

    def resolve(self, question: Question, logits: Tensor) -> Resolved:
        """Turn a target into a goal; logits are (classes,), (labels,) or (numbers,)."""
        if logits.ndim != 1:
            called = type(self.model).__name__
            raise ModelError(f"{called} has no classification head: it gives no logits of shape (batch, classes)")
        labels, kind = class_labels(self.model, len(logits)), kind_of_outputs(self.model, len(logits))
        target = _as_choice(question.target)
        if kind == "numbers":
            return _resolve_number(target, question.example, logits, labels)
        best, names = int(logits.argmax()), name_classes(labels)
        if isinstance(target, str):
            target = labels[resolve_target(target, question.example, best, labels)]
        goal, described = (choose if kind == "classes" else _choose_label)(target, logits, names)
        wide = logits.cpu().double()  # Apple's GPUs have no float64
        p = (wide.softmax(dim=-1) if kind == "classes" else torch.sigmoid(wide)).tolist()
        return Resolved(goal, described, labels[best], dict(zip(labels, p, strict=True)))


def _choose_label(choice: Choice, logits: Tensor, names: Names) -> tuple[Goal, str]:
    """Choose as among classes, but among labels that may be present together; logits (labels,)."""
    if isinstance(choice, Distribution):
        return SameEach(logits.detach()), "all labels"
    goal, described = choose(choice, logits, names)
    return Present(goal.index) if isinstance(goal, OneOf) else goal, described


def _resolve_number(
    target: Label | Contrast | Distribution, example: Example, logits: Tensor, labels: tuple[str, ...]
) -> Resolved:
    """Turn a target into one of the model's numbers, or all of them: logits are (numbers,), without probabilities."""
    values = logits.tolist()
    written = [f"{value:.6g}" for value in values]
    if len(values) > 1:
        written = [f"{label} = {value}" for label, value in zip(labels, written, strict=True)]
    if isinstance(target, Contrast):
        choice = f"there is no {target!r}; choose {', '.join(labels)}"
        raise TargetError(f"the model predicts numbers, not classes: {choice}")
    if target is None or isinstance(target, Distribution):
        said = ", ".join(written)
        return Resolved(together([Near(value, index) for index, value in enumerate(values)]), said, said, {})
    index = resolve_target(target, example, 0, labels)
    return Resolved(Near(values[index], index), written[index], ", ".join(written), {})


def name_classes(labels: tuple[str, ...]) -> Names:
    """Name the classes of a classifier or a tagger by its labels, in the order of its logits."""
    return Names(labels.__getitem__, lambda name: find_label(name, labels))


def _as_choice(target: object) -> Label | Contrast | Distribution:
    if target is None or isinstance(target, (str, int, Contrast, Distribution)):
        return target
    raise TargetError(f"the target of a classifier is a label, a Contrast or the Distribution, not {target!r}")
