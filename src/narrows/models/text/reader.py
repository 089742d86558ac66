"""From the texts of users to questions: encoded, divided if too long, and in the form that the head needs."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, NamedTuple, cast, get_args

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.attribution import Attribution
from narrows.data.example import Example, Item, is_chat, known_of
from narrows.data.units import UnitOf, check_kind, find_places
from narrows.errors import OF_ONE_TEXT, InputError, NarrowsError, forget, one_of, warn
from narrows.models.cut.blocks import own_config
from narrows.models.heads.classifying import Classifying
from narrows.models.heads.target import Target, as_plain
from narrows.models.heads.targets import GOLD, check_order, class_labels, count_labels, kind_of_outputs
from narrows.models.heads.task import Question
from narrows.models.heads.tasks import find_task
from narrows.models.predict import predict
from narrows.models.text.chat import read_chat
from narrows.models.text.encoding import Encoding, check_rows, token_limit
from narrows.models.text.long_text import LongTexts, Pieces, divide, merge
from narrows.models.text.rivals import subtract

# Data sets by what they hold, as `finetuning_task` of a configuration names them.
PAIRS = ("mnli", "snli", "rte", "qnli", "wnli", "qqp", "mrpc", "stsb")
SINGLES = ("sst2", "cola", "imdb", "ag_news")


@dataclass(frozen=True)
class Asked:
    """One text in its pieces, and one question for each."""

    pieces: Pieces
    questions: list[Question]
    rivals: bool = False  # whether the questions are two continuations of the text, held against each other
    check: bool = False  # whether the map is to be checked: `narrows.models.check`

    def merge(self, found: Sequence[Attribution]) -> Attribution | NarrowsError:
        """Put the attributions of the questions together."""
        return subtract(*found) if self.rivals else merge(self.pieces, found)


class Request(NamedTuple):
    """One text, or the error in its place, and what is asked of it."""

    item: Item | NarrowsError
    target: Target = None
    unit_of: UnitOf = "token"  # what is explained as one
    check: bool = False  # whether the map is to be checked


def same_requests(
    items: Iterable[Item | NarrowsError], target: Target, unit_of: UnitOf | Sequence[UnitOf], check: bool = False
) -> Iterator[Request]:
    """Ask the same of each text of a stream."""
    if not isinstance(unit_of, str):
        raise InputError("a stream takes one name of units; spans need a list of texts")
    check_kind(unit_of)
    return map(Request, items, repeat(target), repeat(cast("UnitOf", unit_of)), repeat(check))


def list_requests(
    items: Sequence[Item], targets: Collection[Target], unit_of: UnitOf | Sequence[UnitOf], check: bool = False
) -> Iterator[Request]:
    """Ask of each text of a list what is its own."""
    units = [unit_of] * len(items) if isinstance(unit_of, str) else unit_of
    for name, given in ((f"{len(targets)} targets", targets), (f"{len(units)} values of unit_of", units)):
        if len(given) != len(items):
            raise InputError(f"{len(items)} texts but {name}")
    kinds = {kind for kind in units if isinstance(kind, str)}
    for kind in kinds:
        check_kind(kind)
    return map(Request, items, targets, cast("Sequence[UnitOf]", units), repeat(check))


class Reader:
    """Turns texts into questions for one model; `limit` is the most tokens of a text, None = no limit."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_tokens: int | None, long_texts: LongTexts
    ) -> None:
        """Find the model's task and its limit, or the smaller `max_tokens`; longer texts count as long."""
        one_of("long_texts", long_texts, get_args(LongTexts))
        self.task = find_task(model, tokenizer)
        own = token_limit(model, tokenizer)
        self.limit = min((limit for limit in (max_tokens, own) if limit is not None), default=None)
        self._cuts_unasked = own is not None and (max_tokens is None or max_tokens > own)
        self._long_texts: LongTexts = long_texts
        self._model, self._tokenizer = model, tokenizer
        self._pairs = _trained_on_pairs(model)
        self._labels = set(class_labels(model))

    def windows(
        self, requests: Iterable[Request | tuple[Item | NarrowsError, Target]], most_rows: int, most_tokens: int
    ) -> Iterator[list[Asked | NarrowsError]]:
        """Split a stream into parts that end at so many pieces or tokens: enough to sort by length."""
        window: list[Asked | NarrowsError] = []
        source, warned = iter(requests), set[str]()
        rows, tokens = 0, 0
        while True:
            try:
                request = Request(*next(source))
            except StopIteration:
                break
            except Exception:  # the source's own: what it gave before is explained first
                if window:
                    yield window
                raise
            asked = self.read(*request)
            window.append(asked)
            rows += 1
            if isinstance(asked, Asked):
                self._warn(asked.pieces, warned)
                rows += len(asked.questions) - 1
                tokens += sum(len(question.encoding) for question in asked.questions)
            if rows >= most_rows or tokens >= most_tokens:
                yield window
                window, rows, tokens = [], 0, 0
        if window:
            yield window

    def read(
        self, item: Item | NarrowsError, target: Target, unit_of: UnitOf = "token", check: bool = False
    ) -> Asked | NarrowsError:
        """Encode one text, or give what is wrong with it."""
        try:
            return item if isinstance(item, NarrowsError) else replace(self.ask(item, target, unit_of), check=check)
        except OF_ONE_TEXT as error:
            error.row = known_of(item)
            return forget(error)

    def check(self, target: Target, names: Sequence[str] = ()) -> None:
        """Refuse a target of every text that none can have: a label that the classifier lacks."""
        # `names` are what the data calls its numbered labels, which are not those of a model in another order.
        target = as_plain(target)
        if _is_gold(target):
            check_order(names, class_labels(self._model))
        elif target is not None:
            self._check_label(Question(Example("-"), Encoding({}, (), (), (), 0), target))

    def _check_label(self, question: Question) -> None:
        """Refuse a target that the classifier lacks, before the model runs."""
        if isinstance(self.task, Classifying) and (count := count_labels(self._model)):
            self.task.resolve(question, torch.zeros(count))

    def ask(self, item: Item, target: Target, unit_of: UnitOf = "token") -> Asked:
        """Encode one text and its target; raise an InputError or a TargetError if the model cannot take them."""
        target = as_plain(target)
        chat = is_chat(item) and read_chat(self._tokenizer, cast("Any", item), self.task.takes_ids)
        example = chat or Example.of(item)
        if _is_gold(target):
            target = self.task.gold(example)
        pieces = divide(self._tokenizer, example, self.limit, self._long_texts)
        encodings = pieces.encodings()
        target = self._settle(encodings, target) if len(encodings) > 1 else target
        places = find_places(unit_of, example, pieces.whole.offsets, pieces.whole.segments)
        rivals, kind = self.task.rivals(target), unit_of if isinstance(unit_of, str) else "span"
        asked = [(encoding, own) for encoding in encodings for own in rivals or (target,)]
        prepared = [self.task.prepare(Question(example, encoding, own)) for encoding, own in asked]
        questions = [replace(question, places=places, unit_of=kind) for question in prepared]
        if not all(question.units for question in questions):
            raise InputError(f"a window of {example.text!r:.60} holds no unit: choose long_texts='truncate'")
        if _is_gold(target):
            self._check_label(questions[0])
        for question in questions:
            check_rows(self._model, self._tokenizer, question.encoding.features["input_ids"])
        longest = max(len(question.encoding) for question in questions)
        if self.limit is not None and longest > self.limit:
            raise InputError(f"text and continuation have {longest} tokens, but the model takes {self.limit}")
        return Asked(pieces, questions, rivals is not None)

    def _settle(self, encodings: Sequence[Encoding], target: Target) -> Target:
        """Fix one target for all windows of a text: the given one, or the class predicted on average."""
        model = self._model
        if not isinstance(self.task, Classifying) or kind_of_outputs(model) != "classes" or not count_labels(model):
            raise InputError("long_texts='windows' works only with classifiers of one class of several")
        if target is not None:
            return target
        p = predict(model, self._tokenizer, encodings).mean(axis=0)
        return class_labels(model, len(p))[int(p.argmax())]

    def _warn(self, pieces: Pieces, warned: set[str]) -> None:
        """Warn of a text that the model does not read as the user may think; once of each kind."""
        for kind, message in self._remarks(pieces.example, pieces.whole):
            if kind not in warned:
                warned.add(kind)
                warn(message)

    def _remarks(self, example: Example, whole: Encoding) -> Iterator[tuple[str, str]]:
        named = f"{example.text[:60]!r}"
        if whole.truncated and self._cuts_unasked:
            cut = f"{whole.truncated} tokens were cut off {named}"
            advice = "long_texts='windows' (Python, 'narrows run') explains all of them"
            yield "cut", f"longer than the {self.limit} tokens that the model takes: {cut}; {advice}"
        read = len(whole) - whole.segments.count(None)
        if 2 * whole.unknown > read:
            shares = f"{whole.unknown} of the {read} tokens of {named}"
            yield "unknown", f"the model cannot read {shares}: its vocabulary lacks them ({self._tokenizer.unk_token})"
        if example.text_pair is not None and example.text_pair in self._labels:
            told = f"the second text of {named} is {example.text_pair!r}, a label of the model"
            yield "label", f"{told}: a text with its label is {{'text': ..., 'label': ...}}, not a tuple"
        if self._pairs is not None and self._pairs != (example.text_pair is not None):
            trained, given = ("pairs of texts", "a single text") if self._pairs else ("single texts", "a pair")
            yield "pair", f"the model was trained on {trained}, and {named} is {given}: what it says of it means little"


def _is_gold(target: Target) -> bool:
    return isinstance(target, str) and target == GOLD


def _trained_on_pairs(model: PreTrainedModel) -> bool | None:
    """Tell whether a model was trained on pairs, by its task or by labels of entailment; None = not known."""
    task = getattr(own_config(model), "finetuning_task", None)
    if task in PAIRS or any("entail" in label.casefold() for label in class_labels(model)):
        return True
    return False if task in SINGLES else None
