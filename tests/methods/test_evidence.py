"""Evidence: measured as it is defined, adding up where it says so, and ranked by what is masked first."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import tiny
from asking import explain, lent_batch
from narrows import Explainer
from narrows.bottleneck.path import StraightPath
from narrows.bottleneck.prior import Gaussian, Prior
from narrows.bottleneck.rate import MASKS
from narrows.errors import InputError, LayerError, PriorError
from narrows.methods import evidence
from narrows.methods.evidence import Evidence, mask, usual_layers
from narrows.methods.iterations import Iterations, pick_strongest, picked_counts
from narrows.methods.method import Site
from narrows.methods.registry import find_method
from narrows.models.cut.blocks import find_blocks
from narrows.models.heads.target import Distribution
from tiny import Classifier, register_on_output

TEXTS = ["a good film", "a very bad film it is not", "the act", "bad"]
LONG = "the acting is superb, it is not a bad film, it is very good and the film is superb"
NAMES = ("fast", "best", "complete:steps=6:draws=2")
ONCE = "fast:iterations=1"


def log_odds(logits: Tensor, label: int) -> float:
    """log p - log (1 - p), written out, in nats."""
    p = logits.double().softmax(dim=-1)
    return math.log(float(p[label])) - math.log(float(p.sum() - p[label]))


def without_text(classifier: Classifier, text: Any, layer: int, mean: Tensor) -> Tensor:
    """Logits with the prior's mean at every token after a block, by a hook of our own."""
    model, tokenizer = classifier
    inputs = tokenizer(*(text if isinstance(text, tuple) else (text,)), return_tensors="pt")
    block = find_blocks(model)[layer - 1]
    handle = register_on_output(block, lambda x: mean.to(x).expand_as(x))
    with torch.no_grad():
        logits: Tensor = model(**inputs).logits[0]
    handle.remove()
    return logits


# What is measured.


@pytest.mark.parametrize(
    ("family", "held"),
    [("bert", False), ("gpt2", False), ("distilbert", False), ("bert", True), ("roberta", True), ("electra", True)],
)
def test_scores_are_finite_differences_of_the_log_odds_on_the_path(
    any_classifier: Classifier, make_prior: Callable[..., Prior], held: bool
) -> None:
    """One point at one layer: each token's mask moved alone, up and down, through the model with a hook."""
    model, tokenizer = any_classifier
    prior, layer, target = make_prior(model), 2, 1
    model.double()
    method = Evidence(layer=layer, steps=1, iterations=1, interval=(0.0, 0.6), leave_out=held)  # the middle: 0.3
    text = ("a good film", "a bad film") if held else TEXTS[0]
    (got,) = explain(any_classifier, method, [text], [target], prior)
    mean, step = prior.mean[layer].double(), 1e-5
    inputs = tokenizer(*(text if held else (text,)), return_tensors="pt")

    def at(masks: Tensor) -> float:
        handle = register_on_output(find_blocks(model)[layer - 1], lambda x: mean + masks[:, None] * (x - mean))
        with torch.no_grad():
            value = log_odds(model(**inputs).logits[0], target)
        handle.remove()
        return value

    middle = torch.full((len(got.tokens),), 0.3, dtype=torch.float64)
    moves = step * torch.eye(len(middle), dtype=torch.float64)
    if held:
        separators = inputs["input_ids"][0] == tokenizer.sep_token_id
        middle[separators], moves[separators] = 1.0, 0.0
        assert 2 <= int(separators.sum()) < len(middle) and not separators[0]
    slopes = [(at(middle + move) - at(middle - move)) / (2 * step) for move in moves]
    np.testing.assert_allclose(got.scores, 0.6 * np.array(slopes) / math.log(2), rtol=1e-5, atol=1e-7)
    assert np.abs(got.scores).max() > 1e-2


