"""The degradation test: remove tokens in the order of a map and watch the probability of the target.

Fractions 0, 1/9, ..., 9/9 of the content tokens are removed; special tokens never are. Most relevant first (MoRF) a
good map makes p fall at once, least relevant first (LeRF) it keeps p up (paper, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.models.predict import predict
from narrows.models.text.encoding import Encoding
from narrows.models.text.removal import Removal, check_removal, remove

Order = Literal["morf", "lerf"]
Array = NDArray[np.float64]

POINTS = 10


@dataclass(frozen=True)
class Curves:
    """What removing tokens did to some texts; column k stands after k/9 of the content tokens, 0 untouched.

    Attributes:
        morf: p(target), most relevant first, (texts, 10).
        lerf: p(target), least relevant first, (texts, 10).
        morf_decisions: Index of the predicted class, most relevant first, (texts, 10).
        lerf_decisions: The same, least relevant first.
    """

    morf: Array
    lerf: Array
    morf_decisions: NDArray[np.int64]
    lerf_decisions: NDArray[np.int64]


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


def removal_order(scores: Sequence[float] | Array, content: Sequence[bool], order: Order) -> list[int]:
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


def degrade(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    encodings: Sequence[Encoding],
    scores: Sequence[Sequence[float]] | Sequence[Array],
    targets: Sequence[int],
    removal: Removal = "delete",
) -> Curves:
    """Run the degradation test on texts and their maps.

    Args:
        model: The original classifier; left as it was.
        tokenizer: Its tokenizer.
        encodings: The texts.
        scores: The map of each text: one score per token, special tokens included.
        targets: Index of the target of each text.
        removal: ``delete``, ``mask`` or ``attention``.

    Returns:
        Probabilities and decisions after each removal, in both orders.

    Raises:
        InputError: If tokens cannot be removed so.
    """
    check_removal(removal, tokenizer)
    distinct: dict[tuple[int, frozenset[int]], int] = {}  # short texts and both ends of the curves repeat themselves
    variants: list[Encoding] = []

    def place(text: int, gone: Sequence[int]) -> int:
        key = (text, frozenset(gone))
        if key not in distinct:
            distinct[key] = len(variants)
            variants.append(remove(encodings[text], gone, removal, tokenizer))
        return distinct[key]

    places = np.empty((2, len(encodings), POINTS), dtype=np.int64)
    for text, (encoding, own) in enumerate(zip(encodings, scores, strict=True)):
        content = [segment is not None for segment in encoding.segments]
        for row, order in enumerate(("morf", "lerf")):
            ranked = removal_order(own, content, order)  # type: ignore[arg-type]
            places[row, text] = [place(text, ranked[:count]) for count in removal_counts(len(ranked))]
    p = predict(model, tokenizer, variants)
    morf, lerf = p[places, np.asarray(targets, dtype=np.int64)[None, :, None]]
    morf_decisions, lerf_decisions = p.argmax(axis=1)[places]
    return Curves(morf, lerf, morf_decisions, lerf_decisions)
