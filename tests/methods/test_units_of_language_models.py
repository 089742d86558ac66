"""Units of models with other heads: what is asked about stays, what is held open is not masked, and the rest is one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import families
from narrows import Attribution, Contrast, Explainer, estimate_prior
from narrows.errors import InputError
from narrows.evaluation.degradation import degrade, removal_counts
from narrows.methods import evidence
from narrows.models.heads.goals import all_of
from narrows.models.heads.target import Tag
from narrows.models.text.reader import Reader
from narrows.models.variants import removable_units, resolve
from plainly import p_continued
from planted_decoder import SIGN, planted_decoder
from planted_sink import TEXTS, planted_sink
from tiny import Classifier

WIDE = (planted_decoder(1)[0].double(), planted_decoder()[1])
BAD = WIDE[1](" bad").input_ids
TEXT, SPANS = "a good film! it is", ((0, 6), (7, 12), (13, 18))
CHAT = "{% for m in messages %}{{ m['role'] + ':' + m['content'] + '/' }}{% endfor %}me:"


def explained(classifier: Classifier, method: Any, text: Any, target: Any, unit_of: Any) -> Attribution:
    found: Attribution = Explainer(*classifier, method, "instance")(text, target, unit_of=unit_of)
    return found


@pytest.mark.parametrize("removal", ["delete", "replace", "attention"])
@pytest.mark.parametrize("target", [[7], BAD], ids=["a token", "a continuation"])
def test_occlusion_is_what_a_unit_of_the_prompt_is_worth(target: list[int], removal: str) -> None:
    found = explained(WIDE, f"occlusion:removal={removal}", TEXT, target, SPANS[:2])
    prompt = WIDE[1](TEXT).input_ids
    whole = p_continued(WIDE, prompt, [], removal, target)
    assert [unit.text for unit in found.units] == ["a good", "film!"]
    for unit in found.units:
        expected = whole - p_continued(WIDE, prompt, unit.tokens, removal, target)
        assert unit.score == pytest.approx(expected, rel=1e-7, abs=1e-15)
    assert not found.scores[max(found.units[-1].tokens) + 1 :].any()  # neither the context nor the continuation


@pytest.mark.parametrize("method", ["occlusion", "lime:samples=30", "kernel_shap:samples=30"])
def test_a_unit_around_what_is_asked_about_is_removed_but_for_that(method: str) -> None:
    """The word that is tagged stays: then the unit is the same as one without that word."""
    tagger, text, asked = families.of_task("Bert", "ForTokenClassification"), "the film is good", Tag(1)
    around, beside = (explained(tagger, method, text, asked, spans) for spans in ([(0, 8), (9, 16)], [(0, 3), (9, 16)]))
    np.testing.assert_array_equal(around.scores, beside.scores)
    assert around.units[0].text == "the film" and around.scores.any()
    alone = explained(tagger, method, text, asked, [(4, 8), (9, 16)])
    assert alone.units[0].score == 0 and alone.units[1].score != 0


def test_units_without_what_is_held_or_read_at() -> None:
    reader = Reader(*WIDE, None, "truncate")
    (question,) = reader.ask(TEXT, BAD, SPANS).questions
    (goal,) = (own.goal for own in resolve(*WIDE, reader.task, [question]))
    units = [tuple(range(0, 6)), tuple(range(6, 12)), tuple(range(12, 18))]  # a space goes with what follows it
    assert removable_units(reader.task, question, goal) == units
    assert removable_units(reader.task, question, goal, keep_read=True) == [*units[:2], tuple(range(12, 17))]
    (short,) = reader.ask(TEXT, BAD, [(0, 6), (17, 18)]).questions
    assert removable_units(reader.task, short, goal, keep_read=True) == units[:1]


@pytest.mark.parametrize("keep_read", [False, True])
def test_the_degradation_test_removes_units_of_a_prompt(keep_read: bool) -> None:
    (question,) = Reader(*WIDE, None, "truncate").ask(TEXT, BAD, SPANS).questions
    prompt = WIDE[1](TEXT).input_ids
    order = [7, 20, 17, 16, 2]  # the last one of the prompt is what a decoder reads at
    first = [range(6, 12), range(12, 18 - keep_read), range(0, 6)]
    found = degrade(*WIDE, [question], [order], [all_of(BAD)], "delete", keep_read)
    for curve, units in ((found.morf, first), (found.lerf, first[::-1])):
        for point, count in enumerate(removal_counts(3)):
            gone = [place for unit in units[:count] for place in unit]
            assert curve[0, point] == pytest.approx(p_continued(WIDE, prompt, gone, "delete", BAD), rel=1e-8)


@pytest.mark.parametrize("layer", ["1", "1,2"])
def test_held_tokens_of_a_picked_unit_stay_open_and_count(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sink begins one unit, the token that is read from ends the other: a unit has the sum of all of its tokens."""
    model, tokenizer = planted_sink()
    prior = estimate_prior(model, tokenizer, list(TEXTS) * 2)
    assert prior.sinks.positions == (0,)
    seen: list[tuple[Any, torch.Tensor]] = []
    real = evidence.mask

    def watched(sites: Any, masked: torch.Tensor) -> Any:
        shut = real(sites, masked)
        seen.append((masked, (shut[0].activation != sites[0].activation).any(dim=-1)))
        return shut

    monkeypatch.setattr(evidence, "mask", watched)
    text, spans = TEXTS[0], ((0, 4), (5, 8), (9, 16))
    explainer = Explainer(model, tokenizer, f"fast:steps=2:iterations=2:layer={layer}", prior)
    found, plain = explainer(text, unit_of=spans), explainer(text)
    ((masked, shut), _) = seen
    first = min(found.units, key=lambda unit: unit.rank or 99)
    assert first.text == "not bad"  # for what its last token is worth if it is left out
    assert masked[0].nonzero().flatten().tolist() == list(first.tokens)
    assert shut[0].nonzero().flatten().tolist() == [place for place in first.tokens if 0 < place < len(text) - 1]
    np.testing.assert_allclose(found.scores, plain.scores, atol=1e-5)  # measured before anything is masked
    assert plain.scores[0] != 0 and plain.scores[-1] != 0
    assert [unit.score for unit in found.units] == [math.fsum(found.scores[list(unit.tokens)]) for unit in found.units]


