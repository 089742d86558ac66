"""Taggers: the tag of one word."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from narrows.data.words import group_tokens, word_span
from narrows.errors import TargetError
from narrows.models.heads.classifying import ClassNames
from narrows.models.heads.goals import At
from narrows.models.heads.target import Tag
from narrows.models.heads.targets import class_labels
from narrows.models.heads.task import Question, Resolved, Task, choose, list_probabilities

MOST_WORDS = 8  # in a message


@dataclass(frozen=True)
class Tagging(Task):
    """Targets of a token classification head: the `Tag` of one word."""

    model: nn.Module

    def prepare(self, question: Question) -> Question:
        """Make sure that the target is one of the words."""
        _place_of(question)
        return question

    def resolve(self, question: Question, logits: Tensor) -> Resolved:
        """Turn a tag into a goal; logits are (tokens, tags)."""
        place, word, tag = _place_of(question)
        own = logits[place]
        names = ClassNames(class_labels(self.model, len(own)))
        goal, described = choose(tag.label, own, names)
        return Resolved(
            At(place, goal),
            f"{described} of {word!r}",
            names.name(int(own.argmax())),
            list_probabilities(own, names, goal),
        )


def _place_of(question: Question) -> tuple[int, str, Tag]:
    """Find the first token of the word that is asked for, the word, and its tag."""
    words = _words_of(question)
    target = question.target
    listed = ", ".join(repr(word) for _, word in words[:MOST_WORDS]) + (", ..." if len(words) > MOST_WORDS else "")
    if not isinstance(target, Tag):
        raise TargetError(
            f"every word has a tag: choose one word, for example Tag({words[0][1]!r}); the words are {listed}"
        )
    if isinstance(target.word, str):
        found = [number for number, (_, word) in enumerate(words) if word == target.word]
        if len(found) != 1:
            often = "does not occur" if not found else f"occurs {len(found)} times (words {', '.join(map(str, found))})"
            raise TargetError(f"{target.word!r} {often} in {question.example.text!r:.60}; the words are {listed}")
        return (*words[found[0]], target)
    if not 0 <= target.word < len(words):
        raise TargetError(f"no word {target.word}: the text has words 0 to {len(words) - 1}, {listed}")
    return (*words[target.word], target)


def _words_of(question: Question) -> list[tuple[int, str]]:
    """List the words of the text: the first token of each, and how it is written."""
    encoding, text = question.encoding, question.example.text
    positions = [position for position, segment in enumerate(encoding.segments) if segment == 0]
    spans = [offset for position in positions if (offset := encoding.offsets[position]) is not None]
    words = []
    for group in group_tokens(text, spans):
        start, end = word_span(text, [spans[token] for token in group])
        words.append((positions[group[0]], text[start:end]))
    return words
