"""The task of question answering heads."""

from collections.abc import Sequence

import torch
from torch import Tensor

from narrows.data.words import trim_span
from narrows.errors import InputError, TargetError
from narrows.models.heads.goals import AnswerSpan, Goal
from narrows.models.heads.target import Answer
from narrows.models.heads.task import MOST_LISTED, Question, Resolved, Task, Variant
from narrows.models.text.encoding import Encoding

LONGEST_ANSWER = 30  # tokens, of a predicted answer
MOST_PLACES = 2**24  # in a text


class Answering(Task):
    """Targets of a question answering head, logits (tokens, 2): `Answer`, a string in the second text, or None."""

    def prepare(self, question: Question) -> Question:
        """Refuse a question without a text that holds the answer."""
        if question.example.text_pair is None:
            raise InputError("a question needs a second text with the answer: give {'question': ..., 'context': ...}")
        return question

    def resolve(self, question: Question, logits: Tensor) -> Resolved:
        """Find the answer that is asked for, and the most probable ones."""
        length = len(question.encoding)
        log_p = logits[:length].cpu().double().log_softmax(dim=0)
        best = _best_spans(question.encoding, log_p)
        candidates = best if question.target is None else _spans_of(question)
        p = {span: float((log_p[span[0], 0] + log_p[span[1], 1]).exp()) for span in [*best, *candidates]}
        chosen = max(candidates, key=lambda span: float(log_p[span[0], 0] + log_p[span[1], 1]))
        described = {span: _written(question, span) for span in [*best, chosen]}
        probabilities: dict[str, float] = {}
        for span in sorted(described, key=lambda span: -p[span]):
            probabilities.setdefault(described[span], p[span])
        return Resolved(AnswerSpan(*chosen, length), described[chosen], described[best[0]], probabilities)

    def held(self, question: Question, goal: Goal) -> frozenset[int]:
        """Keep the answer."""
        return frozenset(range(goal.start, goal.end + 1)) if isinstance(goal, AnswerSpan) else frozenset()

    def vary(self, question: Question, goal: Goal, left: Encoding, places: Sequence[int]) -> Variant:
        """Look where the answer is now."""
        if isinstance(goal, AnswerSpan):
            goal = AnswerSpan(places.index(goal.start), places.index(goal.end), len(places))
        return super().vary(question, goal, left, places)

    def decide(self, variant: Variant, logits: Tensor) -> int:
        """Number the best answer by where it stands in the whole text."""
        encoding, places = variant.question.encoding, variant.places
        best = _best_spans(encoding, logits[: len(encoding)].cpu().double().log_softmax(dim=0))
        return places[best[0][0]] * MOST_PLACES + places[best[0][1]] if best else -1


def _best_spans(encoding: Encoding, log_p: Tensor) -> list[tuple[int, int]]:
    """Find the most probable spans of the second text, the best first."""
    second = torch.tensor([segment == 1 for segment in encoding.segments])
    scores = log_p[:, 0].unsqueeze(1) + log_p[:, 1].unsqueeze(0)  # (start, end)
    allowed = torch.ones_like(scores, dtype=torch.bool).triu().tril(LONGEST_ANSWER - 1)
    scores = scores.masked_fill(~(allowed & second.unsqueeze(0) & second.unsqueeze(1)), -torch.inf)
    places = scores.flatten().topk(min(MOST_LISTED, int(torch.isfinite(scores).sum()))).indices.tolist()
    return [divmod(place, len(encoding)) for place in places]


def _spans_of(question: Question) -> list[tuple[int, int]]:
    """Find the first and last token of the answer that is asked for, everywhere it occurs."""
    context, target = question.example.text_pair or "", question.target
    if isinstance(target, Answer):
        wanted = [(target.start, target.end)]
    elif isinstance(target, str) and target.strip():
        wanted = [(at, at + len(target)) for at in range(len(context)) if context.startswith(target, at)]
    else:
        raise TargetError(f"an answer is given as a string or as Answer(start, end), not as {target!r}")
    pairs = zip(question.encoding.segments, question.encoding.offsets, strict=True)
    second = [(place, offset) for place, (segment, offset) in enumerate(pairs) if segment == 1 and offset is not None]
    found = [[place for place, offset in second if offset[0] < end and offset[1] > start] for start, end in wanted]
    spans = [(places[0], places[-1]) for places in found if places]
    if not spans:
        raise TargetError(f"the answer {target!r} does not occur in {context!r:.60}")
    return spans


def _written(question: Question, span: tuple[int, int]) -> str:
    """Return an answer as it is written in the text."""
    context = question.example.text_pair or ""
    first, last = (question.encoding.offsets[place] or (0, 0) for place in span)
    return context[slice(*trim_span(context, first[0], last[1]))]
