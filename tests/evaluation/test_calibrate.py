"""Calibrations: what is measured took no part in anything before, and maps are called no better than they are."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from narrows.attribution import Attribution
from narrows.attributions import Attributions
from narrows.bottleneck.prior import Prior
from narrows.data.calibration import Calibration
from narrows.data.example import Example
from narrows.data.source import Source
from narrows.errors import InputError, NarrowsError, PriorError
from narrows.evaluation import calibrate as module
from narrows.evaluation.calibrate import calibrate
from narrows.explainer import Explainer
from narrows.methods.evidence import Evidence, usual_layers
from narrows.models.hub.loading import LoadedModel
from narrows.run import Plan, evaluate
from narrows.run.results import Results
from narrows.viz import caption
from narrows.viz.canvas import RED
from narrows.viz.figure import plot_text
from narrows.viz.html import render_page
from narrows.viz.latex import render_latex
from planted import WORD, planted_classifier
from tiny import Classifier

FILLERS = ("film", "the", "a", "it", "is", "act", "bad", "very", "not")


def texts_of(count: int) -> list[str]:
    """Texts that differ; each second one has the word that decides."""
    draw = np.random.default_rng(0)
    made: dict[str, None] = {}
    while len(made) < count:
        words = draw.choice(FILLERS, size=6).tolist()
        made[" ".join([*words[:3], WORD, *words[3:]] if len(made) % 2 else words)] = None
    return list(made)


@pytest.fixture(scope="module")
def planted() -> Classifier:
    loaded = planted_classifier()
    return loaded.model, loaded.tokenizer


@pytest.fixture(scope="module")
def calibrated(planted: Classifier) -> Prior:
    return calibrate(*planted, texts_of(80), limit=64)


def facts(prior: Prior) -> Calibration:
    assert prior.calibration is not None
    return prior.calibration


def test_maps_that_find_the_planted_word_are_trusted(calibrated: Prior) -> None:
    found = facts(calibrated)
    assert (found.method, found.texts, list(found.drops)) == ("fast", 32, ["fast", "ig", "random"])
    assert found.trusted
    assert found.drops["fast"][0] > found.drops["random"][0] + 0.2
    mean, low, high = found.above_chance
    assert low <= mean <= high
    assert mean == pytest.approx(found.drops["fast"][0] - found.drops["random"][0])


def test_without_the_extras_it_is_measured_beside_chance_alone(
    planted: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("captum.attr", "scipy.stats"):
        monkeypatch.setitem(sys.modules, package, None)
    assert list(facts(calibrate(*planted, texts_of(40), limit=32)).drops) == ["fast", "random"]


def test_chance_is_not_trusted(planted: Classifier) -> None:
    found = facts(calibrate(*planted, texts_of(64), "random:seed=5", limit=64))
    assert not found.trusted
    assert found.layers is None


def test_measured_texts_are_in_neither_prior_nor_choice(planted: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[str]] = {"prior": [], "explained": []}
    estimate, explain = module.estimate_prior, Explainer.__call__

    def estimating(model: Any, tokenizer: Any, examples: Any) -> Prior:
        seen["prior"] += [example.text for example in examples]
        return estimate(model, tokenizer, examples)

    def explaining(self: Explainer, inputs: Any, *others: Any) -> Any:
        seen["explained"].append(" / ".join(example.text for example in inputs))
        return explain(self, inputs, *others)

    monkeypatch.setattr(module, "estimate_prior", estimating)
    monkeypatch.setattr(Explainer, "__call__", explaining)
    texts = texts_of(100)
    calibrate(*planted, texts, limit=64)
    chosen, measured = list(dict.fromkeys(seen["explained"]))
    assert not set(chosen.split(" / ")) & set(measured.split(" / "))
    assert not set(seen["prior"]) & set(measured.split(" / "))
    assert set(seen["prior"]) | set(measured.split(" / ")) == set(texts)


def test_other_settings_are_taken_only_if_they_are_better_beyond_doubt(
    planted: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, original = texts_of(64), Explainer.__call__

    def explaining(best: Evidence | None) -> Any:
        """Maps of the best method rank the planted word first, all others rank it last."""

        def explain(self: Explainer, inputs: Any, *_: Any) -> Attributions:
            found = Attributions(original(self, inputs))
            for place, one in enumerate(found):
                rest = [p for p in one.ranking if one.tokens[p] != WORD]
                word = [p for p in one.ranking if one.tokens[p] == WORD]
                first = self.method == best
                found[place] = replace(one, ranking=(*word, *rest) if first else (*rest, *word))
            return found

        return explain

    def chosen(best: Evidence | None, method: str = "fast") -> Any:
        monkeypatch.setattr(Explainer, "__call__", explaining(best))
        found = facts(calibrate(*planted, texts, method, limit=64))
        return found.layers, found.interval

    assert chosen(Evidence(layer=(2,))) == ((2,), None)
    assert chosen(Evidence(interval=(0.4, 1.0))) == (None, (0.4, 1.0))
    assert chosen(None) == (None, None)
    own = "fast:layer=1:interval=0.1,0.9"  # leaves nothing to choose, and is nothing that other methods take over
    assert chosen(Evidence(layer=1, interval=(0.4, 1.0)), own) == (None, None)


def test_the_best_of_several_must_be_better_by_more(planted: Classifier) -> None:
    """A gain of 2.2 standard errors is beyond the doubt of one candidate, not of the best of five."""
    assert [len(module._choices(Evidence(), blocks)) for blocks in (1, 3, 6, 12, 30)] == [2, 3, 5, 5, 5]
    draw = np.random.default_rng(0).normal(size=64)
    gains = (draw - draw.mean()) / draw.std() + 2.2 / 8

    def curves(drops: Any) -> Any:
        return SimpleNamespace(morf=np.stack([np.ones(64), *[1 - drops] * 9], axis=1))

    usual, best = curves(np.zeros(64)), curves(gains)
    worse = [curves(np.full(64, -0.1))] * 4
    assert module._choose([usual, best]) == 1
    assert module._choose([usual, *worse, best]) == 0
    assert module._choose([usual, *worse, curves(2 * gains.mean() + gains)]) == 5


def test_it_is_saved_and_its_layers_are_used(planted: Classifier, calibrated: Prior, tmp_path: Path) -> None:
    calibrated.save(tmp_path / "c.safetensors")
    loaded = Prior.load(tmp_path / "c.safetensors")
    assert loaded.calibration == calibrated.calibration
    assert loaded.name == calibrated.name
    usual = tuple(sorted(set(usual_layers(3))))
    assert Explainer(*planted, "fast", tmp_path / "c.safetensors")("a film").layers == (facts(loaded).layers or usual)
    moved = replace(calibrated, calibration=replace(facts(calibrated), layers=(2,)))
    assert moved.name != calibrated.name
    assert Explainer(*planted, "fast", moved)("a film").layers == (2,)
    assert Explainer(*planted, Evidence(layer=1), moved)("a film").layers == (1,)
    moved = replace(calibrated, calibration=replace(facts(calibrated), layers=None, interval=(0.4, 1.0)))
    moved.save(tmp_path / "m.safetensors")
    assert Prior.load(tmp_path / "m.safetensors").calibration == moved.calibration
    for method in ("fast", "best"):
        own, asked = (
            Explainer(*planted, name, prior)("a good film")
            for name, prior in ((method, moved), (f"{method}:interval=0.4,1.0", calibrated))
        )
        assert np.array_equal(own.scores, asked.scores) and own.ranking == asked.ranking
        assert own.method == asked.method and "40% to 100%" in own.method["how"]
        assert "interval 0.4,1," in caption.origin(own.to_dict())
    assert Explainer(*planted, "fast", moved)("a film").record["calibration"]["interval"] == (0.4, 1.0)
    for method in ("complete", "fast:interval=0.1,0.9"):
        alike = [Explainer(*planted, method, prior)("a good film") for prior in (moved, calibrated)]
        assert np.array_equal(alike[0].scores, alike[1].scores) and alike[0].method == alike[1].method
    calibrated.save(tmp_path / "c.safetensors")
    (tmp_path / "d.safetensors").write_bytes((tmp_path / "c.safetensors").read_bytes().replace(b"drops", b"drips"))
    with pytest.raises(PriorError, match="no complete prior"):
        Prior.load(tmp_path / "d.safetensors")


def test_an_evaluation_names_the_interval_that_was_chosen(
    planted: Classifier, calibrated: Prior, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    replace(calibrated, calibration=replace(facts(calibrated), layers=None, interval=(0.4, 1.0))).save(path)
    methods = ("fast", "fast:interval=0.1,0.9", "random")
    plan = Plan(Source(items=texts_of(3)), methods, target="predicted", prior=str(path))
    evaluate(LoadedModel(*planted, "planted", None), plan, tmp_path / "run")
    found = Results.read(tmp_path / "run").methods
    assert [found[name]["settings"].get("interval") for name in methods] == [[0.4, 1.0], [0.1, 0.9], None]
    assert "40% to 100%" in found["fast"]["how"]


def test_what_is_predicted_of_a_typical_text_is_kept(planted: Classifier, calibrated: Prior) -> None:
    """It is the mean over the measured texts, and over their layers, of what each map says of its own target."""
    texts, explainer = texts_of(80), Explainer(*planted, "fast", calibrated)
    measured = [texts[place] for place in np.random.default_rng(0).permutation(80)[:32]]
    typical = facts(calibrated).typical
    assert typical is not None and sum(typical.values()) == pytest.approx(1)
    for label, p in typical.items():
        assert p == pytest.approx(np.mean([one.typical for one in explainer(measured, target=label)]), abs=1e-5)
    best, *others = sorted(typical.items(), key=lambda own: -own[1])
    said = ", ".join(f"p({label}) {p:.2f}" for label, p in (best, *others))
    assert f"features; a typical text: {said})" in repr(calibrated)
    many = replace(facts(calibrated), typical={str(number): number / 10 for number in range(5)})
    assert many.typical_text == "a typical text: p(4) 0.40, p(3) 0.30, p(2) 0.20, ..."
    assert replace(many, typical=None).typical_text == ""
    numbers = copy.deepcopy(planted[0])
    numbers.config.problem_type = "regression"  # which has no probabilities
    assert module._typical(numbers, planted[1], Evidence(), calibrated, [Example("a good film")]) is None


def test_a_map_says_what_such_maps_are_worth(planted: Classifier, calibrated: Prior) -> None:
    saved = Explainer(*planted, "fast", calibrated)("a good film").to_dict()
    drops = facts(calibrated).drops
    fast, ig, random = (f"{drops[name][0]:.2f}" for name in ("fast", "ig", "random"))
    cost = f"costs p {fast} on average (ig {ig}, random {random})."
    sentence = f"On 32 of your own texts, removing the ninth that such maps rank first {cost}"
    assert sentence in caption.sentences(saved)
    assert caption.doubtful(saved) is None
    assert Attribution.from_dict(saved).to_dict() == saved
    best = Explainer(*planted, "best", calibrated)("a good film").to_dict()
    assert caption.calibrated(best) is None, "it was measured of another method"


def test_a_map_of_a_kind_no_better_than_chance_says_so_first(planted: Classifier, calibrated: Prior) -> None:
    doubted = replace(calibrated, calibration=replace(facts(calibrated), above_chance=(0.01, -0.02, 0.04)))
    saved = Explainer(*planted, "fast", doubted)("a good film").to_dict()
    assert caption.doubtful(saved) == (
        "On 32 of your own texts such maps were no better than chance (p changes by +0.01 more than with random "
        "tokens, 95 % interval -0.02 to +0.04). Do not rely on this map."
    )
    assert '<p class="note doubt">On 32 of your own texts such maps' in render_page([saved])
    assert r"\textcolor[HTML]{B3261E}{\bfseries On 32 of your own texts such maps" in render_latex(saved)
    texts = plot_text([saved]).axes[0].texts
    red = " ".join(text.get_text() for text in texts if text.get_color() == RED)
    assert red == caption.doubtful(saved)


def test_too_few_texts_or_no_texts_are_one_line(planted: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="at least 32 texts, not 31"):
        calibrate(*planted, texts_of(31))
    with pytest.raises(InputError, match="limit must be a whole number of at least 32"):
        calibrate(*planted, texts_of(40), limit=31)
    with pytest.raises(InputError, match="needs a list, a stream or a table of texts"):
        calibrate(*planted, "one text")
    failed = Attributions([NarrowsError("no map")] * 32)
    monkeypatch.setattr(Explainer, "__call__", lambda *_: failed)
    with pytest.raises(InputError, match="no map: there are too few texts to calibrate on"):
        calibrate(*planted, texts_of(64), limit=64)
