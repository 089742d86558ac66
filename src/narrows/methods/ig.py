"""Integrated gradients at the input embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from narrows.attribution import Attribution
from narrows.bottleneck.optimize import check_counts
from narrows.methods.captum import (
    Baseline,
    check_baseline,
    embed,
    from_embeddings,
    integrate,
    load_captum,
    without_content,
)
from narrows.methods.method import Batch


@dataclass(frozen=True)
class IntegratedGradients:
    """Gradients integrated on the straight line from a text without content (Sundararajan et al. 2017).

        score_t = (e_t - b_t) . integral over a from 0 to 1 of d log p / d e_t at b + a (e - b)

    with e the embeddings of the text and b those of the baseline. With many steps the scores of a text add up to
    log p(target) of the text minus that of the baseline. Special tokens get 0: the baseline keeps them.

    Raises:
        InputError: If a setting is out of its range; later, if the tokenizer has no mask token.
        DependencyError: If captum is missing.

    Example:
        >>> from narrows import Explainer
        >>> explainer = Explainer.from_pretrained("sentiment", method=IntegratedGradients(steps=20))
        >>> explainer("A gorgeous film.").unit
        'nats of log p'
    """

    steps: Annotated[int, "Points of the Gauss-Legendre rule."] = 10
    baseline: Annotated[Baseline, "What replaces the content tokens: the padding or the mask token."] = "pad"

    names: ClassVar = {"ig": {}}
    label: ClassVar[str] = "IG"
    quantity: ClassVar[str] = "score"
    unit: ClassVar[str] = "nats of log p"
    signed: ClassVar[bool] = True
    additive: ClassVar[bool] = False  # not to the rise from a typical text

    def __post_init__(self) -> None:
        check_counts(self, "steps")
        check_baseline(self.baseline)
        load_captum()

    @property
    def copies(self) -> int:
        """As many as steps."""
        return self.steps

    @property
    def caption(self) -> str:
        """What a score is."""
        return f"A token's score is its share of the rise of log p(target) from a text of {self.baseline} tokens."

    @property
    def how(self) -> str:
        """How it was integrated."""
        return f"Gradients at the input embeddings, integrated with {self.steps} steps."

    def explain(self, batch: Batch) -> list[Attribution]:
        """Integrate from the baseline's embeddings to the text's."""
        ends = embed(batch, without_content(batch, self.baseline)), embed(batch, batch.inputs["input_ids"])
        return batch.attributions(self, integrate(load_captum(), from_embeddings(batch), batch, ends, self.steps))
