"""The prediction that is explained is that of ``model(**tokenizer(text))``, alone and among longer texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BartForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForSequenceClassification,
)

import tiny
from narrows.data.example import Example
from narrows.explainer import Explainer
from narrows.models.corpus import estimate_prior
from narrows.models.predict import predict
from narrows.models.text.encoding import encode
from tiny import Classifier

QUICK: dict[str, Any] = {"method": "information:steps=1:samples=1:layer=1", "prior": "instance"}
SPECIALS = ["<eos>", "<bos>", "<pad>"]
CHAT = "user: say hello<eos>assistant: hello<eos>"
TEXTS = ["a good film, not bad at all", "bad", CHAT, "bad<eos>", "a<pad>b"]


def byte_tokenizer(adds_eos: bool = False, **names: str) -> PreTrainedTokenizerFast:
    """Bytes, with or without an end of text that is put behind every text."""
    vocabulary = {token: i for i, token in enumerate([*SPECIALS, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.add_special_tokens(SPECIALS)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if adds_eos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A <eos>", pair="$A $B <eos>", special_tokens=[("<eos>", 0)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", **names)


def decoder(pad: int | None, labels: int = 2) -> PreTrainedModel:
    sizes = {**tiny.ENCODER, "vocab_size": 300, "num_key_value_heads": 1, "num_labels": labels}
    torch.manual_seed(0)
    model = tiny.draw_weights(LlamaForSequenceClassification(LlamaConfig(**sizes, bos_token_id=1, eos_token_id=0)))
    model.config.pad_token_id = pad
    return model


def own(classifier: Classifier, text: str) -> np.ndarray:
    """What a user gets."""
    model, tokenizer = classifier
    with torch.no_grad():
        return model(**tokenizer(text, return_tensors="pt")).logits[0].double().numpy()


def p_of(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits - np.logaddexp.reduce(logits))


@pytest.mark.parametrize(
    ("names", "adds_eos"),
    [({}, False), ({"pad_token": "<pad>"}, True), ({"pad_token": "<eos>"}, True), ({"padding_side": "left"}, False)],
    ids=str,
)
@pytest.mark.parametrize("pad", [None, 0, 2, -1, 300])
def test_a_decoder_classifiers_prediction_is_its_own_whatever_its_padding_token(
    pad: int | None, names: dict[str, str], adds_eos: bool
) -> None:
    classifier = decoder(pad), byte_tokenizer(adds_eos, **names)
    expected = [p_of(own(classifier, text)) for text in TEXTS]
    explainer = Explainer(*classifier, **QUICK)
    for p, alone, among in zip(expected, map(explainer, TEXTS), explainer(TEXTS), strict=True):
        assert list(alone.probabilities.values()) == pytest.approx(p, abs=1e-5)
        assert list(among.probabilities.values()) == pytest.approx(p, abs=1e-5)
        np.testing.assert_allclose(among.scores, alone.scores, rtol=5e-3, atol=1e-2)
    encodings = [encode(classifier[1], Example(text), None) for text in TEXTS]
    assert predict(*classifier, encodings) == pytest.approx(np.stack(expected), abs=1e-5)
    assert classifier[0].config.pad_token_id == pad


@pytest.mark.parametrize("pad", [None, 0, -1])
def test_a_reward_is_that_of_the_last_token(pad: int | None) -> None:
    classifier = decoder(pad, labels=1), byte_tokenizer()
    for text, found in zip(TEXTS[:4], Explainer(*classifier, **QUICK)(TEXTS[:4]), strict=True):
        assert float(found.predicted) == pytest.approx(own(classifier, text)[0], rel=1e-4)


def test_what_is_found_of_a_head_of_zeros_is_not_remembered_once_it_is_trained() -> None:
    model, tokenizer = decoder(None), byte_tokenizer()
    trained = model.score.weight.detach().clone()
    explainer = Explainer(model, tokenizer, **QUICK)
    model.score.weight.data.zero_()
    explainer(TEXTS[:3])
    model.score.weight.data.copy_(trained)
    for text, found in zip(TEXTS[:3], explainer(TEXTS[:3]), strict=True):
        assert list(found.probabilities.values()) == pytest.approx(p_of(own((model, tokenizer), text)), abs=1e-5)


@pytest.mark.parametrize("pad", [2, 0])
@pytest.mark.parametrize("family", ["bart", "t5"])
def test_an_encoder_and_its_decoder_take_texts_with_different_numbers_of_ends(family: str, pad: int) -> None:
    """Their heads read the last end of text and refuse rows with different numbers of them; padding may be one."""
    torch.manual_seed(0)
    ids = {"vocab_size": 300, "pad_token_id": pad, "eos_token_id": 0, "decoder_start_token_id": 2, "num_labels": 2}
    if family == "bart":
        sizes = {"d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "max_position_embeddings": 64}
        heads = {f"{side}_attention_heads": 2 for side in ("encoder", "decoder")}
        model = BartForSequenceClassification(BartConfig(**sizes, **heads, **ids))
    else:
        model = T5ForSequenceClassification(T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2, **ids))
    classifier = tiny.draw_weights(model), byte_tokenizer(adds_eos=True)
    explainer = Explainer(*classifier, **QUICK)
    for text, found in zip(TEXTS, explainer(TEXTS), strict=True):
        assert list(found.probabilities.values()) == pytest.approx(p_of(own(classifier, text)), abs=1e-5)
    assert estimate_prior(*classifier, TEXTS).count == sum(len(classifier[1](text).input_ids) for text in TEXTS)
