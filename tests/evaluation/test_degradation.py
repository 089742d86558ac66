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
from narrows.evaluation.degradation import Curves, degrade, removal_counts, share_counts
from narrows.models import variants
from narrows.models.heads.goals import OneOf
from narrows.models.heads.task import Variant
from narrows.models.predict import predict
from narrows.models.text.encoding import Encoding, encode
from narrows.models.text.reader import Reader
from removing import degrade_classes
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


@given(content=st.integers(1, 600))
def test_shares_are_to_the_nearest_token_and_two_are_points_of_the_curve(content: int) -> None:
    counts, points = share_counts(content), removal_counts(content)
    for count, share in zip(counts, (1 / 20, 1 / 9, 1 / 5, 1 / 3, 1 / 2), strict=True):
        assert abs(count - share * content) <= 0.5 + 1e-9 or count == 1
    assert (counts[1], counts[3]) == (points[1], points[3])


def encoded(classifier: Classifier) -> list[Encoding]:
    _, tokenizer = classifier
    return [encode(tokenizer, example, None) for example in EXAMPLES]


def random_rankings(encodings: list[Encoding]) -> list[list[int]]:
    draw = np.random.default_rng(1)
    content = [[i for i, segment in enumerate(encoding.segments) if segment is not None] for encoding in encodings]
    return [draw.permutation(own).tolist() for own in content]


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


def degrade_by_hand(
    classifier: Classifier, encodings: list[Encoding], rankings: list[list[int]], removal: str
) -> Curves:
    """One text, one removal, one forward after the other."""
    curves = Curves(*(np.zeros((4, 10), kind) for kind in (float, float, int, int)), np.zeros((4, 5)))
    for text, (encoding, ranking, target) in enumerate(zip(encodings, rankings, TARGETS, strict=True)):
        for k in range(10):
            count = 0 if k == 0 else max(1, math.floor(k * len(ranking) / 9 + 0.5))
            p = left_of(classifier, encoding, ranking[:count], removal)
            curves.morf[text, k], curves.morf_decisions[text, k] = p[target], p.argmax()
            p = left_of(classifier, encoding, ranking[::-1][:count], removal)
            curves.lerf[text, k], curves.lerf_decisions[text, k] = p[target], p.argmax()
        for column, share in enumerate((1 / 20, 1 / 9, 1 / 5, 1 / 3, 1 / 2)):
            count = max(1, math.floor(share * len(ranking) + 0.5))
            curves.shares[text, column] = left_of(classifier, encoding, ranking[:count], removal)[target]
    return curves


@pytest.mark.parametrize("removal", ["delete", "mask", "attention"])
@pytest.mark.parametrize("family", ["bert", "distilbert", "electra", "roberta"])
def test_curves_are_those_of_one_forward_per_text_and_removal(
    make_classifier: Callable[..., Classifier], family: str, removal: str
) -> None:
    classifier = make_classifier(family, seed=3)  # its decisions change on the way
    encodings = encoded(classifier)
    rankings = random_rankings(encodings)
    found = degrade_classes(classifier, encodings, rankings, TARGETS, removal)  # type: ignore[arg-type]
    expected = degrade_by_hand(classifier, encodings, rankings, removal)
    assert found.shares == pytest.approx(expected.shares, abs=1e-5)
    for name in ("morf", "lerf"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-5)
        decisions = f"{name}_decisions"
        assert getattr(found, decisions).tolist() == getattr(expected, decisions).tolist()
    assert len(set(found.morf_decisions.ravel().tolist())) > 1
    assert found.morf[:, 0] == pytest.approx(predict(*classifier, encodings)[range(4), TARGETS], abs=1e-6)


def test_units_are_removed_whole_and_counted_as_one(bert: Classifier) -> None:
    """Against a plain loop: k/9 of the units, rounded, at least one from the second point on; context stays."""
    text, units = "good film. it is not very bad. a film", [(0, 10), (11, 16), (17, 30)]
    (question,) = Reader(*bert, None, "truncate").ask(text, None, units).questions
    one, two, three = question.units
    context = [place for place, own in enumerate(question.encoding.segments) if own is not None and place > three[-1]]
    found = degrade(*bert, [question], [[*two, three[1], one[0], *context]], [OneOf(2)])
    order = [two, three, one]
    for k, count in enumerate(removal_counts(3)):
        for way, curve in ((order, found.morf), (order[::-1], found.lerf)):
            gone = [token for unit in way[:count] for token in unit]
            assert curve[0, k] == pytest.approx(left_of(bert, question.encoding, gone, "delete")[2], abs=1e-5)


