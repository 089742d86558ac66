"""The degradation test on maps made by hand."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.data.example import Example
from narrows.errors import InputError
from narrows.evaluation import degradation
from narrows.evaluation.degradation import Curves, degrade, removal_counts, removal_order
from narrows.models.predict import predict
from narrows.models.text.encoding import Encoding, encode
from tiny import Classifier

EXAMPLES = [
    Example("good"),
    Example("the film is not bad, it is very good"),
    Example("a superb act"),
    Example("good film", "the act is bad"),
]
TARGETS = [1, 0, 2, 1]


@given(content=st.integers(0, 600))
def test_counts_rise_from_none_to_all_and_stay_within_half_a_token_of_the_fraction(content: int) -> None:
    counts = removal_counts(content)
    assert len(counts) == 10
    assert counts[0] == 0
    assert counts == sorted(counts)
    if content:
        assert counts[-1] == content
        assert all(count >= 1 for count in counts[1:])
        for k, count in enumerate(counts[1:], start=1):
            exact = k * content / 9
            assert abs(count - exact) <= 0.5 or (count == 1 and exact < 1)


def test_order_goes_by_score_then_position_and_never_names_a_special_token() -> None:
    scores = [9.0, 1.0, 3.0, 3.0, -2.0, 9.0]
    content = [False, True, True, True, True, False]
    assert removal_order(scores, content, "morf") == [2, 3, 1, 4]
    assert removal_order(scores, content, "lerf") == [4, 1, 2, 3]


@given(scores=st.lists(st.floats(-5, 5), min_size=1, max_size=30), seed=st.integers(0, 99))
def test_both_orders_hold_every_content_token_once(scores: list[float], seed: int) -> None:
    content = [bool(bit) for bit in np.random.default_rng(seed).integers(0, 2, len(scores))]
    expected = {position for position, is_content in enumerate(content) if is_content}
    for order in ("morf", "lerf"):
        ranked = removal_order(scores, content, order)  # type: ignore[arg-type]
        assert len(ranked) == len(expected)
        assert set(ranked) == expected


def encoded(classifier: Classifier) -> list[Encoding]:
    _, tokenizer = classifier
    return [encode(tokenizer, example, None) for example in EXAMPLES]


def random_maps(encodings: list[Encoding]) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.random(len(encoding)) for encoding in encodings]


def left_of(classifier: Classifier, encoding: Encoding, gone: list[int], removal: str) -> np.ndarray:
    """One plain forward on one text without some of its tokens."""
    model, tokenizer = classifier
    features = copy.deepcopy(encoding.features)
    if removal == "delete":
        features = {n: [value for i, value in enumerate(v) if i not in gone] for n, v in features.items()}
    for place in gone:
        if removal == "mask":
            features["input_ids"][place] = tokenizer.mask_token_id
        if removal == "attention":
            features["attention_mask"][place] = 0
    with torch.no_grad():
        logits = model(**{name: torch.tensor([values]) for name, values in features.items()}).logits
    return logits.double().softmax(-1)[0].numpy()


def degrade_by_hand(classifier: Classifier, encodings: list[Encoding], maps: list[np.ndarray], removal: str) -> Curves:
    """One text, one removal, one forward after the other."""
    curves = Curves(np.zeros((4, 10)), np.zeros((4, 10)), np.zeros((4, 10), int), np.zeros((4, 10), int))
    for text, (encoding, scores, target) in enumerate(zip(encodings, maps, TARGETS, strict=True)):
        content = [i for i, offset in enumerate(encoding.offsets) if offset is not None]
        best_first = sorted(content, key=lambda i, scores=scores: -scores[i])
        for k in range(10):
            count = 0 if k == 0 else max(1, math.floor(k * len(content) / 9 + 0.5))
            p = left_of(classifier, encoding, best_first[:count], removal)
            curves.morf[text, k], curves.morf_decisions[text, k] = p[target], p.argmax()
            p = left_of(classifier, encoding, best_first[::-1][:count], removal)
            curves.lerf[text, k], curves.lerf_decisions[text, k] = p[target], p.argmax()
    return curves


@pytest.mark.parametrize("removal", ["delete", "mask", "attention"])
@pytest.mark.parametrize("family", ["bert", "distilbert", "electra", "roberta"])
def test_curves_are_those_of_one_forward_per_text_and_removal(
    make_classifier: Callable[..., Classifier], family: str, removal: str
) -> None:
    classifier = make_classifier(family, seed=3)  # its decisions change on the way
    encodings = encoded(classifier)
    maps = random_maps(encodings)
    found = degrade(*classifier, encodings, maps, TARGETS, removal)  # type: ignore[arg-type]
    expected = degrade_by_hand(classifier, encodings, maps, removal)
    for name in ("morf", "lerf"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-5)
        decisions = f"{name}_decisions"
        assert getattr(found, decisions).tolist() == getattr(expected, decisions).tolist()
    assert len(set(found.morf_decisions.ravel().tolist())) > 1


def test_tokens_of_equal_score_go_by_position_in_both_orders(bert: Classifier) -> None:
    _, tokenizer = bert
    encoding = encode(tokenizer, Example("good film not bad"), None)
    flat = degrade(*bert, [encoding], [np.zeros(6)], [0])
    for k, count in enumerate(removal_counts(4)):
        p = left_of(bert, encoding, list(range(1, 1 + count)), "delete")[0]
        assert flat.morf[0, k] == pytest.approx(p, abs=1e-5)
    assert flat.morf.tolist() == flat.lerf.tolist()
    tied = degrade(*bert, [encoding], [[0, 1, 2, 2, 1, 0]], [0])
    strict = degrade(*bert, [encoding], [[0, 1.9, 3.1, 3.0, 1.8, 0]], [0])
    assert tied.morf == pytest.approx(strict.morf)
    strict = degrade(*bert, [encoding], [[0, 1.8, 3.0, 3.1, 1.9, 0]], [0])
    assert tied.lerf == pytest.approx(strict.lerf)


@pytest.mark.parametrize("removal", ["delete", "attention"])
def test_a_text_gets_the_same_curves_alone_as_among_others(any_classifier: Classifier, removal: str) -> None:
    encodings = encoded(any_classifier)
    maps = random_maps(encodings)
    together = degrade(*any_classifier, encodings, maps, TARGETS, removal)  # type: ignore[arg-type]
    for text, own in enumerate(zip(encodings, maps, TARGETS, strict=True)):
        alone = degrade(*any_classifier, *([part] for part in own), removal)  # type: ignore[arg-type]
        assert together.morf[text] == pytest.approx(alone.morf[0], abs=1e-5)
        assert together.lerf[text] == pytest.approx(alone.lerf[0], abs=1e-5)


def test_a_text_of_one_token_has_two_states(bert: Classifier) -> None:
    _, tokenizer = bert
    encoding = encode(tokenizer, Example("good"), None)
    curves = degrade(*bert, [encoding], [np.array([0.0, 1.0, 0.0])], [2])
    whole, empty = (float(left_of(bert, encoding, gone, "delete")[2]) for gone in ([], [1]))
    assert curves.morf[0] == pytest.approx([whole] + [empty] * 9, abs=1e-5)
    assert curves.lerf.tolist() == curves.morf.tolist()


@pytest.mark.parametrize("removal", ["delete", "mask", "attention"])
def test_special_tokens_are_never_removed_whatever_their_scores(bert: Classifier, removal: str) -> None:
    encodings = encoded(bert)
    low = random_maps(encodings)
    high = [
        np.where([segment is None for segment in encoding.segments], 99.0, own)
        for encoding, own in zip(encodings, low, strict=True)
    ]
    one, other = (degrade(*bert, encodings, maps, TARGETS, removal) for maps in (low, high))  # type: ignore[arg-type]
    assert one.morf == pytest.approx(other.morf)
    assert one.lerf == pytest.approx(other.lerf)
    for text, (encoding, target) in enumerate(zip(encodings, TARGETS, strict=True)):
        content = [i for i, segment in enumerate(encoding.segments) if segment is not None]
        empty = left_of(bert, encoding, content, removal)[target]
        assert one.morf[text, -1] == pytest.approx(empty, abs=1e-5)
        assert one.lerf[text, -1] == one.morf[text, -1]
        assert one.lerf[text, 0] == one.morf[text, 0]


def test_tokens_of_both_texts_of_a_pair_are_ranked_together(bert: Classifier) -> None:
    _, tokenizer = bert
    pair = encode(tokenizer, Example("good film", "bad act"), None)
    scores = [0, 0.1, 0.9, 0, 0.8, 0.2, 0]  # film, bad, act, good
    curves = degrade(*bert, [pair], [scores], [0])
    for k, gone in ((1, [2]), (4, [2, 4]), (6, [2, 4, 5])):
        assert curves.morf[0, k] == pytest.approx(float(left_of(bert, pair, gone, "delete")[0]), abs=1e-5)


def test_decisions_are_the_likeliest_classes_not_the_targets(bert: Classifier) -> None:
    encodings = encoded(bert)
    curves = degrade(*bert, encodings, random_maps(encodings), TARGETS)
    assert curves.morf_decisions[:, 0].tolist() == predict(*bert, encodings).argmax(axis=1).tolist()
    assert curves.morf_decisions[:, 0].tolist() == curves.lerf_decisions[:, 0].tolist()
    assert curves.morf_decisions.shape == curves.lerf_decisions.shape == (4, 10)


def test_nothing_is_run_twice(bert: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text of n tokens has at most n + 1 states in each order, and both orders share their ends."""
    states: list[int] = []

    def counting(model: object, tokenizer: object, variants: list[Encoding]) -> np.ndarray:
        states.append(len(variants))
        return np.full((len(variants), 3), 1 / 3)

    monkeypatch.setattr(degradation, "predict", counting)
    encoding = encode(bert[1], Example("good film not"), None)
    degrade(*bert, [encoding] * 2, [np.arange(5.0), np.arange(5.0)], [0, 0])
    assert states == [2 * 6]  # none, first, first two, all; last, last two


def test_a_map_or_a_target_too_few_and_ways_that_there_are_not_are_refused(bert: Classifier) -> None:
    encodings = encoded(bert)
    with pytest.raises(ValueError, match="shorter"):
        degrade(*bert, encodings, random_maps(encodings)[:-1], TARGETS)
    with pytest.raises(InputError, match="not 'blur'"):
        degrade(*bert, encodings, random_maps(encodings), TARGETS, "blur")  # type: ignore[arg-type]


def test_no_texts_have_no_curves(bert: Classifier) -> None:
    curves = degrade(*bert, [], [], [])
    assert curves.morf.shape == curves.lerf_decisions.shape == (0, 10)
