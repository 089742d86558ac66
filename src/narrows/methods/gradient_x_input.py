"""Gradient times input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from narrows.attribution import Attribution
from narrows.methods.captum import arguments, embed, from_embeddings, load_captum
from narrows.methods.method import Batch


@dataclass(frozen=True)
class GradientXInput:
    """The gradient of log p(target) times the embedding, summed over features (Shrikumar et al. 2016).

    Raises:
        DependencyError: If captum is missing.
    """

    names: ClassVar = {"gradient_x_input": {}}
    label: ClassVar[str] = "gradient x input"
    quantity: ClassVar[str] = "score"
    unit: ClassVar[str] = "nats of log p"
    signed: ClassVar[bool] = True
    additive: ClassVar[bool] = False
    copies: ClassVar[int] = 1
    caption: ClassVar[str] = "A token's score is its part of log p(target), to first order."
    how: ClassVar[str] = "The gradient at the input embedding times the embedding."

    def __post_init__(self) -> None:
        load_captum()

    def explain(self, batch: Batch) -> list[Attribution]:
        """Take one gradient of the whole batch."""
        embedded = embed(batch, batch.inputs["input_ids"]).requires_grad_()
        method = load_captum().InputXGradient(from_embeddings(batch))
        scores: Tensor = method.attribute(embedded, additional_forward_args=arguments(batch))
        return batch.attributions(self, scores.sum(dim=-1))
