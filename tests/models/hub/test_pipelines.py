"""Pipelines of transformers, models placed by accelerate, and devices without float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import pipeline

import families
from narrows.data.example import Example
from narrows.errors import ModelError
from narrows.explainer import Explainer
from narrows.models.heads.target import Tag
from narrows.models.predict import predict
from narrows.models.text.encoding import encode
from tiny import Classifier

QUICK: dict[str, Any] = {"method": "information:layer=1:steps=2:samples=2", "prior": "instance"}
PIPELINES = (
    ("text-classification", "Bert", "ForSequenceClassification", "a good film", None),
    ("token-classification", "Bert", "ForTokenClassification", "a good film", Tag("film")),
    ("question-answering", "Bert", "ForQuestionAnswering", ("is it bad", "a good film"), None),
    ("fill-mask", "Bert", "ForMaskedLM", "a [MASK] film", None),
    ("text-generation", "GPT2", "LMHeadModel", "a good", None),
)


@pytest.mark.parametrize(("task", "stem", "head", "item", "target"), PIPELINES, ids=lambda value: str(value)[:20])
def test_a_pipelines_prediction_is_explained(task: str, stem: str, head: str, item: Any, target: Any) -> None:
    sizes = families.TWO_ENDS if head == "ForQuestionAnswering" else {}
    model, tokenizer = families.of_task(stem, head, **sizes)
    pipe = SimpleNamespace(task=task, model=model, tokenizer=tokenizer)  # not every version has every pipeline
    got = Explainer.from_pipeline(pipe, **QUICK)(item, target)  # type: ignore[arg-type]
    expected = Explainer(model, tokenizer, **QUICK)(item, target)
    np.testing.assert_allclose(got.scores, expected.scores)


def test_a_real_pipeline_says_the_same_and_streams_stay_streams(bert: Classifier) -> None:
    pipe = pipeline("text-classification", model=bert[0], tokenizer=bert[1])
    explainer = Explainer.from_pipeline(pipe, **QUICK)
    texts = ["a good film", "bad", "not very good"]
    taken: list[str] = []

    def stream() -> Iterator[str]:
        for text in texts * 200:
            taken.append(text)
            yield text

    attributions = explainer(stream(), batch_size=2)
    assert isinstance(attributions, Iterator)
    first = next(attributions)
    assert len(taken) < 100
    said = pipe("a good film")[0]
    assert first.predicted == said["label"]
    assert first.probabilities[said["label"]] == pytest.approx(said["score"], rel=1e-5)


@pytest.mark.parametrize("task", ["zero-shot-classification", "image-classification"])
def test_other_pipelines_are_refused(task: str) -> None:
    with pytest.raises(ModelError, match=f"'{task}' cannot be explained"):
        Explainer.from_pipeline(SimpleNamespace(task=task))  # type: ignore[arg-type]


def test_a_model_placed_by_accelerate_works_and_keeps_its_hooks(make_classifier: Callable[..., Classifier]) -> None:
    accelerate = pytest.importorskip("accelerate")
    model, tokenizer = make_classifier("bert")
    expected = Explainer(model, tokenizer, **QUICK)("a good film")
    whole = {
        "bert.embeddings": "cpu",
        "bert.encoder": "cpu",
        "bert.pooler": "cpu",
        "classifier": "cpu",
        "dropout": "cpu",
    }
    placed = accelerate.dispatch_model(model, device_map=whole, main_device="cpu", force_hooks=True)
    forwards = [module.__dict__.get("forward") for module in placed.modules()]
    assert any(forwards)
    got = Explainer(placed, tokenizer, **QUICK)("a good film")
    np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-4)
    assert [module.__dict__.get("forward") for module in placed.modules()] == forwards


def test_a_model_whose_weights_are_elsewhere_is_refused(make_classifier: Callable[..., Classifier]) -> None:
    accelerate = pytest.importorskip("accelerate")
    model, tokenizer = make_classifier("bert")
    offloaded = accelerate.cpu_offload(model, execution_device="cpu")
    with pytest.raises(ModelError, match=r"not in memory.*without offloading"):
        Explainer(offloaded, tokenizer, **QUICK)("a good film")


def test_no_double_is_made_on_a_device(bert: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Apple's GPUs know no float64: a tensor may become one only after it came to the CPU, which is marked here."""
    to_cpu, to_double, to = Tensor.cpu, Tensor.double, Tensor.to

    def cpu(self: Tensor) -> Tensor:
        arrived = to_cpu(self)
        arrived.has_arrived = True  # type: ignore[attr-defined]
        return arrived

    def double(self: Tensor) -> Tensor:
        assert getattr(self, "has_arrived", False)
        return to_double(self)

    def checked(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        assert torch.float64 not in (*args, *kwargs.values())
        return to(self, *args, **kwargs)

    monkeypatch.setattr(Tensor, "cpu", cpu)
    monkeypatch.setattr(Tensor, "double", double)
    monkeypatch.setattr(Tensor, "to", checked)
    model, tokenizer = bert
    for method in ("information_signed:layer=1:steps=2:samples=2", "fast:layer=1:points=2:iterations=2"):
        assert Explainer(model, tokenizer, method, "instance")(["a good film", "bad"])
    assert predict(model, tokenizer, [encode(tokenizer, Example("bad"), None)]).shape == (1, 3)
