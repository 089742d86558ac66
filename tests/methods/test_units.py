"""Units of several tokens: masked, removed, ranked and summed as one, by every method."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel

import tiny
from asking import COMPUTED, explain, lent_batch, quick
from narrows import Attribution, Attributions, Explainer
from narrows.bottleneck.prior import Prior
from narrows.data import maps
from narrows.data.example import Example
from narrows.errors import InputError, NarrowsError
from narrows.methods import evidence
from narrows.methods.evidence import Evidence
from narrows.methods.iterations import picked_counts
from narrows.models import variants
from narrows.models.text.reader import Reader
from tiny import Classifier
from without import p_without

TEXT = "The film is good. It is not a bad act, is it? Very good! A superb film."
SENTENCES = ((0, 17), (18, 45), (46, 56), (57, 71))
CONTEXT = SENTENCES[:2]  # as units; the rest is context


def explained(
    classifier: Classifier, method: Any, text: Any = TEXT, prior: Any = "instance", **asked: Any
) -> Attribution:
    found: Attribution = Explainer(*classifier, method, prior)(text, **asked)
    return found


@pytest.mark.parametrize("method", COMPUTED)
def test_a_unit_has_the_sum_of_its_tokens_and_whole_units_are_ranked(bert: Classifier, method: str) -> None:
    found = explained(bert, quick(method), unit_of=CONTEXT)
    assert [(unit.start, unit.end) for unit in found.units] == list(CONTEXT)
    inside = []
    for unit in sorted(found.units, key=lambda unit: unit.rank or 99):
        assert unit.text == TEXT[unit.start : unit.end]
        assert unit.score == math.fsum(found.scores[list(unit.tokens)])
        assert all(unit.start <= (found.offsets[place] or (99, 0))[0] < unit.end for place in unit.tokens)
        inside += unit.tokens
    assert found.ranking[: len(inside)] == tuple(inside)
    assert sorted(unit.rank or 99 for unit in found.units) == [1, 2]
    assert found.record["unit_of"] == "span"


@pytest.mark.parametrize("method", ["fast", "information_signed", "occlusion", "lime", "kernel_shap", "random"])
def test_a_text_has_the_same_units_alone_and_among_others(bert: Classifier, method: str) -> None:
    explainer = Explainer(*bert, quick(method), "instance")
    kinds = [SENTENCES, "token", "word", [(2, 6)]]
    together = explainer([TEXT, "a good film", "not very bad acting", "a film"], [1, 1, 1, 1], unit_of=kinds)
    for found, kind in zip(together, kinds, strict=True):
        alone = explainer(found.text, 1, unit_of=kind)
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-4, rtol=1e-4)
        assert found.ranking == alone.ranking
        assert [unit.tokens for unit in found.units] == [unit.tokens for unit in alone.units]
    assert together[1].units == () and together[1].to_dict()["units"] is None


@pytest.mark.parametrize(
    "method", ["complete:steps=5:draws=0", "ig:steps=3", "saliency", "rollout", "fast:iterations=1"]
)
def test_what_is_measured_of_tokens_does_not_depend_on_the_units(bert: Classifier, method: str) -> None:
    plain, units = explained(bert, method, target=1), explained(bert, method, target=1, unit_of=SENTENCES)
    np.testing.assert_array_equal(plain.scores, units.scores)
    sums = [math.fsum(plain.scores[list(unit.tokens)]) for unit in units.units]
    assert [unit.score for unit in units.units] == sums
    assert [unit.rank for unit in units.units] == [1 + sum(other > own for other in sums) for own in sums]


@pytest.mark.parametrize("removal", ["delete", "mask", "attention"])
def test_occlusion_leaves_out_one_unit_after_the_other(bert: Classifier, removal: str) -> None:
    target, example = 2, Example(TEXT)
    found = explained(bert, f"occlusion:removal={removal}", target=target, unit_of=SENTENCES)
    whole = p_without(bert, example, [], removal, target)
    for unit in found.units:
        expected = whole - p_without(bert, example, unit.tokens, removal, target)
        assert unit.score == pytest.approx(expected, abs=1e-6)
        assert len(set(found.scores[list(unit.tokens)])) == 1


@pytest.mark.parametrize("method", ["occlusion", "lime:samples=20", "kernel_shap:samples=20"])
def test_context_is_never_removed_and_has_no_score(
    bert: Classifier, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    real = variants.remove

    def watched(encoding: Any, gone: Any, *rest: Any) -> Any:
        seen.append(list(gone))
        return real(encoding, gone, *rest)

    monkeypatch.setattr(variants, "remove", watched)
    found = explained(bert, method, unit_of=CONTEXT)
    units = [set(unit.tokens) for unit in found.units]
    assert any(seen)
    for gone in map(set, seen):
        assert gone == set().union(*(unit for unit in units if unit <= gone))
    outside = sorted(set(range(len(found.tokens))) - units[0] - units[1])
    assert not found.scores[outside].any()


def test_the_bottleneck_has_one_mask_for_a_unit(bert: Classifier) -> None:
    """One more step opens or closes all tokens of a unit alike: with one weight for all, bits follow the deviation."""
    (found,) = explain(bert, "information:layer=2:samples=2:steps=4", [TEXT], [1])
    units = explained(bert, "information:layer=2:samples=2:steps=4", target=1, unit_of=SENTENCES)
    with lent_batch(bert, [TEXT]) as batch:
        site = batch.site(2)
        r2 = ((site.activation - site.prior.mean) / site.prior.std).square().sum(dim=-1)[0].tolist()
        hidden = site.activation.shape[-1]
    for unit in units.units:  # bits = a + b r^2 with the same a and b for all tokens of a unit
        bits, r = units.scores[list(unit.tokens)], np.array([r2[token] for token in unit.tokens])
        slope, base = np.polyfit(r, bits, 1)
        np.testing.assert_allclose(bits, base + slope * r, atol=1e-3 * hidden)
    assert np.abs(units.scores - found.scores).max() > 1e-3


@pytest.mark.parametrize("layers", ["2", "1,3"])
def test_iterations_pick_whole_units(bert: Classifier, make_prior: Callable[..., Prior], layers: str) -> None:
    """The first unit is that with the highest sum at the first iteration, and all of it is masked in the second."""
    prior, method = make_prior(bert[0]), f"fast:steps=2:iterations=2:layer={layers}"
    seen: list[torch.Tensor] = []
    real = evidence.mask

    def watched(sites: Any, masked: torch.Tensor) -> Any:
        seen.append(masked)
        return real(sites, masked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "mask", watched)
        found = explained(bert, method, target=1, prior=prior, unit_of=SENTENCES)
    (masked,) = seen
    (first,) = [unit for unit in found.units if unit.rank == 1]
    assert masked[0].nonzero().flatten().tolist() == list(first.tokens)


@given(counts=st.lists(st.integers(1, 4), min_size=1, max_size=30), part=st.sampled_from([1 / 3, 2 / 3, 1.0]))
def test_as_many_units_are_picked_as_tokens_would_be(counts: list[int], part: float) -> None:
    leading = torch.tensor([[place == 0 for size in counts for place in range(size)]])
    singles = torch.ones(1, len(counts), dtype=torch.bool)
    assert picked_counts(leading, part).item() == picked_counts(singles, part).item()


def test_random_draws_once_for_a_unit_however_long(bert: Classifier) -> None:
    spans = ((0, 3), (4, 71))
    firsts = [explained(bert, f"random:seed={seed}", unit_of=spans).units[0].rank for seed in range(40)]
    assert 10 < firsts.count(1) < 30


def test_windows_of_a_long_text_have_its_units(bert: Classifier) -> None:
    explainer = Explainer(*bert, "occlusion", "instance", max_tokens=12, long_texts="windows")
    found = explainer(TEXT, 1, unit_of=SENTENCES)
    assert found.record["windows"] > 1
    assert [(unit.start, unit.end) for unit in found.units] == list(SENTENCES)
    assert all(unit.score == math.fsum(found.scores[list(unit.tokens)]) for unit in found.units)
    order = sorted(found.units, key=lambda unit: unit.rank or 99)
    assert found.ranking == tuple(token for unit in order for token in unit.tokens)
    with pytest.raises(InputError, match="holds no unit"):
        explainer(TEXT, 1, unit_of=[(0, 3)])


def test_a_unit_that_is_cut_off_is_kept_without_tokens(bert: Classifier) -> None:
    found = Explainer(*bert, "fast", "instance", max_tokens=8)(TEXT, unit_of=SENTENCES)
    assert [bool(unit.tokens) for unit in found.units] == [True, True, False, False]
    assert found.units[-1].rank is None and found.units[-1].score == 0


def test_pairs_have_units_in_both_texts(bert: Classifier) -> None:
    pair = ("A good film. It is bad.", "The act is good. Not bad.")
    found = explained(bert, "fast", pair, unit_of="sentence")
    assert [(unit.segment, unit.text) for unit in found.units] == [
        (0, "A good film."),
        (0, "It is bad."),
        (1, "The act is good."),
        (1, "Not bad."),
    ]


@pytest.mark.parametrize("kind", ["word", "sentence", SENTENCES])
def test_units_survive_every_form_in_which_they_are_saved(bert: Classifier, tmp_path: Path, kind: Any) -> None:
    found = explained(bert, "fast", unit_of=kind)
    saved = json.loads(json.dumps(found.to_dict()))
    assert Attribution.from_dict(saved).units == found.units
    assert Attribution.from_dict(saved).to_dict() == found.to_dict()
    found.save(tmp_path / "one.json")
    assert Attribution.load(tmp_path / "one.json").units == found.units
    plain = explained(bert, "fast", "a film")
    for suffix in (".jsonl", ".parquet"):
        Attributions([found, plain]).save(tmp_path / f"maps{suffix}")
        one, other = maps.read_maps(tmp_path / f"maps{suffix}")
        assert Attribution.from_dict(one).units == found.units
        assert other["units"] is None and Attribution.from_dict(other).units == ()
    wrong = {**saved, "units": [{**saved["units"][0], "start": 10**6}]}
    with pytest.raises(InputError, match="is no part of the text"):
        Attribution.from_dict(wrong)
    assert replace(found, scores=2 * found.scores).units[0].score == pytest.approx(2 * found.units[0].score)


def test_lists_take_one_kind_or_one_for_each_and_streams_one_kind(bert: Classifier) -> None:
    explainer = Explainer(*bert, "random", "instance")
    assert [len(found.units) for found in explainer(["A film. Good.", "Bad."], unit_of="sentence")] == [2, 1]
    assert [len(found.units) for found in explainer(iter(["A film. Good.", "Bad."]), unit_of="sentence")] == [2, 1]
    with pytest.raises(InputError, match="2 texts but 1 values of unit_of"):
        explainer(["a", "b"], unit_of=[[(0, 1)]])
    with pytest.raises(InputError, match="a stream takes one name"):
        explainer(iter(["a"]), unit_of=[[(0, 1)]])
    for inputs in ("a", ["a"], iter(["a"])):
        with pytest.raises(InputError, match="unit_of must be one of"):
            explainer(inputs, unit_of="paragraph")  # type: ignore[call-overload]
    with pytest.warns(UserWarning, match=r"texts\[1\]"):
        good, bad = explainer(["a film", "b"], unit_of=[[(0, 1)], [(0, 5)]])
    assert good.units and isinstance(bad, NarrowsError) and "span 0" in str(bad)


def test_the_continuation_of_a_language_model_is_context() -> None:
    tokenizer = tiny.byte_tokenizer(roberta=False)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=16, n_layer=3, n_head=2)
    ).eval()
    asked = Reader(model, tokenizer, None, "truncate").ask("a good film. it is", " bad", [(0, 12)])
    (question,) = asked.questions
    assert question.example.text_pair is not None and set(question.encoding.segments) >= {0, 1}
    (unit,) = question.units
    assert "".join(question.encoding.tokens[place] for place in unit).replace("\u0120", " ") == "a good film."
    found = Explainer(model, tokenizer, Evidence(layer=1), "instance")("a good film. it is", " bad", unit_of="sentence")
    assert [unit.text for unit in found.units] == ["a good film.", "it is"]
