"""What the methods that remove tokens share: p(target) of perturbed texts, each distinct one computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.errors import InputError, NumericsError
from narrows.methods.captum import load_captum
from narrows.methods.method import Batch, Scores, content_positions
from narrows.models.heads.classifying import Classifying
from narrows.models.heads.goals import judge
from narrows.models.predict import map_logits
from narrows.models.text.encoding import Encoding
from narrows.models.text.removal import Removal, check_removal, remove

VARIANTS = 4_096  # perturbed texts that are held at once


def check_settings(removal: str, samples: int = 2) -> None:
    """Raise an `InputError` if there is no such removal, or there are not two samples to compare."""
    if removal not in get_args(Removal):
        raise InputError(f"removal must be one of {', '.join(get_args(Removal))}, not {removal!r}")
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2:
        raise InputError(f"samples must be a whole number of at least 2, not {samples!r}")


def check_batch(batch: Batch, removal: Removal) -> None:
    """Raise an `InputError` if tokens of these texts cannot be removed so."""
    if not isinstance(batch.cut.task, Classifying):
        raise InputError(f"methods that remove tokens explain classifiers, not {type(batch.model).__name__}")
    check_removal(removal, batch.tokenizer)


def predict_present(
    batch: Batch, texts: Sequence[int], present: NDArray[np.bool_], removal: Removal
) -> NDArray[np.float64]:
    """Compute p(target) of perturbed texts.

    Args:
        batch: The texts.
        texts: For each perturbed text, which of the batch it is made of.
        present: True where a content token stays, (perturbed texts, content tokens of the longest text).
        removal: How the others are removed.

    Returns:
        p(target), (perturbed texts,); of a target without probability, exp(-loss).

    Raises:
        NumericsError: If the model gives NaN.
    """
    content = [content_positions(encoding) for encoding in batch.encodings]
    distinct: dict[tuple[int, bytes], int] = {}
    variants: list[Encoding] = []
    owners, places = [], []
    for text, row in zip(texts, present, strict=True):
        own = row[: len(content[text])]
        key = (text, own.tobytes())
        if key not in distinct:
            distinct[key] = len(variants)
            gone = [position for position, stays in zip(content[text], own, strict=True) if not stays]
            variants.append(remove(batch.encodings[text], gone, removal, batch.tokenizer))
            owners.append(text)
        places.append(distinct[key])

    def p_target(rows: list[int], logits: Tensor) -> NDArray[np.float64]:
        goals = [batch.goals[owners[row]] for row in rows]
        p: NDArray[np.float64] = judge(goals, logits.cpu().double().unsqueeze(1)).squeeze(1).neg().exp().numpy()
        return p

    p = map_logits(batch.model, batch.tokenizer, variants, p_target)[places]
    if not np.isfinite(p).all():
        example = batch.examples[texts[int(np.isnan(p).argmax())]]
        raise NumericsError(f"the model predicts NaN for {example.text!r:.60} or a part of it")
    return p


def leave_one_out(batch: Batch, removal: Removal) -> list[Scores]:
    """Leave out one token at a time, of all texts together: (content tokens,) per text."""
    present, forward = as_presence(batch, removal)
    values = (
        load_captum()
        .FeatureAblation(forward)
        .attribute(
            present,
            additional_forward_args=(torch.arange(len(batch)),),
            perturbations_per_eval=max(VARIANTS // len(batch), 1),
        )
    )
    return per_text(batch, values)


def as_presence(batch: Batch, removal: Removal) -> tuple[Tensor, Any]:
    """Turn texts into presence vectors, and the model into a function of them.

    Returns:
        All present, (texts, content tokens of the longest), and the function from presence (rows, content tokens) and
        the text of each row (rows,) to p(target), (rows,).
    """
    longest = max(len(content_positions(encoding)) for encoding in batch.encodings)

    def forward(present: Tensor, texts: Tensor) -> Tensor:
        return torch.from_numpy(predict_present(batch, texts.tolist(), present.numpy() > 0.5, removal))

    return torch.ones(len(batch), longest, dtype=torch.float64), forward


def per_text(batch: Batch, values: Tensor) -> list[Scores]:
    """Cut values, (texts, content tokens of the longest), to the content tokens of each text."""
    rows = values.detach().double().numpy()
    return [row[: len(content_positions(e))] for row, e in zip(rows, batch.encodings, strict=True)]
