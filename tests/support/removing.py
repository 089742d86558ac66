"""The degradation test of classes, as the tests of classifiers ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from narrows.data.example import Example
from narrows.evaluation.degradation import Curves, degrade
from narrows.models.heads.goals import OneOf
from narrows.models.heads.task import Question
from narrows.models.text.encoding import Encoding
from tiny import Classifier


def degrade_classes(
    classifier: Classifier, encodings: Sequence[Encoding], rankings: Any, targets: Sequence[int], *how: Any
) -> Curves:
    """The test on encoded texts and the indices of their target classes."""
    questions = [Question(Example("-"), encoding, None) for encoding in encodings]
    return degrade(*classifier, questions, rankings, [OneOf(target) for target in targets], *how)
