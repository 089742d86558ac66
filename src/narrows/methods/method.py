"""What a method is, and what it gets: a frozen dataclass of settings that explains a `Batch` of texts.

To add a method of your own, write a class as below and hand an object of it to `Explainer` or to an evaluation, or wrap
a plain function of a batch in `FunctionMethod`.

    @dataclass(frozen=True)
    class TokenLength:
        names: ClassVar[Names] = {"length": {}}  # for `register`; not needed to use the object itself
        label, quantity, unit, signed, additive, copies = "token length", "score", "score", False, False, 1
        caption, how = "A score is the number of characters of the token.", ""

        def explain(self, batch: Batch) -> list[Attribution]:
            return batch.attributions(self, [np.array([len(t) for t in e.tokens]) for e in batch.encodings])
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Annotated, Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.attribution import Attribution
from narrows.bottleneck.optimize import text_seed
from narrows.bottleneck.prior import AnyPrior, Gaussian
from narrows.data.units import by_score, by_unit
from narrows.errors import InputError, NumericsError
from narrows.methods.cut_model import CutModel
from narrows.methods.registry import Described, describe, spec
from narrows.models.cut.split import Prefix, carry, check_finite, repeat_inputs, run_prefix, run_suffix, take_rows
from narrows.models.cut.view import weights_state
from narrows.models.heads.classifying import Classifying
from narrows.models.heads.goals import Goal, judge, judge_odds
from narrows.models.heads.task import Question, Resolved
from narrows.models.memory import TokenBudget
from narrows.models.plain import check_plain
from narrows.models.text.encoding import Encoding, collate, content_mask

Scores = NDArray[np.float64]
Unit = Sequence[int]  # positions of the tokens that are masked or removed together
T = TypeVar("T")
Names = dict[str, dict[str, Any]]  # of a class of methods, and what each changes of the defaults of its settings


class Method(Described, Protocol):
    """How a map is made: the fields of the dataclass are its settings."""

    @property
    def copies(self) -> int:
        """How many copies of a text go through the model at once."""

    def explain(self, batch: "Batch") -> list[Attribution]:
        """Explain each text by itself, drawing by `Batch.generator`; the model is frozen, gradients are on."""


@dataclass(frozen=True)
class Site:
    """One layer at which a batch of texts is narrowed or explained; what is held open stays as it is."""

    layer: int  # 0 = after the embeddings, n = after the n-th block
    suffix: Callable[[Tensor], Tensor]  # from activations (batch, samples, tokens, hidden) to logits
    carry: Callable[[Tensor, Sequence[int]], Mapping[int, Tensor]]  # from activation and layers to those deeper down
    goals: Sequence[Goal]  # what is explained of each text
    activation: Tensor  # X, (batch, tokens, hidden)
    prior: Gaussian  # mean and deviation, broadcastable to X
    narrowed: Tensor  # True where a token is neither padding nor held open, (batch, tokens)
    held: Tensor | None  # True where a token is left as it is, (batch, tokens); None = nowhere

    def logits(self, activation: Tensor) -> Tensor:
        """Compute logits of activations (batch, samples, tokens, hidden), with X where tokens are held open."""
        if self.held is not None:
            activation = torch.where(self.held[:, None, :, None], self.activation.unsqueeze(1), activation)
        return self.suffix(activation)

    def nll(self, activation: Tensor) -> Tensor:
        """Compute -log p(target) of activations (batch, samples, tokens, hidden): nats, (batch, samples)."""
        return judge(self.goals, self.logits(activation))

    def log_odds(self, activation: Tensor) -> Tensor:
        """Compute log-odds of the target of activations (batch, samples, tokens, hidden): nats, (batch, samples)."""
        return judge_odds(self.goals, self.logits(activation))

    def holding(self, tokens: Tensor) -> "Site":
        """Hold further tokens open, (batch, tokens)."""
        held = tokens if self.held is None else self.held | tokens
        return replace(self, held=held, narrowed=self.narrowed & ~tokens)


class Batch:
    """Texts that are explained together, as a method gets them.

    Attributes:
        cut: The model, and where it can be cut; `model` and `tokenizer` are its parts.
        questions: The texts, encoded, with what is asked of each.
        examples: The texts as they were written; `encodings`: as the model reads them.
        inputs: The model's tensors by name, (batch, tokens) each, padded on the right.
        real: True where a token is not padding, (batch, tokens).
        content: True where a token is part of a text, not special, (batch, tokens).
        units: Per text, the positions of the tokens of each unit, which are masked or removed together: single tokens
            of the text unless units were asked for; what is in none is context.
        budget: The most tokens that go through the model together; None = no limit.
    """

    def __init__(
        self,
        cut: CutModel,
        questions: Sequence[Question],
        answers: Sequence[Resolved] | None = None,
        budget: TokenBudget | None = None,
    ) -> None:
        self.cut, self.model, self.tokenizer = cut, cut.model, cut.tokenizer
        self.questions = tuple(questions)
        self.examples = tuple(question.example for question in questions)
        self.encodings: tuple[Encoding, ...] = tuple(question.encoding for question in questions)
        self.inputs = collate(self.encodings, cut.padding, cut.model.device)
        self.real = self.inputs["attention_mask"].bool()
        self.content = content_mask(self.encodings, self.real.device)
        self.units = tuple(question.units for question in self.questions)
        self._prefix: Prefix | None = None
        self._answers = None if answers is None else tuple(answers)
        self.budget = budget

    def __len__(self) -> int:
        return len(self.questions)

    def take(self, rows: Sequence[int]) -> "Batch":
        """Make a batch of some of the texts, in the order given."""
        return Batch(self.cut, [self.questions[row] for row in rows], [self.answers[row] for row in rows], self.budget)

    def share_out(self, copies: int, work: Callable[[list[int]], T]) -> list[T]:
        """Do work on copies of the batch, of which it gets the numbers: as many at once as fit into memory."""
        if self.budget is None:
            return [work(list(range(copies)))]
        return [done for _, done in self.budget.run([self.real.numel()] * copies, copies, work)]

    def reading(self, rows: Sequence[int] | None = None) -> AbstractContextManager[None]:
        """Let the head compute only what is asked of the texts that run: these rows; None = all, or copies of each."""
        questions = self.questions if rows is None else [self.questions[row] for row in rows]
        return self.cut.task.reading(self.model, questions)

    @cached_property
    def leaders(self) -> Tensor:
        """Position of the first token of the unit of each token, its own if it is in none, (batch, tokens)."""
        leaders = torch.arange(self.real.shape[1]).repeat(len(self), 1)
        for row, units in zip(leaders, self.units, strict=True):
            for unit in units:
                row[list(unit)] = unit[0]
        return leaders.to(self.real.device)

    @cached_property
    def leading(self) -> Tensor:
        """True where a token is the first of its unit, (batch, tokens)."""
        leading = torch.zeros(self.real.shape, dtype=torch.bool)
        for row, units in zip(leading, self.units, strict=True):
            row[[unit[0] for unit in units]] = True
        return leading.to(self.real.device)

    def pooled(self, values: Tensor) -> Tensor:
        """Sum what the tokens of a unit have, (batch, tokens), at the first of them; the others get 0."""
        return torch.zeros_like(values).scatter_add(1, self.leaders, values)

    def generator(self, seed: int, row: int) -> np.random.Generator:
        """Make the source of randomness of one text, the same whatever batch it is in."""
        return np.random.default_rng(self.seeds(seed)[row])

    def seeds(self, seed: int) -> list[int]:
        """Hash a seed with each text, (batch,)."""
        return [text_seed(seed, example.text, example.text_pair) for example in self.examples]

    def prefix(self, layers: Sequence[int]) -> Prefix:
        """Run the model once as it is and keep the activations of some layers; run again only for others."""
        if self._prefix is None or not set(layers) <= set(self._prefix.activations):
            with self.reading():
                self._prefix = run_prefix(self.cut.network, self.inputs, sorted(set(layers)))
            check_finite(self._prefix, self.real, self.examples)
            check_plain(self.model, self.encodings, self._prefix.logits, lambda row: self.reading([row]))
        return self._prefix

    @property
    def logits(self) -> Tensor:
        """What the model gives for the texts, (batch, classes) or those of another head."""
        return self.prefix(()).logits

    @property
    def answers(self) -> tuple[Resolved, ...]:
        """What is explained of each text, what is predicted, and the probabilities."""
        if self._answers is None:
            pairs = zip(self.questions, self.logits, strict=True)
            self._answers = tuple(self.cut.task.resolve(question, logits) for question, logits in pairs)
        return self._answers

    @cached_property
    def goals(self) -> list[Goal]:
        """The objective of each text."""
        return [answer.goal for answer in self.answers]

    @property
    def targets(self) -> list[int]:
        """Index of the class that is explained, per text; an `InputError` if it is not one class of a classifier."""
        if not isinstance(self.cut.task, Classifying) or not all(hasattr(goal, "index") for goal in self.goals):
            raise InputError("this method explains one class of a classifier; the target is something else")
        return [goal.index for goal in self.goals]  # type: ignore[attr-defined]

    @cached_property
    def read(self) -> Tensor:
        """True at the token of a text at which a decoder's answer is read, if the text has others, (batch, tokens)."""
        found = torch.zeros_like(self.real)
        for row, question in enumerate(self.questions):
            place = self.cut.task.read_at(question)
            if place is not None and len(question.encoding) > 1:
                found[row, place] = True
        return found

    @cached_property
    def log_odds(self) -> Tensor:
        """Log-odds of the targets of the texts as they are, nats, (batch,)."""
        return judge_odds(self.goals, self.logits.unsqueeze(1)).squeeze(1).detach()

    def site(self, layer: int, prior: AnyPrior | None = None) -> "Site":
        """Cut the model after a layer: the activations there, the prior (None = the model's), and what comes after."""
        chosen = prior or self.cut.prior
        prefix = self.prefix([layer, *chosen.needs(layer)])
        sinks = self.cut.sinks if chosen.sinks is None else chosen.sinks
        held = sinks.of(self.inputs["input_ids"], self.real)
        narrowed = self.real if held is None else self.real & ~held
        return Site(
            layer=layer,
            suffix=partial(self._suffix, layer, prefix),
            carry=partial(self._carry, layer, prefix),
            goals=self.goals,
            activation=prefix.activations[layer],
            prior=chosen.at(layer, prefix.activations, narrowed),
            narrowed=narrowed,
            held=held,
        )

    def sites(self, layers: Sequence[int], prior: AnyPrior | None = None) -> "list[Site]":
        """Cut the model after several layers; one plain run serves them all."""
        chosen = prior or self.cut.prior
        self.prefix([need for layer in layers for need in (layer, *chosen.needs(layer))])
        return [self.site(layer, prior) for layer in layers]

    def _suffix(self, layer: int, prefix: Prefix, activation: Tensor) -> Tensor:
        """Run what comes after a layer: (batch, samples, tokens, hidden) -> (batch, samples, ...)."""
        samples = activation.shape[1]
        repeated = repeat_inputs(self.inputs, samples)
        with self.reading():
            logits = run_suffix(self.cut.network, prefix, repeated, layer, activation.flatten(0, 1))
        return logits.view(len(self), samples, *logits.shape[1:])

    def _carry(self, layer: int, prefix: Prefix, activation: Tensor, layers: Sequence[int]) -> Mapping[int, Tensor]:
        """Run blocks after a layer: what an activation (batch, tokens, hidden) becomes deeper down."""
        with self.reading():
            return carry(self.cut.network, prefix, self.inputs, layer, activation, layers)

    def typical_odds(self, site: "Site", prior: AnyPrior) -> Tensor:
        """Compute log-odds with all tokens at the prior's mean, nats, (batch,)."""
        return judge_odds(self.goals, self.typical_logits(site, prior).unsqueeze(1)).squeeze(1)

    def typical_logits(self, site: "Site", prior: AnyPrior) -> Tensor:
        """Compute logits with all tokens at the prior's mean, (batch, ...); of a classifier once per length."""
        mean = site.prior.mean.to(site.activation).expand_as(site.activation)
        with torch.no_grad():
            if prior.per_text or site.held is not None or not isinstance(self.cut.task, Classifying):
                return site.logits(mean.unsqueeze(1)).squeeze(1)
            start = (prior.name, site.layer, *weights_state(self.model))
            keys = [(*start, len(encoding)) for encoding in self.encodings]
            known = self.cut.typical_logits
            if new := {key: row for row, key in enumerate(keys) if key not in known}:
                rows = list(new.values())
                prefix, inputs = take_rows(self.prefix([site.layer]), self.inputs, rows)
                with self.reading(rows):
                    logits = run_suffix(self.cut.network, prefix, inputs, site.layer, mean[rows])
                known.update(zip(new, logits, strict=True))
            return torch.stack([known[key] for key in keys])

    def attributions(
        self,
        method: "Method",
        scores: Sequence[Scores] | Tensor,
        *,
        rankings: Sequence[Sequence[int] | None] | None = None,
        layers: tuple[int, ...] | None = None,
        prior: AnyPrior | None = None,
        extras: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[Attribution]:
        """Make the results of the batch, one attribution per text.

        Args:
            method: What made the scores.
            scores: Per text (tokens,), or padded together, (batch, tokens).
            rankings: Positions of content tokens, of units at least one each, first removed first; None, of all or of
                one text = by falling scores, ties by position.
            layers: Where the model was cut; None for a method that looks at no layer.
            prior: The prior that was used; None = none.
            extras: Further fields of `Attribution` for each text: trace, typical, rise, features, record.

        Raises:
            NumericsError: If there is not one finite score per token.
        """
        about, blocks = describe(method), self.cut.blocks
        record: dict[str, Any] = {"blocks": blocks, "dtype": str(self.model.dtype).removeprefix("torch.")}
        calibration = getattr(prior, "calibration", None)
        if calibration is not None and calibration.method == spec(method):
            record["calibration"] = calibration.to_dict()
        made = []
        for row, (question, answer) in enumerate(zip(self.questions, self.answers, strict=True)):
            encoding, extra = question.encoding, dict(extras[row]) if extras else {}
            own = self._scores_of(row, scores[row], about["label"])
            given = None if rankings is None else rankings[row]
            ranking = by_score(own, encoding.segments, question.units) if given is None else tuple(given)
            if given is not None and question.places is not None:
                ranking = by_unit((*given, *by_score(own, encoding.segments)), question.units)
            facts: dict[str, Any] = {"unknown": encoding.unknown} if encoding.unknown else {}
            if question.places is not None:
                facts["unit_of"] = question.unit_of
            made.append(
                Attribution(
                    text=question.example.text,
                    text_pair=question.example.text_pair,
                    tokens=encoding.tokens,
                    offsets=encoding.offsets,
                    segments=encoding.segments,
                    scores=own,
                    ranking=ranking,
                    target=answer.target,
                    predicted=answer.predicted,
                    probabilities=dict(answer.probabilities),
                    layers=layers,
                    method=about,
                    truncated=encoding.truncated,
                    id=question.example.id,
                    gold=None if question.example.label is None else str(question.example.label),
                    model=self.cut.name,
                    prior=None if prior is None else prior.name,
                    record={**record, **facts, **answer.record, **extra.pop("record", {})},
                    places=question.places,
                    **extra,
                )
            )
        return made

    def _scores_of(self, row: int, scores: Scores | Tensor, label: str) -> Scores:
        """Cut the padding off the scores of a text, and make sure that there is one finite score per token."""
        if isinstance(scores, Tensor):
            scores = scores[: len(self.encodings[row])].detach().cpu().double().numpy()
        own = np.asarray(scores, dtype=np.float64)
        if own.shape != (len(self.encodings[row]),):
            raise NumericsError(f"{label} gave scores of shape {own.shape} for {len(self.encodings[row])} tokens")
        if not np.isfinite(own).all():
            raise NumericsError(f"{label} gave NaN or infinity for {self.examples[row].text!r:.60}")
        return own


@dataclass(frozen=True)
class FunctionMethod:
    """A function as a method, for an evaluation or an `Explainer`.

    Attributes:
        function: From a batch to the scores of each text, (tokens,) each; special tokens are scored too, or 0.
        label, unit, signed, additive, caption: What its scores are, as in `Method`.

    Example:
        >>> from narrows import Explainer
        >>> count = FunctionMethod(lambda batch: [np.ones(len(e)) for e in batch.encodings], label="one each")
        >>> Explainer.from_pretrained("sentiment", method=count)("Good.").scores
        array([1., 1., 1., 1.])
    """

    function: Annotated[Callable[[Batch], Sequence[Scores]], "From a batch to the scores of each text."]
    label: str = "function"
    unit: str = "score"
    signed: bool = True
    additive: bool = False
    caption: str = "The higher a score, the more the token speaks for the target."
    quantity, how, copies = "score", "", 1

    def explain(self, batch: "Batch") -> list[Attribution]:
        """Call the function."""
        return batch.attributions(self, self.function(batch))


def in_rows(batch: "Batch", units: Sequence[Sequence[Unit]], values: Sequence[Scores] | Scores) -> list[Scores]:
    """Share the value of each unit of each text, perhaps padded, out among its tokens; what is in none gets 0."""
    rows = [np.zeros(len(encoding)) for encoding in batch.encodings]
    for row, parts, own in zip(rows, units, values, strict=True):
        for unit, value in zip(parts, own, strict=False):
            row[list(unit)] = value / len(unit)
    return rows


def average(parts: Sequence[Tensor]) -> Tensor:
    """Average tensors of one shape."""
    return torch.stack(list(parts)).mean(dim=0)
