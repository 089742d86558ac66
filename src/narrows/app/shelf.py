"""The models that a page offers: loaded when first asked for, kept, and lent to one computation at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from narrows.app.request import MAX_TOKENS, Request
from narrows.errors import InputError
from narrows.explainer import Explainer
from narrows.models.cut.blocks import find_blocks
from narrows.models.heads.targets import class_labels
from narrows.models.hub.loading import Classifier, load_classifier


class Shelf:
    """Classifiers by name.

    A computation sets hooks in its model, so that two at once would disturb each other; whoever comes second waits.

    Attributes:
        names: The models on offer; nothing else can be asked for through the page.
        max_tokens: Longer texts are cut.
    """

    def __init__(self, names: Sequence[str], device: str | None = None, max_tokens: int = MAX_TOKENS) -> None:
        """Prepare a shelf.

        Args:
            names: Demo models, folders, or ids on the Hub.
            device: Where to run; None = the first GPU where there is one, else the CPU.
            max_tokens: Longer texts are cut.

        Raises:
            InputError: If there is no name, or nothing of a text would be left.
        """
        if not names:
            raise InputError("the page needs at least one model")
        if max_tokens < 8:
            raise InputError(f"max_tokens must be at least 8, not {max_tokens}")
        self.names = tuple(dict.fromkeys(names))
        self.max_tokens = max_tokens
        self._device = device
        self._loaded: dict[str, Classifier] = {}
        self._lock = threading.RLock()

    @contextmanager
    def lend(self, name: str) -> Iterator[Classifier]:
        """Lend a model for one computation.

        Args:
            name: One of `names`.

        Yields:
            The model, which nobody else uses meanwhile.

        Raises:
            InputError: If it is not on offer.
        """
        if name not in self.names:
            raise InputError(f"no model {name!r:.60} on this page; there are {', '.join(self.names)}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = load_classifier(name, self._device)
            yield self._loaded[name]

    def labels(self, name: str) -> tuple[str, ...]:
        """List the labels of a model.

        Args:
            name: One of `names`.

        Returns:
            The labels in the order of its logits.
        """
        with self.lend(name) as classifier:
            return class_labels(classifier.model, int(classifier.model.config.num_labels or 0))

    def blocks(self, name: str) -> int:
        """Count the blocks of a model.

        Args:
            name: One of `names`.

        Returns:
            Their number, which is its last layer.
        """
        with self.lend(name) as classifier:
            return len(find_blocks(classifier.model))

    @contextmanager
    def explainer(self, request: Request) -> Iterator[Explainer]:
        """Make the explainer that a request asks for, and lend its model.

        Args:
            request: What to explain, and how.

        Yields:
            The explainer.
        """
        with self.lend(request.model) as classifier:
            yield Explainer(
                classifier.model,
                classifier.tokenizer,
                request.layer,
                classifier.prior or "instance",
                preset=request.preset,
                max_tokens=self.max_tokens,
                **request.settings(),
            )
