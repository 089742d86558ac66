"""Makes the parts of a run: from a chunk of texts to a file, the same bytes on every machine and at every time."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from narrows.attribution import Attribution
from narrows.bottleneck.optimize import text_seed
from narrows.data.example import Example, known_of
from narrows.data.maps import failed_row
from narrows.data.output import write_json
from narrows.data.parquet import ParquetRow, attribution_schema, of_data, to_row
from narrows.data.source import Source
from narrows.data.units import check_kind
from narrows.errors import NarrowsError, NarrowsWarning
from narrows.evaluation.cost import measured
from narrows.explainer import Explainer
from narrows.methods.batches import Tick
from narrows.models.heads.target import Target
from narrows.models.heads.task import Question, Task
from narrows.models.hub.loading import LoadedModel, load_model
from narrows.models.memory import MOST_TOKENS, MOST_TOKENS_ELSEWHERE
from narrows.models.padding import sees_padding
from narrows.models.text.reader import Asked, Reader, Request
from narrows.run.parts import Chunk, Made, Receipt, cost_file, part_file, save_part
from narrows.run.settings import ExplainSettings
from narrows.run.store import Json, identify_method, identify_model, versions

TRIED = 5  # texts, before one that cannot be explained is taken for the rule
CHARACTERS = 5  # per token, about: to estimate work


class Worker:
    """Explains chunks of texts with a model that it loads once."""

    def __init__(self, settings: ExplainSettings, device: str | None = None, loaded: LoadedModel | None = None) -> None:
        """Load the model that the settings name, unless one is given, and check the settings against it."""
        self.settings = settings
        self.loaded = loaded or load_model(settings.model, device, settings.task)
        model, tokenizer = self.loaded.model, self.loaded.tokenizer
        self._target = None if settings.target == "predicted" else settings.target
        self._reader = Reader(model, tokenizer, settings.max_tokens, settings.long_texts)
        self._reader.check(self._target)
        check_kind(settings.unit_of)
        self.limit = self._reader.limit  # most tokens of a text; None = any number
        sees_padding(model, tokenizer)  # found out once per model, and here it does not count as a cost
        # Most tokens in a pass: which texts share one must not depend on the memory that is free now.
        self.tokens = settings.tokens_per_batch or MOST_TOKENS.get(model.device.type, MOST_TOKENS_ELSEWHERE)
        method: Any = settings.method  # settings know no model code
        prior = self.loaded.prior if settings.prior is None else settings.prior
        # The limit is given so that no text that is cut gives a warning.
        limits: Any = {"max_tokens": self.limit, "long_texts": settings.long_texts, "max_tokens_per_batch": self.tokens}
        self.explainer = Explainer(model, tokenizer, method, prior, **limits)
        configured = ("target", "unit_of", "check", "long_texts", "rows_per_part", "batch_size")
        same = {name: getattr(settings, name) for name in configured}
        self.about: Json = {  # what the attributions depend on beside the texts, for the manifest
            "model": identify_model(self.loaded),
            "prior": self.explainer.prior.name,
            "method": identify_method(self.explainer.method),
            "config": {**same, "max_tokens": self.limit, "tokens_per_batch": self.tokens},
            "versions": versions(),
        }

    def work(self, example: Example) -> float:
        """Estimate the work of a text: its characters, as far as the model reads them."""
        whole = self.limit is None or self.settings.long_texts == "windows"
        return _size(example) if whole else min(_size(example), CHARACTERS * self.limit)  # type: ignore[operator]

    def rehearse(self, examples: Iterable[Example]) -> NarrowsError | None:
        """Explain the shortest of some texts, and return what is wrong with it; an error of the model is raised."""
        # A text that cannot be explained may be the exception: then the next one is tried, and the first error returned
        # if none of a few can be.
        errors = []
        for example in sorted(examples, key=_size)[:TRIED]:
            found = next(self.explainer.each([self._request(example)], 1))
            if not isinstance(found, NarrowsError):
                return None
            errors.append(found)
        return next(iter(errors), None)

    @property
    def task(self) -> Task:
        """What the model's head is for."""
        return self._reader.task

    def ask(self, example: Example, target: Target) -> Question:
        """Encode one text with a target, as it was explained; for texts that are not read in windows."""
        (question,) = self._reader.ask(example, target, self.settings.unit_of).questions
        return question

    def check(self, texts: Source) -> None:
        """Check the labels' order, and let a method that looks texts up, as a file of scores does, look for all."""
        self._reader.check(self._target, texts.class_names)
        if (check := getattr(self.explainer.method, "check", None)) is not None:
            read = (self._reader.read(text, self._target) for text in texts)
            check(question for one in read if isinstance(one, Asked) for question in one.questions)

    def __call__(self, chunk: Chunk, out: Path, run_sha256: str, tick: Tick = lambda _: None) -> Made:
        """Make the part of a chunk in the folder of a run, and write what it cost beside it."""
        requests, size = map(self._request, chunk.rows), self.settings.batch_size
        with measured(self.loaded.model) as cost, warnings.catch_warnings():
            warnings.simplefilter("ignore", NarrowsWarning)  # what there is to say of a text is in its row
            found = list(self.explainer.each(requests, size, len(chunk.rows), tick))
        texts = enumerate(zip(chunk.rows, found, strict=True), start=chunk.first)
        rows = [self._row(number, text, own) for number, (text, own) in texts]
        spent: Json = {"texts": len(rows), "seconds": cost.seconds, "forward_equivalents": cost.forward_equivalents}
        spent["device"] = self.loaded.model.device.type
        write_json(cost_file(out, chunk.part), spent)  # first: every part has one
        tokens = sum(len(row.get("tokens", ())) for row in rows)
        failed = [f"text {row['row']}: {row['error']}" for row in rows if row.get("error")]
        receipt = Receipt(chunk.part, len(rows), len(failed), tokens, chunk.digest, run_sha256, *failed[:1])
        schema = attribution_schema(bool(getattr(self.explainer.method, "features", False)))
        return save_part(part_file(out, chunk.part), rows, schema, receipt)

    def _request(self, text: Example | NarrowsError) -> Request:
        return Request(text, self._target, self.settings.unit_of, self.settings.check)

    def _row(self, number: int, text: Example | NarrowsError, found: Attribution | NarrowsError) -> ParquetRow:
        """Make the row of a text: its number, and the attribution, or the error with what is known of the text."""
        facts: dict[str, Any] = {"row": number}
        if isinstance(found, NarrowsError):
            if isinstance(text, Example):
                found.row = known_of(text)
            failed = failed_row(found)
            return {**facts, **failed, **of_data(failed)}
        if (seed := getattr(self.explainer.method, "seed", None)) is not None:
            facts["seed"] = text_seed(seed, found.text, found.text_pair)
        if found.features is not None:
            facts["features"] = list(found.features)
        return to_row(found.to_dict(), facts)


def _size(example: Example) -> int:
    return len(example.text) + len(example.text_pair or "")
