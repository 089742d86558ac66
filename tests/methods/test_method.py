"""The batch that every method gets, and what every registered method owes: finite scores, whatever the batch."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import log_softmax

import families
import planted
import tiny
from asking import COMPUTED, explain, lent_batch, quick, scores, state_of
from by_hand import encoded
from families import FAMILIES, Family
from narrows import Explainer, Prior
from narrows.bottleneck.optimize import text_seed
from narrows.bottleneck.prior import PRIORS
from narrows.data.example import Example
from narrows.errors import DependencyError, InputError, LayerError, NumericsError
from narrows.methods.evidence import Evidence, separators
from narrows.methods.method import FunctionMethod
from narrows.methods.registry import find_method
from narrows.models.heads.target import Contrast, Distribution
from tiny import Classifier

ITEMS = [Example("the film is not good"), Example("bad", "good acting"), Example("very very superb film , not bad")]
TARGETS = [0, 2, 1]


# What every registered method owes.


@pytest.mark.parametrize("family", ["bert", "gpt2"])
@pytest.mark.parametrize("name", COMPUTED)
def test_every_method_on_an_encoder_and_a_decoder(name: str, any_classifier: Classifier) -> None:
    any_classifier[0].double()
    method = find_method(quick(name))
    together = explain(any_classifier, method, ITEMS, TARGETS)
    labels = list(any_classifier[0].config.id2label.values())
    for item, target, own in zip(ITEMS, TARGETS, together, strict=True):
        assert own.scores.shape == (len(encoded(any_classifier, item)),)
        assert np.isfinite(own.scores).all() and np.abs(own.scores).max() > 0
        assert sorted(own.ranking) == [place for place, special in enumerate(own.special) if not special]
        assert own.target == labels[target] and own.method["name"] == name
        assert (own.unit, own.signed, own.additive) == (method.unit, method.signed, method.additive)
        assert own.signed or own.scores.min() >= 0
        if own.additive:
            assert own.missed is not None and abs(own.missed) < 0.1 * np.abs(own.scores).sum()
        else:
            assert own.rise is None
        (alone,) = explain(any_classifier, method, [item], [target])
        np.testing.assert_allclose(own.scores, alone.scores, rtol=1e-6, atol=1e-9)
        assert own.ranking == alone.ranking


@pytest.mark.parametrize("name", COMPUTED)
def test_the_order_of_the_batch_and_switched_off_gradients_change_nothing(name: str, bert: Classifier) -> None:
    bert[0].double()
    expected = scores(bert, quick(name), ITEMS, TARGETS)
    for switched_off in (torch.no_grad(), torch.inference_mode()):
        with switched_off:
            backward = scores(bert, quick(name), ITEMS[::-1], TARGETS[::-1])
        for own, other in zip(backward[::-1], expected, strict=True):
            np.testing.assert_allclose(own, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", COMPUTED)
def test_the_model_is_left_as_it_was(name: str, gpt2: Classifier) -> None:
    model = unusual(gpt2)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    before = state_of(model)
    explain(gpt2, quick(name), ITEMS, TARGETS)
    assert state_of(model) == before
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("name", COMPUTED)
def test_the_model_is_left_as_it_was_after_an_error_inside_it(
    name: str, error: type[BaseException], gpt2: Classifier
) -> None:
    """Raised at the second use of the head, or at the first where there is but one."""
    model = unusual(gpt2)
    tiny.probed(gpt2)
    fails_at = 1 if name in ("random", "update_norm") else 2
    calls = [0]

    def fail(*_: Any) -> None:
        calls[0] += 1
        if calls[0] == fails_at:
            raise error("inside")

    model.score.register_forward_hook(fail)
    before = state_of(model)
    with pytest.raises(error, match="inside"):
        explain(gpt2, quick(name), ITEMS, TARGETS)
    assert state_of(model) == before


def unusual(classifier: Classifier) -> Any:
    """A state that model.train() or requires_grad_(True) would not bring back."""
    model: Any = classifier[0]
    model.train()
    model.transformer.h[1].eval()
    model.transformer.wpe.weight.requires_grad_(False)
    return model


@pytest.mark.parametrize("name", ["fast", "ig", "saliency", "layer_ig", "gradient_x_input", "rollout"])
def test_bfloat16_models_are_explained_nearly_as_float32_ones(
    name: str, make_classifier: Callable[..., Classifier]
) -> None:
    model, tokenizer = make_classifier("distilbert")
    exact = scores((model, tokenizer), name, ITEMS, TARGETS)
    rough = scores((model.to(torch.bfloat16), tokenizer), name, ITEMS, TARGETS)
    assert np.corrcoef(np.concatenate(exact), np.concatenate(rough))[0, 1] > 0.95


@pytest.mark.parametrize(
    ("name", "module"),
    [
        *((name, "captum.attr") for name in ("ig", "layer_ig", "gradient_shap")),
        ("lime", "lime.lime_text"),
    ],
)
def test_a_missing_package_is_named_when_the_method_is_made(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_method(name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DependencyError, match=r'pip install "narrows\[evaluate\]"'):
        find_method(name)


# Chance, position, attention and the norm of an update know nothing of the target. The released code's bottleneck gates
# what one block changes: before the last one nothing here, in the last one [CLS] alone.
BLIND = {"random", "recency", "rollout", "update_norm", "released"}
PLANTED = {
    "paper": "paper:layer=1:beta=0.1",
    "information": "information:layer=1",
    "information_signed": "information_signed:layer=1",
    "layer_ig": "layer_ig:layer=1",
}


@pytest.mark.parametrize("name", sorted(set(COMPUTED) - BLIND))
def test_a_word_that_alone_decides_the_label_comes_first(name: str) -> None:
    loaded = planted.planted_classifier()
    items, targets = planted.EXAMPLES, [planted.TARGET] * len(planted.EXAMPLES)
    for attribution in explain((loaded.model, loaded.tokenizer), PLANTED.get(name, name), items, targets):
        assert attribution.tokens[attribution.ranking[0]] == planted.WORD, attribution


# The batch.


def test_real_tokens_are_not_padding_and_content_is_not_special(any_classifier: Classifier) -> None:
    with lent_batch(any_classifier, ITEMS) as batch:
        assert len(batch) == 3 and batch.real.shape == batch.content.shape == batch.inputs["input_ids"].shape
        for row, encoding in enumerate(batch.encodings):
            width = len(encoding)
            assert batch.real[row].tolist() == [place < width for place in range(batch.real.shape[1])]
            content = [segment is not None for segment in encoding.segments]
            assert batch.content[row].tolist() == content + [False] * (batch.real.shape[1] - width)
            assert batch.inputs["input_ids"][row, :width].tolist() == list(encoding.features["input_ids"])


@pytest.mark.parametrize("row", FAMILIES, ids=lambda row: row.name)
def test_separators_are_those_of_encoders_and_nothing_is_read_there(row: Family) -> None:
    """T5 and BART read at the end, where a token stands that also ends a text; decoders read there too."""
    if not hasattr(__import__("transformers"), row.model_class):
        pytest.skip(row.model_class)
    classifier = families.classifier(row)
    ends = row.kind == "encoder" and row.tokenizer in ("wordpiece", "bytes")
    with lent_batch(classifier, [Example("a good film", "a bad film"), Example("bad")]) as batch:
        found = separators(batch)
        assert found.any(dim=1).tolist() == [ends, ends]
        if ends:
            assert torch.equal(found, batch.real & (batch.inputs["input_ids"] == classifier[1].sep_token_id))
            assert not found[:, 0].any() and not (found & batch.content).any()
    if ends:  # the others are measured with these as they are
        held, free = (explain(classifier, f"fast:leave_out={way}", [ITEMS[1]])[0] for way in ("true", "false"))
        special = held.special & (np.array(held.tokens) == classifier[1].sep_token)
        assert special.sum() >= 2 and not held.scores[special].any()
        assert held.scores.tolist() != free.scores.tolist() or not free.scores.any()


def test_answers_are_what_the_model_says_and_what_was_asked(bert: Classifier) -> None:
    model, tokenizer = bert
    with lent_batch(bert, ITEMS, TARGETS) as batch:
        targets, log_odds = batch.targets, batch.log_odds
    assert targets == TARGETS
    for row, item in enumerate(ITEMS):
        texts = (item.text,) if item.text_pair is None else (item.text, item.text_pair)
        with torch.no_grad():
            p = model(**tokenizer(*texts, return_tensors="pt")).logits[0].double().softmax(dim=-1)
        own = float(p[TARGETS[row]])
        assert float(log_odds[row]) == pytest.approx(math.log(own / (1 - own)), abs=1e-4)
        assert batch.answers[row].predicted == model.config.id2label[int(p.argmax())]


@pytest.mark.parametrize("target", [Contrast(0, 1), Distribution()], ids=str)
def test_a_target_that_is_no_single_class_has_no_index(bert: Classifier, target: Any) -> None:
    with lent_batch(bert, ITEMS[:1], [target]) as batch:
        if isinstance(target, Distribution):
            with pytest.raises(InputError, match="one class"):
                _ = batch.targets
        else:
            assert batch.goals[0].has_odds


def test_some_of_a_batch_in_any_order_is_a_batch_with_the_same_answers(bert: Classifier) -> None:
    with lent_batch(bert, ITEMS, TARGETS) as batch:
        some = batch.take([2, 0])
        assert some.examples == (batch.examples[2], batch.examples[0])
        assert some.answers == (batch.answers[2], batch.answers[0])
        assert some.targets == [1, 0]
        width = some.real.shape[1]
        assert width == max(len(encoding) for encoding in some.encodings)
        torch.testing.assert_close(some.logits, batch.logits[[2, 0]], rtol=1e-4, atol=1e-5)


def test_a_text_draws_from_its_own_generator_wherever_it_stands(bert: Classifier) -> None:
    with lent_batch(bert, [*ITEMS, Example("bad good acting")]) as batch:
        assert batch.seeds(7) == [text_seed(7, example.text, example.text_pair) for example in batch.examples]
        assert len({*batch.seeds(7), *batch.seeds(8)}) == 8
        backward = batch.take([3, 2, 1, 0])
        for row in range(4):
            one, other = batch.generator(7, row), backward.generator(7, 3 - row)
            assert one.random(3).tolist() == other.random(3).tolist()


def test_the_model_runs_once_for_layers_that_are_known(bert: Classifier) -> None:
    calls: list[int] = []
    tiny.probed(bert)
    with lent_batch(bert, ITEMS, TARGETS) as batch:
        batch.site(1)  # at first use it is compared with plain calls, and looked through for sinks
    bert[0].classifier.register_forward_hook(lambda *_: calls.append(1))
    with lent_batch(bert, ITEMS, TARGETS) as batch:
        batch.prefix([1, 3])
        batch.prefix([1])
        _ = batch.answers, batch.logits, batch.log_odds
        batch.sites((1, 3))
        assert len(calls) == 1
        batch.prefix([2])
        assert len(calls) == 2


@pytest.mark.parametrize("layers", [(), (2, 1, 2), 3, None])
def test_layers_are_rising_and_each_once(bert: Classifier, layers: Any) -> None:
    with lent_batch(bert, ITEMS[:1]) as batch:
        if layers == ():
            with pytest.raises(LayerError, match="0 to 3"):
                batch.cut.layers(layers, [1])
        else:
            expected = {(2, 1, 2): (1, 2), 3: (3,), None: (0, 2)}[layers]
            assert batch.cut.layers(layers, [2, 0, 2]) == expected
        for wrong in (4, -1, (1, 4), True, "1"):
            with pytest.raises(LayerError):
                batch.cut.layers(wrong, [1])
        with pytest.raises(LayerError, match="layer 1"):
            batch.cut.layers(0, [1], PRIORS["residual"])


# A typical text.


def by_hook(classifier: Classifier, item: Example, layer: int, mean: torch.Tensor, target: int) -> float:
    """Log-odds of a text with the prior's mean at all of its tokens after a layer, run by itself."""
    with lent_batch(classifier, [item], [target]) as batch:
        site = batch.site(layer)
        put_in = mean.to(site.activation).expand_as(site.activation).unsqueeze(1)
        return float(site.log_odds(put_in))


