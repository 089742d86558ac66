from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from narrows import Attribution
from narrows.data.checking import misfit
from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from saved_results import CASES


@pytest.mark.parametrize("case", sorted(CASES))
def test_what_was_saved_fits(case: str) -> None:
    assert misfit(CASES[case](), AttributionDict, "it") is None


def put(*path: Any, value: Any) -> Callable[[Any], None]:
    def change(saved: Any) -> None:
        for key in path[:-1]:
            saved = saved[key]
        saved[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (put("text", value=[]), r"it.text is \[\], not text"),
        (put("target", value=None), "it.target is None"),
        (put("tokens", 1, "score", value="much"), r"it.tokens\[1\].score is 'much', not a number"),
        (put("tokens", 0, "rank", value=True), r"it.tokens\[0\].rank is True, not a whole number"),
        (put("tokens", value={}), "it.tokens is {}, not a list"),
        (put("probabilities", value=[1]), r"it.probabilities is \[1\], not an object"),
        (put("method", value="fast"), "it.method is 'fast', not an object"),
        (put("method", "signed", value="no"), "it.method.signed is 'no', not true or false"),
        (lambda saved: saved["method"].pop("unit"), "it.method has no unit"),
        (put("layers", value=[1.5]), r"it.layers\[0\] is 1.5"),
    ],
)
def test_what_somebody_changed_is_named(change: Callable[[Any], None], says: str) -> None:
    saved = copy.deepcopy(CASES["review"]())
    change(saved)
    with pytest.raises(InputError, match=says):
        Attribution.from_dict(saved)