@pytest.mark.parametrize("removal", ["delete", "attention"])
def test_a_text_gets_the_same_curves_alone_as_among_others(any_classifier: Classifier, removal: str) -> None:
    encodings = encoded(any_classifier)
    rankings = random_rankings(encodings)
    together = degrade_classes(any_classifier, encodings, rankings, TARGETS, removal)  # type: ignore[arg-type]
    for text, own in enumerate(zip(encodings, rankings, TARGETS, strict=True)):
        alone = degrade_classes(any_classifier, *([part] for part in own), removal)  # type: ignore[arg-type]
        assert together.morf[text] == pytest.approx(alone.morf[0], abs=1e-5)
        assert together.lerf[text] == pytest.approx(alone.lerf[0], abs=1e-5)


def test_a_text_of_one_token_has_two_states(bert: Classifier) -> None:
    _, tokenizer = bert
    encoding = encode(tokenizer, Example("good"), None)
    curves = degrade_classes(bert, [encoding], [[1]], [2])
    whole, empty = (float(left_of(bert, encoding, gone, "delete")[2]) for gone in ([], [1]))
    assert curves.morf[0] == pytest.approx([whole] + [empty] * 9, abs=1e-5)
    assert curves.lerf.tolist() == curves.morf.tolist()


@pytest.mark.parametrize("removal", ["delete", "mask", "attention"])
def test_both_curves_end_without_any_content_token(bert: Classifier, removal: str) -> None:
    encodings = encoded(bert)
    curves = degrade_classes(bert, encodings, random_rankings(encodings), TARGETS, removal)  # type: ignore[arg-type]
    for text, (encoding, target) in enumerate(zip(encodings, TARGETS, strict=True)):
        content = [i for i, segment in enumerate(encoding.segments) if segment is not None]
        empty = left_of(bert, encoding, content, removal)[target]
        assert curves.morf[text, -1] == pytest.approx(empty, abs=1e-5)
        assert curves.lerf[text, -1] == curves.morf[text, -1]
        assert curves.lerf[text, 0] == curves.morf[text, 0]


def test_tokens_of_both_texts_of_a_pair_are_ranked_together(bert: Classifier) -> None:
    _, tokenizer = bert
    pair = encode(tokenizer, Example("good film", "bad act"), None)
    curves = degrade_classes(bert, [pair], [[2, 4, 5, 1]], [0])  # film, bad, act, good
    for k, gone in ((1, [2]), (4, [2, 4]), (6, [2, 4, 5])):
        assert curves.morf[0, k] == pytest.approx(float(left_of(bert, pair, gone, "delete")[0]), abs=1e-5)


def test_decisions_are_the_likeliest_classes_not_the_targets(bert: Classifier) -> None:
    encodings = encoded(bert)
    curves = degrade_classes(bert, encodings, random_rankings(encodings), TARGETS)
    assert curves.morf_decisions[:, 0].tolist() == predict(*bert, encodings).argmax(axis=1).tolist()
    assert curves.morf_decisions[:, 0].tolist() == curves.lerf_decisions[:, 0].tolist()
    assert curves.morf_decisions.shape == curves.lerf_decisions.shape == (4, 10)


def test_nothing_is_run_twice(bert: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text of n tokens has at most n + 1 states in each order, and both orders share their ends."""
    states: list[int] = []

    def counting(model: object, tokenizer: object, task: object, variants: list[Variant], _: object) -> np.ndarray:
        states.append(len(variants))
        return np.full((len(variants), 2), 1 / 3)

    monkeypatch.setattr(variants, "run_variants", counting)
    encoding = encode(bert[1], Example("good film not"), None)
    degrade_classes(bert, [encoding] * 2, [[3, 2, 1]] * 2, [0, 0])
    assert states == [2 * 6]  # none, first, first two, all; last, last two


def test_a_map_or_a_target_too_few_and_ways_that_there_are_not_are_refused(bert: Classifier) -> None:
    encodings = encoded(bert)
    with pytest.raises(ValueError, match="shorter"):
        degrade_classes(bert, encodings, random_rankings(encodings)[:-1], TARGETS)
    with pytest.raises(InputError, match="not 'blur'"):
        degrade_classes(bert, encodings, random_rankings(encodings), TARGETS, "blur")  # type: ignore[arg-type]


def test_a_ranking_that_leaves_tokens_out_is_refused(bert: Classifier) -> None:
    encodings = encoded(bert)
    first, second, *others = random_rankings(encodings)
    with pytest.raises(InputError, match=f"text 1 leaves out {len(second) - 1} of {len(second)} tokens"):
        degrade_classes(bert, encodings, [first, second[:1], *others], TARGETS)


def test_no_texts_have_no_curves(bert: Classifier) -> None:
    curves = degrade_classes(bert, [], [], [])
    assert curves.morf.shape == curves.lerf_decisions.shape == (0, 10)