def test_the_map_of_several_layers_is_the_mean_of_theirs(
    any_classifier: Classifier, make_prior: Callable[..., Prior]
) -> None:
    prior = make_prior(any_classifier[0])
    several = explain(any_classifier, f"{ONCE}:layer=1,2", TEXTS, prior=prior)
    parts = [explain(any_classifier, f"{ONCE}:layer={layer}", TEXTS, prior=prior) for layer in (1, 2)]
    for own, one, other in zip(several, *parts, strict=True):
        np.testing.assert_allclose(own.scores, (one.scores + other.scores) / 2, atol=1e-5)
        assert own.layers == (1, 2)
        assert own.typical == pytest.approx((one.typical + other.typical) / 2, abs=1e-6)  # type: ignore[operator]


def test_without_a_layer_it_looks_after_the_first_block_half_of_them_and_five_sixths(bert: Classifier) -> None:
    assert usual_layers(6) == [1, 3, 5] and usual_layers(12) == [1, 6, 10] and usual_layers(30) == [1, 15, 25]
    assert explain(bert, "fast", TEXTS[:1])[0].layers == tuple(sorted(set(usual_layers(tiny.BLOCKS))))


@pytest.mark.parametrize("method", NAMES)
def test_it_does_not_depend_on_the_seed(bert: Classifier, method: str) -> None:
    base = find_method(method)
    one, other = (explain(bert, replace(base, seed=seed), [LONG])[0] for seed in (0, 1))
    assert one.scores.tolist() == other.scores.tolist() and one.ranking == other.ranking
    assert one.scores.std() > 0


# Adding up.


@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_on_the_whole_path_in_one_iteration_the_scores_add_up_to_the_rise(
    any_classifier: Classifier, make_prior: Callable[..., Prior], layer: int
) -> None:
    with torch.no_grad():
        for parameter in any_classifier[0].parameters():  # a smoother model needs fewer steps
            parameter.mul_(0.5 if parameter.ndim > 1 else 1)
    any_classifier[0].double()
    method = f"complete:steps=300:draws=0:tolerance=0.0005:layer={layer}"
    for attribution in explain(any_classifier, method, TEXTS, prior=make_prior(any_classifier[0])):
        assert attribution.additive and attribution.missed is not None and attribution.rise is not None
        assert attribution.scores.sum() + attribution.missed == pytest.approx(attribution.rise)
        kinked = any_classifier[0].config.model_type == "distilbert"  # the only head with a ReLU
        assert abs(attribution.missed) < (0.05 if kinked else 1e-3)


def test_the_rise_is_that_of_the_log_odds_from_the_priors_mean(
    any_classifier: Classifier, make_prior: Callable[..., Prior]
) -> None:
    model, tokenizer = any_classifier
    prior = make_prior(model)
    for attribution in explain(any_classifier, "complete:steps=3:draws=0:layer=1,3", TEXTS, prior=prior):
        label = list(model.config.id2label.values()).index(attribution.target)
        with torch.no_grad():
            whole = log_odds(model(**tokenizer(attribution.text, return_tensors="pt")).logits[0], label)
        closed = [without_text(any_classifier, attribution.text, layer, prior.mean[layer]) for layer in (1, 3)]
        start = sum(log_odds(own, label) for own in closed) / 2
        assert attribution.rise == pytest.approx((whole - start) / math.log(2), abs=1e-3)
        typical = sum(float(own.softmax(dim=-1)[label]) for own in closed) / 2
        assert attribution.typical == pytest.approx(typical, abs=1e-4)


@pytest.mark.parametrize("change", ["interval=0,0.9", "iterations=2", "interval=0.1,1"])
def test_nothing_is_promised_to_add_up_elsewhere(bert: Classifier, change: str) -> None:
    (attribution,) = explain(bert, f"complete:steps=4:draws=0:{change}", TEXTS[:1])
    assert not attribution.additive
    assert attribution.rise is attribution.missed is None
    assert attribution.typical is not None


@pytest.mark.slow
def test_complete_misses_little_on_a_demo_model() -> None:
    """Measured with the defaults: the largest miss is printed, and is below a twentieth of a bit."""
    explainer = Explainer.from_pretrained("sentiment", "complete:draws=0")
    texts = ["The plot is thin, but the acting is superb.", "A gorgeous, witty film.", "The script is a mess."]
    missed = [abs(attribution.missed or 0.0) for attribution in explainer(texts)]
    print(f"complete misses {max(missed):.4f} bits at most")
    assert max(missed) < 0.05


