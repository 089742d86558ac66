"""Two continuations held against each other: what the maps add up to, against p(continuation) by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import families
import tiny
from narrows import Contrast, Evidence, Explainer, Prior, estimate_prior
from narrows.errors import InputError, TargetError

PROMPT, FIRST, SECOND = "it is not a", " good film", " bad"
MANY = Evidence(layer=2, steps=60, iterations=1, interval=(0.0, 1.0), leave_out=False)


@pytest.fixture(scope="module")
def llama() -> tiny.Classifier:
    return families.of_task("Llama", "ForCausalLM", vocab_size=len(families.tokenizer("pieces")))


@pytest.fixture(scope="module")
def prior(llama: tiny.Classifier) -> Prior:
    return estimate_prior(*llama, ["a good film", "it is not bad"])


def log2_p(classifier: tiny.Classifier, text: str, continuation: str) -> float:
    """The bits of a whole continuation, token by token, by plain calls of the model."""
    model, tokenizer = classifier
    before, whole = (tokenizer(each)["input_ids"][:-1] for each in (text, text + continuation))
    with torch.no_grad():
        log_p = model(torch.tensor([whole])).logits[0].double().log_softmax(dim=-1)
    assert whole[: len(before)] == before
    return sum(float(log_p[place - 1, whole[place]]) for place in range(len(before), len(whole))) / math.log(2)


def test_two_continuations_of_several_tokens(llama: tiny.Classifier, prior: Prior) -> None:
    explainer = Explainer(*llama, MANY, prior)
    found, other = explainer(PROMPT, Contrast(FIRST, SECOND)), explainer(PROMPT, Contrast(SECOND, FIRST))
    assert found.target == f"{FIRST} rather than {SECOND}"
    for text in (FIRST, SECOND):
        assert math.log2(found.probabilities[text]) == pytest.approx(log2_p(llama, PROMPT, text), abs=1e-3)
    # The map turns round with the question, and adds up to the rise of the log-odds between the two.
    start = found.segments.index(1)
    assert np.allclose(found.scores[:start], -other.scores[:start], atol=1e-4)
    assert found.scores.sum() == pytest.approx(-other.scores.sum(), abs=1e-3)
    assert found.additive and found.missed == pytest.approx(0, abs=0.02 * abs(found.rise or 0) + 0.02)
    # What the model read of the continuations is there, under its own characters.
    assert found.text_pair == f"{FIRST} / {SECOND}"
    pairs = zip(found.tokens, found.offsets, found.segments, strict=True)
    for token, offset, segment in pairs:
        if segment == 1 and offset is not None:
            assert found.text_pair[slice(*offset)].strip() == token.strip("\u2581")


def test_a_continuation_is_explained_by_its_log_p(llama: tiny.Classifier, prior: Prior) -> None:
    """The difference of two maps made by a loop over the tokens: log p is the sum of the log p of all tokens."""
    explainer = Explainer(*llama, "layer_ig:layer=2:steps=8", prior)
    found = explainer(PROMPT, Contrast(FIRST, SECOND))
    start = found.segments.index(1)

    def summed(text: str) -> np.ndarray:
        return explainer(PROMPT, text, per_token=True).scores.sum(axis=0)[:start]

    assert np.allclose(found.scores[:start], summed(FIRST) - summed(SECOND), rtol=1e-3, atol=1e-4)


def test_single_tokens_are_still_compared_by_their_logits(llama: tiny.Classifier, prior: Prior) -> None:
    explainer = Explainer(*llama, "fast", prior)
    assert explainer(PROMPT, Contrast("a", "b")).text_pair is None
    mixed = explainer([PROMPT, PROMPT], [Contrast("a", SECOND), Contrast("a", "b")])
    assert [result.target for result in mixed] == [
        f"a rather than {SECOND}",
        explainer(PROMPT, Contrast("a", "b")).target,
    ]


def test_refusals(llama: tiny.Classifier, prior: Prior) -> None:
    with pytest.raises(TargetError, match="given twice"):
        Explainer(*llama, "fast", prior)(PROMPT, Contrast(FIRST, FIRST))
    with pytest.raises(InputError, match="have no sign"):
        Explainer(*llama, "paper:layer=2:steps=2:samples=2", prior)(PROMPT, Contrast(FIRST, SECOND))
