"""Captum's classes for language models as methods, so that `measure.py` compares them like any other.

`captum_ablation` is `LLMAttribution` with `FeatureAblation`, one pass per token; `captum_shapley` the same with 25
permutations of `ShapleyValueSampling`; `captum_ig` is `LLMGradientAttribution` with `LayerIntegratedGradients` at the
embeddings, 10 steps, from embeddings of 0. Captum explains log p of a token; of two tokens, the difference of two maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from captum.attr import (
    FeatureAblation,
    LayerIntegratedGradients,
    LLMAttribution,
    LLMGradientAttribution,
    ShapleyValueSampling,
    TextTokenInput,
)

from narrows.methods import FunctionMethod
from narrows.methods.method import Batch, Scores
from narrows.models.heads.goals import Goal, OneOf, Rather

IG_STEPS, PERMUTATIONS = 10, 25


def ablation(batch: Batch) -> Any:
    """Make captum's ablation of single tokens."""
    return LLMAttribution(FeatureAblation(batch.model), batch.tokenizer)


def shapley(batch: Batch) -> Any:
    """Make captum's sampled Shapley values."""
    return LLMAttribution(ShapleyValueSampling(batch.model), batch.tokenizer)


def integrated(batch: Batch) -> Any:
    """Make captum's integrated gradients at the embeddings."""
    return LLMGradientAttribution(
        LayerIntegratedGradients(batch.model, batch.model.get_input_embeddings()), batch.tokenizer
    )


def explained_by(make: Callable[[Batch], Any], **options: Any) -> Callable[[Batch], Sequence[Scores]]:
    """Score the tokens of each prompt by one of captum's classes, called with some options."""

    def explain(batch: Batch) -> Sequence[Scores]:
        attributor, found = make(batch), []
        for example, encoding, goal in zip(batch.examples, batch.encodings, batch.goals, strict=True):
            prompt = TextTokenInput(example.text, batch.tokenizer)
            scores = np.zeros(len(encoding))
            for sign, token in signed_tokens(goal):
                made = attributor.attribute(prompt, target=torch.tensor([token]), **options)
                scores += sign * made.seq_attr.double().cpu().numpy()
            found.append(scores)
        return found

    return explain


def signed_tokens(goal: Goal) -> list[tuple[int, int]]:
    """List what a goal asks for: +1 and a token; of two tokens, +1 and the one, -1 and the other."""
    inner = getattr(goal, "goal", goal)  # a goal at a position holds the goal that is meant there
    if isinstance(inner, Rather):
        return [(1, inner.index), (-1, inner.other)]
    assert isinstance(inner, OneOf), inner
    return [(1, inner.index)]


CAPTUM = {
    "captum_ablation": FunctionMethod(explained_by(ablation), label="captum, ablation"),
    "captum_shapley": FunctionMethod(explained_by(shapley, n_samples=PERMUTATIONS), label="captum, Shapley sampling"),
    "captum_ig": FunctionMethod(explained_by(integrated, n_steps=IG_STEPS), label="captum, integrated gradients"),
}
