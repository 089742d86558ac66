"""What the methods that remove tokens share: p(target) of perturbed texts, each distinct one computed once."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.bottleneck.optimize import MOST, check_seed
from narrows.errors import InputError, ModelError, NumericsError, count
from narrows.methods.captum import load
from narrows.methods.method import Batch, Scores
from narrows.models.heads.classifying import Classifying
from narrows.models.heads.goals import judge
from narrows.models.predict import map_logits
from narrows.models.text.encoding import Encoding
from narrows.models.text.removal import Removal, check_removal, remove

VARIANTS = 4_096  # perturbed texts that are held at once


class Removing:
    """What the methods that remove tokens have in common."""

    removal: Removal
    package = "captum.attr"
    quantity, signed, additive, copies = "score", True, False, 1  # additive: not to the rise from a typical text

    def __post_init__(self) -> None:
        check_seed(getattr(self, "seed", 0))
        if self.removal not in get_args(Removal):
            raise InputError(f"removal must be one of {', '.join(get_args(Removal))}, not {self.removal!r}")
        count("samples", getattr(self, "samples", 2), 2, MOST)
        load(self.package)


def check_batch(batch: Batch, removal: Removal) -> None:
    """Raise a `ModelError` if tokens of these texts cannot be removed so."""
    if not isinstance(batch.cut.task, Classifying):
        raise ModelError(f"methods that remove tokens explain classifiers, not {type(batch.model).__name__}")
    check_removal(removal, batch.tokenizer)


def predict_present(batch: Batch, texts: Sequence[int], present: NDArray[np.bool_], removal: Removal) -> Scores:
    """Compute p(target), or exp(-loss), (perturbed texts,); present: (perturbed texts, most units)."""
    distinct: dict[tuple[int, bytes], int] = {}
    variants: list[Encoding] = []
    places = []
    for text, row in zip(texts, present, strict=True):
        own = row[: len(batch.units[text])]
        key = (text, own.tobytes())
        if key not in distinct:
            distinct[key] = len(distinct)
            gone = [place for unit, stays in zip(batch.units[text], own, strict=True) if not stays for place in unit]
            variants.append(remove(batch.encodings[text], gone, removal, batch.tokenizer))
        places.append(distinct[key])
    owners = [text for text, _ in distinct]

    def p_target(rows: list[int], logits: Tensor) -> Scores:
        goals = [batch.goals[owners[row]] for row in rows]
        return judge(goals, logits.cpu().double().unsqueeze(1)).squeeze(1).neg().exp().numpy()

    p = map_logits(batch.model, batch.tokenizer, variants, p_target)[places]
    if not np.isfinite(p).all():
        example = batch.examples[texts[int(np.isnan(p).argmax())]]
        raise NumericsError(f"the model predicts NaN for {example.text!r:.60} or a part of it")
    return p


def leave_one_out(batch: Batch, removal: Removal) -> Scores:
    """Leave out one unit at a time, of all texts together: (texts, most units)."""

    def forward(present: Tensor, texts: Tensor) -> Tensor:
        return torch.from_numpy(predict_present(batch, texts.tolist(), present.numpy() > 0.5, removal))

    longest = max(map(len, batch.units))
    present, texts = torch.ones(len(batch), longest, dtype=torch.float64), (torch.arange(len(batch)),)
    ablation, together = load().FeatureAblation(forward), max(VARIANTS // len(batch), 1)
    values: Tensor = ablation.attribute(present, perturbations_per_eval=together, additional_forward_args=texts)
    return values.detach().double().numpy()
