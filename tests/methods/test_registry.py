"""Methods by name: found with their settings, written down again, described, and added."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import MISSING, dataclass
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from asking import explain
from narrows import Explainer, methods
from narrows.errors import InputError
from narrows.methods import registry
from narrows.methods.evidence import Evidence
from narrows.methods.ig import IntegratedGradients
from narrows.methods.information import InformationBottleneck
from narrows.methods.registry import (
    describe,
    find_method,
    method_names,
    register,
    settings_by_name,
    spec,
    split_methods,
)
from tiny import Classifier

NAMES = {
    *("fast", "best", "complete", "paper", "information", "information_signed", "released", "ig", "layer_ig"),
    *("gradient_x_input", "saliency", "gradient_shap", "lime", "kernel_shap", "occlusion", "rollout", "update_norm"),
    *("random", "recency", "file"),
}


def test_the_names() -> None:
    assert set(method_names()) == NAMES
    assert len(method_names()) == len(NAMES)
    assert method_names()[:3] == ("fast", "best", "complete")


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Draw a value of a setting's type."""
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        if inner[-1] is Ellipsis:
            return st.lists(st.integers(0, 12), min_size=1, max_size=4).map(tuple)
        return st.tuples(*[st.floats(0, 1) for _ in inner])
    if get_args(kind):
        return st.one_of([values(part) for part in get_args(kind)])
    strategies: dict[Any, st.SearchStrategy[Any]] = {
        int: st.integers(0, 50),
        float: st.floats(0, 50, allow_nan=False),
        bool: st.booleans(),
        str: st.sampled_from(["instance", "residual", "C:/out of/prior.safetensors", "a,b.jsonl", "x=1"]),
        type(None): st.none(),
    }
    return strategies[kind]


@given(name=st.sampled_from(sorted(NAMES - {"file"})), data=st.data())
def test_a_methods_spec_makes_it_again(name: str, data: st.DataObject) -> None:
    known = settings_by_name(name)
    chosen = data.draw(st.lists(st.sampled_from(sorted(known)), unique=True)) if known else []
    given = {own.name: own.default for own in known.values()} | {
        key: data.draw(values(known[key].kind)) for key in chosen
    }
    kind = type(find_method(name))
    try:
        method = kind(**given)
    except InputError:
        assume(False)
    written = spec(method)
    assert find_method(written) == method
    assert spec(find_method(written)) == written
    assert "\n" not in written


@pytest.mark.parametrize("name", sorted(NAMES - {"file"}))
def test_a_name_alone_is_its_own_spec_and_a_method_is_found_as_it_is(name: str) -> None:
    method = find_method(name)
    assert spec(method) == name
    assert find_method(method) is method
    assert find_method(f" {name} ") == method


