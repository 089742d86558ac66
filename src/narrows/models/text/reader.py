"""From the texts of users to questions: encoded, divided if too long, and in the form that the head needs."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.data.example import Example, Item
from narrows.errors import InputError, NarrowsWarning
from narrows.models.heads.classifying import Classifying
from narrows.models.heads.target import Target
from narrows.models.heads.targets import count_labels, is_multi_label
from narrows.models.heads.task import Question
from narrows.models.heads.tasks import find_task
from narrows.models.predict import predict
from narrows.models.text.encoding import Encoding, check_rows, token_limit
from narrows.models.text.long_text import LongTexts, Pieces, divide


@dataclass(frozen=True)
class Asked:
    """One text in its pieces, and one question for each."""

    pieces: Pieces
    questions: list[Question]


class Reader:
    """Turns texts into questions for one model; `limit` is the most tokens of a text, None = no limit."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_tokens: int | None, long_texts: LongTexts
    ) -> None:
        """Find the model's task and its limit, or the smaller `max_tokens`; longer texts count as long."""
        if long_texts not in get_args(LongTexts):
            raise InputError(f"long_texts must be one of {', '.join(get_args(LongTexts))}, not {long_texts!r}")
        self.task = find_task(model, tokenizer)
        own = token_limit(model, tokenizer)
        self.limit = min((limit for limit in (max_tokens, own) if limit is not None), default=None)
        self._cuts_unasked = own is not None and (max_tokens is None or max_tokens > own)
        self._long_texts: LongTexts = long_texts
        self._model, self._tokenizer = model, tokenizer

    def windows(
        self, requests: Iterable[tuple[Item, Target]], most_rows: int, most_tokens: int
    ) -> Iterator[list[Asked]]:
        """Split a stream into parts that end at so many pieces or tokens: enough to sort by length."""
        window: list[Asked] = []
        rows, tokens, warned = 0, 0, not self._cuts_unasked
        for item, target in requests:
            asked = self.ask(item, target)
            if asked.pieces.whole.truncated and not warned:
                warned = True
                self._warn(asked.pieces)
            window.append(asked)
            rows += len(asked.questions)
            tokens += sum(len(question.encoding) for question in asked.questions)
            if rows >= most_rows or tokens >= most_tokens:
                yield window
                window, rows, tokens = [], 0, 0
        if window:
            yield window

    def ask(self, item: Item, target: Target) -> Asked:
        """Encode one text and its target; raise an InputError or a TargetError if the model cannot take them."""
        pieces = divide(self._tokenizer, Example.of(item), self.limit, self._long_texts)
        encodings = pieces.encodings()
        target = self._settle(encodings, target) if len(encodings) > 1 else target
        questions = [self.task.prepare(Question(pieces.example, encoding, target)) for encoding in encodings]
        for question in questions:
            check_rows(self._model, self._tokenizer, question.encoding.features["input_ids"])
        longest = max(len(question.encoding) for question in questions)
        if self.limit is not None and longest > self.limit:
            raise InputError(f"text and continuation have {longest} tokens, but the model takes {self.limit}")
        return Asked(pieces, questions)

    def _settle(self, encodings: Sequence[Encoding], target: Target) -> Target:
        """Fix one target for all windows of a text: the given one, or the class predicted on average."""
        model = self._model
        if not isinstance(self.task, Classifying) or is_multi_label(model) or count_labels(model) <= 1:
            raise InputError("long_texts='windows' works only with classifiers of one class of several")
        return int(predict(model, self._tokenizer, encodings).mean(axis=0).argmax()) if target is None else target

    def _warn(self, pieces: Pieces) -> None:
        cut = f"{pieces.whole.truncated} tokens were cut off {pieces.example.text[:60]!r}"
        advice = "long_texts='windows' (Python, 'narrows run') explains all of them"
        message = f"longer than the {self.limit} tokens that the model takes: {cut}; {advice}"
        warnings.warn(message, NarrowsWarning, stacklevel=5)
