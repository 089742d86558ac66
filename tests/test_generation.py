"""Responses explained token by token: against explanations one by one, and what cannot be seen is exactly zero."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

import families
import narrows.methods.response as response_module
import tiny
from narrows import Attribution, Contrast, Evidence, Explainer, GenerationAttribution, Prior, estimate_prior
from narrows.data import maps
from narrows.data.calibration import Calibration
from narrows.errors import DependencyError, InputError, ModelError, TargetError
from narrows.methods.batches import explain_in_batches
from narrows.methods.response import Response

PROMPT, RESPONSE = "it is not a", " very good film"
TEXTS = ["a good film", "it is not bad", "the acting is superb", "a very bad film it is"]
MANY = Evidence(layer=2, steps=60, iterations=1, interval=(0.0, 1.0), leave_out=False)


@pytest.fixture(scope="module")
def llama() -> tiny.Classifier:
    return families.of_task("Llama", "ForCausalLM", vocab_size=len(families.tokenizer("pieces")))


@pytest.fixture(scope="module")
def prior(llama: tiny.Classifier) -> Prior:
    return estimate_prior(*llama, TEXTS)


@pytest.fixture(scope="module")
def found(llama: tiny.Classifier, prior: Prior) -> GenerationAttribution:
    return Explainer(*llama, "fast", prior)(PROMPT, RESPONSE, per_token=True)


def one_by_one(explainer: Explainer, text: str, response: str) -> list[Attribution]:
    """The slow, obvious way: a question per output, without shared passes."""
    (question,) = explainer._reader.ask(text, response).questions
    asked = Response.of(explainer.tokenizer, question)
    method = response_module.in_one_iteration(explainer.method)
    found = explain_in_batches(explainer._cut, explainer._budget, asked.questions(), [method], 1)
    return [own for (own,) in found]  # type: ignore[union-attr]


@pytest.mark.parametrize("stem", ["Llama", "GPT2", "Gemma2"])
@pytest.mark.parametrize("method", ["complete:steps=4", "fast:layer=1:steps=5:leave_out=false", "best:leave_out=false"])
def test_shared_passes_give_what_one_by_one_gives(stem: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    looking = response_module.look_for_each
    monkeypatch.setattr(response_module, "look_for_each", lambda *args: passes.append(1) or looking(*args))
    classifier = families.of_task(stem, "LMHeadModel" if stem == "GPT2" else "ForCausalLM")
    explainer = Explainer(*classifier, method, estimate_prior(*classifier, TEXTS))
    shared, slow = explainer(PROMPT, RESPONSE, per_token=True), one_by_one(explainer, PROMPT, RESPONSE)
    assert len(shared) == len(slow) > 2
    for own, other in zip(shared, slow, strict=True):
        assert np.allclose(own.scores, other.scores, rtol=1e-3, atol=1e-4)
        assert (own.tokens, own.text_pair, own.target, own.layers) == (
            other.tokens,
            other.text_pair,
            other.target,
            other.layers,
        )
        assert own.typical == pytest.approx(other.typical, abs=1e-5)
        assert own.rise == (None if other.rise is None else pytest.approx(other.rise, abs=1e-3))
        assert own.probability == pytest.approx(other.probability, abs=1e-5)
        assert own.record == {**other.record, "output": len(own.tokens)}
    assert shared.method["settings"]["iterations"] == 1
    assert len(passes) == len(shared.layers or ())


def test_the_settings_of_a_calibration_serve_generations_too(llama: tiny.Classifier, prior: Prior) -> None:
    drops = {"fast": (0.4, 0.3, 0.5)}
    measured = Calibration("fast", (2,), 40, drops, drops, drops, (0.3, 0.2, 0.4))
    own = Explainer(*llama, "fast", replace(prior, calibration=measured))
    assert own(PROMPT, RESPONSE, per_token=True).layers == own(PROMPT, RESPONSE).layers == (2,)
    moved = replace(prior, calibration=replace(measured, layers=None, interval=(0.4, 1.0)))
    found, asked = (
        Explainer(*llama, method, own)(PROMPT, RESPONSE, per_token=True)
        for method, own in (("fast", moved), ("fast:interval=0.4,1.0", prior))
    )
    assert np.array_equal(found.scores, asked.scores) and found.method == asked.method


def test_an_output_is_what_the_next_token_is_behind_the_same_text(llama: tiny.Classifier, prior: Prior) -> None:
    """By another way still: the public explanation of the next token, of the first output."""
    explainer = Explainer(*llama, Evidence(steps=3, iterations=1, leave_out=False), prior)
    first = explainer(PROMPT, RESPONSE, per_token=True)[0]
    alone = explainer(PROMPT, target=[llama[1](PROMPT + RESPONSE)["input_ids"][len(first.tokens)]])
    assert np.allclose(first.scores, alone.scores, rtol=1e-3, atol=1e-4)


def test_no_output_sees_what_comes_later(found: GenerationAttribution) -> None:
    for output, own in zip(found.outputs, found.scores, strict=True):
        assert not own[output.place :].any()
        assert np.count_nonzero(own[: output.place]) > 1
    assert [output.place for output in found.outputs] == list(
        range(found.outputs[0].place, found.outputs[0].place + len(found))
    )


def test_a_model_whose_tokens_see_later_ones_is_explained_one_by_one(
    llama: tiny.Classifier, prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer = Explainer(*llama, "fast:leave_out=false", prior)
    expected = explainer(PROMPT, RESPONSE, per_token=True)
    looking = response_module.look_for_each

    def leak(*args: Any) -> Any:
        found = looking(*args)
        return replace(found, evidence=torch.ones_like(found.evidence))

    monkeypatch.setattr(response_module, "look_for_each", leak)
    assert np.allclose(explainer(PROMPT, RESPONSE, per_token=True).scores, expected.scores, rtol=1e-3, atol=1e-4)


def test_evidence_adds_up_to_the_rise_of_each_output(llama: tiny.Classifier, prior: Prior) -> None:
    found = Explainer(*llama, MANY, prior)(PROMPT, RESPONSE, per_token=True)
    assert found.additive
    assert found.rise is not None and found.missed is not None
    assert np.abs(found.missed).max() < 0.02 * np.abs(found.rise).max()
    total = found.total()
    assert total.rise == pytest.approx(found.rise.sum())
    assert total.missed == pytest.approx(found.missed.sum(), abs=1e-9)


@pytest.mark.parametrize(
    "method", ["fast", "occlusion", "ig:steps=4", "lime:samples=20", "random", "paper:layer=1:steps=2"]
)
def test_other_methods_explain_one_by_one(llama: tiny.Classifier, prior: Prior, method: str) -> None:
    explainer = Explainer(*llama, method, prior)
    found, slow = explainer(PROMPT, RESPONSE, per_token=True), one_by_one(explainer, PROMPT, RESPONSE)
    close = {"rtol": 1e-3, "atol": 1e-4}
    assert all(np.allclose(own.scores, other.scores, **close) for own, other in zip(found, slow, strict=True))
    assert found.method["name"] == method.partition(":")[0]
    assert found.rise is None and found.missed is None


def test_a_prior_of_the_text_itself_is_of_what_each_output_reads(llama: tiny.Classifier) -> None:
    explainer = Explainer(*llama, "fast", "instance")
    found, slow = explainer(PROMPT, RESPONSE, per_token=True), one_by_one(explainer, PROMPT, RESPONSE)
    close = {"rtol": 1e-3, "atol": 1e-4}
    assert all(np.allclose(own.scores, other.scores, **close) for own, other in zip(found, slow, strict=True))


def test_one_generates_what_the_model_generates(llama: tiny.Classifier, prior: Prior) -> None:
    model, tokenizer = llama
    explainer = Explainer(model, tokenizer, "random", prior)
    given = tokenizer(PROMPT, return_tensors="pt")["input_ids"][:, :-1]  # without the end of text
    for options in ({}, {"num_beams": 3}, {"repetition_penalty": 5.0}):
        wanted = model.generate(
            given, attention_mask=torch.ones_like(given), max_new_tokens=4, do_sample=False, pad_token_id=0, **options
        )
        found = explainer.generate(PROMPT, 4, options=options)
        ids = [output.token_id for output in found.outputs]
        written = wanted[0, given.shape[1] :].tolist()
        assert ids == written[: len(ids)] and set(written[len(ids) :]) <= {2}
    greedy = explainer.generate(PROMPT, 4)
    assert all(output.predicted == output.target for output in greedy.outputs)


def test_generation_leaves_model_tokenizer_and_random_numbers_alone(llama: tiny.Classifier, prior: Prior) -> None:
    model, tokenizer = llama
    before = (torch.get_rng_state(), model.generation_config.to_dict(), model.training, set(vars(model)))
    Explainer(model, tokenizer, "fast", prior).generate(PROMPT, 3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (model.generation_config.to_dict(), model.training, set(vars(model))) == before[1:]


@contextmanager
def counted_logits(model: PreTrainedModel, graded: bool = False) -> Iterator[list[int]]:
    """Count the rows of logits that any view of a model makes at once; graded: those for a backward pass."""
    rows: list[int] = []
    original = torch.nn.functional.linear

    def linear(given: torch.Tensor, weight: torch.Tensor, *rest: Any) -> torch.Tensor:
        if len(weight) == model.config.vocab_size and given.requires_grad >= graded:
            rows.append(given.shape[:-1].numel())
        return original(given, weight, *rest)

    torch.nn.functional.linear = linear  # type: ignore[assignment]
    try:
        yield rows
    finally:
        torch.nn.functional.linear = original


def test_of_a_long_prompt_only_the_logits_that_are_read_are_made(llama: tiny.Classifier, prior: Prior) -> None:
    model, tokenizer = llama
    method = Evidence(steps=4, iterations=1, layer=1, leave_out=False)
    explainer = Explainer(model, tokenizer, method, prior, max_tokens_per_batch=70)
    prompt = "a good film " * 4
    explainer(prompt, RESPONSE, per_token=True)  # models are tried out at their first use
    with counted_logits(model) as rows:
        found = explainer(prompt, RESPONSE, per_token=True)
    assert len(found.tokens) > 30
    # One plain pass, the points, two at a time at most, and one typical text; nothing else, whatever the outputs.
    assert max(rows) <= 2 * len(found)
    assert sum(rows) <= (1 + 4 + 1) * len(found)


def test_points_of_a_long_text_are_followed_a_few_at_a_time(llama: tiny.Classifier, prior: Prior) -> None:
    """The map is the same, and no pass holds more copies of the text than the budget allows."""
    whole, few = (Explainer(*llama, "fast", prior, max_tokens_per_batch=most) for most in (4096, 10))
    assert np.allclose(whole(PROMPT).scores, few(PROMPT).scores, rtol=1e-4, atol=1e-5)
    with counted_logits(llama[0], graded=True) as rows:
        outputs = len(few(PROMPT, RESPONSE, per_token=True))
    assert set(rows) == {outputs}  # one point at a time


def test_parts_and_sums(found: GenerationAttribution) -> None:
    assert isinstance(found[0], Attribution) and found[-1].target == found.outputs[-1].target
    assert np.array_equal(found[1].scores, found.scores[1, : len(found[1].tokens)])
    part = found[1:]
    assert isinstance(part, GenerationAttribution) and len(part) == len(found) - 1
    assert np.array_equal(part.scores, found.scores[1:])
    total = found.total()
    assert np.allclose(total.scores, found.scores.sum(axis=0)[: len(total.tokens)])
    assert total.target == found.response == RESPONSE
    assert total.probability == pytest.approx(np.prod([own.probability for own in found]))
    assert [own.target for own in found] == [output.target for output in found.outputs]
    with pytest.raises(InputError, match="no outputs"):
        found[50:]
    with pytest.raises(IndexError):
        found[50]
    assert "outputs x" in repr(found)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"scores": np.zeros((1, 2))}, "shape"),
        ({"offsets": ()}, "offsets"),
        ({"scores": np.full((3, 7), np.nan)}, "NaN"),
        ({"scores": np.ones((3, 7))}, "cannot see"),
    ],
)
def test_what_does_not_fit_is_refused(found: GenerationAttribution, changes: dict[str, Any], says: str) -> None:
    if "scores" in changes and changes["scores"].shape == (3, 7):
        changes = {"scores": np.full(found.scores.shape, changes["scores"][0, 0])}
    with pytest.raises(InputError, match=says):
        replace(found, **changes)


def same(one: GenerationAttribution, other: GenerationAttribution) -> bool:
    return np.array_equal(one.scores, other.scores) and one.to_dict() == other.to_dict()


def test_files(found: GenerationAttribution, tmp_path: Path) -> None:
    found.save(tmp_path / "found.json")
    assert same(GenerationAttribution.load(tmp_path / "found.json"), found)
    assert same(pickle.loads(pickle.dumps(found)), found) and same(copy.deepcopy(found), found)
    for name in ("rows.jsonl", "rows.parquet"):
        found.save(tmp_path / name)
        rows = [Attribution.from_dict(row) for row in maps.read_maps(tmp_path / name)]
        assert all(np.array_equal(row.scores, own.scores) for row, own in zip(rows, found, strict=True))
        assert [row.record["output"] for row in rows] == [output.place for output in found.outputs]
    for bad in ({}, {**found.to_dict(), "method": 3}):
        with pytest.raises(InputError, match="no saved generation"):
            GenerationAttribution.from_dict(bad)
    for name in ("a.txt", "a.tex"):
        with pytest.raises(InputError, match="must end in"):
            found.save(tmp_path / name)
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(InputError, match=r"bad\.json"):
        GenerationAttribution.load(tmp_path / "bad.json")


def test_a_frame_is_long(found: GenerationAttribution, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = found.to_frame()
    assert len(frame) == sum(output.place for output in found.outputs)
    row = frame[(frame.output == 1) & (frame.position == 2)].iloc[0]
    assert (row.token, row.score, row.target) == (found.tokens[2], found.scores[1, 2], found.outputs[1].target)
    assert frame["id"].isna().all()
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(DependencyError, match="pip install pandas"):
        found.to_frame()


def test_responses_as_ids_and_text_are_the_same(llama: tiny.Classifier, prior: Prior) -> None:
    explainer = Explainer(*llama, "fast", prior)
    by_text = explainer(PROMPT, RESPONSE, per_token=True)
    by_ids = explainer.generate(PROMPT, response=[output.token_id for output in by_text.outputs])
    assert np.array_equal(by_text.scores, by_ids.scores) and by_ids.response == RESPONSE
    alone = explainer.generate(PROMPT, response=by_text.outputs[0].token_id)  # type: ignore[arg-type]
    assert np.allclose(alone.scores, by_text.scores[:1, : alone.scores.shape[1]], atol=1e-4)
    ended = explainer.generate(PROMPT, response=[by_text.outputs[0].token_id, 2])
    assert ended.outputs[-1].token_id == 2 and ended.segments[-1] is None


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda e: e(PROMPT, per_token=True), InputError, "response as target"),
        (lambda e: e([PROMPT], RESPONSE, per_token=True), InputError, "one prompt"),
        (lambda e: e(PROMPT, "", per_token=True), TargetError, "continuation"),
        (lambda e: e(PROMPT, Contrast("a", "b"), per_token=True), TargetError, "text or token ids"),
        (lambda e: e.generate(PROMPT, 0), InputError, "max_new_tokens"),
        (lambda e: e.generate(PROMPT, 60), InputError, "the model takes 64"),
        (lambda e: e.generate(PROMPT, 3, options={"beams": 2}), InputError, "no generation option 'beams'"),
        (lambda e: e.generate(PROMPT, 3, options={"max_length": 2}), InputError, "no generation option"),
        (lambda e: e.generate(PROMPT, 3, options=[2]), InputError, "mapping"),
        (lambda e: e.generate(PROMPT, response=" good", options={"num_beams": 2}), InputError, "response is given"),
        (lambda e: e.generate([{"role": "user", "content": "a film"}]), InputError, "no chat template"),
    ],
)
def test_refusals(llama: tiny.Classifier, prior: Prior, call: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        call(Explainer(*llama, "fast", prior))


def test_a_classifier_writes_nothing() -> None:
    with pytest.raises(ModelError, match="writes no text"):
        Explainer(*tiny.classifier("bert"), "random").generate(PROMPT)


def test_a_model_that_ends_at_once_has_nothing_to_explain(llama: tiny.Classifier, prior: Prior) -> None:
    model, tokenizer = llama
    first = Explainer(model, tokenizer, "random", prior).generate(PROMPT, 1).outputs[0].token_id
    with pytest.raises(InputError, match="writes nothing"):
        Explainer(model, tokenizer, "random", prior).generate(PROMPT, 3, options={"eos_token_id": first})
