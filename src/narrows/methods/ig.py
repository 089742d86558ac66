"""Integrated gradients at the input embeddings."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from narrows.attribution import Attribution
from narrows.methods.captum import Baseline, FromBaseline, embed, from_embeddings, integrate, without_content
from narrows.methods.method import Batch, Names


@dataclass(frozen=True)
class IntegratedGradients(FromBaseline):
    """Gradients integrated from a text without content to this one (Sundararajan et al. 2017); special tokens get 0."""

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
