"""Encoding, batching and padding."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny
from narrows.data.example import Example
from narrows.finetune.batches import Encoded, collate, encode, plan_batches

LABELS = ("negative", "positive")
CPU = torch.device("cpu")


def test_labels_become_indices_by_their_names() -> None:
    tokenizer = tiny.wordpiece_tokenizer()
    examples = [Example("good", label="positive"), Example("bad film", label="negative")]
    first, second = encode(tokenizer, examples, LABELS, 64)
    assert (first.label, second.label) == (1, 0)
    assert tokenizer.convert_ids_to_tokens(second.ids) == ["[CLS]", "bad", "film", "[SEP]"]
    assert second.segments == [0, 0, 0, 0]


def test_a_pair_has_two_segments_and_its_longer_text_is_cut() -> None:
    tokenizer = tiny.wordpiece_tokenizer()
    (item,) = encode(tokenizer, [Example("good " * 50, "bad film", "positive")], LABELS, 16)
    tokens = tokenizer.convert_ids_to_tokens(item.ids)
    assert len(tokens) == 16
    assert tokens[-3:] == ["bad", "film", "[SEP]"]
    assert item.segments == [0] * 13 + [1] * 3


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=200),
    st.integers(1, 40),
    st.integers(1, 2000),
    st.integers(0, 5),
    st.integers(0, 3),
)
def test_every_text_is_in_one_batch_and_no_batch_is_too_large(
    lengths: list[int], size: int, tokens: int, seed: int, epoch: int
) -> None:
    batches = plan_batches(lengths, size, tokens, seed, epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= size
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= tokens


def test_seed_and_epoch_alone_decide_the_order() -> None:
    lengths = [1 + index % 7 for index in range(100)]
    first = plan_batches(lengths, 8, 1000, 0, 0)
    assert plan_batches(lengths, 8, 1000, 0, 0) == first
    assert plan_batches(lengths, 8, 1000, 0, 1) != first
    assert plan_batches(lengths, 8, 1000, 1, 0) != first


def test_similar_lengths_share_a_batch() -> None:
    lengths = [1 + index % 50 for index in range(400)]
    batches = plan_batches(lengths, 8, 10_000, 0, 0)
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    assert padded < 1.05 * sum(lengths)


def test_padding_stands_behind_the_tokens_and_is_masked() -> None:
    items = [Encoded([2, 7, 3], [0, 0, 1], 1), Encoded([2, 3], [0, 0], 0)]
    inputs, labels = collate(items, 9, CPU)
    assert inputs["input_ids"].tolist() == [[2, 7, 3], [2, 3, 9]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert inputs["token_type_ids"].tolist() == [[0, 0, 1], [0, 0, 0]]
    assert labels.tolist() == [1, 0]
