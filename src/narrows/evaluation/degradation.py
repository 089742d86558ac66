"""The degradation test (paper, section 4): p(target) without the most relevant (MoRF) or the least (LeRF) tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.models.predict import predict
from narrows.models.text.encoding import Encoding
from narrows.models.text.removal import Removal, check_removal, remove

Array = NDArray[np.float64]
POINTS = 10
SHARES = {"5": (1, 20), "11": (1, 9), "20": (1, 5), "33": (1, 3), "50": (1, 2)}  # name in percent: a fraction


@dataclass(frozen=True)
class Curves:
    """What removing tokens did to some texts; column k stands for k/9 of the content tokens, 0 for the whole text."""

    morf: Array  # p(target), most relevant first, (texts, 10)
    lerf: Array  # p(target), least relevant first, (texts, 10)
    morf_decisions: NDArray[np.int64]  # index of the predicted class, most relevant first, (texts, 10)
    lerf_decisions: NDArray[np.int64]  # the same, least relevant first
    shares: Array  # p(target) without the first 5, 11, 20, 33 and 50 % of the tokens, most relevant first, (texts, 5)


def removal_counts(content: int) -> list[int]:
    """Count the content tokens gone at each point of a curve: k/9 to the nearest, from the second on at least one."""
    return [0, *(_count(content, k, POINTS - 1) for k in range(1, POINTS))]


def share_counts(content: int) -> list[int]:
    """Count the tokens in each of the `SHARES`, to the nearest, at least one."""
    return [_count(content, *share) for share in SHARES.values()]


def degrade(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    encodings: Sequence[Encoding],
    rankings: Sequence[Sequence[int] | Sequence[Sequence[int]]],
    targets: Sequence[int],
    removal: Removal = "delete",
) -> Curves:
    """Run the degradation test on texts and their rankings.

    Args:
        model: The original classifier; left unchanged.
        tokenizer: Its tokenizer.
        encodings: The texts.
        rankings: Of each text, the positions of its content tokens, most relevant first: `Attribution.ranking`; or
            units of several tokens, each the positions of its own: then the fractions are of these.
        targets: Index of the target class of each text.
        removal: ``delete``, ``mask`` or ``attention``.

    Example:
        >>> from narrows import Example, Explainer
        >>> from narrows.models.text.encoding import encode
        >>> explainer = Explainer.from_pretrained("sentiment")
        >>> found = explainer("A gorgeous, witty film.")
        >>> encoding = encode(explainer.tokenizer, Example(found.text), None)
        >>> curves = degrade(explainer.model, explainer.tokenizer, [encoding], [found.ranking], [1])
        >>> curves.morf.shape, bool(curves.morf.mean() < curves.lerf.mean())
        ((1, 10), True)
    """
    check_removal(removal, tokenizer)
    variants: dict[tuple[int, frozenset[int]], int] = {}  # short texts and both ends of the curves repeat themselves

    def place(text: int, removed: Sequence[Sequence[int]]) -> int:
        return variants.setdefault((text, frozenset(chain.from_iterable(removed))), len(variants))

    places = np.empty((2, len(encodings), POINTS), dtype=np.int64)
    shares = np.empty((len(encodings), len(SHARES)), dtype=np.int64)
    for text, (_, ranking) in enumerate(zip(encodings, rankings, strict=True)):
        first = [unit if isinstance(unit, Sequence) else (unit,) for unit in ranking]
        last = first[::-1]
        counts = removal_counts(len(first))
        places[:, text] = [[place(text, order[:count]) for count in counts] for order in (first, last)]
        shares[text] = [place(text, first[:count]) for count in share_counts(len(first))]
    p = predict(model, tokenizer, [remove(encodings[text], gone, removal, tokenizer) for text, gone in variants])
    classes = np.asarray(targets, dtype=np.int64)[:, None]
    morf, lerf = p[places, classes]
    morf_decisions, lerf_decisions = p.argmax(axis=1)[places]
    return Curves(morf, lerf, morf_decisions, lerf_decisions, p[shares, classes])


def _count(content: int, numerator: int, denominator: int) -> int:
    """Round a share of the content tokens to the nearest number, halves up, at least 1."""
    return max(1, (2 * numerator * content + denominator) // (2 * denominator))
