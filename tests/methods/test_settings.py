"""Settings: read from text by the type of their field, and written so that they are read again."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import InputError
from narrows.methods.evidence import Evidence
from narrows.methods.information import InformationBottleneck
from narrows.methods.registry import find_method
from narrows.methods.settings import (
    Setting,
    as_json,
    check_settings,
    is_required,
    parse_setting,
    settings_of,
    write_setting,
)

LAYER = int | tuple[int, ...] | None
BETA = float | Literal["auto"]
PAIR = tuple[float, float]
CHOICE = Literal["pad", "mask"]
FILE = str | None


def read(kind: Any, text: str) -> Any:
    return parse_setting(Setting("it", kind, None, ""), text)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        *((int, "3", 3), (int, " -4 ", -4), (float, "1e-5", 1e-5), (float, "3", 3.0)),
        *((bool, text, True) for text in ("true", "True", "YES", "1", "on")),
        *((bool, text, False) for text in ("false", "False", "FALSE", "no", "0", "Off")),
        *((CHOICE, "mask", "mask"), (BETA, "auto", "auto"), (BETA, "0.5", 0.5)),
        *((FILE, "none", None), (FILE, "None", None), (FILE, "C:/a b.safetensors", "C:/a b.safetensors")),
        *((LAYER, "5", 5), (LAYER, "none", None), (LAYER, "1,3,5", (1, 3, 5)), (LAYER, "0-3", (0, 1, 2, 3))),
        *(
            (LAYER, "1, 3-5", (1, 3, 4, 5)),
            (LAYER, "5,", (5,)),
            (PAIR, "0.2,0.8", (0.2, 0.8)),
            (PAIR, "0, 1", (0.0, 1.0)),
        ),
    ],
)
def test_text_is_read_by_the_type_of_the_field(kind: Any, text: str, value: Any) -> None:
    got = read(kind, text)
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "names"),
    [
        *((int, "many", "whole number"), (int, "1.5", "whole number"), (int, "", "whole number")),
        *((float, "high", "number"), (bool, "maybe", "true or false"), (bool, "2", "true or false")),
        *((CHOICE, "zero", "'pad'.*'mask'"), (BETA, "automatic", "'auto'"), (LAYER, "", "none")),
        *(
            (LAYER, "1,x", "commas"),
            (LAYER, "3-1", "commas"),
            (LAYER, "1,3-2", "commas"),
            (LAYER, "1-99999999999999999999", "commas"),
            (LAYER, "0-6000,0-6000", "commas"),
            (LAYER, "last", "whole number"),
            (LAYER, "1,5-3", "commas"),
            (LAYER, "0-999999999999", "commas"),
            (PAIR, "0.2", "2 numbers"),
            (PAIR, "0,1,2", "2 numbers"),
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line_that_names_what_does(kind: Any, text: str, names: str) -> None:
    with pytest.raises(InputError, match=f"it must be .*{names}") as caught:
        read(kind, text)
    assert "\n" not in str(caught.value) and repr(text) in str(caught.value)


numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(
    drawn=st.one_of(
        st.tuples(st.just(int), st.integers()),
        st.tuples(st.just(float), numbers),
        st.tuples(st.just(bool), st.booleans()),
        st.tuples(st.just(CHOICE), st.sampled_from(["pad", "mask"])),
        st.tuples(st.just(BETA), numbers | st.just("auto")),
        st.tuples(st.just(PAIR), st.tuples(numbers, numbers)),
        st.tuples(st.just(LAYER), st.none() | st.integers(0, 99) | st.lists(st.integers(0, 99), min_size=1).map(tuple)),
    )
)
def test_what_is_written_is_read_again(drawn: tuple[Any, Any]) -> None:
    kind, value = drawn
    got = read(kind, write_setting(value))
    assert got == value and type(got) is type(value)


@dataclass(frozen=True)
class Made:
    """A method of made-up settings."""

    path: Annotated[str, "A file."]
    layer: Annotated[LAYER, "Where."] = None
    plain: int = 3


def test_settings_are_the_fields_with_their_types_defaults_and_help() -> None:
    found = settings_of(Made)
    assert list(found) == ["path", "layer", "plain"]
    assert [own.help for own in found.values()] == ["A file.", "Where.", ""]
    assert found["path"].default is MISSING and is_required(found["path"])
    assert found["layer"].default is None and not is_required(found["layer"])
    assert found["plain"].kind is int
    assert all(part in found["layer"].type_text for part in ("whole number", "commas", "none"))


def test_json_has_lists_for_tuples_and_names_for_functions() -> None:
    assert as_json({"a": (1, 2), "b": read, "c": None, "d": 0.5}) == {"a": [1, 2], "b": "read", "c": None, "d": 0.5}


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (InformationBottleneck, {"sign": "False"}),
        (InformationBottleneck, {"features": "no"}),
        (InformationBottleneck, {"prior": 5}),
        (InformationBottleneck, {"layer": "last"}),
        (InformationBottleneck, {"layer": True}),
        (InformationBottleneck, {"layer": (1, "2")}),
    ],
)
def test_a_method_is_refused_if_a_setting_is_of_another_type(kind: Any, values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"^{next(iter(values))} must be .*, not ") as caught:
        find_method(kind(**values))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"steps": "3"},
        {"steps": True},
        {"iterations": 2.0},
        {"interval": "ab"},
        {"interval": 5},
        {"interval": (0, "1")},
        {"interval": (0, float("nan"))},
        {"draws": "2"},
        {"features": "False"},
        {"features": 1},
        {"seed": "x"},
        {"seed": None},
        {"layer": 1.0},
    ],
)
def test_evidence_refuses_a_setting_of_another_type_at_once(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"^{next(iter(values))} must be .*, not "):
        Evidence(**values)


def test_numbers_of_numpy_are_numbers_and_are_recorded_as_those_of_python() -> None:
    method = Evidence(steps=np.int64(6), layer=(np.int64(1), 2), interval=[0.0, np.float64(1)])  # type: ignore[arg-type]
    check_settings(method)
    plain = as_json({"steps": method.steps, "layer": method.layer})
    assert plain == {"steps": 6, "layer": [1, 2]}
    assert [type(value) for value in (plain["steps"], *plain["layer"])] == [int, int, int]


@pytest.mark.parametrize("method", [None, 5, Evidence, ["fast"], {"name": "fast"}])
def test_what_is_no_method_is_refused(method: Any) -> None:
    with pytest.raises(InputError, match="a method is a name or an object"):
        find_method(method)
