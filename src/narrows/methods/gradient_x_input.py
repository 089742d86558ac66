"""Gradient times input."""

from dataclasses import dataclass
from typing import ClassVar

from narrows.attribution import Attribution
from narrows.methods.embeddings import gradient_at_embeddings
from narrows.methods.method import Batch, Names


@dataclass(frozen=True)
class GradientXInput:
    """The gradient of log p(target) times the embedding, summed over features (Shrikumar et al. 2016)."""

    names: ClassVar[Names] = {"gradient_x_input": {}}
    label, quantity, unit, signed, additive, copies = "gradient x input", "score", "nats of log p", True, False, 1
    caption = "A token's score is its part of log p(target), to first order."
    how = "The gradient at the input embedding times the embedding."

    def explain(self, batch: Batch) -> list[Attribution]:
        """Take one gradient of the whole batch."""
        embedded, gradient = gradient_at_embeddings(batch)
        return batch.attributions(self, (embedded * gradient).sum(dim=-1))