# The rate curve.


def test_the_trace_leads_from_the_open_mask_to_the_closed_one(bert: Classifier) -> None:
    (attribution,) = explain(bert, "complete:steps=4:draws=8", TEXTS[1:2])
    passing = [point.information for point in attribution.trace]
    assert len(passing) == MASKS
    assert passing == sorted(passing, reverse=True)
    curve = attribution.rate_curve()
    assert [point.bits for point in curve] == passing[::-1]
    assert curve[-1].probability == pytest.approx(attribution.probability, rel=0.05)
    assert all(point.low <= point.probability <= point.high for point in curve)
    assert any(point.low < point.high for point in curve)


def test_two_draws_are_one_pair_and_have_no_interval(bert: Classifier) -> None:
    (attribution,) = explain(bert, "complete:steps=3:draws=2", TEXTS[:1])
    assert {point.error for point in attribution.trace} == {0.0}


@pytest.mark.parametrize("method", ["fast", "best"])
def test_there_is_no_curve_without_draws(bert: Classifier, method: str) -> None:
    assert explain(bert, method, TEXTS[:1])[0].trace == ()


# The ranking.


@pytest.mark.parametrize("method", NAMES)
def test_the_ranking_holds_every_content_token_once(any_classifier: Classifier, method: str) -> None:
    for attribution in explain(any_classifier, method, [*TEXTS, ("a good film", "bad act")]):
        content = [place for place, special in enumerate(attribution.special) if not special]
        assert sorted(attribution.ranking) == content
        assert np.isfinite(attribution.scores).all()


