"""Questions explained in batches that fit into memory; one that fails costs the others nothing."""

from collections.abc import Callable, Sequence

from narrows.attribution import Attribution
from narrows.errors import OF_ONE_TEXT, NarrowsError, forget
from narrows.methods.cut_model import CutModel
from narrows.methods.method import Batch, Method
from narrows.models.heads.task import Question
from narrows.models.memory import TokenBudget, is_out_of_memory, no_memory
from narrows.models.padding import run_in_batches

Tick = Callable[[float], None]  # takes the share that is done, 0 to 1
Found = list[Attribution] | NarrowsError  # of one question: an attribution by each method


def explain_in_batches(
    model: CutModel,
    budget: TokenBudget,
    questions: Sequence[Question],
    methods: Sequence[Method],
    batch_size: int,
    tick: Tick = lambda _: None,
) -> list[Found]:
    """Explain questions by some methods, in batches that fit into memory; an error for each that fails alone."""

    def explain(rows: Sequence[int]) -> list[list[Attribution]]:
        batch = Batch(cut, [questions[row] for row in rows], budget=budget)
        if len(methods) > 1:
            batch.prefix(range(cut.blocks + 1))
        return [method.explain(batch) for method in methods]

    copies = max(method.copies for method in methods)
    found: dict[int, Found] = {}
    known: dict[tuple[int, ...], list[Found]] = {}
    left, total = list(range(len(questions))), sum(len(question.encoding) for question in questions)
    with model.lent() as cut:
        reader = (cut.model, cut.tokenizer)
        while left:  # again without those that failed, so that the others share passes as if these were not there

            def explain_left(rows: list[int], left: list[int] = left) -> list[Found]:
                return _by_halves(explain, questions, tuple(left[row] for row in rows), known)

            encodings = [questions[row].encoding for row in left]
            for rows, explained in run_in_batches(reader, budget, encodings, batch_size, explain_left, copies):
                found.update(zip([left[row] for row in rows], explained, strict=True))
                tick(sum(len(questions[row].encoding) for row in found) / total)
            sound = [row for row in left if not isinstance(found[row], NarrowsError)]
            left = sound if len(sound) < len(left) else []
    return [found[row] for row in range(len(questions))]


def _by_halves(
    explain: Callable[[Sequence[int]], list[list[Attribution]]],
    questions: Sequence[Question],
    rows: tuple[int, ...],
    known: dict[tuple[int, ...], list[Found]],
) -> list[Found]:
    """Explain some questions together, or, if one of them fails, each half by itself; `known` keeps what was found."""
    if rows in known:
        return known[rows]
    found: list[Found] | None = None
    try:
        found = [list(maps) for maps in zip(*explain(rows), strict=True)]
    except OF_ONE_TEXT as error:
        if len(rows) == 1:
            found = [forget(error)]
    except Exception as error:
        if len(rows) > 1 or not is_out_of_memory(error):
            raise
        found = [no_memory(len(questions[rows[0]].encoding), error)]
    if found is None:  # one of them is the cause, which its halves find out
        halves = (rows[: len(rows) // 2], rows[len(rows) // 2 :])
        found = [own for half in halves for own in _by_halves(explain, questions, half, known)]
    known[rows] = found
    return found
