"""Makes the parts of a run: from a chunk of texts to a file, the same bytes whoever does it and whenever."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from narrows.attribution import Attribution
from narrows.bottleneck.optimize import text_seed
from narrows.data.example import Example
from narrows.errors import InputError, NarrowsError
from narrows.explainer import Explainer
from narrows.models.cut.blocks import text_config
from narrows.models.heads.targets import GOLD, class_labels, find_label
from narrows.models.hub.loading import Classifier, load_classifier
from narrows.models.memory import MOST_TOKENS, MOST_TOKENS_ELSEWHERE
from narrows.models.text.encoding import encode
from narrows.models.text.reader import Reader
from narrows.run.dataset_settings import ExplainSettings
from narrows.run.manifest import describe_run, digest
from narrows.run.parts import Receipt, Row, error_row, map_row, save_part
from narrows.run.store import Json
from narrows.run.texts import Chunk

Tick = Callable[[float], None]
"""Told how much of a chunk is done, 0 to 1."""

PROBED = 200  # texts that tell how many characters a token has


@dataclass(frozen=True)
class Work:
    """How much work a text is, told from its length alone.

    A block's products take 24 h^2 operations per token and its attention 4 n h, h being the hidden size and n the
    number of tokens; so the work is counted in tokens, those of long texts for a little more.

    Attributes:
        characters: Per token.
        limit: Most tokens of a text.
        hidden: Hidden size of the model.
    """

    characters: float
    limit: float
    hidden: int

    def of(self, example: Example) -> float:
        """Estimate the work from the characters.

        Args:
            example: The text.

        Returns:
            The work, in tokens.
        """
        return self.of_tokens((len(example.text) + len(example.text_pair or "")) / self.characters + 2)

    def of_tokens(self, tokens: float) -> float:
        """Tell the work of so many tokens.

        Args:
            tokens: Of one text.

        Returns:
            The work, in tokens.
        """
        read = min(tokens, self.limit)
        return read * (1 + read / (6 * self.hidden))


class Worker:
    """Explains chunks of texts with a model that it loads once.

    Attributes:
        classifier: The model.
        explainer: Made of the model and the settings.
        tokens: Most tokens that share a pass.
        about: What the maps depend on beside the texts, for the manifest.
    """

    def __init__(
        self, settings: ExplainSettings, device: str | None = None, classifier: Classifier | None = None
    ) -> None:
        """Load the model.

        Args:
            settings: What the maps depend on.
            device: Where to run; None = the first GPU where there is one, else the CPU.
            classifier: A model that is loaded already, in place of the one that the settings name.

        Raises:
            ModelError: If there is no such model.
            TargetError: If it lacks the label that is to be explained.
        """
        self._settings = settings
        self.classifier = classifier or load_classifier(settings.model, device)
        model, tokenizer = self.classifier.model, self.classifier.tokenizer
        self._target = None if settings.target == "predicted" else settings.target
        if self._target not in (None, GOLD):
            find_label(str(self._target), class_labels(model, int(model.config.num_labels or 0)))
        self._reader = Reader(model, tokenizer, settings.max_tokens, settings.long_texts)
        elsewhere = MOST_TOKENS.get(model.device.type, MOST_TOKENS_ELSEWHERE)
        # Which texts share a pass must not depend on the memory that happens to be free.
        self.tokens = settings.tokens_per_batch or elsewhere
        given: Any = {**settings.config, "max_tokens_per_batch": self.tokens, "features": settings.features}
        prior = self.classifier.prior if settings.prior is None else settings.prior
        self.explainer = Explainer(
            model,
            tokenizer,
            settings.layers,
            prior,
            max_tokens=self._reader.limit,  # named, so that a text that is cut is no surprise to warn of
            long_texts=settings.long_texts,
            **given,
        )
        # Resolved, so that a setting that is left out and the same one spelled out are the same.
        resolved = asdict(self.explainer.config)
        for name in ("depths", "max_tokens_per_batch"):
            del resolved[name]
        made_with = {
            **resolved,
            "layers": list(self.explainer.layers),
            "tokens_per_batch": self.tokens,
            "max_tokens": self._reader.limit,
            **{name: getattr(settings, name) for name in ("target", "long_texts", "rows_per_part", "batch_size")},
        }
        self.about = describe_run(self.classifier, self.explainer.prior, made_with)

    def work(self, examples: Sequence[Example]) -> Work:
        """Find out how much work texts are.

        Args:
            examples: Some of them.

        Returns:
            What tells of a text how much work it is.
        """
        model, tokenizer = self.classifier.model, self.classifier.tokenizer
        characters = tokens = 1
        for example in examples:
            try:
                tokens += len(encode(tokenizer, example, None)) - 2
            except NarrowsError:
                continue
            characters += len(example.text) + len(example.text_pair or "")
        limit = self._reader.limit if self._settings.long_texts != "windows" else None
        return Work(characters / tokens, limit or float("inf"), text_config(model).hidden_size)

    def __call__(self, chunk: Chunk, out: Path, run_sha256: str, tick: Tick | None = None) -> tuple[Receipt, str]:
        """Make a part.

        Args:
            chunk: The texts.
            out: Folder of the run.
            run_sha256: Of what the run is made with.
            tick: Told of progress.

        Returns:
            The part's receipt, and the SHA-256 of its file.
        """
        rows = self.explain(chunk, tick or _silent)
        failed = next((row for row in rows if row.get("error")), None)
        receipt = Receipt(
            part=chunk.part,
            rows=len(rows),
            errors=sum(bool(row.get("error")) for row in rows),
            tokens=sum(len(row.get("tokens", ())) for row in rows),
            texts_sha256=chunk.digest,
            run_sha256=run_sha256,
            first_error="" if failed is None else f"text {failed['id']}: {failed['error']}",
        )
        return receipt, save_part(out, rows, receipt, self._settings.features)

    def explain(self, chunk: Chunk, tick: Tick) -> list[Row]:
        """Explain the texts of a chunk.

        Args:
            chunk: The texts.
            tick: Told of progress.

        Returns:
            One row per text, in their order.
        """
        rows: dict[int, Row] = {}
        lengths: dict[int, int] = {}
        for place, text in enumerate(chunk.rows):
            if isinstance(text, NarrowsError):
                rows[place] = error_row(chunk.first + place, None, None, None, text)
                continue
            try:
                lengths[place] = self._length(text)
            except NarrowsError as error:
                rows[place] = error_row(chunk.first + place, text.text, text.text_pair, text.label, error)
        total = sum(lengths.values())
        done = 0
        for batch in self._batches(lengths, chunk.part):
            examples = [row for place in batch if isinstance(row := chunk.rows[place], Example)]
            for place, example, found in zip(batch, examples, self._explain(examples), strict=True):
                number = chunk.first + place
                if isinstance(found, NarrowsError):
                    rows[place] = error_row(number, example.text, example.text_pair, example.label, found)
                else:
                    seed = text_seed(self._settings.seed, example.text, example.text_pair)
                    rows[place] = map_row(number, found, example.label, seed)
            done += sum(lengths[place] for place in batch)
            tick(done / total)
        return [rows[place] for place in range(len(chunk.rows))]

    def _length(self, example: Example) -> int:
        """Count the tokens of a text; raise what is wrong with it as far as its tokens and its label tell."""
        questions = self._reader.ask(example, self._target).questions
        if self._target == GOLD:
            self._reader.task.resolve(questions[0], torch.zeros(int(self.classifier.model.config.num_labels or 0)))
        return sum(len(question.encoding) for question in questions)

    def _batches(self, lengths: dict[int, int], part: int) -> Iterator[list[int]]:
        """Put texts of like length together, by the texts alone.

        The longest batch goes first, so that a lack of memory shows at once; the others go in a random order, so that
        the speed on the first ones tells of the rest.

        Yields:
            Places of the texts of a batch.
        """
        tokens = self.tokens // self.explainer.config.copies
        batches = cut_batches(lengths, self._settings.batch_size, tokens)
        rest = batches[1:]
        random.Random(part).shuffle(rest)
        yield from [*batches[:1], *rest]

    def _explain(self, examples: Sequence[Example]) -> list[Attribution | NarrowsError]:
        """Explain a batch; where it cannot be, its halves, down to the texts that are to blame."""
        try:
            return list(self.explainer(list(examples), self._target, len(examples)))
        except NarrowsError as error:
            if len(examples) == 1:
                return [error]
        half = len(examples) // 2
        return [*self._explain(examples[:half]), *self._explain(examples[half:])]


def cut_batches(lengths: dict[int, int], batch_size: int, tokens: int) -> list[list[int]]:
    """Cut texts into batches of like length.

    Args:
        lengths: Tokens of each text, by its place.
        batch_size: Most texts in a batch.
        tokens: Most tokens in a batch, padding counted; a longer text goes alone.

    Returns:
        Places, longest texts first.

    Example:
        >>> cut_batches({0: 3, 1: 9, 2: 4}, batch_size=2, tokens=12)
        [[1], [2, 0]]
    """
    order = sorted(lengths, key=lambda place: (-lengths[place], place))
    batches = []
    while order:
        size = max(min(tokens // max(lengths[order[0]], 1), batch_size), 1)
        batches.append(order[:size])
        order = order[size:]
    return batches


def check_same(about: Json, here: Json, where: str) -> None:
    """Make sure that a worker computes what the run is about.

    Args:
        about: What the run is made with.
        here: What the worker has.
        where: Name of the worker's machine.

    Raises:
        InputError: If they differ: another model, another version.
    """
    if digest(about) != digest(here):
        parts = [name for name in about if about[name] != here.get(name)]
        raise InputError(f"the worker on {where} has another {', '.join(parts)} than this machine: install the same")


def _silent(share: float) -> None:
    """Tell nobody."""
