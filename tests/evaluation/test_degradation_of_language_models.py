"""The degradation test of a next token and of a continuation: against a loop over plain calls of the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from narrows.data.example import Example
from narrows.evaluation.degradation import Curves, degrade
from narrows.models.heads.goals import OneOf, all_of
from narrows.models.heads.task import Question
from narrows.models.heads.tasks import find_task
from narrows.models.text.encoding import encode
from narrows.models.text.reader import Reader
from narrows.models.variants import judge_variants, without
from plainly import logits_without, p_continued
from planted_decoder import TEXTS, planted_decoder
from tiny import Classifier

WIDE = (planted_decoder()[0].double(), planted_decoder()[1])
PROMPTS = [WIDE[1](text).input_ids for text in TEXTS]
READER = Reader(*WIDE, None, "truncate")
BAD = WIDE[1](" bad").input_ids
LETTER = WIDE[1]("y").input_ids


def rankings(read: int) -> list[list[int]]:
    """Any order of all tokens, those of the continuation among them."""
    draw = np.random.default_rng(3)
    return [draw.permutation(len(prompt) + read).tolist() for prompt in PROMPTS]


def by_hand(orders: Sequence[Sequence[int]], wanted: Sequence[int], removal: str, keep_read: bool) -> Curves:
    """One text, one removal, one plain call after the other."""
    count = len(PROMPTS)
    curves = Curves(*(np.zeros((count, 10), kind) for kind in (float, float, int, int)), np.zeros((count, 5)))
    for text, (prompt, order) in enumerate(zip(PROMPTS, orders, strict=True)):
        free = [place for place in order if place < len(prompt) - keep_read]

        def judged(gone: Sequence[int], prompt: Any = prompt) -> tuple[float, int]:
            own = logits_without(WIDE, prompt, gone, removal, wanted[:-1])
            return p_continued(WIDE, prompt, gone, removal, wanted), int(own[0].argmax())

        for k in range(10):
            size = 0 if k == 0 else max(1, math.floor(k * len(free) / 9 + 0.5))
            curves.morf[text, k], curves.morf_decisions[text, k] = judged(free[:size])
            curves.lerf[text, k], curves.lerf_decisions[text, k] = judged(free[::-1][:size])
        for column, share in enumerate((1 / 20, 1 / 9, 1 / 5, 1 / 3, 1 / 2)):
            curves.shares[text, column] = judged(free[: max(1, math.floor(share * len(free) + 0.5))])[0]
    return curves


@pytest.mark.parametrize("keep_read", [False, True])
@pytest.mark.parametrize("removal", ["delete", "replace", "attention"])
@pytest.mark.parametrize("wanted", [LETTER, BAD], ids=["a token", "a continuation"])
def test_curves_are_those_of_plain_calls(wanted: list[int], removal: Any, keep_read: bool) -> None:
    questions = [READER.ask(text, wanted if len(wanted) > 1 else wanted[0]).questions[0] for text in TEXTS]
    orders = rankings(len(wanted) - 1)
    found = degrade(*WIDE, questions, orders, [all_of(wanted)] * len(TEXTS), removal, keep_read)
    expected = by_hand(orders, wanted, removal, keep_read)
    for name in Curves.__annotations__:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-8)
    assert keep_read or len(set(found.morf_decisions.ravel().tolist())) > 1
    assert found.known.all()


def test_a_prompt_of_which_nothing_may_be_removed_has_flat_curves() -> None:
    question = READER.ask("z", 7).questions[0]
    curves = degrade(*WIDE, [question], [[0]], [all_of([7])], "delete", True)
    assert np.ptp(curves.morf) == np.ptp(curves.lerf) == np.ptp(curves.shares) == 0
    assert curves.morf[0, 0] > 0


def test_the_last_token_of_a_decoder_that_classifies_is_kept_and_an_encoder_keeps_what_it_has(
    gpt2: Classifier, bert: Classifier
) -> None:
    for classifier, keeps in ((gpt2, True), (bert, False)):
        encoding = encode(classifier[1], Example("a good film"), None)
        question = Question(Example("a good film"), encoding, None)
        order = [place for place, segment in enumerate(encoding.segments) if segment is not None][::-1]
        plain, kept = (degrade(*classifier, [question], [order], [OneOf(1)], "delete", keep) for keep in (False, True))
        assert (plain.morf == kept.morf).all() == (not keeps)
        if keeps:
            task, asked = find_task(*classifier), (question, OneOf(1))
            left = without(task, classifier[1], asked, order[1:], "delete")
            ((p, _),) = judge_variants(*classifier, task, [left])
            assert kept.morf[0, -1] == pytest.approx(p)  # the token that is read is all that stays


def test_texts_without_a_number_are_known() -> None:
    ones = np.ones((3, 10))
    spoilt = ones.copy()
    spoilt[1, 4] = np.nan
    decisions = np.arange(30).reshape(3, 10)
    curves = Curves(ones, spoilt, decisions, decisions, np.ones((3, 5)))
    assert curves.known.tolist() == [True, False, True]
    assert curves.take(curves.known).morf_decisions.tolist() == decisions[[0, 2]].tolist()