@pytest.mark.parametrize("layer", [0, 1, 3])
def test_typical_odds_are_those_of_each_text_run_by_itself(
    any_classifier: Classifier, make_prior: Callable[..., Prior], layer: int
) -> None:
    prior = make_prior(any_classifier[0])
    items = [*ITEMS, Example("the film is not bad"), Example("the film is not good")]
    targets = [*TARGETS, 1, 2]
    expected = [
        by_hook(any_classifier, item, layer, prior.mean[layer], target)
        for item, target in zip(items, targets, strict=True)
    ]
    with lent_batch(any_classifier, items, targets, prior) as batch:
        site = batch.site(layer)
        for _ in range(2):
            assert batch.typical_odds(site, prior).tolist() == pytest.approx(expected, abs=1e-4)
        assert len({round(value, 3) for value in expected}) > 2


def test_typical_odds_are_computed_once_for_each_length(bert: Classifier, make_prior: Callable[..., Prior]) -> None:
    prior = make_prior(bert[0])
    tiny.probed(bert)
    rows: list[int] = []
    bert[0].classifier.register_forward_hook(lambda _, args, __: rows.append(len(args[0])))
    with lent_batch(bert, ["a good film", "a bad film", "bad"], prior=prior) as batch:
        site = batch.site(1)
        _ = batch.goals
        rows.clear()
        first = batch.typical_odds(site, prior)
        assert rows == [2]  # one suffix, with a row for each of the two lengths
        again = batch.typical_odds(site, prior)
        assert rows == [2]
        assert torch.equal(first, again)


