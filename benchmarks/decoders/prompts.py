"""Prompts whose next token is known, and what in them decides it: ground truth for attributions of language models.

Four kinds are made here, without a model: `recalls`, `indirect_objects`, `agreements` and `needles`. Run as a script,
this file keeps the prompts on which a model is right, adds those that only a model can make (`natural.py`), and writes
one file of JSON lines per kind and split.

    python benchmarks/decoders/prompts.py --model FOLDER --data-dir DATA --out DIR

What decides stands in `spans` by its role; which roles count is `DECIDES`.

- recall: facts of one form, then the beginning of one of them. value and key: in the fact; query: key in the question.
- indirect_object: two people, one gives. receiver: the first mention; giver: the first mention; repeat: the second one.
- agreement: a subject with another noun behind it, " are" rather than " is". head: the noun that the verb agrees with.
- needle: a fact in real text, then its beginning. Roles as for recall; `units` has all sentences, `unit` which it is.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from pools import (
    ASKING,
    ASKING_TEXT,
    BETWEEN,
    FACTS,
    GIVING,
    HIDDEN,
    NEEDLES,
    NOUNS,
    PEOPLE,
    PLACES,
    TEST,
    THINGS,
    TRAIN,
    VERBS,
)
from records import Prompt, ask, fill, join, numbers, shift
from texts import real_texts, sentences

DECIDES = {
    "recall": ("value",),
    "indirect_object": ("receiver", "repeat"),
    "agreement": ("head",),
    "needle": ("value",),
}
MOST_DISTRACTORS = 6
NEEDLE_WORDS = (230, 1_400)  # of the text around a needle: 300 to 2,000 tokens


def recalls(split: str, count: int, seed: int = 0) -> list[Prompt]:
    """Make prompts of two to seven facts, any of which is asked for."""

    def make(draw: random.Random, number: int) -> Prompt:
        form = draw.choice(FACTS[split])
        size = draw.randint(1, MOST_DISTRACTORS) + 1
        keys = draw.sample(form.keys, size)
        others = [value for value in form.values if value not in keys]
        values = draw.sample(others, size) if others else numbers(draw, size)
        filled = [fill(form.sentence, {"key": k, "value": v}) for k, v in zip(keys, values, strict=True)]
        asked, wrong = draw.sample(range(size), 2)
        facts, places = join([sentence for sentence, _ in filled])
        question = form.sentence.partition("{value}")[0].rstrip()
        prompt, at, query = ask(draw.choice(ASKING[split]), facts, question, keys[asked])
        spans = {role: shift(span, at + places[asked][0]) for role, span in filled[asked][1].items()}
        name = f"recall-{split}-{form.name}-{asked + 1}of{size}-{number:04d}"
        answer, distractor = f" {values[asked]}", f" {values[wrong]}"
        return Prompt(name, "recall", split, prompt, answer, distractor, spans | {"query": query})

    return _distinct(make, "recall", split, count, seed)


def indirect_objects(split: str, count: int, seed: int = 0) -> list[Prompt]:
    """Make prompts in which one of two people gives something, and who gets it is asked for (Wang et al. 2023)."""

    def make(draw: random.Random, number: int) -> Prompt:
        form = draw.randrange(len(GIVING[split]))
        first, second = draw.sample(PEOPLE[split], 2)
        giver, receiver = draw.sample((first, second), 2)
        given = {"first": first, "second": second, "giver": giver}
        given |= {"place": draw.choice(PLACES), "thing": draw.choice(THINGS)}
        text, spans = fill(GIVING[split][form], given)
        mentions = {first: spans["first"], second: spans["second"]}
        roles = {"receiver": mentions[receiver], "giver": mentions[giver], "repeat": spans["giver"]}
        name = f"indirect_object-{split}-{form}-{number:04d}"
        return Prompt(name, "indirect_object", split, text, f" {receiver}", f" {giver}", roles)

    return _distinct(make, "indirect_object", split, count, seed)


def agreements(split: str, count: int, seed: int = 0) -> list[Prompt]:
    """Make subjects whose verb must agree with the first noun, whatever the second one is (Linzen et al. 2016)."""

    def make(draw: random.Random, number: int) -> Prompt:
        form = draw.randrange(len(BETWEEN[split]))
        head, other = (noun.split("/") for noun in draw.sample(NOUNS[split], 2))
        plural, misled = draw.randrange(2), draw.randrange(2)
        text, spans = fill(BETWEEN[split][form], {"head": head[plural], "other": other[misled]})
        verbs = draw.choice(VERBS[split])
        name = f"agreement-{split}-{form}-{'against' if plural != misled else 'with'}-{number:04d}"
        roles = {"head": spans["head"]}
        return Prompt(name, "agreement", split, text, verbs[plural], verbs[1 - plural], roles)

    return _distinct(make, "agreement", split, count, seed)


def needles(split: str, count: int, texts: Sequence[str], seed: int = 0) -> list[Prompt]:
    """Hide a fact between sentences of real texts, anywhere, and ask for it at the end.

    The words around it are 230 to 1,400, half of them under 400, as long texts take long.
    """

    def make(draw: random.Random, number: int) -> Prompt:
        low, high = NEEDLE_WORDS
        wanted, hay = round(low * (high / low) ** draw.random() ** 2), list[str]()
        while wanted > 0:
            parts = [part for part in sentences(draw.choice(texts)) if len(part.split()) <= wanted + 20]
            hay += parts
            wanted -= sum(len(part.split()) for part in parts)
        form = draw.randrange(len(NEEDLES[split]))
        sentence, question = NEEDLES[split][form]
        values = numbers(draw, 2) if "number" in sentence else draw.sample(HIDDEN[split], 2)
        key = draw.choice(PEOPLE[split])
        needle, spans = fill(sentence, {"key": key, "value": values[0]})
        place = draw.randint(0, len(hay))
        facts, units = join([*hay[:place], needle, *hay[place:]])
        prompt, at, query = ask(draw.choice(ASKING_TEXT[split]), facts, question, key)
        units = tuple(shift(unit, at) for unit in units)
        roles = {role: shift(span, units[place][0]) for role, span in spans.items()} | {"query": query}
        name = f"needle-{split}-{form}-{number:04d}"
        return Prompt(name, "needle", split, prompt, f" {values[0]}", f" {values[1]}", roles, units, place)

    return _distinct(make, "needle", split, count, seed)


def _distinct(
    make: Callable[[random.Random, int], Prompt], kind: str, split: str, count: int, seed: int
) -> list[Prompt]:
    """Make prompts, no two of them alike."""
    draw, made = random.Random(f"{kind} {split} {seed}"), dict[str, Prompt]()
    for _ in range(100 * count):
        if len(made) == count:
            return list(made.values())
        prompt = make(draw, len(made))
        made.setdefault(prompt.prompt + prompt.answer, prompt)
    raise ValueError(f"there are fewer than {count} different prompts of kind {kind}, {split}")


def candidates(split: str, data_dir: Path, seed: int, limit: int) -> Iterator[tuple[str, list[Prompt]]]:
    """Make all prompts of a split, more than are needed where a model may be wrong, but of no kind over a limit."""
    test = split == TEST
    yield "recall", recalls(split, min(limit, 720 if test else 240), seed)
    yield "indirect_object", indirect_objects(split, min(limit, 600 if test else 200), seed)
    yield "agreement", agreements(split, min(limit, 600 if test else 200), seed)
    texts = real_texts("ag_news", split, data_dir, 400, seed) + real_texts("imdb", split, data_dir, 100, seed)
    yield "needle", needles(split, min(limit, 220 if test else 40), texts, seed)


def main() -> None:
    """Write the prompts that a model is right on, and print how many there are."""
    from keep import Reader, is_right
    from natural import contexts, prefixes

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a causal language model")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", default=[*DECIDES, "natural", "context"], help="default: all")
    parser.add_argument("--splits", nargs="+", choices=(TRAIN, TEST), default=[TRAIN, TEST])
    parser.add_argument("--limit", type=int, default=10_000, help="candidates of a kind at most, of which some remain")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    reader = Reader.load(options.model)
    options.out.mkdir(parents=True, exist_ok=True)
    for split in options.splits:
        for kind, made in candidates(split, options.data_dir, options.seed, options.limit):
            if kind in options.kinds:
                rows = reader.read(made)
                _write(options.out, kind, split, [row for row in rows if is_right(row)], len(made))
        for kind, make in (("natural", prefixes), ("context", contexts)):
            if kind in options.kinds:
                texts = partial(real_texts, split=split, data_dir=options.data_dir, seed=options.seed)
                rows, tried = make(reader, split, texts, options.seed, options.limit)
                _write(options.out, kind, split, rows, tried)


def _write(out: Path, kind: str, split: str, rows: Sequence[Mapping[str, object]], tried: int) -> None:
    """Write a file of JSON lines."""
    path = out / f"{kind}-{split}.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    print(f"{kind}, {split}: {len(rows)} of {tried} remain, {path}", flush=True)


if __name__ == "__main__":
    main()
