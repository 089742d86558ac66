"""Checking a map on its own text: the model is asked what it says without the parts that the map ranks first."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.attribution import Attribution
from narrows.data.check import Check
from narrows.data.units import find_places
from narrows.errors import OF_ONE_TEXT, NarrowsError, warn
from narrows.models.heads.task import Question
from narrows.models.heads.tasks import find_task
from narrows.models.text.reader import Asked
from narrows.models.text.removal import Removal
from narrows.models.variants import judge_variants, removable_units, resolve, without

MOST = 10  # parts that are removed one after the other
DRAWS = 3  # random orders that they are held against
MOST_SINGLE = 64  # parts up to which each is removed alone: a pass for each

Part = tuple[int, ...]  # positions of its tokens
Said = tuple[float, int]  # p(target), and what the model decides
Ask = Callable[[Sequence[Iterable[Part]], Removal], list[Said]]  # what it says of a text without some parts


def checked(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asked: Asked, found: Attribution | NarrowsError
) -> Attribution | NarrowsError:
    """Check a map; not that of windows, nor of two continuations that are held against each other."""
    if len(asked.questions) > 1 or isinstance(found, NarrowsError):
        return found
    try:
        return replace(found, check=check_map(model, tokenizer, asked.questions[0], found.ranking))
    except OF_ONE_TEXT as error:  # costs neither the map nor another text
        warn(f"{found.text!r:.60} was explained but not checked: {error}")
        return found


def check_map(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, question: Question, ranking: Sequence[int]
) -> Check | None:
    """Remove the strongest words, or what was explained as one, and ask again; None if nothing may be removed."""
    # What is never removed stays, as in `narrows.evaluation.degradation`, and so does the token at which the answer is
    # read.
    task, encoding, unit_of = find_task(model, tokenizer), question.encoding, question.unit_of
    if question.places is None:
        places, unit_of = find_places("word", question.example, encoding.offsets, encoding.segments), "word"
        question = replace(question, places=places)
    (resolved,) = resolve(model, tokenizer, task, [question])
    asked = question, resolved.goal
    units = {place: unit for unit in removable_units(task, *asked, keep_read=True) for place in unit}
    parts = tuple(dict.fromkeys(units[place] for place in ranking if place in units))
    if not parts:
        return None

    def ask(gone: Sequence[Iterable[Part]], removal: Removal = "delete") -> list[Said]:
        variants = [without(task, tokenizer, asked, set(chain.from_iterable(own)), removal) for own in gone]
        return [(p, int(decision)) for p, decision in judge_variants(model, tokenizer, task, variants).tolist()]

    ((whole, decided),) = ask([()])
    most = min(MOST, len(parts))
    strongest = [parts[:count] for count in range(1, most + 1)]
    said = ask(strongest)
    flip = next((count for count, (_, decision) in enumerate(said, 1) if decision != decided), None)
    changed = without(task, tokenizer, asked, set(chain.from_iterable(parts[: flip or 0])), "delete")
    first, others = parts[: flip or 0], parts[1:] if len(parts) <= MOST_SINGLE else ()
    less = ask([[part for part in first if part != kept] for kept in first])
    singles = [p for p, _ in ask([[part] for part in others])]
    least = int(np.argmin(singles)) if singles else None
    return Check(
        odds=resolved.goal.has_odds,
        unit_of=unit_of,
        removed=tuple(_read(question, part) for part in parts[:most]),
        whole=whole,
        without=tuple(p for p, _ in said),
        masked=None if tokenizer.mask_token_id is None else tuple(p for p, _ in ask(strongest, "mask")),
        chance=_by_chance(ask, parts, most),
        other=None if least is None else _read(question, others[least]),
        without_other=None if least is None else singles[least],
        flip=flip,
        decision=None if flip is None else resolve(model, tokenizer, task, [changed.question])[0].predicted,
        needed=tuple(_read(question, part) for part, (_, own) in zip(first, less, strict=True) if own == decided),
    )


def _by_chance(ask: Ask, parts: Sequence[Part], most: int) -> tuple[float, ...]:
    """Ask without 1, 2, ... random parts, the mean of several draws."""
    draw = np.random.default_rng(0)
    orders = [draw.permutation(len(parts))[:most].tolist() for _ in range(DRAWS)]
    gone = [[parts[place] for place in order[:count]] for order in orders for count in range(1, most + 1)]
    said = np.array([p for p, _ in ask(gone, "delete")])
    return tuple(said.reshape(DRAWS, most).mean(axis=0).tolist())


def _read(question: Question, part: Part) -> str:
    """Give a part as it stands in the text."""
    encoding, example = question.encoding, question.example
    spans = [offset for place in part if (offset := encoding.offsets[place]) is not None]
    text = (example.text, example.text_pair)[encoding.segments[part[0]] or 0] or ""
    return text[min(start for start, _ in spans) : max(end for _, end in spans)].strip()
