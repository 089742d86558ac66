"""Maps of every head by the presets: against the algorithm written out on the model's own output, and alone or not."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid, softmax

import families
import reference
import tiny
from narrows.attribution import Attribution
from narrows.bottleneck.optimize import NoiseSource, text_seed
from narrows.bottleneck.prior import Prior
from narrows.explainer import Explainer
from narrows.methods.registry import find_method
from narrows.models.heads.target import Blank, Contrast, Distribution, Tag, Target
from narrows.viz.checked import check_sentence
from narrows.viz.html import render_page

LogP = Callable[[Tensor, Tensor], Tensor]
"""Maps the model's logits, (rows, ...), and those of the untouched text, (1, ...), to log p(target), (rows,)."""

MULTI = {"problem_type": "multi_label_classification"}
SPAN = {"num_labels": 2, "id2label": {0: "start", 1: "end"}}
GOOD = tiny.wordpiece_tokenizer().convert_tokens_to_ids("good")
BAD = tiny.byte_tokenizer(roberta=False)(" bad")["input_ids"]


@dataclass(frozen=True)
class Case:
    """A head, what is asked of it, what the model reads then, and log p(target) written out."""

    name: str
    head: str
    item: Any
    target: Target
    beside: tuple[Any, Target]  # a longer text, for padding
    log_p: LogP
    stem: str = "Bert"
    sizes: dict[str, Any] = field(default_factory=dict)
    read: tuple[int, ...] = ()  # tokens that are read behind the text
    odds: bool = True  # whether the target is an event with a probability


def same_each(logits: Tensor, own: Tensor) -> Tensor:
    p, q = own.sigmoid(), logits.sigmoid()
    return -(p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).sum(dim=-1)


def span(logits: Tensor, _: Tensor) -> Tensor:
    """The tokens are [CLS] is it [SEP] a good film [SEP]."""
    return log_softmax(logits[:, :, 0], dim=1)[:, 5] + log_softmax(logits[:, :, 1], dim=1)[:, 6]


def continued(logits: Tensor, _: Tensor) -> Tensor:
    """The last four places predict the four bytes of " bad", of which the first three are read."""
    log_p = log_softmax(logits[:, -len(BAD) :], dim=-1)
    return torch.stack([log_p[:, place, token] for place, token in enumerate(BAD)]).sum(dim=0)


CLASSES, TAGS, LONG = "ForSequenceClassification", "ForTokenClassification", "it is not a very bad film"
CASES = (
    Case("a class", CLASSES, "a good film", "positive", (LONG, None), lambda z, _: log_softmax(z, -1)[:, 2]),
    Case(
        *("a contrast", CLASSES, "a good film", Contrast("positive", "negative"), (LONG, None)),
        lambda z, _: logsigmoid(z[:, 2] - z[:, 0]),
    ),
    Case(
        *("all classes", CLASSES, "a good film", Distribution(), (LONG, Distribution())),
        lambda z, own: -(softmax(own, -1) * (log_softmax(own, -1) - log_softmax(z, -1))).sum(-1),
        odds=False,
    ),
    Case("a label", CLASSES, "a good film", "neutral", (LONG, None), lambda z, _: logsigmoid(z[:, 1]), sizes=MULTI),
    Case("all labels", CLASSES, "a good film", Distribution(), (LONG, None), same_each, sizes=MULTI, odds=False),
    Case(
        *("a number", CLASSES, "a good film", None, (LONG, None), lambda z, own: -0.5 * (z[:, 0] - own[:, 0]) ** 2),
        sizes={"num_labels": 1, "id2label": {0: "score"}},
        odds=False,
    ),
    Case(
        *("a tag", TAGS, "a good film", Tag("film", "neutral"), (LONG, Tag(0))),
        lambda z, _: log_softmax(z[:, 3], -1)[:, 1],
    ),
    Case(
        *("a contrast of tags", TAGS, "a good film", Tag("film", Contrast(0, 2)), (LONG, Tag("bad"))),
        lambda z, _: logsigmoid(z[:, 3, 0] - z[:, 3, 2]),
    ),
    Case(
        *("an answer", "ForQuestionAnswering", ("is it", "a good film"), "good film", (("is it", LONG), None)),
        *(span, "Bert", SPAN),
    ),
    Case(
        *("a blank", "ForMaskedLM", "a [MASK] film", "good", ("it is not a [MASK] film [MASK]", Blank(1))),
        lambda z, _: log_softmax(z[:, 2], -1)[:, GOOD],
    ),
    Case(*("a continuation", "LMHeadModel", "a film", " bad", (LONG, None), continued, "GPT2"), read=tuple(BAD[:-1])),
)


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    case: Case = request.param
    return case