def test_typical_odds_follow_the_weights(bert: Classifier, make_prior: Callable[..., Prior]) -> None:
    prior = make_prior(bert[0])
    with lent_batch(bert, ["a good film"], prior=prior) as batch:
        before = batch.typical_odds(batch.site(1), prior)
        with torch.no_grad():
            bert[0].classifier.weight.add_(torch.randn_like(bert[0].classifier.weight))
        assert not torch.equal(before, batch.typical_odds(batch.site(1), prior))


@pytest.mark.parametrize("name", ["instance", "residual"])
def test_a_prior_of_the_text_itself_is_not_remembered(bert: Classifier, name: str) -> None:
    prior = PRIORS[name]
    with lent_batch(bert, ["a good film", "film bad a"], [1, 1], prior) as batch:
        found = batch.typical_odds(batch.site(2), prior).tolist()
        assert batch.cut.typical_logits == {}
    for text, own in zip(("a good film", "film bad a"), found, strict=True):
        with lent_batch(bert, [text], [1], prior) as batch:
            assert batch.typical_odds(batch.site(2), prior).tolist() == pytest.approx([own], abs=1e-4)
    assert abs(found[0] - found[1]) > 1e-4


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("row", FAMILIES, ids=lambda row: row.name)
def test_in_every_family_texts_of_one_length_have_one_typical_text(
    row: Family, make_prior: Callable[..., Prior], pair: bool
) -> None:
    """Two texts, or two pairs that are cut elsewhere: what is remembered for one must be right for the other."""
    if not hasattr(__import__("transformers"), row.model_class):
        pytest.skip(row.model_class)
    classifier = families.classifier(row)
    prior = make_prior(classifier[0])
    layer = max(1, row.blocks - 1)
    items = (
        [Example("a good", "film"), Example("a", "good film")]
        if pair
        else [Example("a good film"), Example("film a good")]
    )
    expected = []
    for item in items:
        with lent_batch(classifier, [item], [0], prior) as batch:
            site = batch.site(layer)
            put_in = prior.mean[layer].to(site.activation).expand_as(site.activation).unsqueeze(1)
            with torch.no_grad():
                expected.append(float(site.log_odds(put_in)))
    with lent_batch(classifier, items, [0, 0], prior) as batch:
        found = batch.typical_odds(batch.site(layer), prior).tolist()
    assert found == pytest.approx(expected, abs=1e-4)


