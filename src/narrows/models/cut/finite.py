"""Checks that a model computes finite numbers; the error names the text for which it does not."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from narrows.data.example import Example
from narrows.errors import NumericsError
from narrows.models.cut.split import Prefix


def check_finite(prefix: Prefix, real: Tensor, examples: Sequence[Example]) -> None:
    """Raise a NumericsError unless logits and the activations of real tokens, (batch, tokens), are finite."""
    for layer, activation in sorted(prefix.activations.items()):
        sound = (torch.isfinite(activation).all(dim=-1) | ~real).all(dim=1)
        check_sound(sound, examples, f"the model's activations after layer {layer} hold NaN or infinity")
    check_sound(torch.isfinite(prefix.logits).all(dim=-1), examples, "the model's logits hold NaN or infinity")


def check_sound(sound: Tensor, examples: Sequence[Example], complaint: str) -> None:
    """Raise a NumericsError that names the first text whose row of `sound`, (batch,), is False."""
    if not sound.all():
        raise NumericsError(f"{complaint} for {examples[int(sound.int().argmin())].text!r:.60}")
