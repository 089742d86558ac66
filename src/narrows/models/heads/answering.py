"""Models that answer a question with a span of the second text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from narrows.data.words import trim_span
from narrows.errors import InputError, TargetError
from narrows.models.heads.goals import Span
from narrows.models.heads.target import Answer
from narrows.models.heads.task import MOST_LISTED, Question, Resolved, Task
from narrows.models.text.encoding import Encoding

LONGEST_ANSWER = 30  # tokens, of a predicted answer


@dataclass(frozen=True)
class Answering(Task):
    """Targets of a question answering head: `Answer`, a string that occurs in the second text, or None."""

    def prepare(self, question: Question) -> Question:
        """Make sure that there is a second text to answer from."""
        if question.example.text_pair is None:
            raise InputError("a question needs a second text with the answer: give {'question': ..., 'context': ...}")
        return question

    def resolve(self, question: Question, logits: Tensor) -> Resolved:
        """Turn an answer into a goal; the logits are those of its start and its end, (tokens, 2)."""
        encoding = question.encoding
        length = len(encoding)
        log_p = log_softmax(logits[:length].cpu().double(), dim=0)
        best = _best_spans(encoding, log_p)
        candidates = best if question.target is None else _spans_of(question)
        start, end = max(candidates, key=lambda span: float(log_p[span[0], 0] + log_p[span[1], 1]))
        described = {span: _written(question, span) for span in [*best, (start, end)]}
        p = {span: float((log_p[span[0], 0] + log_p[span[1], 1]).exp()) for span in described}
        probabilities: dict[str, float] = {}
        for span in sorted(described, key=lambda span: -p[span]):
            probabilities.setdefault(described[span], p[span])
        return Resolved(Span(start, end, length), described[start, end], described[best[0]], probabilities)


def _best_spans(encoding: Encoding, log_p: Tensor) -> list[tuple[int, int]]:
    """Find the most probable spans of the second text, the best first."""
    second = torch.tensor([segment == 1 for segment in encoding.segments])
    scores = log_p[:, 0].unsqueeze(1) + log_p[:, 1].unsqueeze(0)  # (start, end)
    allowed = torch.ones_like(scores, dtype=torch.bool).triu().tril(LONGEST_ANSWER - 1)
    scores = scores.masked_fill(~(allowed & second.unsqueeze(0) & second.unsqueeze(1)), -torch.inf)
    places = scores.flatten().topk(min(MOST_LISTED, int(torch.isfinite(scores).sum()))).indices.tolist()
    return [divmod(place, len(encoding)) for place in places]


def _spans_of(question: Question) -> list[tuple[int, int]]:
    """Find the tokens of the answer that is asked for, everywhere it occurs."""
    context, target = question.example.text_pair or "", question.target
    if isinstance(target, Answer):
        wanted = [(target.start, target.end)]
    elif isinstance(target, str) and target.strip():
        places = range(len(context))
        wanted = [(at, at + len(target)) for at in places if context.startswith(target, at)]
    else:
        raise TargetError(f"an answer is given as a string or as Answer(start, end), not as {target!r}")
    spans = [span for start, end in wanted if (span := _tokens_between(question.encoding, start, end)) is not None]
    if not spans:
        raise TargetError(f"the answer {target!r} does not occur in {context!r:.60}")
    return spans


def _tokens_between(encoding: Encoding, start: int, end: int) -> tuple[int, int] | None:
    """Find the first and the last token of the second text that overlap with some characters."""
    positions = [
        position
        for position, (segment, offset) in enumerate(zip(encoding.segments, encoding.offsets, strict=True))
        if segment == 1 and offset is not None and offset[0] < end and offset[1] > start
    ]
    return (positions[0], positions[-1]) if positions else None


def _written(question: Question, span: tuple[int, int]) -> str:
    """Return an answer as it is written in the text."""
    context = question.example.text_pair or ""
    first, last = (question.encoding.offsets[place] or (0, 0) for place in span)
    start, end = trim_span(context, first[0], last[1])
    return context[start:end]
