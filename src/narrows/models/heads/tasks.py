"""The tasks of all heads, found by the name of the model's class; taggers, and models that answer questions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.data.words import group_tokens, trim_span, word_span
from narrows.errors import InputError, ModelError, TargetError
from narrows.models.cut.blocks import text_config
from narrows.models.heads.classifying import Classifying, name_classes
from narrows.models.heads.goals import At, Goal, Span
from narrows.models.heads.language import Continuing, Filling
from narrows.models.heads.names import cannot_explain, find_head
from narrows.models.heads.target import Answer, Tag
from narrows.models.heads.targets import class_labels
from narrows.models.heads.task import (
    MOST_LISTED,
    Question,
    Resolved,
    Task,
    Variant,
    choose,
    list_probabilities,
)
from narrows.models.text.encoding import Encoding, padding_id

LONGEST_ANSWER = 30  # tokens, of a predicted answer
MOST_WORDS = 8  # in a message
MOST_PLACES = 2**24  # in a text


def find_task(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Task:
    """Return the task of a model; a class with a name of the user's own counts as a classifier."""
    called, kind = type(model).__name__, text_config(model).model_type
    if refused := cannot_explain(called, kind):
        raise ModelError(refused)
    match find_head(called, kind):
        case "token-classification":
            return _Tagging(model)
        case "question-answering":
            return _Answering()
        case "fill-mask":
            return Filling(tokenizer)
        case "text-generation":
            return Continuing(tokenizer, padding_id(model, tokenizer))
    return Classifying(model)


@dataclass(frozen=True)
class _Tagging(Task):
    """Targets of a token classification head, logits (tokens, tags): the `Tag` of one word."""

    model: nn.Module

    def prepare(self, question: Question) -> Question:
        _tagged(question)
        return question

    def resolve(self, question: Question, logits: Tensor) -> Resolved:
        (place, *_), word, tag = _tagged(question)
        own = logits[place]
        names = name_classes(class_labels(self.model, len(own)))
        goal, described = choose(tag.label, own, names)
        listed = list_probabilities(own, names, goal)
        return Resolved(At(place, goal), f"{described} of {word!r}", names.name(int(own.argmax())), listed)

    def held(self, question: Question, goal: Goal) -> frozenset[int]:
        """Keep the word that is asked for."""
        return frozenset(_tagged(question)[0])

    def vary(self, question: Question, goal: Goal, left: Encoding, places: Sequence[int]) -> Variant:
        """Look where the word is now."""
        moved = replace(goal, place=places.index(goal.place)) if isinstance(goal, At) else goal
        return super().vary(question, moved, left, places)

    def decide(self, variant: Variant, logits: Tensor) -> int:
        """Number the word's tag."""
        return int(logits[variant.goal.place].argmax())  # type: ignore[attr-defined]


def _tagged(question: Question) -> tuple[list[int], str, Tag]:
    """Find the tokens of the word that is asked for, of which the first is tagged, the word, and its tag."""
    encoding, text, target = question.encoding, question.example.text, question.target
    positions = [position for position, segment in enumerate(encoding.segments) if segment == 0]
    spans = [offset for position in positions if (offset := encoding.offsets[position]) is not None]
    groups = group_tokens(text, spans)
    words = [text[slice(*word_span(text, [spans[token] for token in group]))] for group in groups]
    listed = ", ".join(map(repr, words[:MOST_WORDS])) + (", ..." if len(words) > MOST_WORDS else "")
    if not isinstance(target, Tag):
        example = f"Tag({words[0]!r})"
        raise TargetError(f"every word has a tag: choose one word, for example {example}; the words are {listed}")
    number = target.word
    if isinstance(number, str):
        found = [index for index, word in enumerate(words) if word == number]
        if len(found) != 1:
            often = "does not occur" if not found else f"occurs {len(found)} times (words {', '.join(map(str, found))})"
            raise TargetError(f"{number!r} {often} in {text!r:.60}; the words are {listed}")
        number = found[0]
    if not 0 <= number < len(words):
        raise TargetError(f"no word {number}: the text has words 0 to {len(words) - 1}, {listed}")
    return [positions[token] for token in groups[number]], words[number], target


class _Answering(Task):
    """Targets of a question answering head, logits (tokens, 2): `Answer`, a string in the second text, or None."""

    def prepare(self, question: Question) -> Question:
        if question.example.text_pair is None:
            raise InputError("a question needs a second text with the answer: give {'question': ..., 'context': ...}")
        return question

    def resolve(self, question: Question, logits: Tensor) -> Resolved:
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
        return Resolved(Span(*chosen, length), described[chosen], described[best[0]], probabilities)

    def held(self, question: Question, goal: Goal) -> frozenset[int]:
        """Keep the answer."""
        return frozenset(range(goal.start, goal.end + 1)) if isinstance(goal, Span) else frozenset()

    def vary(self, question: Question, goal: Goal, left: Encoding, places: Sequence[int]) -> Variant:
        """Look where the answer is now."""
        if isinstance(goal, Span):
            goal = Span(places.index(goal.start), places.index(goal.end), len(places))
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
