"""Continuations: the tokens that follow a text in its context, whatever the tokenizer puts in front of a text."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import tiny
from narrows.data.example import Example
from narrows.errors import InputError, NarrowsWarning, TargetError
from narrows.explainer import Explainer
from narrows.models.cut.view import borrowed
from narrows.models.heads.continuation import append, given_as_text, without_end
from narrows.models.heads.target import Contrast
from narrows.models.text.encoding import encode

CORPUS = ["The capital of France is Paris", "Paris of Italy is Rome", "user: hello\nassistant: hello world\n"] * 5
TEXT = "The capital of France is"
QUICK: dict[str, Any] = {"method": "random", "prior": "instance"}


def tokenizer_of(kind: str, end: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level BPE, or BPE as SentencePiece has it, with a space before every text or before the first piece only."""
    specials = ["</s>", "<s>"]
    if kind == "bytes":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        tokenizer = Tokenizer(models.BPE(fuse_unk=True, byte_fallback=True))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=kind)
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
        alphabet = []
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if end else "<s> $A",
        pair="<s> $A $B",
        special_tokens=[("<s>", tokenizer.token_to_id("<s>")), ("</s>", tokenizer.token_to_id("</s>"))],
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


KINDS = pytest.mark.parametrize("kind", ["bytes", "always", "first"])


def spelled(tokenizer: PreTrainedTokenizerFast, text: str, target: str) -> list[str]:
    before = without_end(tokenizer, text, encode(tokenizer, Example(text), None))
    found = given_as_text(tokenizer, text, before, target)
    ids = [*before.features["input_ids"], *found.ids]
    assert tokenizer.decode(ids) == "<s>" + text + target or tokenizer.decode(ids) == "<s> " + text + target
    return [piece.replace("Ġ", "▁") for piece in tokenizer.convert_ids_to_tokens(list(found.ids))]


@pytest.mark.parametrize("end", [False, True])
@KINDS
def test_the_tokens_of_a_continuation_are_those_that_follow_the_text(kind: str, end: bool) -> None:
    tokenizer = tokenizer_of(kind, end)
    assert spelled(tokenizer, TEXT, " Paris of") == ["▁Paris", "▁of"]
    *inside, last = spelled(tokenizer, "The capital of France is Par", "is of")  # "Paris" would be one token
    assert ("".join(inside), last) == ("is", "▁of")
    assert spelled(tokenizer, "The capital of Franc", "e is")[-1] == "▁is"
    assert "▁" not in "".join(spelled(tokenizer, f"{TEXT} ", "Paris"))  # the text has the space already
    assert spelled(tokenizer, "user: hello", "</s>") == ["</s>"]  # written, not put there by the tokenizer


