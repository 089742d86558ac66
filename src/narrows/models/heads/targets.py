"""What to explain: a class of the model, found by its name, never by the order of some data set's labels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from narrows.bottleneck.optimize import NegativeLogLikelihood
from narrows.data.example import Example
from narrows.errors import TargetError
from narrows.models.cut.blocks import text_config
from narrows.models.cut.layout import Inputs
from narrows.models.cut.network import Network
from narrows.models.cut.split import Prefix, repeat_inputs, run_suffix
from narrows.models.heads.goals import Goal, judge

Label = str | int | None
"""A label's name, its index, ``"gold"`` for the example's own label, or None for the predicted class."""

GOLD = "gold"


def class_labels(model: nn.Module, classes: int) -> tuple[str, ...]:
    """List the model's labels in the order of its logits.

    Args:
        model: A classifier.
        classes: Number of its logits.

    Returns:
        The names that its configuration gives them, LABEL_i where it gives none; with the index where two are the same.
    """
    known = getattr(text_config(model), "id2label", None) or {}
    names = [str(known.get(index, f"LABEL_{index}")) for index in range(classes)]
    return tuple(f"{name} ({index})" if names.count(name) > 1 else name for index, name in enumerate(names))


def find_label(label: str | int, labels: Sequence[str]) -> int:
    """Find a label by name, whatever its case, or else by index.

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
    """Turn a target into the index of a class.

    Args:
        target: What to explain.
        example: The text, whose label ``"gold"`` stands for.
        predicted: Index of the predicted class.
        labels: The model's labels in the order of its logits.

    Returns:
        The index.

    Raises:
        TargetError: If there is no such label, or no gold label where one is asked for.
    """
    if target is None:
        return predicted
    if target == GOLD and GOLD not in labels:
        if example.label is None:
            raise TargetError(f"target 'gold' needs a label with every text; none with {example.text!r:.60}")
        return find_label(example.label, labels)
    return find_label(target, labels)


def negative_log_likelihood(
    network: Network, prefix: Prefix, inputs: Inputs, layer: int, goals: Sequence[Goal]
) -> NegativeLogLikelihood:
    """Make the function that a bottleneck is judged by: how unlikely its output leaves each text's target.

    Args:
        network: The model, borrowed.
        prefix: A plain run of it over the batch.
        inputs: The batch, tensors by name, (batch, tokens) each.
        layer: Where the bottleneck stands.
        goals: What is to be kept of the output for every text.

    Returns:
        A function from activations (batch, samples, tokens, hidden) to -log p(target) in nats, (batch, samples),
        computed in float32 or better whatever the model's dtype.
    """

    def nll(activation: Tensor) -> Tensor:
        batch, samples = activation.shape[:2]
        logits = run_suffix(network, prefix, repeat_inputs(inputs, samples), layer, activation.flatten(0, 1))
        return judge(goals, logits.view(batch, samples, *logits.shape[1:]))

    return nll
