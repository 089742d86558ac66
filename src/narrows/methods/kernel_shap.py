"""KernelSHAP: Shapley values of tokens by regression."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from narrows.attribution import Attribution
from narrows.methods.method import Batch, Names, Scores, in_rows
from narrows.methods.perturbation import VARIANTS, Removing, find_removable, leave_one_out, predict_present
from narrows.models.text.removal import Removal

ENDS = 1e6  # weight of the whole and the empty text, without end in theory


@dataclass(frozen=True)
class KernelShap(Removing):
    """Shapley values by regression (Lundberg and Lee 2017); they add up to the rise of p(target) from no content."""

    samples: Annotated[int, "Perturbed texts per text, the whole one and the empty one among them."] = 100
    removal: Annotated[Removal, "How tokens are removed."] = "delete"
    seed: Annotated[int, "Of the perturbed texts; each text draws from its own."] = 0

    names: ClassVar[Names] = {"kernel_shap": {}}
    label, unit = "KernelSHAP", "probability"
    caption = "A token's score is its share of p(target) beyond that of the empty text."

    @property
    def how(self) -> str:
        """How many perturbed texts there were."""
        return f"A regression on {self.samples} perturbed texts; tokens removed by: {self.removal}."

    def explain(self, batch: Batch) -> list[Attribution]:
        """Explain one text after the other: each draws its own presences."""
        scores = [self._scores(batch.take([row]))[0] for row in range(len(batch))]
        return batch.attributions(self, in_rows(batch, find_removable(batch, self.removal), scores))

    def _scores(self, text: Batch) -> Scores:
        """Score the removable units of a batch of one text, (1, units)."""
        units = len(find_removable(text, self.removal)[0])
        if units < 2:  # no distribution of sizes to draw from
            return leave_one_out(text, self.removal)
        seed = int(text.generator(self.seed, 0).integers(2**63))
        present = _draw(self.samples, units, torch.Generator().manual_seed(seed))
        parts = [present[start : start + VARIANTS] for start in range(0, len(present), VARIANTS)]
        p = np.concatenate([predict_present(text, [0] * len(part), part, self.removal) for part in parts])
        weight = np.where(present.all(axis=1) | ~present.any(axis=1), ENDS, 1.0)
        x, y = (values - np.average(values, axis=0, weights=weight) for values in (present.astype(np.float64), p))
        root = np.sqrt(weight)
        slopes: Scores = np.linalg.lstsq(root[:, None] * x, root * y, rcond=None)[0]
        return slopes[None]


def _draw(samples: int, tokens: int, generator: torch.Generator) -> NDArray[np.bool_]:
    """Draw presences, (samples, tokens): all, none, then as many as Shapley's kernel weighs, equally likely ones."""
    # As captum's KernelShap, which draws from torch's global generator: all threads share that one.
    counts = torch.arange(1, tokens, dtype=torch.float32)
    kernel = torch.cat([torch.zeros(1), (tokens - 1) / (counts * (tokens - counts))])
    rows = [torch.ones(tokens, dtype=torch.bool), torch.zeros(tokens, dtype=torch.bool)]
    for _ in range(samples - 2):
        count = int(torch.multinomial(kernel / kernel.sum(), 1, True, generator=generator))
        values = torch.randn(tokens, generator=generator)
        rows.append(values > torch.kthvalue(values, tokens - count).values)
    return torch.stack(rows).numpy()