# Results.


def test_wrong_shapes_and_nan_are_refused_by_the_name_of_the_method(bert: Classifier) -> None:
    method = find_method("random")
    with lent_batch(bert, ITEMS[:2]) as batch:
        lengths = [len(encoding) for encoding in batch.encodings]
        good = [np.zeros(length) for length in lengths]
        assert len(batch.attributions(method, good)) == 2
        for wrong in (np.zeros(lengths[0] + 1), np.zeros(lengths[0] - 1), np.zeros((lengths[0], 1))):
            with pytest.raises(NumericsError, match=f"random.*{lengths[0]} tokens"):
                batch.attributions(method, [wrong, good[1]])
        for value in (math.nan, math.inf):
            spoiled = good[1].copy()
            spoiled[1] = value
            with pytest.raises(NumericsError, match="random gave NaN or infinity for 'bad'"):
                batch.attributions(method, [good[0], spoiled])
        padded = torch.zeros(2, batch.real.shape[1])
        padded[0, lengths[0] :] = math.nan  # padding is cut off before anything is looked at
        padded[1, lengths[1] :] = math.nan
        assert [len(own.scores) for own in batch.attributions(method, padded)] == lengths
        with pytest.raises(NumericsError, match="tokens"):
            batch.attributions(method, torch.zeros(2, 2))


