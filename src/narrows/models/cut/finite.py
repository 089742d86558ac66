"""Numbers that must be finite: a model that computes NaN is told by the text on which it does."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from narrows.data.example import Example
from narrows.errors import NumericsError
from narrows.models.cut.split import Prefix


def check_finite(prefix: Prefix, real: Tensor, examples: Sequence[Example]) -> None:
    """Make sure that the model computed finite numbers for every text.

    Args:
        prefix: Activations (batch, tokens, hidden) and logits (batch, classes) of the batch.
        real: True where a token is not padding, (batch, tokens).
        examples: The texts, for the message.

    Raises:
        NumericsError: If an activation of a real token, or a logit, is NaN or infinite.
    """
    for layer, activation in sorted(prefix.activations.items()):
        sound = (torch.isfinite(activation).all(dim=-1) | ~real).all(dim=1)
        check_sound(sound, examples, f"the model's activations after layer {layer} hold NaN or infinity")
    check_sound(torch.isfinite(prefix.logits).all(dim=-1), examples, "the model's logits hold NaN or infinity")


def check_sound(sound: Tensor, examples: Sequence[Example], complaint: str) -> None:
    """Name the first text for which something is not as it must be.

    Args:
        sound: True for a text that is as it must be, (batch,).
        examples: The texts.
        complaint: What is wrong otherwise.

    Raises:
        NumericsError: If a text is not sound.
    """
    if not sound.all():
        raise NumericsError(f"{complaint} for {examples[int(sound.int().argmin())].text!r:.60}")
