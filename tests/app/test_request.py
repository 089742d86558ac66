from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.app.request import MAX_CHARACTERS, MAX_NEW_TOKENS, PageRequest, check_method, page_methods, page_settings
from narrows.errors import InputError
from narrows.methods.registry import find_method, method_names


@pytest.mark.parametrize("text", ["", "  \n ", "\t"])
def test_an_empty_text_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="nothing to explain"):
        PageRequest(text)


def test_inputs_are_bounded() -> None:
    with pytest.raises(InputError, match="at most 20,000"):
        PageRequest("a" * MAX_CHARACTERS, "b")
    assert PageRequest("a" * MAX_CHARACTERS).text_pair is None


def test_every_method_but_the_one_that_reads_files_is_offered() -> None:
    assert {*page_methods(), "file"} == set(method_names())


@pytest.mark.parametrize("name", page_methods())
def test_every_offered_method_is_within_the_bounds_as_it_is(name: str) -> None:
    assert PageRequest("a", method=name).name == name
    assert PageRequest.of({"text": "a", "method": name}).method == name


@pytest.mark.parametrize(
    "method",
    ["lime:samples=1001", "ig:steps=5000", "best:steps=1001", "complete:draws=40", "paper:steps=99:samples=99"],
)
def test_what_would_keep_the_server_busy_is_refused(method: str) -> None:
    with pytest.raises(InputError, match=r"too much for this page.* at most 1,000"):
        PageRequest("a", method=method)


@pytest.mark.parametrize(
    "method",
    ["file:path=/etc/passwd", "fast:prior=/etc/passwd", "paper:prior=residual", "fast:iterations=1:features=true"],
)
def test_a_visitor_names_no_files(method: str) -> None:
    with pytest.raises(InputError, match="on this page"):
        check_method(method)
    assert not {"prior", "path", "features", "layer"} & page_settings("paper").keys()
    assert PageRequest("a", method="released").has("layer")  # a prior that belongs to a name is no file


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("fast:steps=12:iterations=4:layer=3", "fast:layer=3:steps=12:iterations=4"),
        ("lime:samples=50", "lime:samples=50"),
        ("ig:steps=10", "ig:steps=10"),
    ],
)
def test_a_method_has_one_way_to_be_written(written: str, read: str) -> None:
    found = PageRequest.of({"text": "a", "method": written}).method
    assert find_method(found) == find_method(read)
    assert PageRequest.of({"text": "a", "method": found}).method == found
    assert PageRequest.of({"text": "a", "method": f"{written.split(':')[0]}"}).method == written.split(":")[0]


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("paper:beta=much", "beta must be a number or 'auto', not 'much'"),
        ("paper:beta=0,1", "beta must be"),
        ("paper:granularity=<script>", "'feature' or 'token'"),
        ("fast:steps=3:prior=/etc/passwd", "cannot be set on this page|prior"),
        ("fast:interval=1,0", "two rising numbers"),
        ("magic", "no method"),
        ("lime:layer=3", "layer"),
    ],
)
def test_what_is_typed_wrongly_is_one_line(method: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        PageRequest.of({"text": "a", "method": method})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"text": None},
        {"text": 3},
        {"text": ["a"]},
        {"text": "a", "model": None},
        {"text": "a", "tokens": "3"},
        {"text": "a", "tokens": True},
        {"text": "a", "tokens": MAX_NEW_TOKENS + 1},
        {"text": "a", "tokens": -1},
        {"text": "a", "chat": 1},
        {"text": "a", "against": "b"},
        {"text": "a", "target": {"a": 1}},
        {"text": "a", "target": "\ud800"},
        {"text": "a", "response": "b" * MAX_CHARACTERS},
        {"text": "a", "method": "ig:steps=100", "tokens": 30},
    ],
)
def test_what_is_no_request_is_one_line(given: dict[str, object]) -> None:
    with pytest.raises(InputError) as caught:
        PageRequest.of(given)
    assert "\n" not in str(caught.value)


def test_a_request_is_what_its_fields_say_and_boxes_that_are_empty_say_nothing() -> None:
    given = {"text": "a", "text_pair": "", "model": "nli", "target": "", "against": "", "response": "", "open": "made"}
    read = PageRequest.of(given)
    assert read == PageRequest("a", model="nli")
    assert read.to_dict() == {"text": "a", "model": "nli"}
    assert PageRequest.of(read.to_dict()) == read


@given(st.text(min_size=1).filter(str.strip), st.none() | st.text(min_size=1).filter(str.strip), st.text())
def test_the_lines_hold_any_text_as_it_is(text: str, pair: str | None, target: str) -> None:
    lines = ast.parse(PageRequest(text, pair, target=target, method="paper:layer=3").python())
    constants = [node.value for node in ast.walk(lines) if isinstance(node, ast.Constant)]
    assert text in constants
    assert pair is None or pair in constants
    assert {target, "paper:layer=3"} <= set(constants)
    calls = [ast.unparse(node.func) for node in ast.walk(lines) if isinstance(node, ast.Call)]
    assert len(calls) == 5  # nothing in a text becomes a call
