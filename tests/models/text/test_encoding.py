"""Texts to tokens: offsets, the model's true limit, padding, batches, and a tokenizer left as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import tiny
from narrows.data.example import Example
from narrows.errors import InputError, ModelError
from narrows.models.text.encoding import Encoding, collate, encode, padding_id, token_limit
from tiny import Classifier

WORDPIECE = tiny.wordpiece_tokenizer()
BYTES = tiny.byte_tokenizer(roberta=True)

ascii_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40).filter(str.strip)
any_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip)


@given(text=ascii_texts)
@example(text="a  Good,\tFILM! ")
def test_the_offsets_of_a_token_cover_its_letters(text: str) -> None:
    encoding = encode(WORDPIECE, Example(text), None)
    for token, offset in zip(encoding.tokens, encoding.offsets, strict=True):
        if offset is not None:
            assert text[offset[0] : offset[1]].lower() == token.removeprefix("##") or token == "[UNK]"
    covered = "".join(text[start:end] for start, end in filter(None, encoding.offsets))
    assert covered == "".join(text.split())


@given(text=any_texts)
@example(text="na\u0301ive \U0001f600\U0001f469\u200d\U0001f467 \u65e5\u672c \u05e9\u05dc\u05d5\u05dd")
def test_offsets_stay_inside_the_text_and_in_order_whatever_its_characters(text: str) -> None:
    for tokenizer in (WORDPIECE, BYTES):
        try:
            encoding = encode(tokenizer, Example(text), None)
        except InputError:  # not one token: control characters only
            continue
        offsets = [offset for offset in encoding.offsets if offset is not None]
        assert all(0 <= start <= end <= len(text) for start, end in offsets)
        assert offsets == sorted(offsets)


@given(first=ascii_texts, second=ascii_texts)
def test_a_pair_is_encoded_as_the_tokenizer_encodes_pairs(first: str, second: str) -> None:
    encoding = encode(WORDPIECE, Example(first, second), None)
    assert encoding.features["input_ids"] == WORDPIECE(first, second)["input_ids"]
    assert encoding.features["token_type_ids"] == WORDPIECE(first, second)["token_type_ids"]
    for token, offset, segment in zip(encoding.tokens, encoding.offsets, encoding.segments, strict=True):
        assert (offset is None) == (segment is None)
        if offset is not None and segment is not None and token != "[UNK]":
            assert (first, second)[segment][offset[0] : offset[1]].lower() == token.removeprefix("##")
    assert [segment for segment in encoding.segments if segment is not None] == sorted(
        segment for segment in encoding.segments if segment is not None
    )


def test_special_tokens_have_neither_offsets_nor_segment(any_classifier: Classifier, family: str) -> None:
    _, tokenizer = any_classifier
    encoding = encode(tokenizer, Example("good", "bad"), None)
    special = [token for token, segment in zip(encoding.tokens, encoding.segments, strict=True) if segment is None]
    expected = {"roberta": ["<s>", "</s>", "</s>", "</s>"], "gpt2": []}
    assert special == expected.get(family, ["[CLS]", "[SEP]", "[SEP]"])
    assert len(encoding) == len(encoding.tokens) == len(encoding.offsets) == len(encoding.features["input_ids"])


def test_a_text_within_the_limit_is_not_cut() -> None:
    encoding = encode(WORDPIECE, Example("good bad film"), 5)
    assert encoding.truncated == 0
    assert encoding.tokens == ("[CLS]", "good", "bad", "film", "[SEP]")


def test_what_is_cut_off_is_counted_and_special_tokens_stay() -> None:
    encoding = encode(WORDPIECE, Example("good bad film the a"), 5)
    assert encoding.truncated == 2
    assert encoding.tokens == ("[CLS]", "good", "bad", "film", "[SEP]")


def test_of_a_pair_the_longer_text_is_cut() -> None:
    encoding = encode(WORDPIECE, Example("good bad film the a", "bad"), 7)
    assert encoding.truncated == 2
    assert encoding.tokens == ("[CLS]", "good", "bad", "film", "[SEP]", "bad", "[SEP]")


@given(text=ascii_texts, limit=st.integers(3, 30))
def test_an_encoding_never_exceeds_the_limit_and_no_token_goes_uncounted(text: str, limit: int) -> None:
    whole, cut = encode(WORDPIECE, Example(text), None), encode(WORDPIECE, Example(text), limit)
    assert len(cut) == min(limit, len(whole))
    assert cut.truncated == len(whole) - len(cut)


def test_a_text_of_which_no_token_comes_is_refused() -> None:
    with pytest.raises(InputError, match="no token"):
        encode(WORDPIECE, Example("\u200b\u00ad"), None)  # zero-width space, soft hyphen


def test_a_tokenizer_without_offsets_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match="Slow has no offsets"):
        encode(Slow(), Example("good"), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("configured", [False, True])
@pytest.mark.parametrize("limit", [None, 4])
def test_the_tokenizer_keeps_its_truncation_and_padding(configured: bool, limit: int | None) -> None:
    """Many saved tokenizers bring both (sentence-transformers'), and users rely on them."""
    tokenizer = tiny.wordpiece_tokenizer()
    if configured:
        tokenizer.backend_tokenizer.enable_truncation(20)
        tokenizer.backend_tokenizer.enable_padding(length=20)
    before = tokenizer.backend_tokenizer.to_str()
    encoding = encode(tokenizer, Example("good bad film the a very good film"), limit)
    assert len(encoding) == (limit or 10)
    assert tokenizer.backend_tokenizer.to_str() == before


def test_the_limit_is_the_models_number_of_positions(any_classifier: Classifier) -> None:
    model, tokenizer = any_classifier
    tokenizer.model_max_length = int(1e30)  # what transformers writes where nothing is known
    limit = token_limit(model, tokenizer)
    assert limit == 64  # RoBERTa too: of its 66 rows two lie before the first position
    encoding = encode(tokenizer, Example("a " * 200), limit)
    assert encoding.truncated > 0
    with torch.no_grad():
        model(**collate([encoding], padding_id(model, tokenizer), model.device))  # the longest that it takes


def test_the_tokenizers_own_limit_counts_where_it_is_lower(bert: Classifier) -> None:
    model, tokenizer = bert
    tokenizer.model_max_length = 10
    assert token_limit(model, tokenizer) == 10


def test_a_model_without_positions_has_no_limit(bert: Classifier) -> None:
    model, tokenizer = bert
    tokenizer.model_max_length = int(1e30)
    model.config.max_position_embeddings = -1  # as some relative-position models say
    assert token_limit(model, tokenizer) is None


def test_padding_is_the_models_then_the_tokenizers_then_its_end_of_text_then_zero(
    make_classifier: Callable[..., Classifier],
) -> None:
    model, tokenizer = make_classifier("gpt2")
    model.config.pad_token_id = 7
    assert padding_id(model, tokenizer) == 7
    model.config.pad_token_id = None
    tokenizer.eos_token, tokenizer.pad_token = "a", "b"
    assert padding_id(model, tokenizer) == tokenizer.convert_tokens_to_ids("b")
    tokenizer.pad_token = None
    assert padding_id(model, tokenizer) == tokenizer.convert_tokens_to_ids("a")
    tokenizer.eos_token = None
    assert padding_id(model, tokenizer) == 0


def test_padding_has_a_row_in_the_embedding(make_classifier: Callable[..., Classifier]) -> None:
    model, tokenizer = make_classifier("gpt2")
    for unusable in (-1, model.config.vocab_size, 10**6):
        model.config.pad_token_id = unusable
        assert padding_id(model, tokenizer) == tokenizer.eos_token_id


@pytest.mark.parametrize("text", ["<s>good</s>", "<s>good", "good</s>"])
def test_special_tokens_that_are_written_are_read_as_the_tokenizer_reads_them(text: str) -> None:
    """A classifier's user gets both, those written and those put around them; only a decoder's start is not doubled."""
    assert encode(BYTES, Example(text), None).features["input_ids"] == BYTES(text)["input_ids"]


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5), padding=st.integers(0, 9))
def test_collating_pads_on_the_right_and_masks_it(lengths: list[int], padding: int) -> None:
    encodings = [
        Encoding(
            {"input_ids": list(range(20, 20 + length)), "token_type_ids": [1] * length, "attention_mask": [1] * length},
            tokens=("x",) * length,
            offsets=((0, 1),) * length,
            segments=(0,) * length,
            truncated=0,
        )
        for length in lengths
    ]
    inputs = collate(encodings, padding, torch.device("cpu"))
    assert {name: tuple(value.shape) for name, value in inputs.items()} == dict.fromkeys(
        ("attention_mask", "input_ids", "token_type_ids"), (len(lengths), max(lengths))
    )
    for row, length in enumerate(lengths):
        gap = max(lengths) - length
        assert inputs["input_ids"][row].tolist() == [*range(20, 20 + length), *[padding] * gap]
        assert inputs["attention_mask"][row].tolist() == [1] * length + [0] * gap
        assert inputs["token_type_ids"][row].tolist() == [1] * length + [0] * gap


def test_a_tokenizer_that_pads_on_the_left_does_not_move_positions(
    make_classifier: Callable[..., Classifier],
) -> None:
    _, tokenizer = make_classifier("gpt2")
    tokenizer.padding_side = "left"
    encodings = [encode(tokenizer, Example(text), None) for text in ("good", "a")]
    assert collate(encodings, 0, torch.device("cpu"))["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]
