"""Integrated gradients at an inner layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from narrows.attribution import Attribution
from narrows.bottleneck.optimize import check_counts
from narrows.methods.captum import (
    Baseline,
    at_least_float32,
    check_baseline,
    embed,
    integrate,
    load_captum,
    objective,
    replaced_embeddings,
    without_content,
)
from narrows.methods.method import Batch
from narrows.models.cut.split import run_prefix, run_suffix

DEPTH = 0.75


@dataclass(frozen=True)
class LayerIntegratedGradients:
    """As `IntegratedGradients`, on the line between two activations of a layer.

    From the activation of the text without content to that of the text; only the blocks after the layer are run at each
    step. Special tokens have a share too, for blocks mix the positions.

    Raises:
        InputError: If a setting is out of its range; later, if the tokenizer has no mask token.
        DependencyError: If captum is missing.
    """

    layer: Annotated[int | None, "0 = the embeddings, n = after block n; none: after three quarters of them."] = None
    steps: Annotated[int, "Points of the Gauss-Legendre rule."] = 10
    baseline: Annotated[Baseline, "What replaces the content tokens: the padding or the mask token."] = "pad"

    names: ClassVar = {"layer_ig": {}}
    label: ClassVar[str] = "layer IG"
    quantity: ClassVar[str] = "score"
    unit: ClassVar[str] = "nats of log p"
    signed: ClassVar[bool] = True
    additive: ClassVar[bool] = False

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
        return f"Gradients at one layer's activations, integrated with {self.steps} steps."

    def explain(self, batch: Batch) -> list[Attribution]:
        """Integrate from the baseline's activation to the text's."""
        network, ids = batch.cut.network, batch.inputs["input_ids"]
        layers = batch.cut.layers(self.layer, [math.ceil(DEPTH * batch.cut.blocks)])
        (place,) = layers
        prefix = batch.prefix(layers)
        # The ids stay those of the text: some models count positions or find the last token by them.
        blank = embed(batch, without_content(batch, self.baseline))
        with replaced_embeddings(batch.model, ids, blank), batch.reading():
            empty = run_prefix(network, batch.inputs, layers)
        start, end = empty.activations[place], prefix.activations[place]

        def log_p(activation: Tensor, rows: Tensor, *values: Tensor) -> Tensor:
            inputs = dict(zip(batch.inputs, values, strict=True))
            with batch.reading(rows.tolist()):
                logits = run_suffix(network, prefix, inputs, place, activation.to(end.dtype))
            return objective(batch, logits, rows)

        ends = at_least_float32(start), at_least_float32(end)
        scores = integrate(load_captum(), log_p, batch, ends, self.steps)
        return batch.attributions(self, scores, layers=layers)
