"""The texts of an evaluation: read, cut, predicted, with the target of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.data.example import Example
from narrows.data.source import Source as Source
from narrows.errors import InputError, TargetError
from narrows.methods.method import Batch
from narrows.models.heads.targets import GOLD, Label, class_labels, resolve_target
from narrows.models.hub.loading import Classifier
from narrows.models.predict import predict
from narrows.models.text.encoding import Encoding

COLUMNS = {
    "id": "int",
    "text": "text",
    "text_pair": "text",
    "gold": "text",
    "target": "int",
    "predicted": "int",
    "probabilities": "[float]",
    "tokens": "[text]",
    "starts": "[int]",
    "ends": "[int]",
    "segments": "[int]",
    "truncated": "int",
}


@dataclass(frozen=True)
class Instances:
    """The texts of an evaluation, as the classifier reads them.

    Attributes:
        batch: The texts.
        labels: Names of the classes, in the order of the logits.
        targets: Index of the class that is explained, per text.
        probabilities: Of the untouched texts, (texts, classes).
    """

    batch: Batch
    labels: tuple[str, ...]
    targets: tuple[int, ...]
    probabilities: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        classifier: Classifier,
        examples: Sequence[Example],
        target: Label = "gold",
        max_tokens: int | None = None,
        labels: Sequence[str] | None = None,
    ) -> Instances:
        """Encode and predict texts, and find their targets.

        Args:
            classifier: The model.
            examples: The texts.
            target: ``gold``, a label, or None for the predicted class.
            max_tokens: Cut longer texts.
            labels: Names of the classes in the order of the logits, for a checkpoint that names them LABEL_0, ...

        Returns:
            The instances.

        Raises:
            InputError: If there are more or fewer names than classes.
            TargetError: If a label is none of the model's.
        """
        own = class_labels(classifier.model, int(classifier.model.config.num_labels or 0))
        if labels is not None and len(labels) != len(own):
            raise InputError(f"{len(labels)} names of labels for the {len(own)} classes of {classifier.name}")
        names = own if labels is None else tuple(labels)
        if target is not None:  # a label that the model lacks is told before anything is computed
            _check_targets(target, examples, names)
        batch = Batch.of(classifier, examples, max_tokens)
        p = predict(classifier.model, classifier.tokenizer, batch.encodings)
        predicted = p.argmax(axis=1)
        targets = [resolve_target(target, e, int(best), names) for e, best in zip(examples, predicted, strict=True)]
        return cls(batch, names, tuple(targets), p)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Give the saved form.

        Yields:
            One row per text, of `COLUMNS`.
        """
        for number, (example, encoding) in enumerate(zip(self.batch.examples, self.batch.encodings, strict=True)):
            p = self.probabilities[number]
            yield {
                "id": number,
                "text": example.text,
                "text_pair": example.text_pair,
                "gold": None if example.label is None else str(example.label),
                "target": self.targets[number],
                "predicted": int(p.argmax()),
                "probabilities": p.tolist(),
                **_tokens(encoding),
            }


def fingerprint(examples: Sequence[Example]) -> str:
    """Hash texts and labels.

    Args:
        examples: The texts.

    Returns:
        SHA-256, in hexadecimal digits.
    """
    digest = hashlib.sha256()
    for example in examples:
        digest.update(json.dumps([example.text, example.text_pair, example.label]).encode() + b"\n")
    return digest.hexdigest()


def _check_targets(target: Label, examples: Sequence[Example], names: Sequence[str]) -> None:
    # A number says nothing of a class that has a name: two checkpoints need not count alike.
    counted = set() if all(name.startswith("LABEL_") for name in names) else set(map(str, range(len(names))))
    for number, example in enumerate(examples, 1):
        try:
            resolve_target(target, example, 0, names)
        except TargetError as error:
            hint = "say which class is which, in the model's order, with --labels NAME,NAME,..."
            raise TargetError(f"text {number}: {error}; {hint}") from error
        if target == GOLD and str(example.label) in counted - set(names):
            raise TargetError(
                f"text {number}: the label is a number, {example.label}, and the model's classes are "
                f"{', '.join(names)}: write these names, or, if the numbers are the model's, give --labels "
                f"{','.join(sorted(counted, key=int))}"
            )


def _tokens(encoding: Encoding) -> dict[str, Any]:
    return {
        "tokens": list(encoding.tokens),
        "starts": [None if offset is None else offset[0] for offset in encoding.offsets],
        "ends": [None if offset is None else offset[1] for offset in encoding.offsets],
        "segments": list(encoding.segments),
        "truncated": encoding.truncated,
    }
