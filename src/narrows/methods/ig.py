"""Integrated gradients at the input embeddings."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from narrows.attribution import Attribution
from narrows.methods.captum import Baseline, FromBaseline, integrate, without_content
from narrows.methods.embeddings import embed, from_embeddings
from narrows.methods.method import Batch, Names


@dataclass(frozen=True)
class IntegratedGradients(FromBaseline):
    """Gradients integrated on the straight line from a text without content (Sundararajan et al. 2017).

        score_t = (e_t - b_t) . integral over a from 0 to 1 of d log p / d e_t at b + a (e - b)

    with e the embeddings of the text and b those of the baseline. With many steps the scores add up to the rise of
    log p(target) between the two.
    """

    steps: Annotated[int, "Points of the Gauss-Legendre rule."] = 10
    baseline: Annotated[Baseline, "What replaces the content tokens: the padding or the mask token."] = "pad"

    names: ClassVar[Names] = {"ig": {}}
    label = "IG"

    @property
    def how(self) -> str:
        """How it was integrated."""
        return f"Gradients at the input embeddings, integrated with {self.steps} steps."

    def explain(self, batch: Batch) -> list[Attribution]:
        """Integrate from the baseline's embeddings to the text's."""
        ends = embed(batch, without_content(batch, self.baseline)), embed(batch, batch.inputs["input_ids"])
        return batch.attributions(self, integrate(from_embeddings(batch), batch, ends, self.steps))
