"""Predictions of a classifier for encoded texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softmax
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.errors import ModelError
from narrows.models.cut.blocks import own_config
from narrows.models.cut.split import borrowed, forward_head
from narrows.models.heads.targets import count_labels
from narrows.models.memory import MOST_TOKENS, TokenBudget
from narrows.models.padding import run_in_batches
from narrows.models.text.encoding import Encoding, collate, padding_id

BATCH_SIZE = 128
BATCH_TOKENS = MOST_TOKENS["cpu"]  # at first; fewer once memory runs out


def predict(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, encodings: Sequence[Encoding]
) -> NDArray[np.float64]:
    """Compute the probabilities of all classes, batched by length.

    Args:
        model: The classifier; left unchanged.
        tokenizer: Its tokenizer.
        encodings: The texts; a text without tokens is read as a single padding token.

    Returns:
        Softmax of the logits, (texts, classes).

    Raises:
        ModelError: If the model does not choose one class of several.

    Example:
        >>> from narrows.data.example import Example
        >>> from narrows.models.hub.loading import load_classifier
        >>> from narrows.models.text.encoding import encode
        >>> demo = load_classifier("sentiment")
        >>> texts = [encode(demo.tokenizer, Example(text), None) for text in ("a good film", "bad")]
        >>> predict(demo.model, demo.tokenizer, texts).shape
        (2, 2)
    """
    if own_config(model).problem_type == "multi_label_classification" or count_labels(model) == 1:
        raise ModelError(
            f"{type(model).__name__} does not choose one class of several: it can be explained, but its "
            "predictions cannot be compared"
        )

    def probabilities(_: list[int], logits: Tensor) -> NDArray[np.float64]:
        if logits.ndim != 2:
            raise ModelError(f"{type(model).__name__} gives no logits of shape (batch, classes)")
        p: NDArray[np.float64] = softmax(logits.cpu().double(), dim=-1).numpy()  # Apple's GPUs have no float64
        return p

    if not encodings:
        return np.empty((0, count_labels(model)))
    return map_logits(model, tokenizer, encodings, probabilities)


def map_logits(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    encodings: Sequence[Encoding],
    function: Callable[[list[int], Tensor], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Run a model on at least one text and stack `function(positions, logits)`, one row per text, in their order."""
    padding = padding_id(model, tokenizer)
    filled = [encoding if len(encoding) else _blank(encoding, padding) for encoding in encodings]
    found: dict[int, Any] = {}

    def run(rows: list[int]) -> NDArray[np.float64]:
        return function(rows, forward_head(model, collate([filled[row] for row in rows], padding, model.device)))

    with borrowed(model, padding), torch.inference_mode():
        lengths = [len(encoding) for encoding in filled]
        for rows, values in run_in_batches((model, tokenizer), TokenBudget(BATCH_TOKENS), lengths, BATCH_SIZE, run):
            found.update(zip(rows, values, strict=True))
    return np.array([found[row] for row in range(len(filled))])


def _blank(encoding: Encoding, padding: int) -> Encoding:
    """Replace a text without tokens by one padding token: decoders add no special tokens that would remain."""
    filling = {"input_ids": padding, "attention_mask": 1}
    features = {name: [filling.get(name, 0)] for name in encoding.features}
    return replace(encoding, features=features, tokens=("",), offsets=(None,), segments=(None,))
