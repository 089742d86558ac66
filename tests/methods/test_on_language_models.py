"""Every method on language models: those that remove tokens against plain calls, all of them on a planted habit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import families
from asking import COMPUTED, lent_batch, quick, scores
from narrows.explainer import Explainer
from narrows.methods.file import FromFile
from narrows.methods.perturbation import predict_present
from narrows.models.heads.target import Tag
from plainly import p_continued
from planted_decoder import LETTER, SIGN, TEXTS, planted_decoder

MODEL, TOKENIZER = planted_decoder()
PLANTED = (MODEL, TOKENIZER)
WIDE = (planted_decoder(1)[0].double(), TOKENIZER)
SIGN_ID, LETTER_ID = TOKENIZER.convert_tokens_to_ids([SIGN, LETTER])
BAD = TOKENIZER(" bad").input_ids
FINDING = ("occlusion", "lime", "kernel_shap:samples=60", "ig")


def test_the_sign_alone_decides() -> None:
    for text in TEXTS:
        prompt = TOKENIZER(text).input_ids
        sign = [place for place, token in enumerate(prompt) if token == SIGN_ID]
        others = [place for place, token in enumerate(prompt) if token != SIGN_ID]
        assert p_continued(PLANTED, prompt, [], "delete", [LETTER_ID]) > 0.9
        assert p_continued(PLANTED, prompt, sign, "delete", [LETTER_ID]) < 0.1
        assert p_continued(PLANTED, prompt, others, "delete", [LETTER_ID]) > 0.9


@pytest.mark.parametrize("method", FINDING)
def test_the_sign_comes_first(method: str) -> None:
    found = Explainer(*PLANTED, method, "instance")(list(TEXTS))
    for text, own in zip(TEXTS, found, strict=True):
        assert (own.target, own.predicted, own.record["target_tokens"][0]["ids"]) == (LETTER, LETTER, [LETTER_ID])
        word = [place for place, token in enumerate(own.tokens) if token == SIGN]
        assert method == "lime" or [own.ranking[0]] == word  # the word of the sign: its tokens share one weight
        assert own.scores[word[0]] == own.scores.max()
        assert own.text == text


@pytest.mark.parametrize("name", COMPUTED)
def test_every_method_explains_a_continuation(name: str) -> None:
    """Its tokens but the last are read, and of the methods that remove tokens none is removed: they get 0."""
    found = Explainer(*PLANTED, quick(name), "instance")(["good!", "a film!"], [BAD, BAD[:2]])
    for own, text, read in zip(found, ("good!", "a film!"), (BAD[:-1], BAD[:1]), strict=True):
        assert len(own.tokens) == len(text) + len(read) and own.segments[-1] == 1
        if name in ("occlusion", "lime", "kernel_shap"):
            assert own.scores[: len(text)].any() and not own.scores[len(text) :].any()


@pytest.mark.parametrize("removal", ["delete", "replace", "attention"])
@pytest.mark.parametrize("target", [[7], BAD], ids=["a token", "a continuation"])
def test_occlusion_is_what_a_token_of_the_prompt_is_worth(target: list[int], removal: str) -> None:
    texts = ("a good film!", "z", "it is bad")
    for text, own in zip(texts, scores(WIDE, f"occlusion:removal={removal}", texts, [target] * 3), strict=True):
        prompt = TOKENIZER(text).input_ids
        whole = p_continued(WIDE, prompt, [], removal, target)
        worth = [whole - p_continued(WIDE, prompt, [place], removal, target) for place in range(len(prompt))]
        assert np.abs(worth).max() > 0
        np.testing.assert_allclose(own, [*worth, *[0.0] * (len(target) - 1)], rtol=1e-7, atol=1e-15)


def test_shapley_values_add_up_to_the_rise_from_an_empty_prompt() -> None:
    (own,) = scores(WIDE, "kernel_shap:samples=100", ["a good!"], [[LETTER_ID]])
    prompt = TOKENIZER("a good!").input_ids
    ends = [p_continued(WIDE, prompt, gone, "delete", [LETTER_ID]) for gone in ([], range(len(prompt)))]
    assert own.sum() == pytest.approx(ends[0] - ends[1], rel=1e-4)


def test_presences_are_of_the_tokens_of_the_prompt() -> None:
    with lent_batch(WIDE, ["a film!", "z"], [BAD, BAD]) as batch:
        present = np.array([[True] * 6 + [False], [False] * 7, [True] * 7])
        found = predict_present(batch, [0, 1, 1], present, "delete")
    prompt, short = TOKENIZER("a film!").input_ids, TOKENIZER("z").input_ids
    expected = [p_continued(WIDE, *own, "delete", BAD) for own in ((prompt, [6]), (short, [0]), (short, []))]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["occlusion", "lime", "kernel_shap"])
def test_where_nothing_can_be_removed_all_scores_are_0(name: str) -> None:
    tagger, masked = families.of_task("Bert", "ForTokenClassification"), families.of_task("Bert", "ForMaskedLM")
    for classifier, text, target in ((tagger, "film", Tag(0)), (masked, "[MASK]", None)):
        own, longer = scores(classifier, name, [text, f"a {text}"], [target, Tag(1) if target else None])
        assert not own.any()
        assert longer.any()


def test_recency_removes_the_last_token_first() -> None:
    own = Explainer(*PLANTED, "recency", "instance")("a!b", BAD[:2])
    assert own.ranking == (3, 2, 1, 0)
    assert (own.unit, own.signed, own.additive) == ("score", False, False)


@pytest.mark.parametrize("pair", [None, " bad"])
def test_scores_of_a_file_are_those_of_the_prompt_or_of_all_that_is_read(tmp_path: Any, pair: str | None) -> None:
    path = tmp_path / "scores.jsonl"
    read = "" if pair is None else pair[:-1]
    tokens = str(TOKENIZER.convert_ids_to_tokens(TOKENIZER("a!" + read).input_ids)).replace("'", '"')
    row = f'"text": "a!", "tokens": {tokens}, "scores": {list(range(1, 3 + len(read)))}'
    path.write_text("{" + row + ("}" if pair is None else f', "text_pair": "{pair}"}}'))
    (own,) = Explainer(*PLANTED, FromFile(str(path)), "instance")(["a!"], [BAD])
    assert own.scores.tolist() == [1, 2, *([0, 0, 0] if pair is None else [3, 4, 5])]
    assert own.ranking == ((1, 0, 2, 3, 4) if pair is None else (4, 3, 2, 1, 0))
