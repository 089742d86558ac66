"""What a classifier predicts for encoded texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import softmax
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.errors import ModelError
from narrows.models.cut.blocks import text_config
from narrows.models.cut.split import borrowed, forward_logits
from narrows.models.memory import MOST_TOKENS, TokenBudget
from narrows.models.padding import run_in_batches
from narrows.models.text.encoding import Encoding, collate, padding_id

BATCH_SIZE = 128
BATCH_TOKENS = MOST_TOKENS["cpu"]  # at first; fewer where memory runs out


def predict(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, encodings: Sequence[Encoding]
) -> NDArray[np.float64]:
    """Compute the probabilities of all classes, batched by length.

    Args:
        model: The classifier; left as it was.
        tokenizer: Its tokenizer.
        encodings: The texts; one of which nothing is left is read as a single padding token.

    Returns:
        Softmax of the logits, (texts, classes).

    Raises:
        ModelError: If the model does not choose one class out of several.
    """
    config = text_config(model)
    if config.problem_type == "multi_label_classification" or config.num_labels == 1:
        raise ModelError(
            f"{type(model).__name__} does not choose one class out of several: it can be explained, but its "
            "predictions cannot be compared"
        )
    padding = padding_id(model, tokenizer)
    encodings = [encoding if len(encoding) else _blank(encoding, padding) for encoding in encodings]
    lengths = [len(encoding) for encoding in encodings]
    result: NDArray[np.float64] | None = None

    def classify(rows: list[int]) -> NDArray[np.float64]:
        inputs = collate([encodings[row] for row in rows], padding, model.device)
        logits = forward_logits(model, inputs).cpu().double()  # Apple's GPUs know no float64
        p: NDArray[np.float64] = softmax(logits, dim=-1).numpy()
        return p

    with borrowed(model, padding), torch.inference_mode():
        budget = TokenBudget(BATCH_TOKENS)
        for rows, p in run_in_batches((model, tokenizer), budget, lengths, BATCH_SIZE, classify):
            if result is None:
                result = np.empty((len(encodings), p.shape[1]))
            result[rows] = p
    return np.empty((0, int(model.config.num_labels or 0))) if result is None else result


def _blank(encoding: Encoding, padding: int) -> Encoding:
    """Put a padding token in the place of a text without tokens: decoders add no special ones that would be left."""
    filling = {"input_ids": padding, "attention_mask": 1}
    features = {name: [filling.get(name, 0)] for name in encoding.features}
    return replace(encoding, features=features, tokens=("",), offsets=(None,), segments=(None,))