@pytest.mark.parametrize(
    ("text", "method", "written"),
    [
        ("ig:steps=50", IntegratedGradients(steps=50), "ig:steps=50"),
        ("ig:steps=50:baseline=mask", IntegratedGradients(50, "mask"), "ig:steps=50:baseline=mask"),
        ("ig:steps=50,baseline=mask", IntegratedGradients(50, "mask"), "ig:steps=50:baseline=mask"),
        ("fast:layer=1,3-5:steps=4", Evidence(layer=(1, 3, 4, 5), steps=4), "fast:layer=1,3,4,5:steps=4"),
        ("fast:steps=12:iterations=4", Evidence(steps=12, iterations=4), "best"),
        ("paper:granularity=token:beta=auto", InformationBottleneck("token", "auto"), "information"),
        ("paper:prior=residual", InformationBottleneck(prior="residual"), "released"),
        ("complete:interval=0,0.5", find_method(Evidence(None, 60, 1, (0.0, 0.5), 16)), "complete:interval=0,0.5"),
        ("fast:prior=C:/a: b.st", Evidence(prior="C:/a: b.st"), "fast:prior=C:/a: b.st"),
    ],
)
def test_settings_stand_behind_colons_or_commas_and_the_shortest_name_is_written(
    text: str, method: Any, written: str
) -> None:
    assert find_method(text) == method
    assert spec(method) == written


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("limes", "'limes'.*fast, best.*lime"),
        ("", "fast"),
        ("lime:sample=3", "'sample=3'.*samples, removal, seed"),
        ("ig:steps", "'steps'.*steps, baseline"),
        ("ig:", "ig"),
        ("saliency:steps=3", "none"),
        ("ig:steps=many", "steps.*whole number.*'many'"),
        ("ig:steps=0", "steps.*0"),
        ("ig:baseline=x", "'pad'.*'mask'.*'x'"),
        ("lime:samples=1", "samples"),
        ("paper:beta=-1", "beta"),
        ("fast:interval=0.5", "interval.*2 numbers"),
        ("file", "path"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_the_choices(text: str, says: str) -> None:
    if text == "ig:":
        assert find_method(text) == find_method("ig")
        return
    with pytest.raises(InputError, match=says) as caught:
        find_method(text)
    assert "\n" not in str(caught.value)


@given(chosen=st.lists(st.sampled_from(["fast", "ig:steps=50", "paper:layer=1,3", "fast:layer=5,:steps=6", "lime"])))
def test_a_list_with_commas_is_split_between_methods_only(chosen: list[str]) -> None:
    assert split_methods(",".join(chosen)) == chosen
    assert split_methods(", ".join(chosen)) == chosen


def test_commas_within_settings_stay() -> None:
    text = "fast,ig:steps=50,baseline=mask,paper:layer=1,3,complete:interval=0.1,0.9"
    assert split_methods(text) == ["fast", "ig:steps=50,baseline=mask", "paper:layer=1,3", "complete:interval=0.1,0.9"]


@pytest.mark.parametrize("name", sorted(NAMES - {"file"}))
def test_a_method_is_described_for_the_record(name: str) -> None:
    method = find_method(name)
    about = describe(method)
    assert about["name"] == name
    assert about["quantity"] in ("evidence", "information", "score")
    assert about["unit"] in ("bits", "nats of log p", "probability", "weight", "score")
    assert (about["signed"], about["additive"]) == (method.signed, method.additive)
    assert set(about["settings"]) == set(settings_by_name(name))
    assert about["label"] and about["caption"].endswith(".") and "\n" not in about["caption"]
    assert json.loads(json.dumps(about)) == about
    assert all(own.help for own in settings_by_name(name).values())


def test_settings_that_differ_stand_in_the_label_and_all_of_them_in_the_record() -> None:
    about = describe(find_method("ig:steps=50"))
    assert about["label"] == "IG, steps 50"
    assert about["settings"] == {"steps": 50, "baseline": "pad"}
    assert describe(find_method("fast:layer=1,3"))["settings"]["layer"] == [1, 3]


def test_a_name_has_its_own_defaults() -> None:
    assert settings_by_name("best")["steps"].default == 12
    assert settings_by_name("fast")["steps"].default == Evidence().steps
    assert settings_by_name("file")["path"].default is MISSING


@dataclass(frozen=True)
class Length:
    """The number of characters of a token."""

    power: Annotated[int, "Taken to this power."] = 1

    names: ClassVar[dict[str, dict[str, Any]]] = {"length": {}, "length_squared": {"power": 2}}
    label: ClassVar[str] = "token length"
    quantity: ClassVar[str] = "score"
    unit: ClassVar[str] = "score"
    signed: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    copies: ClassVar[int] = 1
    caption: ClassVar[str] = "A score is the number of characters of the token."
    how: ClassVar[str] = ""

    def explain(self, batch: Any) -> Any:
        return batch.attributions(
            self, [[float(len(token) ** self.power) for token in encoding.tokens] for encoding in batch.encodings]
        )


@pytest.fixture
def length() -> Iterator[type[Length]]:
    yield register(Length)
    for name in Length.names:
        registry._ADDED.pop(name, None)


def test_a_class_of_ones_own_is_known_by_its_names(length: type[Length], bert: Classifier) -> None:
    assert {"length", "length_squared"} <= set(method_names())
    assert find_method("length:power=2") == find_method("length_squared") == length(2)
    assert spec(length(2)) == "length_squared"
    assert spec(length(3)) == "length:power=3"
    (attribution,) = explain(bert, "length_squared", ["a good film"])
    assert attribution.scores.tolist() == [len(token) ** 2 for token in attribution.tokens]
    assert attribution.method["name"] == "length_squared"


def test_a_name_that_is_taken_is_refused(length: type[Length]) -> None:
    with pytest.raises(InputError, match="'length'"):
        register(length)


def test_nothing_of_it_is_left_behind() -> None:
    assert set(method_names()) == NAMES


def test_an_object_needs_no_registration(bert: Classifier) -> None:
    explainer = Explainer(*bert, Length(), "instance")
    assert explainer("bad").scores.tolist() == [len(token) for token in explainer("bad").tokens]


def test_the_facade_offers_what_is_promised() -> None:
    for name in methods.__all__:
        assert getattr(methods, name).__name__ == name
    with pytest.raises(AttributeError, match="METHODS"):
        _ = methods.METHODS


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("information:beta=1e-5", "information"),
        ("fast:steps=12:iterations=4", "fast"),
        ("paper:granularity=token:beta=auto", "paper"),
        ("released:prior=none", "released"),
    ],
)
def test_a_method_keeps_the_name_by_which_it_was_asked_for(text: str, name: str) -> None:
    method = find_method(text)
    about = describe(method)
    assert (about["name"], spec(method).partition(":")[0]) == (name, name)
    assert f"({name})" in about["label"]
    assert find_method(spec(method)) == method and spec(find_method(spec(method))) == spec(method)
    at_layer = registry.changed(method, {"layer": 3})
    assert (describe(at_layer)["name"], at_layer.layer) == (name, 3)
    assert describe(pickle.loads(pickle.dumps(method))) == about


def test_a_method_that_was_made_directly_goes_by_the_shortest_name() -> None:
    assert spec(InformationBottleneck(granularity="token", beta="auto", steps=3)) == "information:steps=3"


def test_an_explanation_says_the_name_that_was_asked_for(bert: Classifier) -> None:
    method = "information:beta=1e-5:steps=2:samples=2"
    explainer = Explainer(*bert, method=method, prior="instance")
    assert explainer("good film").method["name"] == "information"
    assert {found.method["name"] for found in explainer.across_layers("good film")} == {"information"}
