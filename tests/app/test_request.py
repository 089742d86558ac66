from __future__ import annotations

import ast
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from narrows.config import Granularity, Readout

from narrows.app.request import MAX_CHARACTERS, Request, choices, parse_beta
from narrows.errors import InputError


@pytest.mark.parametrize("text", ["", "  \n ", "\t"])
def test_an_empty_text_is_told(text: str) -> None:
    with pytest.raises(InputError, match="nothing to explain"):
        Request(text)


def test_inputs_are_bounded() -> None:
    with pytest.raises(InputError, match="at most 20,000"):
        Request("a" * MAX_CHARACTERS, "b")
    assert Request("a" * MAX_CHARACTERS).text_pair is None
    with pytest.raises(InputError, match="seed must be between"):
        Request("a", seed=-1)
    with pytest.raises(InputError, match="beta must be"):
        Request("a", beta=float("nan"))
    with pytest.raises(InputError, match="readout must be one of"):
        Request("a", readout="<script>")  # type: ignore[arg-type]


def test_whatever_the_configuration_offers_is_offered() -> None:
    assert choices(Readout) == list(get_args(Readout))
    assert choices(Granularity) == list(get_args(Granularity))


@pytest.mark.parametrize(("typed", "beta"), [("", None), (" AUTO ", "auto"), ("0.1", 0.1), ("1e-5", 1e-5)])
def test_beta_as_it_is_typed(typed: str, beta: object) -> None:
    assert parse_beta(typed) == beta


@pytest.mark.parametrize("typed", ["much", "0,1", "<b>"])
def test_a_beta_that_is_no_number_is_told(typed: str) -> None:
    with pytest.raises(InputError, match="beta must be 'auto' or a number"):
        parse_beta(typed)


@given(st.text(min_size=1).filter(str.strip), st.none() | st.text(min_size=1).filter(str.strip), st.text())
def test_the_lines_say_any_text_as_it_is(text: str, pair: str | None, target: str) -> None:
    lines = ast.parse(Request(text, pair, target=target).python())
    constants = [node.value for node in ast.walk(lines) if isinstance(node, ast.Constant)]
    assert text in constants
    assert pair is None or pair in constants
    assert target in constants
    calls = [ast.unparse(node.func) for node in ast.walk(lines) if isinstance(node, ast.Call)]
    assert len(calls) == 5  # nothing in a text becomes a call
