"""The models that a page offers: described at once, loaded when first asked for, kept, and lent one at a time."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from narrows.app.request import MAX_TOKENS, PageRequest
from narrows.errors import InputError
from narrows.explainer import Explainer
from narrows.models.cut.blocks import find_blocks
from narrows.models.heads.names import TaskName
from narrows.models.hub import bundled
from narrows.models.hub.checkpoint import read_head
from narrows.models.hub.fetched import find_fetched
from narrows.models.hub.loading import LoadedModel, load_model
from narrows.models.text.reader import PAIRS, Reader

Mode = Literal["text", "pair", "language"]
WORDS = {  # of the demo models, for people who do not know what the names of data sets mean
    "sentiment": "Film reviews: good or bad?",
    "topic": "News: which section?",
    "nli": "Two sentences: does the second follow from the first, or contradict it?",
    "rte": "A text and a statement: does the statement follow?",
    "lm": "A small language model that continues a text or answers",
}
TASKS: dict[TaskName, str] = {
    "text-classification": "A classifier",
    "token-classification": "A tagger",
    "question-answering": "Answers a question from a text",
    "fill-mask": "Fills a mask token",
    "text-generation": "A language model",
}


@dataclass(frozen=True)
class Offer:
    """What is known of a model before it is loaded."""

    name: str
    words: str  # what it is for
    mode: Mode


class Shelf:
    """Models by name, and no others; one computation runs at a time, and a second waits for its memory."""

    def __init__(
        self,
        names: Sequence[str],
        device: str | None = None,
        max_tokens: int = MAX_TOKENS,
        task: TaskName | None = None,
    ) -> None:
        """Name the models, where they run, and the most tokens of a text; raises an `InputError`."""
        if not names:
            raise InputError("the page needs at least one model")
        if max_tokens < 8:
            raise InputError(f"max_tokens must be at least 8, not {max_tokens}")
        self.names = tuple(dict.fromkeys(names))
        self.max_tokens = max_tokens
        self._device, self._task = device, task
        self._loaded: dict[str, LoadedModel] = {}
        self._lock = threading.RLock()

    def offers(self) -> list[Offer]:
        """Describe the models without loading one; raises a `ModelError` if there is no such model."""
        return [_offer(name, self._task) for name in self.names]

    @contextmanager
    def lend(self, name: str) -> Iterator[LoadedModel]:
        """Lend a model for one computation; raises an `InputError` if it is not on offer."""
        if name not in self.names:
            raise InputError(f"no model {name!r:.60} on this page; there are {', '.join(self.names)}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = load_model(name, self._device, self._task)
            yield self._loaded[name]

    def blocks(self, name: str) -> int:
        """Count the blocks of a model; that is its last layer."""
        with self.lend(name) as loaded:
            return len(find_blocks(loaded.model))

    @contextmanager
    def explainer(self, request: PageRequest) -> Iterator[Explainer]:
        """Make the explainer that a request asks for, and lend its model."""
        with self.lend(request.model) as own:
            prior = own.prior or "instance"
            yield Explainer(own.model, own.tokenizer, request.method, prior, max_tokens=self.max_tokens)

    def reader(self, own: LoadedModel) -> Reader:
        """Make what turns texts into questions for a model that was lent."""
        return Reader(own.model, own.tokenizer, self.max_tokens, "truncate")


def _offer(name: str, task: TaskName | None) -> Offer:
    """Describe a model by its card, or by its configuration."""
    if name in bundled.names() or (Path(name) / bundled.ADAPTER_CONFIG).is_file():
        card = bundled.find(name).card()
        labels = ", ".join(card.labels)
        pair = any(data.dataset.split("_")[0] in PAIRS for data in card.trained_on)
        return Offer(name, WORDS.get(name, f"{TASKS['text-classification']}: {labels}"), "pair" if pair else "text")
    if (fetched := find_fetched(name)) is not None:
        return Offer(name, WORDS.get(name, TASKS[fetched.task]), "language")
    found, config = read_head(name, task)
    words = TASKS[found]
    if found == "text-classification" and (labels := ", ".join(map(str, (config.id2label or {}).values()))):
        words = f"{words}: {labels:.80}"
    pair = found == "question-answering" or getattr(config, "finetuning_task", None) in PAIRS
    return Offer(name, words, "language" if found == "text-generation" else "pair" if pair else "text")
