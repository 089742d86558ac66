"""Integrated gradients at an inner layer."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from narrows.attribution import Attribution
from narrows.methods import captum, embeddings
from narrows.methods.cut_model import DEPTH
from narrows.methods.method import Batch, Names
from narrows.models.cut.split import run_prefix, run_suffix


@dataclass(frozen=True)
class LayerIntegratedGradients(captum.FromBaseline):
    """As `IntegratedGradients`, between two activations of a layer; special tokens have a share too."""

    layer: Annotated[int | None, "0 = the embeddings, n = after block n; none: after three quarters of them."] = None
    steps: Annotated[int, "Points of the Gauss-Legendre rule."] = 10
    baseline: Annotated[captum.Baseline, "What replaces the content tokens: the padding or the mask token."] = "pad"

    names: ClassVar[Names] = {"layer_ig": {}}
    label = "layer IG"

    @property
    def how(self) -> str:
        """How it was integrated."""
        return f"Gradients at one layer's activations, integrated with {self.steps} steps."

    def explain(self, batch: Batch) -> list[Attribution]:
        """Integrate from the baseline's activation to the text's."""
        network, ids = batch.cut.network, batch.inputs["input_ids"]
        (place,) = batch.cut.layers(self.layer, [math.ceil(DEPTH * batch.cut.blocks)])
        prefix = batch.prefix([place])
        # The ids stay those of the text: some models count positions or find the last token by them.
        blank = embeddings.embed(batch, captum.without_content(batch, self.baseline))
        with embeddings.replaced_embeddings(batch.model, ids, blank), batch.reading():
            empty = run_prefix(network, batch.inputs, [place])
        start, end = empty.activations[place], prefix.activations[place]

        def log_p(activation: Tensor, rows: Tensor, *values: Tensor) -> Tensor:
            inputs = dict(zip(batch.inputs, values, strict=True))
            with batch.reading(rows.tolist()):
                logits = run_suffix(network, prefix, inputs, place, activation.to(end.dtype))
            return embeddings.objective(batch, logits, rows)

        ends = embeddings.at_least_float32(start), embeddings.at_least_float32(end)
        return batch.attributions(self, captum.integrate(log_p, batch, ends, self.steps), layers=(place,))
