"""GradientSHAP: integrated gradients at random points."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from narrows.attribution import Attribution
from narrows.methods import captum
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
        """Explain one text after the other: captum draws for a batch as a whole."""
        scores = [self._scores(batch.take([row]))[0] for row in range(len(batch))]
        return batch.attributions(self, [own.detach().cpu().double().numpy() for own in scores])

    def _scores(self, text: Batch) -> Tensor:
        """Score the tokens of a batch of one text, (1, tokens)."""
        start = captum.embed(text, captum.without_content(text, self.baseline))
        end = captum.embed(text, text.inputs["input_ids"])
        together = max(BATCH_TOKENS // end.shape[1], 1)
        total = torch.zeros_like(end)
        shap = captum.load().GradientShap(captum.from_embeddings(text))
        options = {"baselines": start, "additional_forward_args": captum.arguments(text)}
        with _seeded(int(text.generator(self.seed, 0).integers(2**32)), end.device):
            for done in range(0, self.samples, together):
                drawn = min(together, self.samples - done)
                total += drawn * shap.attribute(end, n_samples=drawn, **options)
        return total.sum(dim=-1) / self.samples


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators that captum draws from, numpy's points and torch's noise (times 0); restore them."""
    before = np.random.get_state()
    devices, kind = ([], "cuda") if device.type == "cpu" else ([device], device.type)
    try:
        with torch.random.fork_rng(devices, device_type=kind):
            np.random.seed(seed)
            yield
    finally:
        np.random.set_state(before)
