"""What a model still says without some tokens of a text; logits are computed only where they are read."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.models.heads.goals import Goal, judge, judge_odds
from narrows.models.heads.task import Question, Resolved, Task, Variant
from narrows.models.memory import TokenBudget
from narrows.models.predict import BATCH_SIZE, Floats, map_logits
from narrows.models.text.removal import Removal, remove

MOST_LOGITS = 2**24  # in a pass: a vocabulary has up to 262,144 words, and a continuation is read at many positions

Asked = tuple[Question, Goal]  # a text, and what is explained of it


def removable(task: Task, question: Question, goal: Goal, keep_read: bool = False) -> list[int]:
    """List positions of the tokens that may be removed: not special, nor what is asked about, nor, perhaps, read at."""
    kept = task.held(question, goal) | ({task.read_at(question)} if keep_read else set())
    segments = enumerate(question.encoding.segments)
    return [place for place, segment in segments if segment is not None and place not in kept]


def removable_units(task: Task, question: Question, goal: Goal, keep_read: bool = False) -> list[tuple[int, ...]]:
    """List what may be removed of each unit, positions of tokens; units of which nothing may be are left out."""
    free = set(removable(task, question, goal, keep_read))
    parts = [tuple(place for place in unit if place in free) for unit in question.units]
    return [part for part in parts if part]


def without(
    task: Task, tokenizer: PreTrainedTokenizerBase, asked: Asked, gone: Collection[int], removal: Removal
) -> Variant:
    """Remove tokens that are `removable` from a text, and ask the same of what is left."""
    question, goal = asked
    left, absent = remove(question.encoding, gone, removal, tokenizer), set(gone if removal == "delete" else ())
    return task.vary(question, goal, left, [p for p in range(len(question.encoding)) if p not in absent])


def run_variants(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    variants: Sequence[Variant],
    function: Callable[[list[Variant], Tensor], Floats],
    budget: TokenBudget | None = None,
) -> Floats:
    """Run the model on variants, at least one, and stack `function(variants, logits)`, a row for each."""
    questions = [variant.question for variant in variants]

    def of_rows(rows: list[int], logits: Tensor) -> Floats:
        return function([variants[row] for row in rows], logits)

    return _run(model, tokenizer, task, questions, of_rows, budget)


def judge_variants(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, variants: Sequence[Variant]
) -> Floats:
    """Ask the model of variants: p(target) and the number of what it decides, (variants, 2)."""

    def judged(some: list[Variant], logits: Tensor) -> Floats:
        decisions = [float(task.decide(variant, own)) for variant, own in zip(some, logits, strict=True)]
        return np.stack([p_target(some, logits), decisions], axis=1)

    return run_variants(model, tokenizer, task, variants, judged) if variants else np.empty((0, 2))


def p_target(variants: Sequence[Variant], logits: Tensor) -> Floats:
    """Compute p(target), or exp(-loss) of a target without one, (variants,)."""
    wide = logits.cpu().double().unsqueeze(1)  # Apple's GPUs have no float64
    p: Floats = judge([variant.goal for variant in variants], wide).squeeze(1).neg().exp().numpy()
    return p


def odds_of_target(variants: Sequence[Variant], logits: Tensor) -> Floats:
    """Compute log-odds of the target, or minus the loss of one without a probability: nats, (variants,)."""
    wide = logits.cpu().double().unsqueeze(1)
    odds: Floats = judge_odds([variant.goal for variant in variants], wide).squeeze(1).numpy()
    return odds


def resolve(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, questions: Sequence[Question]
) -> list[Resolved]:
    """Turn the targets of texts, at least one, into goals, by what the model says of the whole texts."""
    found: dict[int, Resolved] = {}

    def keep(rows: list[int], logits: Tensor) -> Floats:
        found.update({row: task.resolve(questions[row], own) for row, own in zip(rows, logits, strict=True)})
        return np.zeros(len(rows))

    _run(model, tokenizer, task, questions, keep)
    return [found[row] for row in range(len(questions))]


def _run(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    questions: Sequence[Question],
    function: Callable[[list[int], Tensor], Floats],
    budget: TokenBudget | None = None,
) -> Floats:
    """Run the model on questions, so many together that their logits fit into memory."""
    encodings = [question.encoding for question in questions]
    most = max(task.count_logits(model, question) for question in questions)
    together = min(max(MOST_LOGITS // max(most, 1), 1), BATCH_SIZE)

    def reading(view: PreTrainedModel, rows: list[int]) -> AbstractContextManager[None]:
        return task.reading(view, [questions[row] for row in rows])

    return map_logits(model, tokenizer, encodings, function, reading, together, budget)
