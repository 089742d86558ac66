"""Labels of a model, found by name and never by the order of a data set's labels."""

from collections.abc import Sequence

from torch import nn

from narrows.data.example import Example
from narrows.errors import TargetError
from narrows.models.cut.blocks import own_config

Label = str | int | None  # a label's name, its index, "gold" for the example's own label, or None for the predicted one
GOLD = "gold"


def count_labels(model: nn.Module) -> int:
    """Return the number of labels in the model's configuration; 0 if it counts none."""
    return int(getattr(own_config(model), "num_labels", None) or 0)


def is_multi_label(model: nn.Module) -> bool:
    """Tell whether several labels of a classifier may be present together."""
    return bool(own_config(model).problem_type == "multi_label_classification")


def class_labels(model: nn.Module, classes: int | None = None) -> tuple[str, ...]:
    """List the labels of so many logits in their order; LABEL_i without a name, and with the index where two agree."""
    known = getattr(own_config(model), "id2label", None) or {}
    count = count_labels(model) if classes is None else classes
    names = [str(known.get(index, f"LABEL_{index}")) for index in range(count)]
    return tuple(f"{name} ({index})" if names.count(name) > 1 else name for index, name in enumerate(names))


def find_label(label: str | int, labels: Sequence[str]) -> int:
    """Return the index of a label given by name, ignoring case, or by index; raise a TargetError without one."""
    if isinstance(label, str):
        if label in labels:
            return labels.index(label)
        matches = [index for index, name in enumerate(labels) if name.casefold() == label.strip().casefold()]
        if len(matches) == 1:
            return matches[0]
    if not isinstance(label, bool) and str(label).strip().isdecimal() and int(label) < len(labels):
        return int(label)
    listed = ", ".join(f"{name} ({index})" for index, name in enumerate(labels))
    raise TargetError(f"no label {label!r}: the model has {listed}")


def resolve_target(target: Label, example: Example, predicted: int, labels: Sequence[str]) -> int:
    """Return the index of a label, of the predicted class (None), or of the example's own label (`gold`)."""
    if target is None:
        return predicted
    if target == GOLD and GOLD not in labels:
        if example.label is None:
            raise TargetError(f"target 'gold' needs a label for every text; there is none for {example.text!r:.60}")
        return find_label(example.label, labels)
    return find_label(target, labels)
