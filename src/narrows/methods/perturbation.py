"""What the methods that remove tokens share: p(target) of perturbed texts, each distinct one computed once."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from narrows.bottleneck.optimize import MOST, check_seed
from narrows.errors import NumericsError, count, one_of
from narrows.methods.method import Batch, Scores
from narrows.models.heads.task import Variant
from narrows.models.text.removal import Removal, check_removal
from narrows.models.variants import p_target, removable_units, run_variants, without

VARIANTS = 4_096  # perturbed texts that are held at once


class Removing:
    """What the methods that remove tokens have in common."""

    removal: Removal
    quantity, signed, additive, copies = "score", True, False, 1  # additive: not to the rise from a typical text

    def __post_init__(self) -> None:
        check_seed(getattr(self, "seed", 0))
        one_of("removal", self.removal, get_args(Removal))
        count("samples", getattr(self, "samples", 2), 2, MOST)


def find_removable(batch: Batch, removal: Removal) -> list[list[tuple[int, ...]]]:
    """List the units of each text, as far as they may be removed; an error if nothing can be removed so."""
    check_removal(removal, batch.tokenizer)
    pairs = zip(batch.questions, batch.goals, strict=True)
    return [removable_units(batch.cut.task, question, goal) for question, goal in pairs]


def predict_present(batch: Batch, texts: Sequence[int], present: NDArray[np.bool_], removal: Removal) -> Scores:
    """Compute p(target), or exp(-loss), (perturbed texts,); present: (perturbed texts, most removable units)."""
    units, task = find_removable(batch, removal), batch.cut.task
    asked = list(zip(batch.questions, batch.goals, strict=True))
    distinct: dict[tuple[int, bytes], int] = {}
    variants: list[Variant] = []
    places = []
    for text, row in zip(texts, present, strict=True):
        own = row[: len(units[text])]
        key = (text, own.tobytes())
        if key not in distinct:
            distinct[key] = len(distinct)
            gone = [place for unit, stays in zip(units[text], own, strict=True) if not stays for place in unit]
            variants.append(without(task, batch.tokenizer, asked[text], gone, removal))
        places.append(distinct[key])
    p = run_variants(batch.model, batch.tokenizer, task, variants, p_target, batch.budget)[places]
    if not np.isfinite(p).all():
        example = batch.examples[texts[int(np.isnan(p).argmax())]]
        raise NumericsError(f"the model predicts NaN for {example.text!r:.60} or a part of it")
    return p


def leave_one_out(batch: Batch, removal: Removal) -> Scores:
    """Leave out one unit at a time, of all texts together: (texts, most removable units)."""
    longest = max(map(len, find_removable(batch, removal)))
    if not longest:
        return np.zeros((len(batch), 0))

    texts, whole = list(range(len(batch))), np.ones((len(batch), longest), dtype=np.bool_)
    values = np.empty((len(batch), longest))
    together = max(VARIANTS // len(batch) - 1, 1)  # units
    for first in range(0, longest, together):
        units = range(first, min(first + together, longest))
        present = np.repeat(whole[None], len(units) + 1, axis=0)
        for row, unit in enumerate(units, start=1):
            present[row, :, unit] = False
        p = predict_present(batch, texts * (len(units) + 1), present.reshape(-1, longest), removal)
        p = p.reshape(len(units) + 1, len(batch))
        values[:, first : first + len(units)] = (p[0] - p[1:]).T
    return values
