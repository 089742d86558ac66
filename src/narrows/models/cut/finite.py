"""A check that a model computes finite numbers."""

from collections.abc import Sequence

import torch
from torch import Tensor

from narrows.data.example import Example
from narrows.errors import NumericsError
from narrows.models.cut.split import Prefix


def check_finite(prefix: Prefix, real: Tensor, examples: Sequence[Example]) -> None:
    """Raise a NumericsError unless logits and the activations of real tokens, (batch, tokens), are finite."""
    sound = {
        f"activations after layer {layer}": (torch.isfinite(activation).all(dim=-1) | ~real).all(dim=1)
        for layer, activation in sorted(prefix.activations.items())
    }
    for what, rows in {**sound, "logits": torch.isfinite(prefix.logits).all(dim=-1)}.items():
        if not rows.all():
            text = examples[int(rows.int().argmin())].text
            raise NumericsError(f"the model's {what} hold NaN or infinity for {text!r:.60}")