@pytest.mark.parametrize("unit_of", ["word", SPANS[:2]])
def test_two_continuations_are_held_against_each_other_by_units(unit_of: Any) -> None:
    found = explained(WIDE, "ig:steps=3", TEXT, Contrast(" bad", " good"), unit_of)
    order = sorted(found.units, key=lambda unit: -unit.score)
    assert [unit.rank for unit in order] == list(range(1, len(order) + 1))
    inside = [place for unit in order for place in unit.tokens]
    assert list(found.ranking[: len(inside)]) == inside


def test_messages_are_units_and_the_template_is_in_none() -> None:
    model, tokenizer = planted_decoder()
    tokenizer.chat_template = CHAT
    messages = [
        {"role": "system", "content": "be good"},
        {"role": "user", "content": "a film! it is"},
        {"role": "user", "content": "not bad"},
    ]
    explainer = Explainer(model, tokenizer, "occlusion", "instance")
    found = explainer(messages, unit_of="message")
    assert [unit.text for unit in found.units] == [message["content"] for message in messages]
    (best,) = [unit for unit in found.units if unit.rank == 1]
    assert SIGN in best.text
    assert sorted(found.ranking) == sorted(place for unit in found.units for place in unit.tokens)
    sentences = explainer(messages, unit_of="sentence").units  # none of them in two messages
    assert [unit.text for unit in sentences] == ["be good", "a film!", "it is", "not bad"]
    words = explainer(messages, unit_of="word").units
    assert [unit.text for unit in words] == ["be", "good", "a", "film", "!", "it", "is", "not", "bad"]
    with pytest.raises(InputError, match="leave out unit_of"):
        explainer(messages, " bad", unit_of="message", per_token=True)
