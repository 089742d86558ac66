"""The tasks of all heads, found by the name of the model's class; taggers, and models that answer questions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.data.words import group_tokens, word_span
from narrows.errors import ModelError, TargetError
from narrows.models.cut.blocks import text_config
from narrows.models.heads.answering import Answering
from narrows.models.heads.classifying import Classifying, name_classes
from narrows.models.heads.goals import At, Goal
from narrows.models.heads.language import Continuing, Filling
from narrows.models.heads.names import cannot_explain, find_head
from narrows.models.heads.target import Tag
from narrows.models.heads.targets import class_labels
from narrows.models.heads.task import (
    Question,
    Resolved,
    Task,
    Variant,
    choose,
    list_probabilities,
)
from narrows.models.text.encoding import Encoding, padding_id

MOST_WORDS = 8  # in a message


def find_task(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Task:
    """Return the task of a model; a class with a name of the user's own counts as a classifier."""
    called, kind = type(model).__name__, text_config(model).model_type
    if refused := cannot_explain(called, kind):
        raise ModelError(refused)
    match find_head(called, kind):
        case "token-classification":
            return _Tagging(model)
        case "question-answering":
            return Answering()
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
        """Look where the word is now, and which word it is of those that are left."""
        if not isinstance(goal, At) or not isinstance(question.target, Tag):
            return super().vary(question, goal, left, places)
        place, shorter = places.index(goal.place), replace(question, encoding=left)
        number = next(number for number, (own, _) in enumerate(_words(shorter)) if place in own)
        asked = replace(question, target=replace(question.target, word=number))
        return super().vary(asked, replace(goal, place=place), left, places)

    def decide(self, variant: Variant, logits: Tensor) -> int:
        """Number the word's tag."""
        return int(logits[variant.goal.place].argmax())  # type: ignore[attr-defined]


def _words(question: Question) -> list[tuple[list[int], str]]:
    """List the words of a text, each with the positions of its tokens, of which the first is tagged."""
    encoding, text = question.encoding, question.example.text
    positions = [position for position, segment in enumerate(encoding.segments) if segment == 0]
    spans = [offset for position in positions if (offset := encoding.offsets[position]) is not None]
    groups = group_tokens(text, spans)
    words = [text[slice(*word_span(text, [spans[token] for token in group]))] for group in groups]
    return [([positions[token] for token in group], word) for group, word in zip(groups, words, strict=True)]


def _tagged(question: Question) -> tuple[list[int], str, Tag]:
    """Find the tokens of the word that is asked for, the word, and its tag."""
    text, target, found_words = question.example.text, question.target, _words(question)
    words = [word for _, word in found_words]
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
    return *found_words[number], target
