"""Labels of texts as a model calls them: found by name, or by number; never by the order of a data set's labels."""

from collections.abc import Sequence
from typing import Any

from narrows.errors import TargetError


def find_label(label: str | int, labels: Sequence[str]) -> int:
    """Return the index of a label given by name, ignoring case, or by index; raise a TargetError without one."""
    if isinstance(label, str):
        if label in labels:
            return labels.index(label)
        matches = [index for index, name in enumerate(labels) if name.casefold() == label.strip().casefold()]
        if len(matches) == 1:
            return matches[0]
    if not isinstance(label, bool) and str(label).strip().isdecimal() and int(label) < len(labels):
        index = int(label)
        if str(index) in labels and labels[index] != str(index):
            two = f"the label {str(index)!r} or the one at index {index}, {labels[index]!r}"
            raise TargetError(f"{index} could be {two}: give the name, as a string")
        return index
    listed = ", ".join(f"{name} ({index})" for index, name in enumerate(labels))
    raise TargetError(f"no label {label!r}: the model has {listed}")


def name_label(label: Any, labels: Sequence[str]) -> str | None:
    """Name the label of a text as the model calls it; None if there is none, or it is none of the model's."""
    try:
        return None if label is None else labels[find_label(label, labels)]
    except TargetError:
        return None


def is_right(predicted: str, label: Any, labels: Sequence[str]) -> bool | None:
    """Tell whether a prediction is the label of its text; None where the text has none that the model knows."""
    if predicted not in labels:  # a language model lists some of its tokens only: what it says is compared as text
        return None if label is None else predicted.strip() == str(label).strip()
    name = name_label(label, labels)
    return None if name is None else predicted == name
