"""Labels of a model, found by name and never by the order of a data set's labels; the loss of a target."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from narrows.bottleneck.optimize import NegativeLogLikelihood
from narrows.data.example import Example
from narrows.errors import TargetError
from narrows.models.cut.blocks import own_config
from narrows.models.cut.layout import Inputs
from narrows.models.cut.network import Network
from narrows.models.cut.split import Prefix, repeat_inputs, run_suffix
from narrows.models.heads.goals import Goal, judge

Label = str | int | None
"""A label's name, its index, ``"gold"`` for the example's own label, or None for the predicted class."""

GOLD = "gold"


def count_labels(model: nn.Module) -> int:
    """Return the number of labels in the model's configuration; 0 if it counts none."""
    return int(getattr(own_config(model), "num_labels", None) or 0)


def class_labels(model: nn.Module, classes: int | None = None) -> tuple[str, ...]:
    """List the model's labels in the order of its logits.

    Args:
        model: A classifier.
        classes: Number of its logits; None = as its configuration counts them.

    Returns:
        The names in its configuration, LABEL_i if it has none; with the index where two names are the same.
    """
    known = getattr(own_config(model), "id2label", None) or {}
    count = count_labels(model) if classes is None else classes
    names = [str(known.get(index, f"LABEL_{index}")) for index in range(count)]
    return tuple(f"{name} ({index})" if names.count(name) > 1 else name for index, name in enumerate(names))


def find_label(label: str | int, labels: Sequence[str]) -> int:
    """Find a label by name, ignoring case, or else by index.

    Args:
        label: A name, an index, or an index in digits.
        labels: The model's labels in the order of its logits.

    Returns:
        The index.

    Raises:
        TargetError: If the model has no such label.

    Example:
        >>> find_label("Contradiction", ["contradiction", "entailment", "neutral"])
        0
    """
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


def negative_log_likelihood(
    network: Network, prefix: Prefix, inputs: Inputs, layer: int, goals: Sequence[Goal]
) -> NegativeLogLikelihood:
    """Make the loss: activations (batch, samples, tokens, hidden) -> -log p(target) in nats, (batch, samples)."""

    def nll(activation: Tensor) -> Tensor:
        batch, samples = activation.shape[:2]
        logits = run_suffix(network, prefix, repeat_inputs(inputs, samples), layer, activation.flatten(0, 1))
        return judge(goals, logits.view(batch, samples, *logits.shape[1:]))

    return nll
