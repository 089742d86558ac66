"""Prompts that only a model can make: beginnings of real texts that it continues surely, and contexts that it reads.

They have no ground truth; what a method says of them is tested by removing it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import torch
from keep import PromptRow, Reader
from pools import TEST
from records import Prompt, Span, join, shift
from texts import sentences

PREFIX_TOKENS = (12, 40)
SURE = 0.3
PREFIXES, CONTEXTS = {"train": 150, "test": 400}, {"train": 30, "test": 120}
ALL = 10_000
RESPONSE_TOKENS = 20
NEWS_WORDS, REVIEW_WORDS = (12, 25), 200  # of an item, and most of a review: hundreds of ablations are run of each
Texts = Callable[..., list[str]]  # given name= and count= of a data set


def prefixes(reader: Reader, split: str, texts: Texts, seed: int = 0, limit: int = ALL) -> tuple[list[PromptRow], int]:
    """Cut AG News and IMDB texts after 12 to 40 tokens, and keep those that the model continues with p > .3.

    Only places where the next token begins a word are taken: within a word, nothing but its beginning decides.

    Args:
        reader: The model.
        split: "train" or "test".
        texts: Gives the texts of a data set.
        seed: Of the draw.
        limit: Of the rows.

    Returns:
        Rows as `Reader.read` makes them, the answer being the most probable token; and how many texts were tried.
    """
    wanted = min(limit, PREFIXES[split])
    draw, rows, tried = random.Random(f"natural {split} {seed}"), list[PromptRow](), 0
    drawn = [text for name in ("ag_news", "imdb") for text in texts(name, count=5 * PREFIXES[split])]
    draw.shuffle(drawn)
    begun = [cut for text in drawn if (cut := _cut(reader, text, draw.randint(*PREFIX_TOKENS)))]
    for at in range(0, len(begun), 200):
        chunk = begun[at : at + 200]
        tried += len(chunk)
        found: list[tuple[int, PromptRow]] = []
        for place, logits in reader.logits([reader.ids(text) for text in chunk]):
            p = logits.softmax(dim=-1)
            best, second = (int(index) for index in p.topk(2).indices)
            answer = reader.tokenizer.decode([best])
            begins = reader.tokenizer.convert_ids_to_tokens(best)[0] in "Ġ▁" and answer.strip().isalpha()
            if p[best] > SURE and begins:
                prompt = Prompt(
                    "", "natural", split, chunk[place], f" {answer.strip()}", reader.tokenizer.decode([second])
                )
                asked = {"answer_id": best, "distractor_id": second, "predicted_id": best}
                found.append((place, asdict(prompt) | asked | {"p": float(p[best]), "p_distractor": float(p[second])}))
        rows += [row for _, row in sorted(found, key=lambda pair: pair[0])]
        if len(rows) >= wanted:
            break
    return [row | {"id": f"natural-{split}-{at:04d}"} for at, row in enumerate(rows[:wanted])], tried


def _cut(reader: Reader, text: str, tokens: int) -> str | None:
    """Take the first tokens of a text; None if it has too few, or if they are others when they stand alone."""
    read = reader.tokenizer(text, return_offsets_mapping=True)
    if len(read["input_ids"]) <= tokens:
        return None
    begun = text[: read["offset_mapping"][tokens - 1][1]]
    return begun if reader.ids(begun) == read["input_ids"][:tokens] else None


def contexts(reader: Reader, split: str, texts: Texts, seed: int = 0, limit: int = ALL) -> tuple[list[PromptRow], int]:
    """Make contexts of 8 to 20 units, a request, and what the model itself responds, greedily.

    Half of them are reviews by sentences, half are news items of a line each, one of which is asked about (its `unit`).

    Args:
        reader: The model.
        split: "train" or "test".
        texts: Gives the texts of a data set.
        seed: Of the draw.
        limit: Of the rows.

    Returns:
        Rows with ``response_ids`` and the ``response`` as it reads; and how many contexts were tried.
    """
    draw = random.Random(f"context {split} {seed}")
    wanted = min(limit, CONTEXTS[split])
    news = [text for text in texts("ag_news", count=20 * wanted) if NEWS_WORDS[0] <= len(text.split()) <= NEWS_WORDS[1]]
    short = [text for text in texts("imdb", count=20 * wanted) if len(text.split()) <= REVIEW_WORDS]
    reviews = [parts for parts in map(sentences, short) if 8 <= len(parts) <= 20]
    rows = []
    for number in range(wanted):
        name = f"context-{split}-{'review' if number % 2 else 'news'}-{number:04d}"
        made = _review(draw.choice(reviews)) if number % 2 else _news(draw, news)
        prompt = replace(made, id=name, split=split)
        ids = _continue(reader, prompt.prompt)
        if len(ids) > 1:
            response = reader.tokenizer.decode(ids)
            rows.append(asdict(replace(prompt, answer=response)) | {"response_ids": ids, "response": response})
    return rows, wanted


def _review(parts: Sequence[str]) -> Prompt:
    text, units = join(parts)
    return Prompt("", "context", TEST, f"{text}\n\nIn short, the reviewer says that the film is", "", "", units=units)


def _news(draw: random.Random, news: Sequence[str]) -> Prompt:
    items = draw.sample(news, draw.randint(8, 12))
    asked = draw.randrange(len(items))
    text, starts = "News:\n", list[int]()
    for item in items:
        starts.append(len(text))
        text += f"{item}\n"
    units: tuple[Span, ...] = tuple(shift((0, len(item)), at) for item, at in zip(items, starts, strict=True))
    begin = " ".join(items[asked].split()[:5])
    request = f'\nWhat follows is a short summary of the news item that begins with "{begin}":\n'
    return Prompt("", "context", TEST, text + request, "", "", units=units, unit=asked)


@torch.inference_mode()
def _continue(reader: Reader, text: str) -> list[int]:
    """Continue a text greedily, to the end of the text or for 20 tokens; the end itself is left out."""
    given = reader.ids(text)
    asked = torch.tensor([given])
    made = reader.model.generate(
        asked, attention_mask=torch.ones_like(asked), max_new_tokens=RESPONSE_TOKENS, do_sample=False,
        pad_token_id=reader.tokenizer.eos_token_id,
    )  # fmt: skip
    ids = made[0, len(given) :].tolist()
    specials = set(reader.tokenizer.all_special_ids)
    return next((ids[:at] for at, token in enumerate(ids) if token in specials), ids)