class Suffix:
    """A model over one text, into which activations are put after a layer by hooks of our own."""

    def __init__(self, case: Case, model: nn.Module, tokenizer: Any, layer: int) -> None:
        texts = case.item if isinstance(case.item, tuple) else (case.item,)
        self.inputs = dict(tokenizer(*texts, return_tensors="pt"))
        if case.read:
            ids = torch.cat([self.inputs["input_ids"], torch.tensor([case.read])], dim=1)
            self.inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        self.case, self.model, self.layer = case, model, layer
        self.blocks = next(m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == tiny.BLOCKS)
        taken: list[Tensor] = []
        with torch.no_grad():
            self.own = self._run(1, lambda x: taken.append(x) or x)  # type: ignore[func-returns-value]
        self.x = taken[0][0]

    def _run(self, rows: int, change: Callable[[Tensor], Tensor]) -> Tensor:
        if self.layer == 0:
            handle = self.blocks[0].register_forward_pre_hook(lambda _, args: (change(args[0]), *args[1:]))
        else:
            handle = tiny.register_on_output(self.blocks[self.layer - 1], change)
        output = self.model(**{name: value.expand(rows, -1) for name, value in self.inputs.items()})
        handle.remove()
        start = getattr(output, "start_logits", None)
        return output.logits if start is None else torch.stack([start, output.end_logits], dim=-1)

    def log_p(self, activations: Tensor) -> Tensor:
        """Of (rows, tokens, hidden), (rows,)."""
        return self.case.log_p(self._run(len(activations), lambda _: activations), self.own)

    def scale(self, activations: Tensor) -> Tensor:
        """Log-odds of the target, log p - log (1 - p); of a target without a p minus the loss; nats, (rows,)."""
        log_p = self.log_p(activations)
        return log_p - torch.log(-torch.expm1(log_p)) if self.case.odds else log_p

    def evidence(self, mean: Tensor, points: int, interval: Sequence[float]) -> np.ndarray:
        """Bits per token: each mask moved alone, up and down, wherever all stand together on the path."""
        step, tokens = 1e-5, len(self.x)
        evidence = torch.zeros(tokens, dtype=torch.float64)
        length = interval[1] - interval[0]
        moves = step * torch.cat([torch.eye(tokens), -torch.eye(tokens)]).double()
        for place, weight in zip(*np.polynomial.legendre.leggauss(points), strict=True):
            masks = interval[0] + length * (place + 1) / 2 + moves
            with torch.no_grad():
                odds = self.scale(mean + masks.unsqueeze(-1) * (self.x - mean))
            evidence += length * weight / 2 * (odds[:tokens] - odds[tokens:]) / (2 * step) / math.log(2)
        return evidence.numpy()

    def two_logits(self, activation: reference.Matrix) -> tuple[list[float], Any]:
        """The target against all else, as two logits whose cross-entropy is -log p(target)."""
        put_in = torch.tensor(activation, dtype=torch.float64).unsqueeze(0).requires_grad_()
        other = torch.log(torch.expm1(-self.log_p(put_in)))
        (slope,) = torch.autograd.grad(other.sum(), [put_in])
        return [0.0, other.item()], lambda g: (g[1] * slope[0]).tolist()


def built(case: Case, make_prior: Callable[..., Prior]) -> tuple[tiny.Classifier, Prior]:
    model, tokenizer = families.of_task(case.stem, case.head, **case.sizes)
    return (model.double(), tokenizer), make_prior(model)


