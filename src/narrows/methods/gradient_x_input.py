"""Gradient times input."""

from dataclasses import dataclass
from typing import ClassVar

from narrows.attribution import Attribution
from narrows.methods.captum import arguments, embed, from_embeddings, load
from narrows.methods.method import Batch, Names


@dataclass(frozen=True)
class GradientXInput:
    """The gradient of log p(target) times the embedding, summed over features (Shrikumar et al. 2016)."""

    names: ClassVar[Names] = {"gradient_x_input": {}}
    label, quantity, unit, signed, additive, copies = "gradient x input", "score", "nats of log p", True, False, 1
    caption = "A token's score is its part of log p(target), to first order."
    how = "The gradient at the input embedding times the embedding."

    def __post_init__(self) -> None:
        load()

    def explain(self, batch: Batch) -> list[Attribution]:
        """Take one gradient of the whole batch."""
        embedded = embed(batch, batch.inputs["input_ids"]).requires_grad_()
        method = load().InputXGradient(from_embeddings(batch))
        scores = method.attribute(embedded, additional_forward_args=arguments(batch))
        return batch.attributions(self, scores.sum(dim=-1))
