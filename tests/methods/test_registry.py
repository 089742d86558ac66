"""Methods by name, with their options as text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tiny
from narrows.bottleneck.prior import Prior
from narrows.data.example import Example
from narrows.errors import InputError
from narrows.explainer import Explainer
from narrows.methods.method import Batch
from narrows.methods.registry import METHODS, Spec, option_names
from narrows.models.hub.loading import Classifier

EXAMPLES = (Example("the film is not good"), Example("bad", "good acting"), Example("very very superb film , not bad"))
QUICK = {
    "narrows": ":prior=instance:samples=2:steps=3",
    "iba": ":prior=instance:samples=2:steps=3",
    "iba_released": ":layer=2:samples=2:steps=3",
    "lime": ":samples=20",
    "kernel_shap": ":samples=20",
}
COMPUTED = sorted(set(METHODS) - {"file"})


@pytest.fixture
def classifier(make_classifier: Callable[..., tiny.Classifier]) -> Classifier:
    return Classifier(*make_classifier("bert"), "tiny", None)


@pytest.mark.parametrize("name", COMPUTED)
def test_every_method_gives_one_score_per_token_whatever_the_batch(name: str, classifier: Classifier) -> None:
    method = Spec.parse(name + QUICK.get(name, "")).make(0)
    batch = Batch.of(classifier, EXAMPLES)
    targets = [0, 2, 1]
    together = method(classifier, batch, targets)
    assert [own.shape for own in together] == [(len(encoding),) for encoding in batch.encodings]
    for row, own in enumerate(together):
        (alone,) = method(classifier, batch.take([row]), [targets[row]])
        np.testing.assert_allclose(own, alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in COMPUTED if "seed" in option_names(name)])
def test_the_seed_of_the_run_is_that_of_the_method(name: str, classifier: Classifier) -> None:
    batch = Batch.of(classifier, EXAMPLES)
    quick = name + QUICK.get(name, "")

    def maps(spec: str, seed: int) -> list[list[float]]:
        return [own.tolist() for own in Spec.parse(spec).make(seed)(classifier, batch, [0, 0, 0])]

    assert maps(quick, 3) == maps(quick, 3)
    assert maps(quick, 3) != maps(quick, 4)
    assert maps(f"{quick}:seed=3", 4) == maps(quick, 3)


def test_the_bottleneck_is_that_of_the_explainer(
    classifier: Classifier, make_prior: Callable[..., Prior], tmp_path: Path
) -> None:
    prior = make_prior(classifier.model)
    path = tmp_path / "prior.safetensors"
    prior.save(path)
    explainer = Explainer(classifier.model, classifier.tokenizer, 1, prior, beta=0.3, seed=5, max_tokens=6)
    expected = [attribution.scores for attribution in explainer(list(EXAMPLES), [0, 1, 2])]
    batch = Batch.of(classifier, EXAMPLES, 6)
    maps = Spec.parse(f"narrows:layer=1:beta=0.3:prior={path}").make(5)(classifier, batch, [0, 1, 2])
    for own, other in zip(maps, expected, strict=True):
        np.testing.assert_array_equal(own, other)


def test_iba_has_the_settings_of_the_paper(classifier: Classifier) -> None:
    batch = Batch.of(classifier, EXAMPLES[:1])
    given = "prior=instance:preset=paper:layer=1"
    (paper,) = Spec.parse("iba:prior=instance:layer=1").make(0)(classifier, batch, [0])
    (same,) = Spec.parse(f"narrows:{given}").make(0)(classifier, batch, [0])
    (spelled,) = Spec.parse(
        "narrows:prior=instance:layer=1:granularity=feature:beta=1e-5:steps=10:samples=10:learning_rate=1"
    ).make(0)(classifier, batch, [0])
    np.testing.assert_array_equal(paper, same)
    np.testing.assert_array_equal(paper, spelled)


def test_options_are_read_as_numbers_where_they_are_such() -> None:
    spec = Spec.parse(" narrows:beta=1e-3:layer=3:prior=residual ")
    assert dict(spec.options) == {"beta": 0.001, "layer": 3, "prior": "residual"}
    assert str(spec) == "narrows:beta=0.001:layer=3:prior=residual"
    assert Spec.parse(str(spec)) == spec

    path = Spec.parse("file:path=C:/out: 1/3")
    assert dict(path.options) == {"path": "C:/out: 1/3"}
    assert Spec.parse("narrows:prior=3:layer=3").options == {"prior": "3", "layer": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("limes", "no method 'limes'; there are random, narrows"),
        ("lime:sample=3", "'sample=3' is no option=value of lime; its options: samples, removal, seed"),
        ("ig:steps", "'steps' is no option=value of ig"),
        ("saliency:steps=3", "its options: none"),
    ],
)
def test_wrong_specifications_are_told(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Spec.parse(text)


@pytest.mark.parametrize("text", ["ig:steps=0", "ig:steps=many", "lime:samples=1", "narrows:beta=-1", "ig:baseline=x"])
def test_wrong_values_are_told_when_the_method_is_made_or_used(text: str, classifier: Classifier) -> None:
    with pytest.raises(InputError):
        Spec.parse(text).make(0)(classifier, Batch.of(classifier, EXAMPLES), [0, 0, 0])
