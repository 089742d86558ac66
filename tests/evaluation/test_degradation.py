"""The degradation test on maps made by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import InputError
from narrows.evaluation.degradation import degradation_curves, probabilities, removal_counts, removal_order, remove
from narrows.example import Example
from narrows.models.encoding import Encoding, encode
from tiny import Classifier


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
        ranked = removal_order(scores, content, order)
        assert len(ranked) == len(expected)
        assert set(ranked) == expected


def test_deleting_takes_tokens_out_of_every_feature(bert: Classifier) -> None:
    _, tokenizer = bert
    pair = encode(tokenizer, Example("good film", "bad act"), None)
    assert pair.tokens == ("[CLS]", "good", "film", "[SEP]", "bad", "act", "[SEP]")
    shorter = remove(pair, [1, 5], "delete", tokenizer.mask_token_id)
    assert shorter.tokens == ("[CLS]", "film", "[SEP]", "bad", "[SEP]")
    assert shorter.features["token_type_ids"] == [0, 0, 0, 1, 1]
    assert tokenizer.convert_ids_to_tokens(shorter.features["input_ids"]) == list(shorter.tokens)
    assert shorter.segments == (None, 0, None, 1, None)


def test_masking_keeps_the_length(bert: Classifier) -> None:
    _, tokenizer = bert
    encoding = encode(tokenizer, Example("good film"), None)
    masked = remove(encoding, [2], "mask", tokenizer.mask_token_id)
    assert tokenizer.convert_ids_to_tokens(masked.features["input_ids"]) == ["[CLS]", "good", "[MASK]", "[SEP]"]
    assert encoding.features["input_ids"] != masked.features["input_ids"]


def test_masking_without_a_mask_token_is_refused(make_classifier: Callable[..., Classifier]) -> None:
    _, tokenizer = make_classifier("gpt2")
    with pytest.raises(InputError, match="no mask token"):
        remove(encode(tokenizer, Example("good"), None), [0], "mask", tokenizer.mask_token_id)


def test_batched_probabilities_are_those_of_one_text_after_the_other(any_classifier: Classifier) -> None:
    model, tokenizer = any_classifier
    texts = ["good", "the film is not bad, it is good", "a bad act", "very very good film"]
    encodings = [encode(tokenizer, Example(text), None) for text in texts]
    batched = probabilities(model, tokenizer, encodings, [0, 1, 2, 0])
    for encoding, target, expected in zip(encodings, [0, 1, 2, 0], batched, strict=True):
        with torch.no_grad():
            logits = model(**{name: torch.tensor([values]) for name, values in encoding.features.items()}).logits
        assert expected == pytest.approx(float(logits.double().softmax(-1)[0, target]), abs=1e-6)


def curve_by_hand(classifier: Classifier, encoding: Encoding, ranked: list[int], target: int) -> list[float]:
    """One forward pass per point, on the tokens that are left."""
    model, _ = classifier
    curve = []
    for k in range(10):
        count = 0 if k == 0 else max(1, math.floor(k * len(ranked) / 9 + 0.5))
        left = [i for i in range(len(encoding)) if i not in ranked[:count]]
        inputs = {name: torch.tensor([[values[i] for i in left]]) for name, values in encoding.features.items()}
        with torch.no_grad():
            curve.append(float(model(**inputs).logits.double().softmax(-1)[0, target]))
    return curve


@pytest.mark.parametrize("text", ["good", "the film is not bad, it is very good", "a superb act"])
def test_curves_agree_with_deleting_by_hand(bert: Classifier, text: str) -> None:
    model, tokenizer = bert
    encoding = encode(tokenizer, Example(text), None)
    scores = np.random.default_rng(len(text)).random(len(encoding))
    content = [i for i in range(len(encoding)) if 0 < i < len(encoding) - 1]
    best_first = sorted(content, key=lambda i: -scores[i])
    for order, ranked in (("morf", best_first), ("lerf", best_first[::-1])):
        (curve,) = degradation_curves(model, tokenizer, [encoding], [scores], [1], order)
        assert curve == pytest.approx(curve_by_hand(bert, encoding, ranked, 1), abs=1e-6)
