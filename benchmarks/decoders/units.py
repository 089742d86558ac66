"""Prompts without some of their units, and what a model then makes of its response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from keep import PromptRow, Reader
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


def remaining(row: PromptRow, kept: Sequence[bool]) -> str:
    """Leave units out of a prompt, each with the space behind it, or with its line."""
    prompt, text, end = row["prompt"], "", 0
    for (start, stop), stays in zip(row["units"], kept, strict=True):
        if not stays:
            text += prompt[end:start]
            end = stop + int(prompt[stop] == " " or prompt[:start].endswith("\n"))
    return str(text + prompt[end:])


@torch.inference_mode()
def log_p(reader: Reader, row: PromptRow, kept: Sequence[Sequence[bool]]) -> Array:
    """Compute the log-probability of the response with some units left out, (ablations,); equal ones once."""
    response = list(row["response_ids"]) if "response_ids" in row else [row["answer_id"]]
    known: dict[tuple[bool, ...], float] = {}
    for choice in dict.fromkeys(tuple(map(bool, own)) for own in kept):
        ids = [*reader.ids(remaining(row, choice)), *response[:-1]]
        logits = reader.model(torch.tensor([ids]), use_cache=False, logits_to_keep=len(response)).logits[0]
        log = logits.double().log_softmax(dim=-1)
        known[choice] = float(log[range(len(response)), response].sum())
    return np.array([known[tuple(map(bool, own))] for own in kept])


def leave_one_out(reader: Reader, row: PromptRow) -> Array:
    """Compute by how much log p of the response falls without each unit, (units,)."""
    units = len(row["units"])
    whole, *others = log_p(reader, row, [[True] * units, *(1 - np.eye(units)).astype(bool).tolist()])
    return whole - np.array(others)
