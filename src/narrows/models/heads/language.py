"""Language models: what fills a blank, and what follows a text."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.errors import InputError, ModelError, TargetError, warn
from narrows.models.cut.blocks import text_config
from narrows.models.heads.continuation import Continuation, append, given_as_ids, given_as_text, without_end
from narrows.models.heads.goals import At, Goal, LogP, together
from narrows.models.heads.target import Blank, Choice, Contrast, Distribution, Target
from narrows.models.heads.task import (
    Names,
    Question,
    Resolved,
    Rival,
    TargetTokens,
    Task,
    Variant,
    choose,
    list_probabilities,
    spell_goal,
)
from narrows.models.text.encoding import Encoding, join, nothing, private_tokenizer, take

METASPACE = "\u2581"  # what stands for a space in the tokens of SentencePiece
MUCH, LIKELY = math.log(10), math.log(0.01)  # nats of log p


def _name_tokens(tokenizer: PreTrainedTokenizerBase, logits: Tensor) -> Names:
    """Name tokens as they appear in a text, with their leading space, and find the one that a word is."""
    # A word may be two tokens, with a space and without: the one that the model holds more likely there is meant.

    def name(index: int) -> str:
        spelled = tokenizer.convert_ids_to_tokens(index)
        if spelled is None:  # a row of the output without a token: sizes are rounded up
            return f"token {index}"
        read = str(tokenizer.decode([index]))
        if not read or "\ufffd" in read:  # part of a character
            return str(spelled)
        return f" {read}" if str(spelled).startswith(METASPACE) and not read.startswith(" ") else read  # some lose it

    def find(word: str | int) -> int:
        if isinstance(word, int):
            if isinstance(word, bool) or not 0 <= word < len(tokenizer):
                raise TargetError(f"no token {word!r}: the vocabulary has {len(tokenizer)}")
            return word
        if not (found := _single_tokens(tokenizer, word)):
            raise TargetError(f"{word!r} is not a single token of the vocabulary")
        return max(found, key=lambda token: float(logits[token]))

    return Names(name, find)


def _single_tokens(tokenizer: PreTrainedTokenizerBase, word: str) -> list[int]:
    """List the tokens that are a word, as it is written and with a space in front."""
    with private_tokenizer(tokenizer) as own:
        spelled = [own(spelling, add_special_tokens=False)["input_ids"] for spelling in (word, f" {word}")]
    return [ids[0] for ids in spelled if len(ids) == 1 and ids[0] != tokenizer.unk_token_id]


@dataclass(frozen=True)
class Filling(Task):
    """Targets of a masked language model, logits (1, vocabulary): a `Blank`, or what fills the only one."""

    tokenizer: PreTrainedTokenizerBase

    def prepare(self, question: Question) -> Question:
        """Refuse a text without the blank that is asked for."""
        _blank_of(question, self.tokenizer)
        return question

    def reading(self, model: PreTrainedModel, questions: Sequence[Question]) -> Any:
        """Compute the logits of the blanks alone."""
        return _head_reading(model, [[_blank_of(question, self.tokenizer)[0]] for question in questions])

    def resolve(self, question: Question, logits: Tensor) -> Resolved:
        """Turn a target into a goal; logits are (positions, vocabulary)."""
        names = _name_tokens(self.tokenizer, logits[0])
        goal, described = choose(_blank_of(question, self.tokenizer)[1], logits[0], names)
        listed = list_probabilities(logits[0], names, goal)
        return Resolved(At(0, goal), described, next(iter(listed)), listed, spell_goal(goal, names))

    def held(self, question: Question, goal: Goal) -> frozenset[int]:
        """Keep the blank."""
        return frozenset([_blank_of(question, self.tokenizer)[0]])

    def vary(self, question: Question, goal: Goal, left: Encoding, places: Sequence[int]) -> Variant:
        """Count which blank it is now: others may be gone, and removed tokens may be masks."""
        place, choice = _blank_of(question, self.tokenizer)
        before = left.features["input_ids"][: places.index(place)].count(self.tokenizer.mask_token_id)
        return super().vary(replace(question, target=Blank(before, choice)), goal, left, places)

    def count_logits(self, model: PreTrainedModel, question: Question) -> int:
        """Count those of one position."""
        return _vocabulary(model)


def _blank_of(question: Question, tokenizer: PreTrainedTokenizerBase) -> tuple[int, Choice]:
    """Find the position of the mask token that is asked for, and what to fill it with."""
    ids, text, target = question.encoding.features["input_ids"], question.example.text, question.target
    places = [place for place, token in enumerate(ids) if token == tokenizer.mask_token_id]
    if not places:
        raise InputError(f"no blank to fill in {text!r:.60}: write {tokenizer.mask_token} where the blank is")
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
    """Targets of a causal language model, logits (tokens asked for, vocabulary): the next token, or a continuation."""

    # The model reads a given continuation, except its last token, so it is explained too, as the second text of the
    # example. Without a mask of their own, its tokens would carry the text past the bottleneck.
    tokenizer: PreTrainedTokenizerBase
    padding: int

    takes_ids = True

    def rivals(self, target: Target) -> tuple[Rival, Rival] | None:
        """Take two texts of which one is several tokens; two tokens are compared by their logits."""
        if not isinstance(target, Contrast):
            return None
        first, second = target.label, target.other
        if not (isinstance(first, str) and isinstance(second, str) and first and second):
            return None
        if first == second:
            raise TargetError(f"a contrast needs two different continuations: {first!r:.60} was given twice")
        single = all(_single_tokens(self.tokenizer, text) for text in (first, second))
        return None if single else (Rival(first), Rival(second))

    def prepare(self, question: Question) -> Question:
        """Append a continuation to the text; it stays the target."""
        if question.example.text_pair is not None:
            raise InputError("a causal language model reads one text: give the continuation as target")
        target, tokenizer = question.target, self.tokenizer
        encoding = without_end(tokenizer, question.example.text, question.encoding)
        if target is None or isinstance(target, (int, Contrast, Distribution)):
            return replace(question, encoding=encoding)
        if isinstance(target, Rival):
            found = replace(given_as_text(tokenizer, question.example.text, encoding, target.text), rival=True)
        elif isinstance(target, str) and target:
            found = given_as_text(tokenizer, question.example.text, encoding, target)
        elif isinstance(target, (list, tuple)):
            found = given_as_ids(tokenizer, encoding.features["input_ids"], target)
        else:
            kinds = "a continuation, as text or token ids, or a Contrast"
            raise TargetError(f"the target of a causal language model is {kinds}, not {target!r:.60}")
        read = len(found.ids) - 1  # nothing is predicted from the last token
        example = question.example
        if read:
            encoding = append(tokenizer, encoding, found, read)
            shown = found.text if found.text.strip() else "".join(encoding.tokens[-read:])  # no text is blank
            example = replace(example, text_pair=shown)
        return Question(example, encoding, found)

    def reading(self, model: PreTrainedModel, questions: Sequence[Question]) -> Any:
        """Compute the logits of the last position of each prompt, and of the continuation behind it."""
        counts = [(len(question.encoding), len(self._wanted(question))) for question in questions]
        most = max(wanted for _, wanted in counts)
        firsts = [self.read_at(question) for question in questions]
        rows = zip(firsts, counts, strict=True)
        places = [[first, *range(end - wanted + 1, end), *[end - 1] * (most - wanted)] for first, (end, wanted) in rows]
        return _head_reading(model, places)

    def held(self, question: Question, goal: Goal) -> frozenset[int]:
        """Keep a continuation that is the target whole: the model reads it as it would have written it."""
        end = len(question.encoding)
        return frozenset(range(end - len(self._wanted(question)) + 1, end))

    def read_at(self, question: Question) -> int:
        """Return the last position of the prompt, of those that other tokens see."""
        last = len(question.encoding) - len(self._wanted(question))
        seen = question.encoding.features.get("attention_mask", [1] * (last + 1))
        return next((place for place in range(last, 0, -1) if seen[place]), 0)

    def vary(self, question: Question, goal: Goal, left: Encoding, places: Sequence[int]) -> Variant:
        """Put padding where no token of a prompt is left to read at: decoders need not have special ones."""
        read = len(self._wanted(question)) - 1
        prompt = len(left) - read
        if not any(left.features.get("attention_mask", [1] * len(left))[:prompt]):
            kept = range(prompt, len(left))
            left, places = join(nothing(left, self.padding), take(left, kept)), [-1, *(places[at] for at in kept)]
        return super().vary(question, goal, left, places)

    def count_logits(self, model: PreTrainedModel, question: Question) -> int:
        """Count those of the positions that are read."""
        return len(self._wanted(question)) * _vocabulary(model)

    def resolve(self, question: Question, logits: Tensor) -> Resolved:
        """Turn a target into a goal; logits are (positions, vocabulary)."""
        names = _name_tokens(self.tokenizer, logits[0])
        chosen = [choose(choice, own, names) for choice, own in zip(self._wanted(question), logits, strict=False)]
        goal = together([At(place, goal) for place, (goal, _) in enumerate(chosen)])
        described, tokens = chosen[0][1], spell_goal(chosen[0][0], names)
        listed = list_probabilities(logits[0], names, chosen[0][0])
        predicted = next(iter(listed))
        if isinstance(target := question.target, Continuation) and target.rival:
            p = float((-goal(logits.unsqueeze(0))).exp())
            return Resolved(LogP(goal), target.name, predicted, {target.name: p})
        if isinstance(target := question.target, Continuation):
            described, tokens = target.name, (TargetTokens(target.text, list(target.ids)),)
            if target.name == target.text:
                self._warn_of_spelling(question, target, logits[0])
        return Resolved(goal, described, predicted, listed, tokens)

    def _wanted(self, question: Question) -> list[Choice]:
        """List what is asked for at each position, from the next token on."""
        if isinstance(question.target, Continuation):
            return list(question.target.ids)
        return [question.target]  # type: ignore[list-item]  # `prepare` allows nothing else

    def _warn_of_spelling(self, question: Question, target: Continuation, logits: Tensor) -> None:
        """Warn if the continuation would be much more probable with a space in front, or without; logits (tokens,)."""
        encoding, text = question.encoding, question.example.text
        before = take(encoding, range(len(encoding) - len(target.ids) + 1))
        other = target.text[1:] if target.text.startswith(" ") else f" {target.text}"
        with suppress(TargetError):
            first = given_as_text(self.tokenizer, text, before, other).ids[0] if other else target.ids[0]
            log_p = logits.double().cpu().log_softmax(dim=-1)
            own, better = float(log_p[target.ids[0]]), float(log_p[first])
            if better - own > MUCH and better > LIKELY:
                said = f"{target.text!r:.60} hardly follows {text[-30:]!r}: its first token has p = {math.exp(own):.2g}"
                warn(f"{said}, that of {other!r:.60} p = {math.exp(better):.2g}")


def _vocabulary(model: PreTrainedModel) -> int:
    return int(text_config(model).vocab_size)


@contextmanager
def _head_reading(model: PreTrainedModel, places: Sequence[Sequence[int]]) -> Iterator[None]:
    """Let the output embedding compute logits only at these positions, (texts, positions): a vocabulary is large."""
    head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if head is None:
        raise ModelError(f"{type(model).__name__} has no output embedding to take words from")
    wanted = torch.tensor(places)

    def gather(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden: Tensor = args[0]
        rows = wanted.to(hidden.device).repeat_interleave(len(hidden) // len(wanted), dim=0)
        return (hidden.gather(1, rows.unsqueeze(-1).expand(-1, -1, hidden.shape[-1])), *args[1:])

    with head.register_forward_pre_hook(gather):
        yield
