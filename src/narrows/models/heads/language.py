"""Language models: a filled blank, the next token, or a given continuation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.errors import InputError, ModelError, TargetError
from narrows.models.heads.goals import At, Goal, Together
from narrows.models.heads.target import Blank, Choice, Contrast, Distribution
from narrows.models.heads.task import Question, Resolved, Task, choose, list_probabilities
from narrows.models.text.encoding import Encoding, encode_plain, take


@dataclass(frozen=True)
class TokenNames:
    """The tokens of a vocabulary."""

    tokenizer: PreTrainedTokenizerBase

    def name(self, index: int) -> str:
        """Return a token as it appears in a text, with its leading space."""
        spelled = self.tokenizer.convert_ids_to_tokens(index)
        if spelled is None:  # a row of the output without a token: sizes are rounded up
            return f"token {index}"
        read = str(self.tokenizer.decode([index]))
        return str(spelled) if not read or "\ufffd" in read else read  # part of a character

    def find(self, name: str | int) -> int:
        """Find the token that a word is; raise a TargetError if it is not exactly one."""
        size = len(self.tokenizer)
        if isinstance(name, int):
            if not 0 <= name < size:
                raise TargetError(f"no token {name}: the vocabulary has {size}")
            return name
        for spelling in (name, f" {name}"):
            ids: list[int] = self.tokenizer(spelling, add_special_tokens=False)["input_ids"]
            if len(ids) == 1 and ids[0] != self.tokenizer.unk_token_id:
                return ids[0]
        raise TargetError(f"{name!r} is not a single token of the vocabulary")


@dataclass(frozen=True)
class Filling(Task):
    """Targets of a masked language model: a `Blank`, or what fills the only one."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    def prepare(self, question: Question) -> Question:
        """Make sure that the target names a blank of the text."""
        _blank_of(question, self.tokenizer)
        return question

    def reading(self, questions: Sequence[Question]) -> Any:
        """Compute logits only at the blanks that are asked for."""
        places = [[_blank_of(question, self.tokenizer)[0]] for question in questions]
        return _head_reading(self.model, places)

    def resolve(self, question: Question, logits: Tensor) -> Resolved:
        """Turn a filling into a goal; logits are (1, vocabulary), at the blank."""
        _, word = _blank_of(question, self.tokenizer)
        names = TokenNames(self.tokenizer)
        goal, described = choose(word, logits[0], names)
        predicted = names.name(int(logits[0].argmax()))
        return Resolved(At(0, goal), described, predicted, list_probabilities(logits[0], names, goal))


def _blank_of(question: Question, tokenizer: PreTrainedTokenizerBase) -> tuple[int, Choice]:
    """Find the position of the mask token that is asked for, and what to fill it with."""
    ids = question.encoding.features["input_ids"]
    places = [place for place, token in enumerate(ids) if token == tokenizer.mask_token_id]
    if not places:
        raise InputError(
            f"no blank to fill in {question.example.text!r:.60}: write {tokenizer.mask_token} where the blank is"
        )
    target = question.target
    if isinstance(target, Blank):
        if not 0 <= target.index < len(places):
            raise TargetError(f"no blank {target.index}: the text has blanks 0 to {len(places) - 1}")
        return places[target.index], target.word
    if len(places) > 1:
        raise TargetError(f"the text has {len(places)} blanks: ask for one, Blank(0) to Blank({len(places) - 1})")
    if target is None or isinstance(target, (str, int, Contrast, Distribution)):
        return places[0], target
    raise TargetError(f"the target of a masked language model is a word or a Blank, not {target!r}")


@dataclass(frozen=True)
class Continuing(Task):
    """Targets of a causal language model: the next token, a contrast of two, or a continuation.

    The model reads a given continuation, except its last token, so it is part of what is explained: it becomes the
    second text of the example. Without a mask of their own, its tokens would carry the text past the bottleneck.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    def prepare(self, question: Question) -> Question:
        """Append a continuation to the text; it stays the target."""
        if question.example.text_pair is not None:
            raise InputError("a causal language model reads one text: give the continuation as target")
        encoding, target = _open_ended(question.encoding, self.tokenizer), question.target
        if target is None or isinstance(target, (int, Contrast, Distribution)):
            return replace(question, encoding=encoding)
        if not isinstance(target, str) or not target:
            raise TargetError(f"the target of a causal language model is a continuation or a Contrast, not {target!r}")
        given = encode_plain(self.tokenizer, target)
        read = len(given) - 1  # nothing is predicted from the last token
        if read == 0:
            return replace(question, encoding=encoding)
        joined = Encoding(
            features={
                name: [*values, *given.features.get(name, [1] * len(given))[:read]]
                for name, values in encoding.features.items()
            },
            tokens=(*encoding.tokens, *given.tokens[:read]),
            offsets=(*encoding.offsets, *given.offsets[:read]),
            segments=(*encoding.segments, *[1] * read),
            truncated=encoding.truncated,
        )
        return replace(question, example=replace(question.example, text_pair=target), encoding=joined)

    def reading(self, questions: Sequence[Question]) -> Any:
        """Compute logits only where the tokens that are asked for are predicted."""
        places = [
            list(range(len(question.encoding) - len(self._wanted(question)), len(question.encoding)))
            for question in questions
        ]
        most = max(len(row) for row in places)
        return _head_reading(self.model, [row + row[-1:] * (most - len(row)) for row in places])

    def resolve(self, question: Question, logits: Tensor) -> Resolved:
        """Turn the next token, or a continuation, into a goal; logits are (tokens asked for, vocabulary)."""
        names = TokenNames(self.tokenizer)
        wanted = self._wanted(question)
        goals: list[Goal] = []
        for place, choice in enumerate(wanted):
            goal, described = choose(choice, logits[place], names)
            goals.append(At(place, goal))
            if place == 0:
                probabilities = list_probabilities(logits[0], names, goal)
        if isinstance(question.target, str):
            described = question.target
        predicted = names.name(int(logits[0].argmax()))
        return Resolved(goals[0] if len(goals) == 1 else Together(tuple(goals)), described, predicted, probabilities)

    def _wanted(self, question: Question) -> list[Choice]:
        """List what is asked for at each position, from the next token on."""
        if isinstance(question.target, str):
            return list(encode_plain(self.tokenizer, question.target).features["input_ids"])
        return [question.target]  # type: ignore[list-item]  # `prepare` allows nothing else


def _open_ended(encoding: Encoding, tokenizer: PreTrainedTokenizerBase) -> Encoding:
    """Remove the end of text that some tokenizers put after every text: nothing would follow it."""
    ended = encoding.features["input_ids"][-1] == tokenizer.eos_token_id and encoding.segments[-1] is None
    return take(encoding, range(len(encoding) - 1)) if ended else encoding


@contextmanager
def _head_reading(model: PreTrainedModel, places: Sequence[Sequence[int]]) -> Iterator[None]:
    """Let the output embedding compute logits only at these positions, (texts, positions): a vocabulary is large."""
    head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if head is None:
        raise ModelError(f"{type(model).__name__} has no output embedding to take words from")
    wanted = torch.tensor([list(row) for row in places])

    def gather(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden: Tensor = args[0]
        rows = wanted.to(hidden.device).repeat_interleave(len(hidden) // len(wanted), dim=0)
        return (hidden.gather(1, rows.unsqueeze(-1).expand(-1, -1, hidden.shape[-1])), *args[1:])

    handle = head.register_forward_pre_hook(gather)
    try:
        yield
    finally:
        handle.remove()