def seen_activations(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What the path starts from, call by call."""
    seen: list[Tensor] = []
    original = evidence.look

    def spy(odds: Any, activation: Tensor, *args: Any, **options: Any) -> Any:
        seen.append(activation.detach().clone())
        return original(odds, activation, *args, **options)

    monkeypatch.setattr(evidence, "look", spy)
    return seen


@pytest.mark.parametrize("method", ["fast:layer=1", "best:layer=1"])
def test_short_texts_are_never_masked_and_long_ones_are(
    bert: Classifier, make_prior: Callable[..., Prior], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    seen = seen_activations(monkeypatch)
    prior = make_prior(bert[0])
    explain(bert, method, ["bad film", "a"], prior=prior)
    assert len(seen) == find_method(method).iterations
    assert all(torch.equal(own, seen[0]) for own in seen[1:])
    seen.clear()
    long = " ".join(["good bad film the act"] * 11)
    (attribution,) = explain(bert, method, [long], prior=prior)
    masked = [set((own[0] != seen[0][0]).any(dim=-1).nonzero().flatten().tolist()) for own in seen]
    assert masked[0] == set()
    for before, after in pairwise(masked):
        assert before < after  # more in each iteration, and what is masked stays masked
        assert all((seen[masked.index(after)][0, place] == prior.mean[1]).all() for place in after)
    assert set(attribution.ranking[: len(masked[-1])]) == masked[-1]  # masked first, ranked first
    assert not any(attribution.special[place] for place in masked[-1])


def test_scores_are_measurements_whatever_the_ranking(bert: Classifier) -> None:
    """No score is lifted or clipped to fit an order: they are those of one iteration alone, at the same steps."""
    (several,) = explain(bert, "fast:steps=3:iterations=3", [LONG])
    assert several.scores.min() < 0 < several.scores.max()
    first = find_method("fast:steps=1:iterations=1")
    (once,) = explain(bert, first, [LONG])
    assert np.corrcoef(several.scores, once.scores)[0, 1] > 0.5
    by_score = sorted(several.ranking, key=lambda place: (-several.scores[place], place))
    assert set(by_score) == set(several.ranking)


def test_masking_puts_the_mean_at_the_first_layer_and_carries_it_on(
    bert: Classifier, make_prior: Callable[..., Prior]
) -> None:
    prior = make_prior(bert[0])
    with lent_batch(bert, [TEXTS[1]], prior=prior) as batch:
        sites = batch.sites((1, 3), prior)
        masked = torch.zeros_like(batch.content)
        masked[0, [2, 4]] = True
        first, second = mask(sites, masked)
        untouched = mask(sites, torch.zeros_like(masked))
    expected = sites[0].activation.clone()
    expected[0, [2, 4]] = prior.mean[1]
    assert torch.equal(first.activation, expected)
    seen: list[Tensor] = []
    model, tokenizer = bert
    blocks = find_blocks(model)
    handles = [
        register_on_output(blocks[0], lambda x: expected),
        register_on_output(blocks[2], lambda x: seen.append(x) or x),  # type: ignore[func-returns-value]
    ]
    with torch.no_grad():
        model(**tokenizer(TEXTS[1], return_tensors="pt"))
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(second.activation, seen[0])
    for own, site in zip(untouched, sites, strict=True):
        torch.testing.assert_close(own.activation, site.activation)


def test_one_site_alone_is_masked_without_running_the_model() -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("nothing is deeper")

    x = torch.randn(2, 4, 3)
    prior = Gaussian(torch.full((3,), 0.5), torch.ones(3))
    every = torch.ones(2, 4, dtype=torch.bool)
    site = Site(1, lambda t: t, refuse, (), x, prior, every, None)
    masked = torch.tensor([[True, False, False, False], [False, False, True, True]])
    (own,) = mask([site], masked)
    assert torch.equal(own.activation[~masked], x[~masked])
    assert (own.activation[masked] == 0.5).all()
    assert torch.equal(site.activation, x)


values = st.lists(st.integers(-3, 3), min_size=1, max_size=9)


@given(scores=values, wanted=st.integers(-1, 10), seed=st.integers(0, 9))
def test_the_strongest_are_picked_by_score_then_position(scores: list[int], wanted: int, seed: int) -> None:
    candidates = torch.rand(len(scores), generator=torch.Generator().manual_seed(seed)) < 0.7
    picked = pick_strongest(torch.tensor([scores]).float(), candidates.unsqueeze(0), torch.tensor([wanted]))
    ranked = sorted((i for i in range(len(scores)) if candidates[i]), key=lambda i: (-scores[i], i))
    assert picked[0].nonzero().flatten().tolist() == sorted(ranked[: max(0, wanted)])


@pytest.mark.parametrize("method", NAMES)
def test_tokens_that_are_worth_the_same_are_ranked_by_position(bert: Classifier, method: str) -> None:
    with torch.no_grad():
        bert[0].classifier.weight.zero_()  # no token says anything
    for attribution in explain(bert, method, [*TEXTS, LONG]):
        assert not attribution.scores.any()
        assert attribution.ranking == tuple(sorted(attribution.ranking))


# Settings.


def test_features_add_up_to_their_token_and_are_not_asked_for_in_vain(bert: Classifier) -> None:
    (attribution,) = explain(bert, "complete:steps=5:draws=0:features=true:layer=1,2", TEXTS[:1])
    assert attribution.features is not None
    assert attribution.features.shape == (len(attribution.tokens), tiny.HIDDEN)
    np.testing.assert_allclose(attribution.features.astype(float).sum(axis=-1), attribution.scores, atol=0.02)
    assert explain(bert, "fast", TEXTS[:1])[0].features is None


def test_what_is_measured_by_removal_has_no_features(gpt2: Classifier) -> None:
    with pytest.warns(match="could be explained"):
        (refused,) = explain(gpt2, "fast:iterations=1:features=true", TEXTS[:1])
    assert "choose leave_out=false" in str(refused)
    (own,) = explain(gpt2, "fast:iterations=1:features=true:leave_out=false", TEXTS[:1])
    np.testing.assert_allclose(own.features.astype(float).sum(axis=-1), own.scores, atol=0.02)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"steps": 0}, "steps"),
        ({"iterations": 0}, "iterations"),
        ({"steps": 2, "iterations": 3}, "iterations"),
        ({"interval": (0.5, 0.5)}, "interval"),
        ({"interval": (0.8, 0.2)}, "interval"),
        ({"interval": (-0.1, 0.2)}, "interval"),
        ({"interval": (0.1, 1.2)}, "interval"),
        ({"interval": (0.1,)}, "interval"),
        ({"interval": (math.nan, 1.0)}, "interval"),
        ({"features": True}, "iterations=1"),
        ({"draws": 3}, "draws"),
        ({"draws": -2}, "draws"),
        ({"draws": True}, "draws"),
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_refused_in_one_line(change: dict[str, Any], names: str) -> None:
    with pytest.raises(InputError, match=names) as caught:
        Evidence(**change)
    assert "\n" not in str(caught.value)


def test_the_three_names(bert: Classifier) -> None:
    fast, best, complete = (find_method(name) for name in ("fast", "best", "complete"))
    assert isinstance(fast, Evidence) and fast == Evidence()
    assert best.steps > fast.steps
    assert complete.additive and not fast.additive and not best.additive
    for method in (fast, best, complete):
        assert (method.quantity, method.unit, method.signed) == ("evidence", "bits", True)
        whole = (method.copies - 1) * method.iterations
        assert method.copies == 9 if method.additive else method.copies * method.iterations >= method.steps > whole


def test_a_prior_of_the_methods_own_is_used_and_must_be_the_models(
    make_classifier: Callable[..., Classifier], make_prior: Callable[..., Prior], tmp_path: Any
) -> None:
    classifier = make_classifier("bert")
    own, other = make_prior(classifier[0], 1), make_prior(make_classifier("bert", 1)[0])
    own.save(tmp_path / "own.safetensors")
    other.save(tmp_path / "other.safetensors")
    (expected,) = explain(classifier, "fast", TEXTS[:1], prior=own)
    (got,) = explain(classifier, Evidence(prior=str(tmp_path / "own.safetensors")), TEXTS[:1])
    np.testing.assert_array_equal(got.scores, expected.scores)
    assert got.prior == expected.prior == own.name
    with pytest.raises(PriorError, match="another model"):
        explain(classifier, Evidence(prior=str(tmp_path / "other.safetensors")), TEXTS[:1])


def test_no_layer_at_all_is_refused(bert: Classifier) -> None:
    with pytest.raises(LayerError):
        explain(bert, Evidence(layer=()), TEXTS[:1])


@pytest.mark.parametrize(
    ("tokens", "part", "picked"), [(36, 1.0, 4), (9, 1.0, 1), (3, 1 / 3, 1), (2, 1.0, 0), (90, 1 / 3, 3)]
)
def test_a_part_of_a_tenth_is_picked_at_least_one_and_none_of_two(tokens: int, part: float, picked: int) -> None:
    content = torch.zeros(1, 100, dtype=torch.bool)
    content[0, :tokens] = True
    assert picked_counts(content, part).tolist() == [picked]


def test_picked_tokens_are_ranked_by_iteration_and_the_others_by_their_mean_over_all_points() -> None:
    """By hand: 20 tokens, of which 2 are picked in two iterations, 1 each; the first and the last are special."""
    content = torch.ones(1, 20, dtype=torch.bool)
    content[0, [0, 19]] = False
    once, again = torch.arange(20.0).unsqueeze(0), torch.zeros(1, 20)
    again[0, [5, 7, 3]] = torch.tensor([100.0, 90.0, 30.0])
    found = Iterations.empty(content)
    for iteration, log_p in enumerate((once, again)):
        found = found.add(StraightPath(2 * log_p, log_p, log_p.unsqueeze(-1)), steps=1)
        found = found.pick(iteration, (iteration + 1) / 2)
    # 18 is the highest at first; of the others 5 has the mean 52.5, 7 48.5, 3 16.5, 17 8.5, ...
    assert found.rankings()[0][:6] == [18, 5, 7, 3, 17, 16]
    assert found.scores[0].tolist() == (2 * once[0]).tolist()  # nothing was masked in the first iteration alone


def test_a_target_without_odds_is_not_said_to_have_them(bert: Classifier, make_prior: Callable[..., Prior]) -> None:
    prior = make_prior(bert[0])
    explainer = Explainer(*bert, "fast:layer=1", prior)
    plain, whole = explainer("a very bad film"), explainer("a very bad film", Distribution())
    assert "odds" in plain.method["caption"]
    assert "odds" not in whole.method["caption"]
    assert "loss" in whole.method["caption"]
