"""GradientSHAP: integrated gradients at random points."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from narrows.attribution import Attribution
from narrows.methods import captum, embeddings
from narrows.methods.method import Batch, Names
from narrows.models.predict import BATCH_TOKENS


@dataclass(frozen=True)
class GradientShap(captum.FromBaseline):
    """The mean of (e - b) times the gradient at random points between b and e (Lundberg and Lee 2017)."""

    samples: Annotated[int, "Points per text."] = 5
    seed: Annotated[int, "Of the points; each text draws from its own."] = 0
    baseline: Annotated[captum.Baseline, "What replaces the content tokens: the padding or the mask token."] = "pad"

    names: ClassVar[Names] = {"gradient_shap": {}}
    label, counted = "GradientSHAP", "samples"

    @property
    def how(self) -> str:
        """Where the gradients were taken."""
        return f"Gradients at the input embeddings, at {self.samples} random points."

    def explain(self, batch: Batch) -> list[Attribution]:
        """Explain one text after the other: each draws its own points."""
        scores = [self._scores(batch.take([row]))[0] for row in range(len(batch))]
        return batch.attributions(self, [own.detach().cpu().double().numpy() for own in scores])

    def _scores(self, text: Batch) -> Tensor:
        """Score the tokens of a batch of one text, (1, tokens)."""
        start = embeddings.embed(text, captum.without_content(text, self.baseline))
        end = embeddings.embed(text, text.inputs["input_ids"])
        together = max(BATCH_TOKENS // end.shape[1], 1)
        total = torch.zeros_like(end)
        log_p, given = embeddings.from_embeddings(text), embeddings.arguments(text)
        # As captum's GradientShap, which draws from numpy's global generator: all threads share that one.
        random = np.random.RandomState(int(text.generator(self.seed, 0).integers(2**32)))
        for done in range(0, self.samples, together):
            drawn = min(together, self.samples - done)
            share = torch.from_numpy(random.uniform(size=(drawn, 1, 1))).to(end)
            points = (share * end + (1 - share) * start).requires_grad_()
            value = log_p(points, *(argument.expand(drawn, *argument.shape[1:]) for argument in given))
            (gradient,) = torch.autograd.grad(value.sum(), [points])
            total += (gradient * (end - start)).sum(dim=0)
        return total.sum(dim=-1) / self.samples
