"""The prompts that language models are measured on: what is said to decide does decide, and training sees no test."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest
from pools import ASKING, ASKING_TEXT, BETWEEN, FACTS, GIVING, HIDDEN, NEEDLES, NOUNS, PEOPLE, TEST, TRAIN, VERBS
from prompts import agreements, indirect_objects, needles, recalls
from records import Prompt, fill, join, numbers
from texts import plain, sentences

TEXTS = [
    "It rained. Nobody came, and the match was called off.",
    "Oil rose again. Traders were glad of it!",
    "So be it.",
]


def hidden(split: str, count: int, seed: int = 0) -> list[Prompt]:
    return needles(split, count, TEXTS, seed)


MAKERS: list[Callable[..., list[Prompt]]] = [recalls, indirect_objects, agreements, hidden]
each_maker = pytest.mark.parametrize("make", MAKERS)
each_split = pytest.mark.parametrize("split", [TRAIN, TEST])


def read(prompt: Prompt, role: str) -> str:
    return prompt.prompt[slice(*prompt.spans[role])]


@each_maker
@each_split
def test_a_seed_repeats_its_prompts_and_another_one_makes_others(make: Callable[..., list[Prompt]], split: str) -> None:
    assert make(split, 12, 3) == make(split, 12, 3)
    assert make(split, 12, 3) != make(split, 12, 4)


@each_maker
def test_no_two_prompts_are_alike_and_ids_are_distinct(make: Callable[..., list[Prompt]]) -> None:
    made = make(TEST, 60)
    assert len({prompt.prompt + prompt.answer for prompt in made}) == len({prompt.id for prompt in made}) == 60


@each_split
def test_the_fact_that_is_asked_for_is_the_only_one_with_its_key_and_gives_the_answer(split: str) -> None:
    for prompt in recalls(split, 150):
        key, value, query = (prompt.spans[role] for role in ("key", "value", "query"))
        assert prompt.answer == f" {read(prompt, 'value')}" != prompt.distractor
        assert read(prompt, "key") == read(prompt, "query")
        # What stands between key and value, and before the key, is what the question says.
        assert prompt.prompt[key[1] : value[0]].strip() == prompt.prompt[query[1] :].strip()
        assert len(re.findall(rf"\b{re.escape(read(prompt, 'key'))}\b", prompt.prompt)) == 2
        assert len(re.findall(rf"\b{read(prompt, 'value')}\b", prompt.prompt)) == 1
        assert key[1] < value[0] < value[1] < query[0]
        assert re.search(rf"{prompt.distractor}\b", prompt.prompt[: query[0]])


def test_facts_that_are_asked_for_stand_anywhere() -> None:
    places = {prompt.id.split("-")[3] for prompt in recalls(TEST, 600)}
    assert places == {f"{at}of{size}" for size in range(2, 8) for at in range(1, size + 1)}


@each_split
def test_who_gets_it_is_named_once_and_who_gives_it_twice(split: str) -> None:
    made = indirect_objects(split, 100)
    for prompt in made:
        receiver, giver = read(prompt, "receiver"), read(prompt, "giver")
        assert (prompt.answer, prompt.distractor) == (f" {receiver}", f" {giver}")
        assert read(prompt, "repeat") == giver
        assert prompt.spans["repeat"][0] > max(prompt.spans["giver"][0], prompt.spans["receiver"][0])
        named = re.findall(r"\w+", prompt.prompt)
        assert (named.count(receiver), named.count(giver)) == (1, 2)
    assert 20 < sum(prompt.spans["receiver"] < prompt.spans["giver"] for prompt in made) < 80


@each_split
def test_the_verb_agrees_with_the_head(split: str) -> None:
    plurals = {noun.split("/")[1] for noun in NOUNS[split]}
    nouns = {word for noun in NOUNS[split] for word in noun.split("/")}
    verbs = {verb: at for pair in VERBS[split] for at, verb in enumerate(pair)}
    for prompt in agreements(split, 150):
        head = read(prompt, "head")
        assert verbs[prompt.answer] == (head in plurals) == 1 - verbs[prompt.distractor]
        first, other = [word for word in prompt.prompt.split() if word in nouns]
        assert first == head
        assert ("against" in prompt.id) == ((other in plurals) != (head in plurals))


@each_split
def test_the_needle_is_the_unit_that_holds_the_answer(split: str) -> None:
    made = hidden(split, 40)
    for prompt in made:
        needle = prompt.prompt[slice(*prompt.units[prompt.unit or 0])]
        key, value, query = (prompt.spans[role] for role in ("key", "value", "query"))
        assert prompt.prompt[key[1] : value[0]].strip() == prompt.prompt[query[1] :].strip()
        assert read(prompt, "value") == prompt.answer.strip()
        assert prompt.prompt.count(needle) == 1
        assert read(prompt, "key") == read(prompt, "query")
        start, end = prompt.units[prompt.unit or 0]
        assert start <= key[0] < value[1] <= end < query[0]
        joined = " ".join(prompt.prompt[start:end] for start, end in prompt.units)
        assert joined in prompt.prompt[: query[0]]
        assert 200 < len(joined.split()) < 1_600
    assert len({prompt.unit for prompt in made}) > 10


def test_training_shares_no_names_places_sentences_or_nouns_with_the_test() -> None:
    def values(split: str) -> set[str]:
        return {value for fact in FACTS[split] for value in fact.values}

    def nouns(split: str) -> set[str]:
        return {word for noun in NOUNS[split] for word in noun.split("/")}

    for shared in (
        set(PEOPLE[TRAIN]) & set(PEOPLE[TEST]),
        values(TRAIN) & values(TEST),
        {fact.sentence for fact in FACTS[TRAIN]} & {fact.sentence for fact in FACTS[TEST]},
        {key for fact in FACTS[TRAIN] for key in fact.keys} & {key for fact in FACTS[TEST] for key in fact.keys},
        set(GIVING[TRAIN]) & set(GIVING[TEST]),
        set(ASKING[TRAIN]) & set(ASKING[TEST]),
        set(ASKING_TEXT[TRAIN]) & set(ASKING_TEXT[TEST]),
        set(BETWEEN[TRAIN]) & set(BETWEEN[TEST]),
        set(NEEDLES[TRAIN]) & set(NEEDLES[TEST]),
        set(HIDDEN[TRAIN]) & set(HIDDEN[TEST]),
        nouns(TRAIN) & nouns(TEST),
    ):
        assert not shared


def test_numbers_never_begin_alike() -> None:
    for seed in range(50):
        drawn = numbers(random.Random(seed), 7)
        assert len({number[0] for number in drawn}) == 7
        assert all(len(number) == 3 for number in drawn)


def test_fill_and_join_say_where_things_stand() -> None:
    text, spans = fill("{a} and {b}.", {"a": "One", "b": "two"})
    assert text == "One and two." and {name: text[slice(*span)] for name, span in spans.items()} == {
        "a": "One",
        "b": "two",
    }
    joined, places = join(["A b.", "C.", "D e f."])
    assert [joined[start:end] for start, end in places] == ["A b.", "C.", "D e f."]


def test_sentences_and_plain_text() -> None:
    assert sentences('He said "no." Then he left. e.g. this stays! "Why?" Nobody knew.') == [
        'He said "no."',
        "Then he left. e.g. this stays!",
        '"Why?"',
        "Nobody knew.",
    ]
    assert plain("It #39;s good.<br /><br />Very\\good &amp; cheap") == "It's good. Very good & cheap"
