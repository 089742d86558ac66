"""LIME against the package called by hand, and what every method owes its caller."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from lime.lime_text import LimeTextExplainer
from numpy.typing import NDArray

import planted
from narrows.data.example import Example
from narrows.errors import DependencyError, InputError, NumericsError
from narrows.methods.lime import lime
from narrows.methods.method import Batch, check_scores, content_positions, text_generator
from narrows.models.hub.loading import Classifier

Make = Callable[..., tuple[Any, Any]]

EXAMPLES = [
    Example("a good film"),
    Example("bad"),
    Example("Superb acting, is it?", "it's not very good"),
    Example("good good bad good, the film is a very good act and not a bad one"),
]
TARGETS = [0, 1, 2, 1]


def wrap(pair: tuple[Any, Any]) -> Classifier:
    """A tiny classifier in float64, so that equal means equal."""
    return Classifier(pair[0].to(torch.float64), pair[1], "tiny", None)


def probabilities(classifier: Classifier, text: str, pair: str | None) -> NDArray[np.float64]:
    pairs = None if pair is None else [pair]  # in a list, for an empty string alone counts as no second text
    inputs = classifier.tokenizer([text], pairs, return_tensors="pt")
    with torch.no_grad():
        return np.asarray(classifier.model(**inputs).logits.softmax(dim=-1)[0])


def by_hand(classifier: Classifier, example: Example, target: int, samples: int, seed: int) -> dict[int, float]:
    """Weights per word, words told apart by white space, from strings that the tokenizer reads afresh."""
    words = [*example.text.split(), *(example.text_pair or "").split()]
    first = len(example.text.split())

    def predict(strings: Sequence[str]) -> NDArray[np.float64]:
        rows = []
        for string in strings:
            there = [word != "GONE" for word in string.split("_")]
            text = " ".join(word for word, stays in zip(words[:first], there, strict=False) if stays)
            pair = " ".join(word for word, stays in zip(words[first:], there[first:], strict=False) if stays)
            rows.append(probabilities(classifier, text, pair if example.text_pair is not None else None))
        return np.array(rows)

    state = int(text_generator(seed, example).integers(2**31))
    explainer = LimeTextExplainer(bow=False, mask_string="GONE", split_expression="_", random_state=state)
    explanation = explainer.explain_instance(
        "_".join(words), predict, labels=(target,), num_features=len(words), num_samples=samples
    )
    return dict(explanation.local_exp[target])


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (Example("a good film is not bad"), [[1], [2], [3], [4], [5], [6]]),
        (Example("good good bad the good act a film"), [[1], [2], [3], [4], [5], [6], [7], [8]]),
        (Example("superb acting", "not good"), [[1, 2], [3, 4], [6], [7]]),
        (Example("bad"), [[1]]),
    ],
)
def test_it_agrees_with_the_package_called_by_hand(bert: Any, example: Example, words: list[list[int]]) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, [example])
    (scores,) = lime(samples=60, seed=3)(classifier, batch, [2])
    expected = by_hand(classifier, example, 2, 60, 3)
    wanted = np.zeros(len(batch.encodings[0]))
    for word, weight in expected.items():
        wanted[words[word]] = weight
    assert np.abs(wanted).max() > 1e-5
    np.testing.assert_allclose(scores, wanted, atol=1e-9)


def test_the_target_is_the_one_that_is_asked_for(bert: Any) -> None:
    """The weights of all classes add up to nothing, for their probabilities add up to 1."""
    classifier = wrap(bert)
    batch = Batch.of(classifier, EXAMPLES[:1] * 3)
    scores = lime(samples=30)(classifier, batch, [0, 1, 2])
    assert not np.allclose(scores[0], scores[1])
    np.testing.assert_allclose(sum(scores), 0.0, atol=1e-12)


def test_every_token_of_a_word_has_its_score_and_special_tokens_none(any_classifier: Any) -> None:
    classifier = wrap(any_classifier)
    batch = Batch.of(classifier, EXAMPLES)
    scores = lime(samples=20)(classifier, batch, TARGETS)
    check_scores("lime", batch, scores)
    for encoding, own in zip(batch.encodings, scores, strict=True):
        special = set(range(len(encoding))) - set(content_positions(encoding))
        assert not own[list(special)].any()
    encoding, own = batch.encodings[2], scores[2]
    for segment, start, end in ((0, 0, 6), (0, 7, 13), (1, 0, 4)):
        word = [
            position
            for position in content_positions(encoding)
            if encoding.segments[position] == segment
            and max(encoding.offsets[position][0], start) < min(encoding.offsets[position][1], end)  # type: ignore[index]
        ]
        assert len(set(own[word])) == 1


def test_repeated_words_are_features_of_their_own(bert: Any) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, EXAMPLES[3:])
    (scores,) = lime()(classifier, batch, [1])
    good = [position for position, token in enumerate(batch.encodings[0].tokens) if token == "good"]
    assert len(set(scores[good])) == len(good) == 4


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_the_batch_does_not_matter(any_classifier: Any) -> None:
    classifier = wrap(any_classifier)
    batch = Batch.of(classifier, EXAMPLES)
    method = lime(samples=15)
    together = method(classifier, batch, TARGETS)
    backward = method(classifier, batch.take([3, 2, 1, 0]), TARGETS[::-1])[::-1]
    for row, (own, again) in enumerate(zip(together, backward, strict=True)):
        (alone,) = method(classifier, batch.take([row]), [TARGETS[row]])
        np.testing.assert_array_equal(own, alone)
        np.testing.assert_array_equal(own, again)
    assert method(classifier, batch.take([]), []) == []


def test_the_seed_decides_and_nothing_global_does(bert: Any) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, EXAMPLES)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # type: ignore[index]
    first = lime(samples=15)(classifier, batch, TARGETS)
    assert (np.random.get_state()[1] == before[0]).all()  # type: ignore[index]
    assert torch.equal(torch.get_rng_state(), before[1])
    np.random.seed(5)
    torch.manual_seed(5)
    again, other = lime(samples=15)(classifier, batch, TARGETS), lime(samples=15, seed=1)(classifier, batch, TARGETS)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert len(a) == 3 or not np.allclose(a, c)  # one word: there is nothing to draw


def test_the_model_is_left_as_it_was(make_classifier: Make) -> None:
    model, tokenizer = make_classifier("gpt2")
    model.train()
    before, config = copy.deepcopy(model.state_dict()), model.config.to_dict()
    classifier = Classifier(model, tokenizer, "tiny", None)
    lime(samples=10)(classifier, Batch.of(classifier, EXAMPLES), TARGETS)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())
    assert model.config.to_dict() == config
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("removal", ["delete", "mask", "attention"])
def test_a_planted_word_comes_first(removal: Any) -> None:
    classifier = planted.planted_classifier()
    batch = Batch.of(classifier, planted.EXAMPLES)
    scores = lime(50, removal)(classifier, batch, [planted.TARGET] * len(batch))
    against = lime(50, removal)(classifier, batch, [1 - planted.TARGET] * len(batch))
    for encoding, own, opposite in zip(batch.encodings, scores, against, strict=True):
        assert [int(own.argmax())] == [int(opposite.argmin())] == planted.planted_positions(encoding)


def test_a_model_that_computes_nan_is_named_by_the_text(bert: Any) -> None:
    classifier = wrap(bert)
    with torch.no_grad():
        classifier.model.classifier.bias[0] = torch.nan
    with pytest.raises(NumericsError, match="a good film"):
        lime(samples=5)(classifier, Batch.of(classifier, EXAMPLES[:1]), [0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 1}, "samples must be a whole number, at least 2, not 1"),
        ({"samples": 10.5}, "samples must be"),
        ({"samples": True}, "samples must be"),
        ({"removal": "erase"}, "removal must be one of delete, mask, attention, not 'erase'"),
    ],
)
def test_bad_options_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        lime(**options)


def test_a_tokenizer_without_mask_token_is_refused(make_classifier: Make) -> None:
    classifier = wrap(make_classifier("gpt2"))
    with pytest.raises(InputError, match="no mask token"):
        lime(removal="mask")(classifier, Batch.of(classifier, EXAMPLES), TARGETS)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lime.lime_text", None)
    with pytest.raises(DependencyError, match=r'pip install "narrows\[evaluate\]"'):
        lime()
