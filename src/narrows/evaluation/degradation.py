"""The degradation test: remove tokens in the order of a map and watch the probability of the target.

Fractions 0, 1/9, ..., 9/9 of the content tokens are removed; special tokens never are. Most relevant first (MoRF) a
good map makes p fall at once, least relevant first (LeRF) it keeps p up (paper, section 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import softmax
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.errors import InputError
from narrows.models.encoding import Encoding, batches_by_length, collate, padding_id
from narrows.models.split import borrowed, forward_logits

Removal = Literal["delete", "mask"]
Order = Literal["morf", "lerf"]
Array = NDArray[np.float64]

POINTS = 10
BATCH_SIZE = 64
BATCH_TOKENS = 16_384


def removal_counts(content: int) -> list[int]:
    """Count the tokens that are gone at each point of the curve.

    Args:
        content: Number of content tokens.

    Returns:
        Ten counts from 0 to all of them: k/9 rounded to the nearest, and from the second point on at least one.

    Example:
        >>> removal_counts(20)
        [0, 2, 4, 7, 9, 11, 13, 16, 18, 20]
    """
    steps = POINTS - 1
    return [0] + [max(1, (2 * k * content + steps) // (2 * steps)) for k in range(1, POINTS)]


def removal_order(scores: Sequence[float], content: Sequence[bool], order: Order) -> list[int]:
    """Sort the content tokens by their scores.

    Args:
        scores: One per token.
        content: False for special tokens.
        order: ``morf``, highest score first, or ``lerf``, lowest first; ties go by position.

    Returns:
        Positions of the content tokens, the first to be removed first.
    """
    sign = -1.0 if order == "morf" else 1.0
    return sorted((i for i, is_content in enumerate(content) if is_content), key=lambda i: (sign * scores[i], i))


def remove(encoding: Encoding, positions: Sequence[int], removal: Removal, mask_token: int | None) -> Encoding:
    """Take tokens away from an encoded text.

    Args:
        encoding: The text.
        positions: Tokens to remove.
        removal: ``delete`` takes them out of the sequence, ``mask`` puts the mask token in their place.
        mask_token: Its id.

    Returns:
        The text without them.

    Raises:
        InputError: If the tokenizer has no mask token and one is asked for.
    """
    gone = set(positions)
    if removal == "delete":
        kept = [i for i in range(len(encoding)) if i not in gone]
        return Encoding(
            features={name: [values[i] for i in kept] for name, values in encoding.features.items()},
            tokens=tuple(encoding.tokens[i] for i in kept),
            offsets=tuple(encoding.offsets[i] for i in kept),
            segments=tuple(encoding.segments[i] for i in kept),
            truncated=encoding.truncated,
        )
    if mask_token is None:
        raise InputError("the tokenizer has no mask token: remove tokens by 'delete'")
    masked = [mask_token if i in gone else token for i, token in enumerate(encoding.features["input_ids"])]
    return replace(encoding, features={**encoding.features, "input_ids": masked})


def probabilities(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, encodings: Sequence[Encoding], targets: Sequence[int]
) -> Array:
    """Compute p(target) of encoded texts, batched by length.

    Args:
        model: The classifier; left as it was.
        tokenizer: Its tokenizer.
        encodings: The texts.
        targets: Index of the target of each.

    Returns:
        Probabilities, (texts,).
    """
    padding = padding_id(model, tokenizer)
    result = np.empty(len(encodings))
    with borrowed(model, padding), torch.inference_mode():
        for rows in batches_by_length([len(encoding) for encoding in encodings], BATCH_SIZE, BATCH_TOKENS):
            inputs = collate([encodings[row] for row in rows], padding, model.device)
            p = softmax(forward_logits(model, inputs).double(), dim=-1).cpu().numpy()
            result[rows] = p[np.arange(len(rows)), [targets[row] for row in rows]]
    return result


def degradation_curves(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    encodings: Sequence[Encoding],
    scores: Sequence[Sequence[float]],
    targets: Sequence[int],
    order: Order = "morf",
    removal: Removal = "delete",
) -> Array:
    """Run the degradation test on texts and their maps.

    Args:
        model: The original classifier; left as it was.
        tokenizer: Its tokenizer.
        encodings: The texts.
        scores: The map of each text: one score per token, special tokens included.
        targets: Index of the target of each text.
        order: ``morf``, most relevant first, or ``lerf``, least relevant first.
        removal: ``delete`` or ``mask``.

    Returns:
        p(target) after each removal, (texts, 10); column 0 is the untouched text.
    """

    def degraded() -> Iterator[Encoding]:
        for encoding, own in zip(encodings, scores, strict=True):
            ranked = removal_order(own, [segment is not None for segment in encoding.segments], order)
            for count in removal_counts(len(ranked)):
                yield remove(encoding, ranked[:count], removal, tokenizer.mask_token_id)

    repeated = [target for target in targets for _ in range(POINTS)]
    return probabilities(model, tokenizer, list(degraded()), repeated).reshape(len(encodings), POINTS)
