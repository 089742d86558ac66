"""The degradation test (paper, section 4): p(target) without the most relevant (MoRF) or the least (LeRF) tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.errors import InputError
from narrows.models.heads.goals import Goal
from narrows.models.heads.task import Question
from narrows.models.heads.tasks import find_task
from narrows.models.text.removal import Removal, check_removal
from narrows.models.variants import judge_variants, removable_units, without

Array = NDArray[np.float64]
POINTS = 10
SHARES = {"5": (1, 20), "11": (1, 9), "20": (1, 5), "33": (1, 3), "50": (1, 2)}  # name in percent: a fraction


@dataclass(frozen=True)
class Curves:
    """What removing tokens did to some texts; column k stands for k/9 of those that may go, 0 for the whole text."""

    morf: Array  # p(target), most relevant first, (texts, 10)
    lerf: Array  # p(target), least relevant first, (texts, 10)
    morf_decisions: NDArray[np.int64]  # index of what is predicted, most relevant first, (texts, 10)
    lerf_decisions: NDArray[np.int64]  # the same, least relevant first
    shares: Array  # p(target) without the first 5, 11, 20, 33 and 50 % of the tokens, most relevant first, (texts, 5)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Tell for which texts there are curves, (texts,): not where a method has no map, or the model gives NaN."""
        numbers = np.concatenate([self.morf, self.lerf, self.shares], axis=1)
        return np.asarray(np.isfinite(numbers).all(axis=1))

    def take(self, texts: NDArray[np.bool_]) -> "Curves":
        """Keep some texts, (texts,)."""
        return Curves(*(getattr(self, name)[texts] for name in self.__annotations__))


def removal_counts(content: int) -> list[int]:
    """Count the tokens gone at each point of a curve: k/9 to the nearest, from the second on at least one."""
    return [0, *(_count(content, k, POINTS - 1) for k in range(1, POINTS))]


def share_counts(content: int) -> list[int]:
    """Count the tokens in each of the `SHARES`, to the nearest, at least one."""
    return [_count(content, *share) for share in SHARES.values()]


def degrade(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[Question],
    rankings: Sequence[Sequence[int]],
    goals: Sequence[Goal],
    removal: Removal = "delete",
    keep_read: bool = False,
) -> Curves:
    """Run the degradation test on texts and their rankings.

    Special tokens are never removed, nor is what the question is about: a continuation that is the target, the blank of
    a masked language model, the word that is tagged, the answer. Their ranks do not count.

    Args:
        model: The original model; left unchanged.
        tokenizer: Its tokenizer.
        questions: The texts, encoded, and what is asked of each, as `narrows.models.text.reader.Reader` makes them.
        rankings: Of each text, the positions of its content tokens, most relevant first: `Attribution.ranking`. Units
            that the question names are removed whole, each in the place of the first of its tokens; the fractions are
            of these.
        goals: What is explained of each text: ``OneOf(index)`` for a class, else as `narrows.models.variants.resolve`
            finds it. p(target) is exp(-loss).
        removal: ``delete``, ``mask``, ``attention`` or ``replace``.
        keep_read: Whether the token at which the answer is read, the last one of a prompt, is never removed either.

    Example:
        >>> from narrows import Example, Explainer
        >>> from narrows.models.heads.goals import OneOf
        >>> from narrows.models.text.encoding import encode
        >>> explainer = Explainer.from_pretrained("sentiment")
        >>> found = explainer("A gorgeous, witty film.")
        >>> question = Question(example := Example(found.text), encode(explainer.tokenizer, example, None), None)
        >>> curves = degrade(explainer.model, explainer.tokenizer, [question], [found.ranking], [OneOf(1)])
        >>> curves.morf.shape, bool(curves.morf.mean() < curves.lerf.mean())
        ((1, 10), True)
    """
    check_removal(removal, tokenizer)
    asked, task = list(zip(questions, goals, strict=True)), find_task(model, tokenizer)
    variants: dict[tuple[int, frozenset[int]], int] = {}  # short texts and both ends of the curves repeat themselves

    def place(text: int, removed: Sequence[Sequence[int]]) -> int:
        return variants.setdefault((text, frozenset(chain.from_iterable(removed))), len(variants))

    places = np.empty((2, len(asked), POINTS), dtype=np.int64)
    shares = np.empty((len(asked), len(SHARES)), dtype=np.int64)
    for text, (own, ranking) in enumerate(zip(asked, rankings, strict=True)):
        units = {position: unit for unit in removable_units(task, *own, keep_read) for position in unit}
        first = list(dict.fromkeys(units[position] for position in ranking if position in units))
        if missing := len(set(units.values())) - len(first):
            raise InputError(
                f"the ranking of text {text} leaves out {missing} of {len(first) + missing} tokens or units"
            )
        counts = removal_counts(len(first))
        places[:, text] = [[place(text, order[:count]) for count in counts] for order in (first, first[::-1])]
        shares[text] = [place(text, first[:count]) for count in share_counts(len(first))]

    run = [without(task, tokenizer, asked[text], gone, removal) for text, gone in variants]
    p, decided = judge_variants(model, tokenizer, task, run).T
    morf, lerf = p[places]
    morf_decisions, lerf_decisions = decided.astype(np.int64)[places]
    return Curves(morf, lerf, morf_decisions, lerf_decisions, p[shares])


def _count(content: int, numerator: int, denominator: int) -> int:
    """Round a share of the content tokens to the nearest number, halves up, at least 1."""
    return max(1, (2 * numerator * content + denominator) // (2 * denominator))