def explained(classifier: tiny.Classifier, prior: Prior, case: Case, method: Any) -> Attribution:
    """The map of the text alone, after a look that it is the same beside a longer one."""
    explainer = Explainer(*classifier, method, prior)
    alone = explainer(case.item, case.target)
    together, longer = explainer([case.item, case.beside[0]], [case.target, case.beside[1]])
    assert len(longer.tokens) > len(together.tokens)
    np.testing.assert_allclose(together.scores, alone.scores, rtol=1e-6, atol=1e-8)
    assert together.ranking == alone.ranking
    return alone


def test_evidence_is_what_is_written_out(case: Case, make_prior: Callable[..., Prior]) -> None:
    classifier, prior = built(case, make_prior)
    explained(classifier, prior, case, "best")  # in iterations
    method = find_method("best:iterations=1:layer=1,2:leave_out=false")
    got = explained(classifier, prior, case, method)
    assert got.layers == (1, 2)
    suffixes = [Suffix(case, *classifier, layer) for layer in got.layers]
    parts = [suffix.evidence(prior.mean[suffix.layer].double(), method.steps, method.interval) for suffix in suffixes]
    assert len(got.tokens) == len(parts[0])
    np.testing.assert_allclose(got.scores, np.mean(parts, axis=0), rtol=1e-5, atol=1e-5)
    assert np.abs(got.scores).max() > 1e-2


def test_what_a_typical_text_has_is_written_out(case: Case, make_prior: Callable[..., Prior]) -> None:
    """p(target) with the mean at every token, and the rise from there; None where the target has no probability."""
    classifier, prior = built(case, make_prior)
    got = explained(classifier, prior, case, "complete:steps=3:draws=0:layer=1,2")
    suffixes = [Suffix(case, *classifier, layer) for layer in (1, 2)]
    closed = [(s, prior.mean[s.layer].double().expand_as(s.x).unsqueeze(0)) for s in suffixes]
    with torch.no_grad():
        p = [float(s.log_p(mean).exp()) for s, mean in closed]
        rises = [
            float(s.scale(s.x.unsqueeze(0)) - s.scale(mean)) if case.odds else -float(s.log_p(mean))
            for s, mean in closed
        ]
    assert got.typical == (pytest.approx(sum(p) / 2, rel=1e-5) if case.odds else None)
    assert got.rise == pytest.approx(sum(rises) / 2 / math.log(2), rel=1e-4, abs=1e-6)


def test_the_papers_maps_are_the_algorithm_written_out(case: Case, make_prior: Callable[..., Prior]) -> None:
    classifier, prior = built(case, make_prior)
    steps, samples = 4, 2
    got = explained(classifier, prior, case, f"paper:layer=2:steps={steps}:samples={samples}")
    suffix = Suffix(case, *classifier, 2)
    x = suffix.x
    mean, std = (value[2].double().expand_as(x).tolist() for value in (prior.mean, prior.std))
    seed = text_seed(0, got.text, got.text_pair)
    source = NoiseSource([seed], torch.ones(1, len(x), dtype=torch.bool), x.shape[1])
    noise = [source.draw(samples)[0].tolist() for _ in range(steps + 1)]
    want = reference.explain(x.tolist(), mean, std, suffix.two_logits, 0, noise, steps, 1e-5, per_token=False)
    np.testing.assert_allclose(got.scores, want.bits, rtol=1e-4)
    assert [point.cross_entropy for point in got.trace] == pytest.approx(want.cross_entropy, rel=1e-4)


@pytest.mark.parametrize("unit_of", ["token", "word"])
def test_a_map_of_every_head_can_be_checked(case: Case, unit_of: Any, make_prior: Callable[..., Prior]) -> None:
    (model, tokenizer), prior = built(case, make_prior)
    found = Explainer(model, tokenizer, "fast", prior)(case.item, case.target, unit_of=unit_of, check=True)
    assert found.check is not None
    saved = found.to_dict()
    assert found.check.odds == case.odds
    sentence = check_sentence(saved)
    assert sentence is not None
    assert ("exp(-loss) of" in sentence) != case.odds
    assert "Removed one after the other" in render_page([saved])
    assert Attribution.from_dict(json.loads(json.dumps(saved))).check == found.check
