"""Labels of a model, found by name and never by the order of a data set's labels."""

from collections.abc import Sequence
from typing import Literal

from torch import nn

from narrows.data.example import Example
from narrows.data.labels import find_label
from narrows.errors import TargetError
from narrows.models.cut.blocks import own_config

Label = str | int | None  # a label's name, its index, "gold" for the example's own label, or None for the predicted one
Outputs = Literal["classes", "labels", "numbers"]  # one of several, several at once (or one, or none), or regression
GOLD = "gold"


def count_labels(model: nn.Module) -> int:
    """Return the number of labels in the model's configuration; 0 if it counts none."""
    return int(getattr(own_config(model), "num_labels", None) or 0)


def kind_of_outputs(model: nn.Module, count: int | None = None) -> Outputs:
    """Tell what so many outputs of a classifier are, by its problem type; without one, a single output is a number."""
    outputs = count_labels(model) if count is None else count
    problem = getattr(own_config(model), "problem_type", None)
    if problem == "regression" or (problem is None and outputs == 1):
        return "numbers"
    return "labels" if problem == "multi_label_classification" or outputs == 1 else "classes"


def class_labels(model: nn.Module, classes: int | None = None) -> tuple[str, ...]:
    """List the labels of so many logits in their order; LABEL_i without a name, and with the index where two agree."""
    known = getattr(own_config(model), "id2label", None) or {}
    named = {str(index): name for index, name in (known.items() if isinstance(known, dict) else enumerate(known))}
    count = count_labels(model) if classes is None else classes
    found = [named.get(str(index)) for index in range(count)]
    names = [f"LABEL_{index}" if name in (None, "") else str(name) for index, name in enumerate(found)]
    return tuple(f"{name} ({index})" if names.count(name) > 1 else name for index, name in enumerate(names))


def check_order(names: Sequence[str], labels: Sequence[str]) -> None:
    """Raise a TargetError if data numbers classes by the same names as the model, but in another order."""
    places = {label.casefold(): index for index, label in enumerate(labels)}
    for number, name in enumerate(names):
        if (index := places.get(name.casefold(), number)) != number:
            counts = f"the data calls label {number} {name!r}, which is the model's label {index}"
            raise TargetError(f"{counts}: give names, target=[data.features['label'].names[n] for n in data['label']]")


def resolve_target(target: Label, example: Example, predicted: int, labels: Sequence[str]) -> int:
    """Return the index of a label, of the predicted class (None), or of the example's own label (`gold`)."""
    if target is None:
        return predicted
    if target != GOLD:
        return find_label(target, labels)
    of_that_name = next((index for index, name in enumerate(labels) if name.casefold() == GOLD), None)
    if example.label is None:
        if of_that_name is None:
            raise TargetError(f"target 'gold' needs a label for every text; there is none for {example.text!r:.60}")
        return of_that_name
    own = find_label(example.label, labels)
    if of_that_name not in (None, own):
        two = f"the class of that name or the text's own label, {labels[own]!r}"
        raise TargetError(f"target 'gold' could be {two}: give the index of one, {of_that_name} or {own}")
    return own
