"""The models that a page offers: loaded when first asked for, kept, and lent to one computation at a time."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from narrows.app.request import MAX_TOKENS, Request
from narrows.errors import InputError
from narrows.explainer import Explainer
from narrows.models.cut.blocks import find_blocks
from narrows.models.heads.classifying import Classifying
from narrows.models.heads.names import TaskName
from narrows.models.heads.targets import class_labels
from narrows.models.heads.tasks import find_task
from narrows.models.hub.loading import LoadedModel, load_model


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

    @contextmanager
    def lend(self, name: str) -> Iterator[LoadedModel]:
        """Lend a model for one computation; raises an `InputError` if it is not on offer."""
        if name not in self.names:
            raise InputError(f"no model {name!r:.60} on this page; there are {', '.join(self.names)}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = load_model(name, self._device, self._task)
            yield self._loaded[name]

    def labels(self, name: str) -> tuple[str, ...]:
        """List the labels of a classifier in the order of its logits; empty for a model with another head."""
        with self.lend(name) as loaded:
            if not isinstance(find_task(loaded.model, loaded.tokenizer), Classifying):
                return ()
            return class_labels(loaded.model, int(loaded.model.config.num_labels or 0))

    def blocks(self, name: str) -> int:
        """Count the blocks of a model; that is its last layer."""
        with self.lend(name) as loaded:
            return len(find_blocks(loaded.model))

    @contextmanager
    def explainer(self, request: Request) -> Iterator[Explainer]:
        """Make the explainer that a request asks for, and lend its model."""
        with self.lend(request.model) as own:
            prior = own.prior or "instance"
            yield Explainer(own.model, own.tokenizer, request.method, prior, max_tokens=self.max_tokens)
