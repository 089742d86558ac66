"""Offsets and words in every script, for WordPiece, byte-level BPE and SentencePiece; special tokens inside a text."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import tiny
from narrows.data.example import Example
from narrows.data.words import group_tokens, word_span
from narrows.errors import InputError, ModelError
from narrows.models.text.encoding import encode

LINES = [
    "the film is good",
    "der Film ist schön, naïve façade",
    "電影很好看 这部电影很好",
    "この映画はとても良いです",
    "סרט טוב מאוד",
    "فيلم جيد جدا",
    "хороший фильм",
    "😀 👩‍👧 ❤️",
]


def wordpiece() -> PreTrainedTokenizerFast:
    """As BERT's multilingual one: Chinese characters stand alone, accents are kept."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]", "[MASK]"], show_progress=False)
    tokenizer.train_from_iterator([*LINES, string.printable], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", mask_token="[MASK]")


def byte_level() -> PreTrainedTokenizerFast:
    """As GPT-2's: a character outside of ASCII is several tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    specials = ["<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, special_tokens=specials, show_progress=False
    )
    tokenizer.train_from_iterator(LINES[:2], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")


def sentencepiece() -> PreTrainedTokenizerFast:
    """As Llama's: spaces are part of the tokens, and what is not in the vocabulary falls back to bytes."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    learner.train_from_iterator(LINES[:3], trainers.BpeTrainer(vocab_size=150, show_progress=False))
    learned = json.loads(learner.to_str())["model"]
    tokens = ["<unk>", "<s>", *[f"<0x{value:02X}>" for value in range(256)], *learned["vocab"]]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    merges = [tuple(merge) for merge in learned["merges"]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = learner.pre_tokenizer
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>")


TOKENIZERS = {"wordpiece": wordpiece(), "bytes": byte_level(), "pieces": sentencepiece()}


def words_of(name: str, text: str) -> list[str]:
    encoding = encode(TOKENIZERS[name], Example(text), None)
    spans = [offset for offset in encoding.offsets if offset is not None]
    words = []
    for group in group_tokens(text, spans):
        start, end = word_span(text, [spans[token] for token in group])
        words.append(text[start:end])
    return words


@pytest.mark.parametrize("name", sorted(TOKENIZERS))
@pytest.mark.parametrize(
    "text",
    [
        "the film is good",
        "der Film ist schön",
        "nai\u0308ve fac\u0327ade",  # the accents are characters of their own
        "сегодня хороший фильм",
        "סרט טוב מאוד",
        "فيلم جيد جدا",
        "I don't know",
    ],
)
def test_words_between_spaces_are_whole_in_every_script(name: str, text: str) -> None:
    assert words_of(name, text) == text.split()


@pytest.mark.parametrize("name", sorted(TOKENIZERS))
@pytest.mark.parametrize("text", ["電影很好看", "この映画はとても良いです", "good電影", "電影😀好"])
def test_scripts_without_spaces_lose_no_character(name: str, text: str) -> None:
    words = words_of(name, text)
    assert "".join(words) == text
    assert len(words) > 1 or name == "pieces"  # a piece may hold a whole sentence that was seen in training


@pytest.mark.parametrize("name", sorted(TOKENIZERS))
def test_an_emoji_of_several_characters_stays_inside_its_place(name: str) -> None:
    text = "good 👩‍👧 film ❤️ !"
    words = words_of(name, text)
    joiner = "\u200d"  # BERT drops it
    assert "".join(words).replace(joiner, "") == text.replace(" ", "").replace(joiner, "")
    assert {"good", "film", "!"} <= set(words)


@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=25).filter(str.strip),
    name=st.sampled_from(sorted(TOKENIZERS)),
)
@example(text="\u0e14\u0e35 e\u0301\u200d\U0001f1eb\U0001f1f7", name="bytes")
def test_offsets_stay_inside_the_text_and_every_token_in_one_word(text: str, name: str) -> None:
    try:
        encoding = encode(TOKENIZERS[name], Example(text), None)
    except InputError:  # nothing but characters that the tokenizer drops
        return
    spans = [offset for offset in encoding.offsets if offset is not None]
    assert all(0 <= start <= end <= len(text) for start, end in spans)
    assert spans == sorted(spans)
    assert [token for group in group_tokens(text, spans) for token in group] == list(range(len(spans)))


def test_special_tokens_of_a_chat_template_are_special_and_words_are_those_of_the_text() -> None:
    tokenizer = TOKENIZERS["bytes"]
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    )
    text = tokenizer.apply_chat_template([{"role": "user", "content": "the film"}], tokenize=False)
    encoding = encode(tokenizer, Example(text), None)
    special = [token for token, segment in zip(encoding.tokens, encoding.segments, strict=True) if segment is None]
    assert special == ["<|im_start|>", "<|im_end|>"]
    assert words_of("bytes", text) == ["user", "the", "film"]


def test_an_encoders_text_is_read_as_its_tokenizer_reads_it() -> None:
    tokenizer = tiny.wordpiece_tokenizer()
    twice = ("[CLS]", "[CLS]", "good", "film", "[SEP]", "[SEP]")
    assert encode(tokenizer, Example("[CLS] good film [SEP]"), None).tokens == twice
    assert encode(tokenizer, Example("good film"), None).tokens == ("[CLS]", "good", "film", "[SEP]")
    assert encode(tokenizer, Example("good [MASK]"), None).segments == (None, 0, 0, None)


def test_a_slow_tokenizer_is_told_what_to_load_instead() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match=r"Slow .*offsets.*AutoTokenizer"):
        encode(Slow(), Example("good"), None)  # type: ignore[arg-type]
