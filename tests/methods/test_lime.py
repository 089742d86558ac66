"""LIME against the package called by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from lime.lime_text import LimeTextExplainer
from numpy.typing import NDArray

from asking import explain, scores
from by_hand import encoded, widened
from narrows.bottleneck.optimize import text_seed
from narrows.data.example import Example
from tiny import Classifier

EXAMPLES = [
    Example("a good film"),
    Example("bad"),
    Example("Superb acting, is it?", "it's not very good"),
    Example("good good bad good, the film is a very good act and not a bad one"),
]
TARGETS = [0, 1, 2, 1]


def probabilities(classifier: Classifier, text: str, pair: str | None) -> NDArray[np.float64]:
    pairs = None if pair is None else [pair]  # in a list, for an empty string alone counts as no second text
    inputs = classifier[1]([text], pairs, return_tensors="pt")
    with torch.no_grad():
        return np.asarray(classifier[0](**inputs).logits.softmax(dim=-1)[0])


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

    state = int(np.random.default_rng(text_seed(seed, example.text, example.text_pair)).integers(2**31))
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
def test_it_agrees_with_the_package_called_by_hand(bert: Classifier, example: Example, words: list[list[int]]) -> None:
    classifier = widened(bert)
    (own,) = scores(classifier, "lime:samples=60:seed=3", [example], [2])
    expected = by_hand(classifier, example, 2, 60, 3)
    wanted = np.zeros(len(encoded(classifier, example)))
    for word, weight in expected.items():
        wanted[words[word]] = weight / len(words[word])  # its tokens share it
    assert np.abs(wanted).max() > 1e-5
    np.testing.assert_allclose(own, wanted, atol=1e-9)


def test_the_target_is_the_one_that_is_asked_for(bert: Classifier) -> None:
    """The weights of all classes add up to nothing, for their probabilities add up to 1."""
    maps = scores(widened(bert), "lime:samples=30", EXAMPLES[:1] * 3, [0, 1, 2])
    assert not np.allclose(maps[0], maps[1])
    np.testing.assert_allclose(sum(maps), 0.0, atol=1e-12)


def test_every_token_of_a_word_has_the_score_of_the_word(any_classifier: Classifier) -> None:
    attribution = explain(any_classifier, "lime:samples=20", EXAMPLES[:3], TARGETS[:3])[2]
    assert attribution.layers is None
    for segment, start, end in ((0, 0, 6), (0, 7, 13), (1, 0, 4)):
        word = [
            position
            for position, (own, offset) in enumerate(zip(attribution.segments, attribution.offsets, strict=True))
            if own == segment and offset is not None and max(offset[0], start) < min(offset[1], end)
        ]
        assert word
        assert len(set(attribution.scores[word])) == 1
    words = attribution.words()
    by_weight = sorted(range(len(words)), key=lambda place: -words[place].score)
    assert by_weight == sorted(range(len(words)), key=lambda place: words[place].rank)  # long words lose nothing


def test_repeated_words_are_features_of_their_own(bert: Classifier) -> None:
    (attribution,) = explain(bert, "lime", EXAMPLES[3:], [1])
    good = [position for position, token in enumerate(attribution.tokens) if token == "good"]
    assert len(set(attribution.scores[good])) == len(good) == 4


def test_the_seed_decides_and_nothing_global_does(bert: Classifier) -> None:
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # type: ignore[index]
    first = scores(bert, "lime:samples=15", EXAMPLES, TARGETS)
    assert (np.random.get_state()[1] == before[0]).all()  # type: ignore[index]
    assert torch.equal(torch.get_rng_state(), before[1])
    np.random.seed(5)
    torch.manual_seed(5)
    again = scores(bert, "lime:samples=15", EXAMPLES, TARGETS)
    other = scores(bert, "lime:samples=15:seed=1", EXAMPLES, TARGETS)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert len(a) == 3 or not np.allclose(a, c)  # one word: there is nothing to draw