@KINDS
def test_what_a_model_generated_is_explained_as_text_as_ids_and_with_its_probability(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    model = language_model(tokenizer)
    explainer = Explainer(model, tokenizer, **QUICK)
    before = tokenizer(TEXT).input_ids
    ids = tokenizer(TEXT + " Paris of").input_ids[len(before) :]
    with torch.no_grad():
        log_p = model(torch.tensor([before + ids])).logits[0].double().log_softmax(-1)
    whole = sum(float(log_p[len(before) - 1 + place, token]) for place, token in enumerate(ids))
    for target in (" Paris of", ids, tuple(ids), np.array(ids), torch.tensor(ids)):
        found = explainer(TEXT, target)
        assert found.tokens == tuple(tokenizer.convert_ids_to_tokens(before + ids[:-1]))
        assert found.text_pair == " Paris of"
        assert [word.text for word in found.words()][-1] == "Paris"
        questions = explainer._reader.ask(TEXT, target).questions
        view = borrowed(model)
        with explainer._reader.task.reading(view, questions), torch.no_grad():
            logits = view(torch.tensor([before + ids[:-1]])).logits[0]
        goal = explainer._reader.task.resolve(questions[0], logits).goal
        assert -float(goal(logits.double().unsqueeze(0))) == pytest.approx(whole, rel=1e-6)
    assert explainer(TEXT, " Paris of").target == " Paris of"
    assert all(part in explainer(TEXT, ids).target for part in (" Paris of", *map(str, ids)))
    together = explainer([TEXT, TEXT, TEXT], [ids, " Paris of", ids[0]])
    assert [found.tokens for found in together[:2]] == [found.tokens] * 2
    assert explainer([TEXT], torch.tensor([ids]))[0].tokens == found.tokens
    for one in (ids[0], np.int64(ids[0]), torch.tensor(ids[0])):
        assert explainer(TEXT, one).target == together[2].target
    assert explainer(TEXT, Contrast(np.int32(ids[0]), torch.tensor(5))).target.endswith(explainer(TEXT, 5).target)


LETTERS = st.text(sorted({*"".join(CORPUS)}), min_size=1, max_size=12)
TOKENIZERS = {kind: tokenizer_of(kind) for kind in ("bytes", "always", "first")}


@given(kind=st.sampled_from(sorted(TOKENIZERS)), text=LETTERS, target=LETTERS | st.text(min_size=1), data=st.data())
def test_tokens_behind_any_text_read_as_the_continuation_and_have_places_in_it(
    kind: str, text: str, target: str, data: st.DataObject
) -> None:
    tokenizer = TOKENIZERS[kind]
    try:
        before = without_end(tokenizer, text, encode(tokenizer, Example(text), None))
        found = given_as_text(tokenizer, text, before, target)
    except (InputError, TargetError) as error:  # nothing to read in the text, or no tokens that read so behind it
        assert str(error).count("\n") == 0
        return
    given_ids = before.features["input_ids"]
    if kind == "bytes":  # has a token for every byte; others lose what they never saw
        assert tokenizer.decode([*given_ids, *found.ids]) == tokenizer.decode(given_ids) + target
    count = data.draw(st.integers(0, len(found.ids)))
    longer = append(tokenizer, before, found, count)
    assert longer.features["input_ids"] == [*given_ids, *found.ids[:count]]
    assert {len(own) for own in (*longer.features.values(), longer.offsets, longer.segments)} == {len(longer.tokens)}
    places = [place for place in longer.offsets[len(given_ids) :] if place is not None]
    assert all(0 <= start <= end <= len(found.text) for start, end in places)
    if kind == "bytes" and target.isascii():  # a character of several tokens is whole only behind the last of them
        assert "".join(found.text[slice(*place)] for place in places) == found.text[: places[-1][1] if places else 0]


def test_ids_that_read_as_nothing_are_spelled() -> None:
    tokenizer = tokenizer_of("bytes")
    explainer = Explainer(language_model(tokenizer), tokenizer, **QUICK)
    newline, end = tokenizer("\n", add_special_tokens=False).input_ids[0], tokenizer.eos_token_id
    found = explainer("user: hello", [newline, newline, end])
    assert found.tokens[-2:] == ("Ċ", "Ċ")
    assert explainer("user: hello", "\n\n</s>").tokens == found.tokens
    assert explainer("user: hello", [end, newline]).segments[-1] is None  # a special token is no part of the text


@pytest.mark.parametrize("target", [[], [1, 10**6], [-1], [1.5], [True, 2], True, 10**6, np.array([0.5]), b"x", {}])
def test_other_targets_are_refused_in_a_line(target: Any) -> None:
    tokenizer = tokenizer_of("bytes")
    with pytest.raises(TargetError):
        Explainer(language_model(tokenizer), tokenizer, **QUICK)(TEXT, target)


def test_one_text_of_a_classifier_takes_one_target(bert: tiny.Classifier) -> None:
    for target in ([0, 1], torch.tensor([0, 1])):
        with pytest.raises(InputError, match="one text takes one target"):
            Explainer(*bert, **QUICK)("good", target)


def test_a_continuation_without_its_space_is_warned_of() -> None:
    tokenizer = tokenizer_of("bytes")
    space = tokenizer.convert_tokens_to_ids("ĠParis")
    model = language_model(tokenizer)

    def sure(_: Any, __: Any, output: Tensor) -> Tensor:
        return torch.zeros_like(output).index_fill(-1, torch.tensor([space]), 12.0)

    model.lm_head.register_forward_hook(sure)
    explainer = Explainer(model, tokenizer, **QUICK)
    with pytest.warns(NarrowsWarning, match=r"'Paris' hardly follows .*France is'.* ' Paris' p = 1"):
        explainer(TEXT, "Paris")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explainer(TEXT, " Paris")
        explainer(TEXT, [space])
        # of a single word, whether a space belongs to it is the model's to say
        assert explainer(TEXT, Contrast("Paris", "Rome")).target == " Paris rather than  Rome"


def language_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {**tiny.ENCODER, "vocab_size": len(tokenizer), "num_key_value_heads": 1}
    return tiny.draw_weights(LlamaForCausalLM(LlamaConfig(**sizes, bos_token_id=1, eos_token_id=0)))
