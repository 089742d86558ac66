"""Checks of maps, against the same questions asked one by one, in words that are spelled out."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

import families
from narrows.attribution import Attribution
from narrows.data.check import Check
from narrows.errors import InputError
from narrows.explainer import Explainer
from narrows.models.check import DRAWS, check_map
from narrows.models.heads.target import Tag
from narrows.models.heads.tasks import find_task
from narrows.models.text.reader import Reader
from narrows.models.variants import resolve, without
from narrows.viz.checked import check_sentence
from planted import WORD, planted_classifier
from tiny import Classifier

WORDS = ["good", "act", "a", "bad", "film", "it", "is", "very", "not", "the", "film"]  # a token each


def p_of(classifier: Classifier, words: list[str], label: str) -> float:
    """p(label) of a text of these words, asked plainly."""
    model, tokenizer = classifier
    with torch.no_grad():
        logits = model(**tokenizer(" ".join(words), return_tensors="pt")).logits[0].double()
    return float(logits.softmax(dim=-1)[model.config.label2id[label]])


@pytest.fixture(scope="module")
def planted() -> Classifier:
    loaded = planted_classifier()
    return loaded.model, loaded.tokenizer


def checked(
    classifier: Classifier, text: str, method: str = "fast", unit_of: Any = "token"
) -> tuple[Attribution, Check]:
    model, tokenizer = classifier
    found = Explainer(model, tokenizer, method, "instance")(text, unit_of=unit_of, check=True)
    assert found.check is not None
    return found, found.check


def test_it_is_what_the_model_says_of_texts_without_these_words(planted: Classifier) -> None:
    found, check = checked(planted, " ".join(WORDS), "random")
    words = found.words()
    places = sorted(range(len(words)), key=lambda place: words[place].rank)
    assert check.removed == tuple(WORDS[place] for place in places[:10])
    for count, p in enumerate(check.without, start=1):
        left = [word for place, word in enumerate(WORDS) if place not in places[:count]]
        assert p == pytest.approx(p_of(planted, left, found.target), abs=1e-6)
        masked = ["[MASK]" if place in places[:count] else word for place, word in enumerate(WORDS)]
        assert check.masked is not None
        assert check.masked[count - 1] == pytest.approx(p_of(planted, masked, found.target), abs=1e-6)
    assert check.whole == pytest.approx(p_of(planted, WORDS, found.target), abs=1e-6)
    alone = {place: p_of(planted, WORDS[:place] + WORDS[place + 1 :], found.target) for place in places[1:]}
    assert check.without_other == pytest.approx(min(alone.values()), abs=1e-6)
    assert check.other in {
        WORDS[place] for place, p in alone.items() if p == pytest.approx(min(alone.values()), abs=1e-6)
    }


def test_a_planted_word_flips_the_decision_alone(planted: Classifier) -> None:
    found, check = checked(planted, " ".join(WORDS))
    assert (check.removed[0], check.flip, check.decision, check.needed) == (WORD, 1, "negative", (WORD,))
    assert check.minimal
    assert check.without[0] < 0.15 < 0.9 < check.whole
    assert check.without_other is not None
    assert check.without_other > 0.9
    assert found.check == Attribution.from_dict(found.to_dict()).check


def test_what_is_removed_without_need_is_not_called_needed(planted: Classifier) -> None:
    (question,) = Reader(*planted, None, "truncate").ask(f"a film , {WORD}", None).questions
    check = check_map(*planted, question, [1, 2, 3, 4])
    assert check is not None
    assert (check.flip, check.needed, check.minimal) == (4, (WORD,), False)


def test_chance_is_the_mean_of_a_few_subsets_of_that_size(planted: Classifier) -> None:
    words = ["good", "film", "not", "bad"]
    found, check = checked(planted, " ".join(words))
    for size, mean in enumerate(check.chance, start=1):
        every = [
            p_of(planted, [word for place, word in enumerate(words) if place not in gone], found.target)
            for gone in combinations(range(4), size)
        ]
        assert any(
            mean == pytest.approx(np.mean(drawn), abs=1e-6)
            for drawn in np.stack(np.meshgrid(*[every] * DRAWS), axis=-1).reshape(-1, DRAWS)
        )


def test_words_that_the_model_reads_alike_are_named_as_they_stand(planted: Classifier) -> None:
    words = ["Film", "Good", "film", "is", "GOOD", "FILM"]  # three tokens in other cases
    found, check = checked(planted, " ".join(words), "random")
    ranked = [word.text for word in sorted(found.words(), key=lambda word: word.rank)]
    goods = [number for number, word in enumerate(ranked, start=1) if word.lower() == WORD]
    assert check.removed == tuple(ranked) and check.flip == max(goods)
    assert check.needed == tuple(ranked[number - 1] for number in goods)  # with either of them it stays as it was
    said = check_sentence(found.to_dict())
    assert said is not None and f"all it takes of these is {check.needed[0]!r} and {check.needed[1]!r}." in said
    assert check.other is not None and check.other != ranked[0]
    without = {word: p_of(planted, [own for own in words if own != word], found.target) for word in ranked[1:]}
    assert check.without_other == pytest.approx(without[check.other], abs=1e-6)
    assert without[check.other] <= min(without.values()) + 1e-6


def test_units_are_removed_whole(planted: Classifier) -> None:
    text = "it is the film. good act. a bad film"
    spans = [(0, 15), (16, 25), (26, 36)]
    _, check = checked(planted, text, unit_of=spans)
    assert (check.unit_of, check.removed[0], check.flip) == ("span", "good act.", 1)
    assert sorted(check.removed) == sorted(text[start:end] for start, end in spans)


def test_in_long_texts_single_words_are_not_removed(planted: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("narrows.models.check.MOST_SINGLE", 3)
    _, check = checked(planted, "a good bad film")
    assert (check.other, check.without_other) == (None, None)


def test_lists_and_streams_are_checked_too(planted: Classifier) -> None:
    explainer = Explainer(*planted, "fast", "instance")
    texts = ["a good film", "bad"]
    assert [one.check for one in explainer(texts, check=True)] == [
        one.check for one in explainer(iter(texts), check=True)
    ]
    assert [one.check for one in explainer(texts)] == [None, None]


def test_the_tag_of_a_word_is_asked_of_the_same_word_when_others_are_gone() -> None:
    model, tokenizer = families.of_task("Bert", "ForTokenClassification", num_labels=3)
    text, wanted = "a good film is not bad", [Tag(0), Tag(5), Tag(1)]
    found = Explainer(model, tokenizer, "random", "instance")([text] * 3, wanted, check=True)
    assert all(isinstance(own, Attribution) and own.check is not None for own in found)
    task, words = find_task(model, tokenizer), text.split()
    question = Reader(model, tokenizer, None, "error").ask(text, Tag(5)).questions[0]
    (resolved,) = resolve(model, tokenizer, task, [question])
    for gone in range(5):
        left = without(task, tokenizer, (question, resolved.goal), [gone + 1], "delete").question
        assert left.target == Tag(4)
        said = resolve(model, tokenizer, task, [left])[0].predicted
        plain = Explainer(model, tokenizer, "random", "instance")(" ".join(words[:gone] + words[gone + 1 :]), Tag(4))
        assert said == plain.predicted


def test_a_check_that_fails_costs_no_map(planted: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise InputError("no check")

    monkeypatch.setattr("narrows.models.check.check_map", fail)
    with pytest.warns(match="'a good film' was explained but not checked: no check"):
        (found,) = Explainer(*planted, "random", "instance")(["a good film"], check=True)
    assert isinstance(found, Attribution) and found.check is None


def test_what_has_no_map_of_one_text_is_not_checked(planted: Classifier) -> None:
    with pytest.raises(InputError, match="leave out unit_of and check"):
        Explainer(*planted, "fast", "instance")("a", target="b", per_token=True, check=True)  # type: ignore[call-overload]
