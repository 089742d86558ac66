"""Questions explained in batches that fit into memory; one that fails costs the others nothing."""

from collections.abc import Callable, Sequence
from functools import cache

from narrows.attribution import Attribution
from narrows.errors import OF_ONE_TEXT, NarrowsError, forget
from narrows.methods.cut_model import CutModel
from narrows.methods.method import Batch, Method
from narrows.models.heads.task import Question
from narrows.models.memory import TokenBudget, is_out_of_memory, no_memory
from narrows.models.padding import run_in_batches

Tick = Callable[[float], None]  # takes the share that is done, 0 to 1


def explain_in_batches(
    model: CutModel,
    budget: TokenBudget,
    questions: Sequence[Question],
    methods: Sequence[Method],
    batch_size: int,
    tick: Tick = lambda _: None,
) -> list[list[Attribution] | NarrowsError]:
    """Explain questions by some methods, in batches that fit into memory; an error for each that fails alone."""

    def explain(rows: Sequence[int]) -> list[list[Attribution]]:
        batch = Batch(cut, [questions[row] for row in rows], budget=budget)
        if len(methods) > 1:
            batch.prefix(range(cut.blocks + 1))
        return [method.explain(batch) for method in methods]

    @cache
    def explain_rows(rows: tuple[int, ...]) -> list[list[Attribution] | NarrowsError]:
        try:
            return [list(maps) for maps in zip(*explain(rows), strict=True)]
        except OF_ONE_TEXT as error:
            if len(rows) == 1:
                return [forget(error)]
        except Exception as error:
            if len(rows) > 1 or not is_out_of_memory(error):
                raise
            return [no_memory(len(questions[rows[0]].encoding), error)]
        # One of them is the cause, which its halves find out.
        return [*explain_rows(rows[: len(rows) // 2]), *explain_rows(rows[len(rows) // 2 :])]

    copies = max(method.copies for method in methods)
    found: dict[int, list[Attribution] | NarrowsError] = {}
    left, total = list(range(len(questions))), sum(len(question.encoding) for question in questions)
    with model.lent() as cut:
        reader = (cut.model, cut.tokenizer)
        while left:  # again without those that failed, so that the others share passes as if these were not there

            def explain_left(rows: list[int], left: list[int] = left) -> list[list[Attribution] | NarrowsError]:
                return explain_rows(tuple(left[row] for row in rows))

            encodings = [questions[row].encoding for row in left]
            for rows, explained in run_in_batches(reader, budget, encodings, batch_size, explain_left, copies):
                found.update(zip([left[row] for row in rows], explained, strict=True))
                tick(sum(len(questions[row].encoding) for row in found) / total)
            sound = [row for row in left if not isinstance(found[row], NarrowsError)]
            left = sound if len(sound) < len(left) else []
    del explain_rows  # it refers to itself, so all that it holds would wait for the garbage collector
    return [found[row] for row in range(len(questions))]
