"""KernelSHAP: Shapley values of tokens by regression."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from narrows.attribution import Attribution
from narrows.methods.captum import load
from narrows.methods.method import Batch, Names, Scores, content_positions, in_rows
from narrows.methods.perturbation import VARIANTS, Removing, as_presence, check_batch, leave_one_out
from narrows.models.text.removal import Removal


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
        """Explain one text after the other: captum draws for a batch as a whole."""
        check_batch(batch, self.removal)
        scores = [self._scores(batch.take([row]))[0] for row in range(len(batch))]
        return batch.attributions(self, in_rows(batch, scores))

    def _scores(self, text: Batch) -> Scores:
        """Score the content tokens of a batch of one text, (1, content tokens)."""
        if len(content_positions(text.encodings[0])) == 1:  # no distribution of sizes to draw from
            return leave_one_out(text, self.removal)
        present, forward = as_presence(text, self.removal)
        shap, which = load().KernelShap(forward), (torch.zeros(1, dtype=torch.long),)
        options = {"n_samples": self.samples, "perturbations_per_eval": min(self.samples, VARIANTS)}
        with torch.random.fork_rng(devices=[]):  # captum draws on the CPU, where the presence vector is
            torch.default_generator.manual_seed(int(text.generator(self.seed, 0).integers(2**63)))
            values: Tensor = shap.attribute(present, additional_forward_args=which, **options)
        return values.detach().double().numpy()
