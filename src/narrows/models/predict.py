"""Predictions for encoded texts: what a model of any head computes, and the probabilities of a classifier."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.errors import ModelError
from narrows.models.cut.split import forward_head
from narrows.models.cut.view import borrowed
from narrows.models.heads.targets import count_labels, kind_of_outputs
from narrows.models.memory import MOST_TOKENS, TokenBudget
from narrows.models.padding import run_in_batches
from narrows.models.plain import check_plain
from narrows.models.text.encoding import Encoding, check_rows, collate, nothing, padding_id

Floats = NDArray[np.float64]
Reading = Callable[[PreTrainedModel, list[int]], AbstractContextManager[None]]

BATCH_SIZE = 128
BATCH_TOKENS = MOST_TOKENS["cpu"]  # at first; fewer once memory runs out


def predict(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, encodings: Sequence[Encoding]) -> Floats:
    """Compute the probabilities of all classes, (texts, classes); raise a ModelError unless they exclude each other."""
    called = type(model).__name__
    if kind_of_outputs(model) != "classes":
        why = "does not choose one class of several: it can be explained, but its predictions cannot be compared"
        raise ModelError(f"{called} {why}")

    def probabilities(_: list[int], logits: Tensor) -> Floats:
        if logits.ndim != 2:
            raise ModelError(f"{called} gives no logits of shape (batch, classes)")
        p: Floats = logits.cpu().double().softmax(dim=-1).numpy()  # Apple's GPUs have no float64
        return p

    if not encodings:
        return np.empty((0, count_labels(model)))
    return map_logits(model, tokenizer, encodings, probabilities)


def map_logits(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    encodings: Sequence[Encoding],
    function: Callable[[list[int], Tensor], Floats],
    reading: Reading = lambda view, rows: nullcontext(),
    most_rows: int = 0,
    budget: TokenBudget | None = None,
) -> Floats:
    """Run a model on at least one text and stack `function(positions, logits)`, one row per text, in their order."""
    # `reading(view, positions)` lets the head of a view compute only the logits that are read of these texts;
    # `most_rows` is the most texts that share a pass, 0 = `BATCH_SIZE`; of tokens the budget says, or `BATCH_TOKENS`.
    padding = padding_id(model, tokenizer)
    filled = [encoding if len(encoding) else nothing(encoding, padding) for encoding in encodings]
    check_rows(model, tokenizer, (token for encoding in filled for token in encoding.features["input_ids"]))
    found: dict[int, Any] = {}

    def run(rows: list[int]) -> Floats:
        some = [filled[row] for row in rows]
        with reading(view, rows):
            logits = forward_head(view, collate(some, padding, view.device))
        check_plain(view, some, logits, lambda row: reading(view, [rows[row]]))
        return function(rows, logits)

    view, most, budget = borrowed(model), most_rows or BATCH_SIZE, budget or TokenBudget(BATCH_TOKENS)
    with torch.inference_mode():
        for rows, values in run_in_batches((view, tokenizer), budget, filled, most, run):
            found.update(zip(rows, values, strict=True))
    return np.array([found[row] for row in range(len(filled))])
