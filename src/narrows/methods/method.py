"""What every attribution method is: a function from a classifier, texts and targets to one score per token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.bottleneck.optimize import text_seed
from narrows.data.example import Example
from narrows.errors import DependencyError, NumericsError
from narrows.models.hub.loading import Classifier
from narrows.models.text.encoding import Encoding, encode, token_limit

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Batch:
    """Texts that are explained together.

    Attributes:
        examples: The texts as they were written.
        encodings: The same as the classifier reads them.
        limit: Longest encoding that was allowed; None = what the model takes.
    """

    examples: tuple[Example, ...]
    encodings: tuple[Encoding, ...]
    limit: int | None = None

    @classmethod
    def of(cls, classifier: Classifier, examples: Sequence[Example], limit: int | None = None) -> Batch:
        """Encode texts.

        Args:
            classifier: The model and its tokenizer.
            examples: The texts.
            limit: Longest encoding wanted; what is longer is cut, at the latest where the model's own limit is.

        Returns:
            The batch.
        """
        bounds = [bound for bound in (limit, token_limit(classifier.model, classifier.tokenizer)) if bound is not None]
        shortest = min(bounds, default=None)
        encodings = tuple(encode(classifier.tokenizer, example, shortest) for example in examples)
        return cls(tuple(examples), encodings, shortest)

    def take(self, rows: Sequence[int]) -> Batch:
        """Pick some of the texts.

        Args:
            rows: Their positions.

        Returns:
            A batch of them, in the order given.
        """
        chosen = tuple(self.examples[row] for row in rows)
        return Batch(chosen, tuple(self.encodings[row] for row in rows), self.limit)

    def __len__(self) -> int:
        return len(self.encodings)


Method = Callable[[Classifier, Batch, Sequence[int]], list[Scores]]
"""From a classifier, texts and the index of each text's target to the scores of each text, (tokens,) each.

A high score says that the token speaks for the target. Special tokens are scored too, 0 by methods that cannot tell.
The scores of a text depend neither on the batch that it is in nor on its place there; random methods draw for every
text from a generator seeded by `text_generator`. The classifier is left as it was.
"""


def text_generator(seed: int, example: Example) -> np.random.Generator:
    """Make the source of randomness of one text, the same in whatever batch it stands.

    Args:
        seed: The user's seed.
        example: The text.

    Returns:
        A generator of its own.

    Example:
        >>> draws = {float(text_generator(0, Example("good")).random()) for _ in range(3)}
        >>> len(draws)
        1
    """
    return np.random.default_rng(text_seed(seed, example.text, example.text_pair))


def content_positions(encoding: Encoding) -> list[int]:
    """List the tokens that are not special.

    Args:
        encoding: A text.

    Returns:
        Their positions.
    """
    return [position for position, segment in enumerate(encoding.segments) if segment is not None]


def check_scores(name: str, batch: Batch, scores: Sequence[Scores]) -> None:
    """Make sure that a method gave one finite score per token.

    Args:
        name: The method, for the message.
        batch: The texts.
        scores: What it gave.

    Raises:
        NumericsError: If it did not.
    """
    for example, encoding, own in zip(batch.examples, batch.encodings, scores, strict=True):
        if own.shape != (len(encoding),):
            raise NumericsError(f"{name} gave scores of shape {own.shape} for {len(encoding)} tokens")
        if not np.isfinite(own).all():
            raise NumericsError(f"{name} gave NaN or infinity for {example.text!r:.60}")


def load_captum() -> Any:
    """Load captum.

    Returns:
        Its attribution methods.

    Raises:
        DependencyError: If it is not installed.
    """
    try:
        return import_module("captum.attr")
    except ImportError as error:
        raise DependencyError('this method needs captum: pip install "narrows[evaluate]"') from error
