from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.app.request import MAX_CHARACTERS, Request, check_method, page_methods, page_settings, write_method
from narrows.errors import InputError
from narrows.methods.registry import find_method, method_names


@pytest.mark.parametrize("text", ["", "  \n ", "\t"])
def test_an_empty_text_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="nothing to explain"):
        Request(text)


def test_inputs_are_bounded() -> None:
    with pytest.raises(InputError, match="at most 20,000"):
        Request("a" * MAX_CHARACTERS, "b")
    assert Request("a" * MAX_CHARACTERS).text_pair is None


def test_every_method_but_the_one_that_reads_files_is_offered() -> None:
    assert {*page_methods(), "file"} == set(method_names())


@pytest.mark.parametrize("name", page_methods())
def test_every_offered_method_is_within_the_bounds_as_it_is(name: str) -> None:
    assert Request("a", method=name).name == name
    assert write_method(name, dict.fromkeys(page_settings(name), " "), None) == name


@pytest.mark.parametrize(
    "method",
    ["lime:samples=1001", "ig:steps=5000", "best:points=1001", "complete:draws=40", "paper:steps=99:samples=99"],
)
def test_what_would_keep_the_server_busy_is_refused(method: str) -> None:
    with pytest.raises(InputError, match=r"too much for this page.* at most 1,000"):
        Request("a", method=method)


@pytest.mark.parametrize(
    "method",
    ["file:path=/etc/passwd", "fast:prior=/etc/passwd", "paper:prior=residual", "fast:iterations=1:features=true"],
)
def test_a_visitor_names_no_files(method: str) -> None:
    with pytest.raises(InputError, match="on this page"):
        check_method(method)
    assert not {"prior", "path", "features", "layer"} & page_settings("paper").keys()
    assert Request("a", method="released").has("layer")  # a prior that belongs to a name is no file


def test_what_is_typed_becomes_a_method() -> None:
    assert write_method("fast", {}, None) == "fast"
    assert write_method("fast", {"points": "12", "iterations": "4"}, 3) == "fast:layer=3:points=12:iterations=4"
    assert find_method(write_method("fast", {"interval": "0, 1"}, None)).interval == (0, 1)
    assert write_method("lime", {"samples": "50"}, 3) == "lime:samples=50"  # it looks at no layer


@pytest.mark.parametrize(
    ("name", "typed", "says"),
    [
        ("paper", {"beta": "much"}, "beta must be a number or 'auto', not 'much'"),
        ("paper", {"beta": "0,1"}, "beta must be"),
        ("paper", {"beta": "nan"}, "beta must be"),
        ("paper", {"granularity": "<script>"}, "'feature' or 'token'"),
        ("fast", {"points": "3:prior=/etc/passwd"}, "points must be a whole number"),
        ("fast", {"interval": "1,0"}, "two rising numbers"),
        ("magic", {}, "no method 'magic' on this page"),
        ("file", {}, "no method 'file' on this page"),
    ],
)
def test_what_is_typed_wrongly_is_one_line(name: str, typed: dict[str, str], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        write_method(name, typed, None)
    assert "\n" not in str(caught.value)


@given(st.text(min_size=1).filter(str.strip), st.none() | st.text(min_size=1).filter(str.strip), st.text())
def test_the_lines_hold_any_text_as_it_is(text: str, pair: str | None, target: str) -> None:
    lines = ast.parse(Request(text, pair, target=target, method="paper:layer=3").python())
    constants = [node.value for node in ast.walk(lines) if isinstance(node, ast.Constant)]
    assert text in constants
    assert pair is None or pair in constants
    assert {target, "paper:layer=3"} <= set(constants)
    calls = [ast.unparse(node.func) for node in ast.walk(lines) if isinstance(node, ast.Call)]
    assert len(calls) == 5  # nothing in a text becomes a call
