"""Many threads, one model: all get what they would get alone, and nobody sees that somebody else explains."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM

import tiny
from asking import QUICK, state_of
from narrows.bottleneck.module import LayerInformationBottleneck
from narrows.bottleneck.optimize import Optimization
from narrows.data.example import Example
from narrows.explainer import Explainer
from narrows.models.heads.target import Blank
from narrows.models.memory import TokenBudget
from narrows.models.text.encoding import encode
from tiny import Classifier

TEXTS = ("a good film, not bad", "bad", "the acting is superb it is", "not a very good act")
THREADS, ROUNDS = 8, 4


@pytest.fixture(autouse=True)
def _switching() -> Iterator[None]:
    """Switch threads as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def at_once(*works: Callable[[int], Any]) -> list[Any]:
    """Run functions of the number of the round in threads that start together; the results of each, in order."""
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[int], Any]) -> list[Any]:
        barrier.wait()
        return [work(number) for number in range(ROUNDS)]

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(timeout=120) for future in [pool.submit(run, work) for work in works]]


def logits(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model(**inputs).logits  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "method"),
    [("bert", "fast"), ("gpt2", "fast"), ("bert", "paper"), ("bert", "rollout"), ("bert", "ig:steps=2")],
)
def test_threads_explain_and_predict_on_one_model(
    make_classifier: Callable[..., Classifier], name: str, method: str
) -> None:
    model, tokenizer = make_classifier(name)
    inputs = [dict(tokenizer(text, return_tensors="pt")) for text in TEXTS]
    predicted = [logits(model, own) for own in inputs]
    before = state_of(model)
    explainer = Explainer(model, tokenizer, QUICK.get(method, method), "instance")
    expected = [own.scores for own in map(explainer, TEXTS)]

    def explain(number: int) -> None:
        place = number % len(TEXTS)
        np.testing.assert_allclose(explainer(TEXTS[place]).scores, expected[place], rtol=1e-5, atol=1e-6)

    def predict(number: int) -> None:
        place = number % len(TEXTS)
        assert torch.equal(logits(model, inputs[place]), predicted[place])
        assert state_of(model) == before

    at_once(*[explain, predict] * (THREADS // 2))
    assert state_of(model) == before


@pytest.mark.parametrize("method", ["gradient_shap", "kernel_shap:samples=12", "lime:samples=12", "random"])
def test_draws_are_a_texts_own_whatever_other_threads_draw(bert: Classifier, method: str) -> None:
    explainer = Explainer(*bert, method, "instance")
    expected = [own.scores for own in map(explainer, TEXTS)]

    def explain(number: int) -> None:
        place = number % len(TEXTS)
        np.testing.assert_allclose(explainer(TEXTS[place]).scores, expected[place], atol=1e-6)

    def draw(_: int) -> None:
        np.random.seed(3)
        torch.manual_seed(3)
        np.random.uniform(size=50)
        torch.rand(50)

    at_once(explain, explain, draw, explain)


@pytest.mark.parametrize("method", ["gradient_shap", "kernel_shap:samples=12", "lime:samples=12", "occlusion", "fast"])
def test_the_generators_that_all_threads_share_are_never_touched(
    bert: Classifier, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a global generator was set")

    explainer = Explainer(*bert, method, "instance")
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    for place in (torch, torch.random):
        monkeypatch.setattr(place, "set_rng_state", refuse)
    monkeypatch.setattr(np.random, "seed", refuse)
    monkeypatch.setattr(np.random, "set_state", refuse)
    explainer(TEXTS[0])
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numbers)  # type: ignore[index]


def test_heads_that_compute_some_positions_only() -> None:
    tokenizer = tiny.wordpiece_tokenizer()
    model = tiny.draw_weights(BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), **tiny.ENCODER)))
    explainer = Explainer(model, tokenizer, "fast", "instance")
    items = [("a [MASK] film", Blank(0)), ("it is not [MASK] and [MASK]", Blank(1))]
    expected = [explainer(text, target).scores for text, target in items]
    inputs = dict(tokenizer("a good film", return_tensors="pt"))
    predicted = logits(model, inputs)

    def explain(number: int) -> None:
        text, target = items[number % 2]
        np.testing.assert_allclose(explainer(text, target).scores, expected[number % 2], rtol=1e-5, atol=1e-6)

    def predict(_: int) -> None:
        assert torch.equal(logits(model, inputs), predicted)

    at_once(explain, predict, explain, predict)


def test_a_tokenizer_is_neither_read_nor_left_in_another_callers_settings(bert: Classifier) -> None:
    _, tokenizer = bert
    long = "good bad film " * 15
    expected = encode(tokenizer, Example(long), None)

    def cut_off(_: int) -> None:
        assert len(tokenizer(long, truncation=True, max_length=7)["input_ids"]) == 7

    def pad(_: int) -> None:
        rows = tokenizer(["good", "a good film"], padding="max_length", max_length=20)["input_ids"]
        assert [len(row) for row in rows] == [20, 20]

    def narrows(number: int) -> None:
        if number % 2:
            assert encode(tokenizer, Example(long), None) == expected
        else:
            assert len(encode(tokenizer, Example(long), 12)) == 12

    for work in (cut_off, pad):  # one of them at a time: callers among themselves are not our concern
        for _ in range(5):
            at_once(work, narrows, narrows, narrows)


