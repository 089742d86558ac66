"""Saliency: the size of the gradient."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from narrows.attribution import Attribution
from narrows.methods.embeddings import gradient_at_embeddings
from narrows.methods.method import Batch, Names


@dataclass(frozen=True)
class Saliency:
    """The L2 norm of a token's gradient of log p(target) (Simonyan et al. 2014): that it matters, not for what."""

    names: ClassVar[Names] = {"saliency": {}}
    label, quantity, unit, signed, additive, copies = "saliency", "score", "score", False, False, 1
    caption = "A token's score is how fast log p(target) changes with its embedding."
    how = "The L2 norm of the gradient at the input embedding."

    def explain(self, batch: Batch) -> list[Attribution]:
        """Take one gradient of the whole batch."""
        _, gradient = gradient_at_embeddings(batch)
        return batch.attributions(self, torch.linalg.vector_norm(gradient, dim=-1))
