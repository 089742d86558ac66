"""p(target) of a text without some of its tokens, one forward pass of one text, written out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from by_hand import encoded
from narrows.data.example import Example
from tiny import Classifier

EXAMPLES = (
    Example("a good film"),
    Example("z"),
    Example("Superb acting, is it?", "it's not very good"),
    Example("good good bad good, the film is a very good act"),
)
TARGETS = (0, 1, 2, 1)


def content_of(classifier: Classifier, example: Example) -> list[int]:
    """Positions of the tokens that are not special."""
    return [place for place, segment in enumerate(encoded(classifier, example).segments) if segment is not None]


def p_without(classifier: Classifier, example: Example, gone: Sequence[int], removal: str, target: int) -> float:
    """Remove tokens and look what is left of p(target)."""
    model, tokenizer = classifier
    encoding = encoded(classifier, example)
    values = {name: list(own) for name, own in encoding.features.items()}
    if removal == "mask":
        ids = [tokenizer.mask_token_id if i in gone else v for i, v in enumerate(values["input_ids"])]
        values["input_ids"] = ids
    elif removal == "attention":
        values["attention_mask"] = [int(i not in gone) for i in range(len(encoding))]
    else:
        values = {name: [v for i, v in enumerate(own) if i not in gone] for name, own in values.items()}
    inputs = {name: torch.tensor([own]) for name, own in values.items()}
    with torch.no_grad():
        return float(model(**inputs).logits.softmax(dim=-1)[0, target])


def leave_one_out(classifier: Classifier, example: Example, removal: str, target: int) -> NDArray[np.float64]:
    """What p(target) loses without each token."""
    whole = p_without(classifier, example, [], removal, target)
    worth = np.zeros(len(encoded(classifier, example)))
    for position in content_of(classifier, example):
        worth[position] = whole - p_without(classifier, example, [position], removal, target)
    return worth
