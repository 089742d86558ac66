"""KernelSHAP and leave-one-out against captum called by hand, and against slow obvious references."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from itertools import combinations
from math import factorial
from typing import Any

import captum.attr
import numpy as np
import pytest
import torch
from torch import Tensor

import planted
from narrows.data.example import Example
from narrows.errors import DependencyError, InputError, NumericsError
from narrows.methods.method import Batch, Method, Scores, check_scores, content_positions, text_generator
from narrows.methods.perturbation import kernel_shap, occlusion, predict_present
from narrows.models.hub.loading import Classifier
from narrows.models.predict import predict
from narrows.models.text.encoding import Encoding
from narrows.models.text.removal import Removal

Make = Callable[..., tuple[Any, Any]]

EXAMPLES = [
    Example("a good film"),
    Example("z"),
    Example("Superb acting, is it?", "it's not very good"),
    Example("good good bad good, the film is a very good act"),
]
TARGETS = [0, 1, 2, 1]
METHODS: dict[str, Method] = {
    "kernel_shap": kernel_shap(samples=20),
    "occlusion": occlusion(),
    "occlusion, attention": occlusion("attention"),
}


def wrap(pair: tuple[Any, Any]) -> Classifier:
    """A tiny classifier in float64, so that equal means equal."""
    return Classifier(pair[0].to(torch.float64), pair[1], "tiny", None)


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> Method:
    return METHODS[request.param]


def p_without(classifier: Classifier, encoding: Encoding, gone: Sequence[int], removal: Removal, target: int) -> float:
    """One forward pass of one text, written out."""
    values = {name: list(own) for name, own in encoding.features.items()}
    if removal == "mask":
        mask = classifier.tokenizer.mask_token_id
        values["input_ids"] = [mask if i in gone else v for i, v in enumerate(values["input_ids"])]
    elif removal == "attention":
        values["attention_mask"] = [int(i not in gone) for i in range(len(encoding))]
    else:
        values = {name: [v for i, v in enumerate(own) if i not in gone] for name, own in values.items()}
    inputs = {name: torch.tensor([own]) for name, own in values.items()}
    with torch.no_grad():
        return float(classifier.model(**inputs).logits.softmax(dim=-1)[0, target])


def leave_one_out(classifier: Classifier, encoding: Encoding, removal: Removal, target: int) -> Scores:
    whole = p_without(classifier, encoding, [], removal, target)
    scores = np.zeros(len(encoding))
    for position in content_positions(encoding):
        scores[position] = whole - p_without(classifier, encoding, [position], removal, target)
    return scores


def shapley(classifier: Classifier, encoding: Encoding, target: int) -> Scores:
    """Every order counted: exact Shapley values."""
    content = content_positions(encoding)
    scores = np.zeros(len(encoding))
    for position in content:
        others = [other for other in content if other != position]
        for size in range(len(others) + 1):
            weight = factorial(size) * factorial(len(others) - size) / factorial(len(content))
            for present in combinations(others, size):
                gone = set(others) - set(present)
                gain = p_without(classifier, encoding, list(gone), "delete", target)
                gain -= p_without(classifier, encoding, [*gone, position], "delete", target)
                scores[position] += weight * gain
    return scores


@pytest.mark.parametrize("removal", ["delete", "mask", "attention"])
def test_occlusion_is_what_one_token_is_worth(bert: Any, removal: Any) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, EXAMPLES)
    scores = occlusion(removal)(classifier, batch, TARGETS)
    for encoding, own, target in zip(batch.encodings, scores, TARGETS, strict=True):
        assert np.abs(own).max() > 1e-4
        np.testing.assert_allclose(own, leave_one_out(classifier, encoding, removal, target), atol=1e-12)


@pytest.mark.parametrize("removal", ["delete", "attention"])
def test_kernel_shap_agrees_with_captum_called_by_hand(bert: Any, removal: Any) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, EXAMPLES[2:])
    scores = kernel_shap(samples=25, removal=removal, seed=4)(classifier, batch, [2, 1])
    for example, encoding, own, target in zip(batch.examples, batch.encodings, scores, [2, 1], strict=True):
        content = content_positions(encoding)

        def forward(present: Tensor, encoding: Encoding = encoding, target: int = target) -> float:
            gone = [p for p, there in zip(content_positions(encoding), present[0], strict=True) if not there]
            return p_without(classifier, encoding, gone, removal, target)

        torch.manual_seed(int(text_generator(4, example).integers(2**63)))
        values = captum.attr.KernelShap(forward).attribute(torch.ones(1, len(content)), n_samples=25)
        np.testing.assert_allclose(own[content], values[0], atol=1e-5)


def test_kernel_shap_comes_to_the_shapley_values(bert: Any) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, [Example("a very good film")])
    (scores,) = kernel_shap(samples=2000)(classifier, batch, [2])
    exact = shapley(classifier, batch.encodings[0], 2)
    assert np.abs(exact).max() > 0.05
    np.testing.assert_allclose(scores, exact, atol=0.01)


def test_shapley_values_add_up(any_classifier: Any) -> None:
    classifier = wrap(any_classifier)
    batch = Batch.of(classifier, EXAMPLES)
    present = np.ones((8, max(len(content_positions(encoding)) for encoding in batch.encodings)), dtype=bool)
    present[4:] = False
    p = predict_present(classifier, batch, [0, 1, 2, 3] * 2, present, "delete")
    for row, own in enumerate(kernel_shap(samples=60)(classifier, batch, TARGETS)):
        assert own.sum() == pytest.approx(p[row, TARGETS[row]] - p[4 + row, TARGETS[row]], abs=1e-4)


def test_one_token_has_it_all(bert: Any) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, [Example("good")])
    expected = leave_one_out(classifier, batch.encodings[0], "delete", 2)
    assert abs(expected[1]) > 1e-3
    for method in (kernel_shap(), occlusion()):
        np.testing.assert_allclose(method(classifier, batch, [2])[0], expected, atol=1e-12)


def test_a_text_of_which_nothing_is_left_is_padding(make_classifier: Make) -> None:
    """GPT-2 adds no special tokens; where all tokens are gone, no position would be left to read."""
    classifier = wrap(make_classifier("gpt2"))
    batch = Batch.of(classifier, [Example("z"), Example("a good film")])
    p = predict_present(classifier, batch, [0, 1, 1], np.array([[False] * 11, [False] * 11, [True] * 11]), "delete")
    with torch.no_grad():
        expected = classifier.model(input_ids=torch.tensor([[0]])).logits.softmax(dim=-1)[0]
    np.testing.assert_allclose(p[:2], np.stack([expected, expected]), atol=1e-12)
    np.testing.assert_allclose(p[2:], predict(classifier.model, classifier.tokenizer, batch.encodings[1:]), atol=1e-12)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_the_batch_does_not_matter(any_classifier: Any, method: Method) -> None:
    classifier = wrap(any_classifier)
    batch = Batch.of(classifier, EXAMPLES)
    together = method(classifier, batch, TARGETS)
    check_scores("method", batch, together)
    backward = method(classifier, batch.take([3, 2, 1, 0]), TARGETS[::-1])[::-1]
    for row, (own, again) in enumerate(zip(together, backward, strict=True)):
        encoding = batch.encodings[row]
        (alone,) = method(classifier, batch.take([row]), [TARGETS[row]])
        np.testing.assert_allclose(own, alone, atol=1e-10)
        np.testing.assert_allclose(own, again, atol=1e-10)
        assert not own[sorted(set(range(len(encoding))) - set(content_positions(encoding)))].any()
    assert method(classifier, batch.take([]), []) == []


def test_the_seed_decides_and_nothing_global_does(bert: Any) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, EXAMPLES[2:])
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # type: ignore[index]
    first = kernel_shap(samples=15)(classifier, batch, [0, 1])
    assert (np.random.get_state()[1] == before[0]).all()  # type: ignore[index]
    assert torch.equal(torch.get_rng_state(), before[1])
    torch.manual_seed(5)
    again = kernel_shap(samples=15)(classifier, batch, [0, 1])
    other = kernel_shap(samples=15, seed=1)(classifier, batch, [0, 1])
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.allclose(a, c)


def test_the_model_is_left_as_it_was(make_classifier: Make, method: Method) -> None:
    model, tokenizer = make_classifier("gpt2")
    model.train()
    before, config = copy.deepcopy(model.state_dict()), model.config.to_dict()
    classifier = Classifier(model, tokenizer, "tiny", None)
    method(classifier, Batch.of(classifier, EXAMPLES), TARGETS)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())
    assert model.config.to_dict() == config
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("removal", ["delete", "mask", "attention"])
def test_a_planted_word_comes_first(removal: Any) -> None:
    classifier = planted.planted_classifier()
    batch = Batch.of(classifier, planted.EXAMPLES)
    for method in (kernel_shap(40, removal), occlusion(removal)):
        scores = method(classifier, batch, [planted.TARGET] * len(batch))
        against = method(classifier, batch, [1 - planted.TARGET] * len(batch))
        for encoding, own, opposite in zip(batch.encodings, scores, against, strict=True):
            assert [int(own.argmax())] == [int(opposite.argmin())] == planted.planted_positions(encoding)


def test_the_planted_word_alone_decides() -> None:
    classifier = planted.planted_classifier()
    batch = Batch.of(classifier, planted.EXAMPLES)
    for encoding in batch.encodings:
        word = planted.planted_positions(encoding)
        assert p_without(classifier, encoding, [], "delete", planted.TARGET) > 0.9
        assert p_without(classifier, encoding, word, "delete", planted.TARGET) < 0.1
        others = [position for position in content_positions(encoding) if position not in word]
        assert p_without(classifier, encoding, others, "delete", planted.TARGET) > 0.9


def test_a_model_that_computes_nan_is_named_by_the_text(bert: Any, method: Method) -> None:
    classifier = wrap(bert)
    with torch.no_grad():
        classifier.model.bert.embeddings.word_embeddings.weight[classifier.tokenizer.convert_tokens_to_ids("z")] = (
            torch.nan
        )
    with pytest.raises(NumericsError, match="NaN for 'z' or a part"):
        method(classifier, Batch.of(classifier, EXAMPLES[:2]), [0, 0])


@pytest.mark.parametrize("samples", [1, 0, -3, 10.5, "many", True])
def test_a_number_of_samples_is_refused_at_once(samples: Any) -> None:
    with pytest.raises(InputError, match="samples must be a whole number, at least 2"):
        kernel_shap(samples=samples)


@pytest.mark.parametrize("make", [kernel_shap, occlusion])
def test_a_removal_is_refused(make: Callable[..., Method], make_classifier: Make) -> None:
    with pytest.raises(InputError, match="removal must be one of delete, mask, attention, not 'erase'"):
        make(removal="erase")
    classifier = wrap(make_classifier("gpt2"))
    with pytest.raises(InputError, match="no mask token"):
        make(removal="mask")(classifier, Batch.of(classifier, EXAMPLES), TARGETS)


@pytest.mark.parametrize("make", [kernel_shap, occlusion])
def test_a_missing_package_is_named(make: Callable[..., Method], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(DependencyError, match=r'pip install "narrows\[evaluate\]"'):
        make()
