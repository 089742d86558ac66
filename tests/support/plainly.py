"""p(target) of a language model without some tokens of a prompt, one plain call of the model, written out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from tiny import Classifier

SPACE = "\u0120"  # as byte-level tokenizers spell it


def logits_without(
    classifier: Classifier, prompt: Sequence[int], gone: Collection[int], removal: str, read: Sequence[int] = ()
) -> Tensor:
    """The logits behind what is left of a prompt, and behind each token of a continuation that is read."""
    model, tokenizer = classifier
    stays = [place not in gone for place in range(len(prompt))]
    ids, seen = list(prompt), [1] * len(prompt)
    if removal == "delete":
        ids = [token for token, own in zip(prompt, stays, strict=True) if own]
    elif removal == "replace":
        space = tokenizer.convert_tokens_to_ids(SPACE)
        ids = [token if own else space for token, own in zip(prompt, stays, strict=True)]
    elif removal == "attention":
        seen = [int(own) for own in stays]
    if not ids or not any(seen):
        ids, seen = [model.config.pad_token_id], [1]
    seen = [*seen[: len(ids)], *[1] * len(read)]
    last = max(place for place, own in enumerate(seen[: len(ids)]) if own)
    inputs = {"input_ids": torch.tensor([[*ids, *read]]), "attention_mask": torch.tensor([seen])}
    with torch.no_grad():
        logits = model(**inputs).logits[0]
    return logits[[last, *range(len(ids), len(ids) + len(read))]]


def p_continued(
    classifier: Classifier, prompt: Sequence[int], gone: Collection[int], removal: str, wanted: Sequence[int]
) -> float:
    """p of all tokens of a continuation behind what is left of a prompt."""
    log_p = logits_without(classifier, prompt, gone, removal, wanted[:-1]).double().log_softmax(-1)
    return float(np.exp(sum(float(log_p[place, token]) for place, token in enumerate(wanted))))