def test_a_ranking_that_is_not_given_is_by_score_then_position(bert: Classifier) -> None:
    with lent_batch(bert, ["a good film it"]) as batch:
        drawn = [np.array([9.0, 1.0, 2.0, 2.0, -1.0, 9.0])]
        (own,) = batch.attributions(find_method("random"), drawn)
        assert own.ranking == (2, 3, 1, 4)
        (given,) = batch.attributions(find_method("random"), drawn, rankings=[[4, 3, 2, 1]])
        assert given.ranking == (4, 3, 2, 1)
        for wrong in ([4, 3, 2], [4, 3, 2, 2], [0, 1, 2, 3]):
            with pytest.raises(InputError, match="ranking"):
                batch.attributions(find_method("random"), drawn, rankings=[wrong])


def test_what_made_a_result_stands_in_it(bert: Classifier, make_prior: Callable[..., Prior]) -> None:
    prior = make_prior(bert[0])
    (own,) = explain(bert, "paper:steps=1:samples=1:layer=2", ["a good film"], prior=prior)
    assert (own.layers, own.prior, own.record["blocks"], own.record["dtype"]) == ((2,), prior.name, 3, "float32")
    assert own.record["beta"] == 1e-5
    (other,) = explain(bert, "random", ["a good film"], prior=prior)
    assert (other.layers, other.prior, other.trace, other.typical) == (None, None, (), None)


# A function.


def lengths(batch: Any) -> list[Any]:
    return [np.array([len(token) for token in encoding.tokens], float) for encoding in batch.encodings]


def test_a_function_is_a_method(bert: Classifier) -> None:
    method = FunctionMethod(lengths, label="length", unit="letters", signed=False, caption="Letters of a token.")
    for attribution in Explainer(*bert, method, "instance")(["a good film", "bad"]):
        assert attribution.scores.tolist() == [len(token) for token in attribution.tokens]
        assert (attribution.unit, attribution.signed, attribution.additive) == ("letters", False, False)
        assert attribution.method["label"].startswith("length")
        assert attribution.method["caption"] == "Letters of a token."


def test_a_function_that_gives_something_else_is_refused(bert: Classifier) -> None:
    method = FunctionMethod(lambda batch: [np.zeros(1) for _ in batch.encodings], label="broken")
    with pytest.raises(NumericsError, match="broken"):
        Explainer(*bert, method, "instance")("a good film")


def test_a_function_may_run_the_model(bert: Classifier) -> None:
    """It gets the model in evaluation mode with gradients, and hands it back."""

    def probability(batch: Any) -> list[Any]:
        assert torch.is_grad_enabled() and not batch.model.training
        p = log_softmax(batch.model(**batch.inputs).logits, dim=-1)
        return [np.full(len(e), float(p[row, batch.targets[row]])) for row, e in enumerate(batch.encodings)]

    bert[0].train()
    (own,) = explain(bert, FunctionMethod(probability), ["a good film"], [1])
    assert own.scores[0] == pytest.approx(math.log(own.probabilities["neutral"]), abs=1e-5)
    assert bert[0].training


def test_a_setting_is_changed_by_replace() -> None:
    assert replace(find_method("best"), steps=20) == Evidence(steps=20, iterations=4)


# Other heads.


@pytest.mark.parametrize("name", ["fast", "paper:steps=2:samples=2", "ig", "layer_ig", "gradient_shap", "saliency"])
@pytest.mark.parametrize("head", ["a continuation", "a blank", "an answer"])
def test_every_head_gives_a_text_the_same_alone_and_beside_others(name: str, head: str) -> None:
    """Of a language model only some positions are read, others in each text."""
    span = {"num_labels": 2, "id2label": {0: "start", 1: "end"}}
    classifier, items, targets = {
        "a continuation": lambda: (
            families.of_task("GPT2", "LMHeadModel"),
            ["a film", "it is", "a"],
            [" bad", None, " superb"],
        ),
        "a blank": lambda: (
            families.of_task("Bert", "ForMaskedLM"),
            ["a [MASK] film", "it is not [MASK]"],
            ["good", None],
        ),
        "an answer": lambda: (
            families.of_task("Bert", "ForQuestionAnswering", **span),
            [("is it", "a good film"), ("is it bad", "it is not a bad film")],
            ["good film", None],
        ),
    }[head]()
    classifier[0].double()
    together = explain(classifier, name, items, targets)
    for own, item, target in zip(together, items, targets, strict=True):
        (alone,) = explain(classifier, name, [item], [target])
        np.testing.assert_allclose(own.scores, alone.scores, rtol=1e-5, atol=1e-8)
        assert np.abs(own.scores).max() > 0
