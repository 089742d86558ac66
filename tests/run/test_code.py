"""What a function does: another body, another value that it uses, is noticed; the same function is the same again."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import tiny
from narrows.attribution import Attribution
from narrows.errors import InputError
from narrows.methods import Batch, FunctionMethod, find_method
from narrows.models.hub.loading import LoadedModel
from narrows.run import ExplainSettings, explain_dataset
from narrows.run.code import own_code, written
from narrows.run.store import identify_method


def made(body: str, **known: Any) -> Any:
    """Make the function f of a source text."""
    place: dict[str, Any] = {"__name__": "user", **known}
    exec(body, place)
    return place["f"]


def closing_over(value: Any) -> Any:
    return lambda: value


SAME = made("def f(a):\n    return a + 1")


@pytest.mark.parametrize(
    "other",
    [
        made("def f(a):\n    return a + 2"),
        made("def f(a):\n    return a - 1"),
        made("def f(a):\n    return a.real + 1"),
        made("def f(a, b=3):\n    return a + 1"),
        made("def f(a):\n    return (lambda: a + 1)()"),
        partial(SAME, 1),
    ],
)
def test_another_body_is_written_otherwise(other: Any) -> None:
    assert written(SAME) == written(made("# a note\ndef f(a):\n    return a + 1  # and another"))
    assert written(other) != written(SAME)


def test_what_a_function_uses_is_part_of_it() -> None:
    assert written(closing_over(1)) != written(closing_over(2))
    assert written(closing_over([1, {"a": 2}])) != written(closing_over([1, {"a": 3}]))
    assert written(partial(SAME, 1)) != written(partial(SAME, 2))
    source = "def g(): return {}\ndef f(): return g() * K"
    first = written(made(source.format(1), K=1))
    assert first != written(made(source.format(2), K=1))
    assert first != written(made(source.format(1), K=2))
    for one, other in (({"a": 1}, {"a": 2}), ([1], [2]), ((1,), (2,)), ({1}, {2})):
        assert written(made(source.format(1), K=one)) != written(made(source.format(1), K=other))
    assert first == written(made(source.format(1), K=1))


def test_a_function_that_calls_itself_has_an_end() -> None:
    assert written(made("def g(): return f()\ndef f(): return g()"))


def test_it_is_the_same_in_another_process() -> None:
    """Sets of strings have another order there."""
    program = "from narrows.run.code import written; print(written(lambda x: x in {'a', 'b', 'c', 'd'}))"
    said = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        said.add(done.stdout)
    assert len(said) == 1


@dataclass(frozen=True)
class Ones:
    label, quantity, unit, signed, additive, copies = "ones", "score", "score", False, False, 1
    caption, how = "One for each token.", ""
    names: ClassVar[dict[str, Any]] = {}

    def explain(self, batch: Batch) -> list[Attribution]:
        return batch.attributions(self, [np.ones(len(encoding)) for encoding in batch.encodings])


def test_our_own_methods_are_known_by_the_version() -> None:
    assert "code" not in identify_method(find_method("ig:steps=3"))
    assert list(own_code(Ones())) and "code" in identify_method(Ones())


def test_a_run_with_another_function_of_the_same_name_is_not_resumed(bert: tiny.Classifier, tmp_path: Path) -> None:
    classifier = LoadedModel(*bert, "tiny", None)
    body = "def f(batch):\n    return [np.full(len(e), {}) for e in batch.encodings]"
    methods = [FunctionMethod(made(body.format(value), np=np), label="own") for value in (1.0, 2.0)]
    settings = ExplainSettings(method=methods[0], prior="instance", rows_per_part=1)
    explain_dataset(["good", "bad"], tmp_path / "out", settings, loaded=classifier)
    explain_dataset(["good", "bad"], tmp_path / "out", settings, loaded=classifier)
    with pytest.raises(InputError, match=r"method\.code was"):
        other = replace(settings, method=methods[1])
        explain_dataset(["good", "bad"], tmp_path / "out", other, loaded=classifier)