def test_a_tokenizers_settings_are_the_callers_at_every_moment(
    bert: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, tokenizer = bert
    tokenizer.backend_tokenizer.enable_truncation(5)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    before = tokenizer.backend_tokenizer.truncation, tokenizer.backend_tokenizer.padding
    seen: list[Any] = []
    own = type(tokenizer)._encode_plus

    def watch(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = own(self, *args, **kwargs)
        seen.append((tokenizer.backend_tokenizer.truncation, tokenizer.backend_tokenizer.padding))
        return found

    monkeypatch.setattr(type(tokenizer), "_encode_plus", watch)
    assert len(encode(tokenizer, Example("good bad film " * 5), 10)) == 10
    assert seen == [before, before]


def test_what_a_user_changes_of_the_tokenizer_later_counts(bert: Classifier) -> None:
    _, tokenizer = bert
    text = Example("Zorblax films")
    assert "zorblax" not in encode(tokenizer, text, None).tokens
    tokenizer.add_tokens(["zorblax"])
    assert "zorblax" in encode(tokenizer, text, None).tokens
    backend = tokenizer.backend_tokenizer
    backend.post_processor = None
    assert encode(tokenizer, text, None).tokens[0] == "zorblax"
    backend.normalizer = None
    assert "zorblax" not in encode(tokenizer, text, None).tokens


def test_a_budget_that_several_threads_halve_only_falls() -> None:
    budget = TokenBudget(64)

    def work(rows: list[int]) -> int:
        if len(rows) == 8:
            budget.tokens = 8  # another thread was short of memory meanwhile
            raise MemoryError
        return len(rows)

    assert [len(rows) for rows, _ in budget.run([8] * 8, 8, work)] == [1] * 8
    assert budget.tokens == 8


def test_a_stream_that_is_abandoned_leaves_nothing_behind(any_classifier: Classifier) -> None:
    model, tokenizer = any_classifier
    model.train()
    before = state_of(model)
    explainer = Explainer(model, tokenizer, "fast", "instance")
    with torch.no_grad():
        stream = iter(explainer((text for text in TEXTS * 8), batch_size=1))
        next(stream)
        assert not torch.is_grad_enabled()
        assert state_of(model) == before
    assert torch.is_grad_enabled()
    with torch.inference_mode():
        next(stream)
        assert torch.is_inference_mode_enabled()
    assert not torch.is_inference_mode_enabled()
    assert next(stream).text
    del stream
    assert state_of(model) == before
    assert explainer(TEXTS[0]).text == TEXTS[0]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("method", ["fast", "paper:steps=2:samples=2", "rollout", "ig:steps=2", "occlusion"])
def test_an_error_or_ctrl_c_anywhere_leaves_model_and_contexts_as_they_were(
    bert: Classifier, method: str, error: type[BaseException]
) -> None:
    model, tokenizer = bert
    model.train()
    runs, limit = 0, 0

    def stop(*_: Any) -> None:
        nonlocal runs
        runs += 1
        if runs == limit:
            raise error("stop")

    model.get_submodule("bert.encoder.layer.2.output").register_forward_hook(stop)
    explainer = Explainer(model, tokenizer, method, "instance")
    explainer(TEXTS[0])  # now it has been tried out
    runs = 0
    explainer(TEXTS[0])
    before, most = state_of(model), runs
    for place in range(1, most + 1, max(most // 6, 1)):
        runs, limit = 0, place
        with pytest.raises(error, match="stop"), torch.no_grad():
            explainer(TEXTS[0])
        assert torch.is_grad_enabled()
        assert state_of(model) == before


def test_a_clean_up_that_fails_leaves_the_model_as_it_was(bert: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none on the model itself: what has to be undone is on a view that is thrown away."""
    model, tokenizer = bert
    model.train()
    explainer = Explainer(model, tokenizer, "ig:steps=2", "instance")
    expected = explainer(TEXTS[0]).scores
    before = state_of(model)
    with monkeypatch.context() as broken:

        def fail(_: Any) -> None:
            raise RuntimeError("cannot be removed")

        broken.setattr("torch.utils.hooks.RemovableHandle.remove", fail)
        with pytest.raises(RuntimeError, match="cannot be removed"):
            explainer(TEXTS[0])
        assert state_of(model) == before
        assert torch.is_grad_enabled()
    assert np.array_equal(explainer(TEXTS[0]).scores, expected)


def test_a_model_in_training_is_trained_as_if_nobody_explained(bert: Classifier) -> None:
    model, tokenizer = bert
    inputs = dict(tokenizer(TEXTS[0], return_tensors="pt"))
    model.eval()

    def gradients() -> list[Tensor]:
        model.zero_grad()
        model(**inputs, labels=torch.tensor([1])).loss.backward()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    expected = gradients()
    explainer = Explainer(model, tokenizer, "fast", "instance")

    def train(_: int) -> None:
        found = gradients()
        assert len(found) == len(expected)
        assert all(torch.equal(own, other) for own, other in zip(found, expected, strict=True))

    at_once(train, lambda _: explainer(TEXTS[1]), lambda _: explainer(TEXTS[2]))


def test_threads_share_a_layer_of_any_module() -> None:
    """At every moment of an attribution: another thread predicts, and its weights could be trained."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    rows = torch.randn(4, 5, 6)
    with torch.no_grad():
        predicted = model(rows)
    settings = Optimization(samples=2, steps=3)

    def forward(x: Tensor) -> Tensor:
        output: Tensor = pool.submit(model, rows).result()
        assert output.requires_grad
        assert torch.equal(output, predicted)
        return model(x).mean(dim=1)  # type: ignore[no-any-return]

    with ThreadPoolExecutor(1) as pool:
        watched = LayerInformationBottleneck(forward, model[1], optimization=settings).attribute(rows, target=1)
    alone = LayerInformationBottleneck(lambda x: model(x).mean(dim=1), model[1], optimization=settings)
    assert torch.equal(watched, alone.attribute(rows, target=1))
    at_once(*[lambda _: torch.testing.assert_close(alone.attribute(rows, target=1), watched)] * 3)
