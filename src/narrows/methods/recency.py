"""Recency: the last token first, whatever the model is. A control for models that read the end of a text."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from narrows.attribution import Attribution
from narrows.methods.method import Batch, Names


@dataclass(frozen=True)
class Recency:
    """The position of a token: what stands later is removed first."""

    names: ClassVar[Names] = {"recency": {}}
    label, quantity, unit, signed, additive, copies = "recency", "score", "score", False, False, 1
    caption = "A token's score is its position: the later, the higher, whatever the model is. A control for others."
    how = ""

    def explain(self, batch: Batch) -> list[Attribution]:
        """Count the tokens."""
        return batch.attributions(self, [np.arange(len(encoding), dtype=np.float64) for encoding in batch.encodings])
