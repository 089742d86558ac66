"""Errors as users see and catch them: one line that acts on nothing, by their own names and by those of Python."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from narrows import errors
from narrows.data.output import written_whole
from narrows.errors import DataError, DependencyError, InputError, MemoryLimitError, NarrowsError, need, shown
from narrows.models.memory import TokenBudget, is_out_of_memory

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, NarrowsError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_one_line_that_drives_no_terminal(kind: type[NarrowsError]) -> None:
    error = kind("x.csv: no\n  column \x1b[31mred\x9b \u202e\u2028 映画")
    assert str(error) == "x.csv: no column \\x1b[31mred\\x9b \\u202e\\u2028 映画"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_says_the_same_after_a_trip_to_another_process(kind: type[NarrowsError]) -> None:
    error = kind("texts.csv, line 3: is empty")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is kind
        assert str(other) == str(error) == "texts.csv, line 3: is empty"
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("kind", "known"), [(DataError, OSError), (DependencyError, ImportError), (MemoryLimitError, MemoryError)]
)
def test_an_error_is_what_python_raises_in_such_a_case(kind: type[NarrowsError], known: type[Exception]) -> None:
    with pytest.raises(known, match="why"):
        raise kind("why")


def test_a_missing_package_is_caught_as_the_import_error_that_it_is() -> None:
    with pytest.raises(ImportError, match="install it"):
        need("narrows_of_another_world", "install it")


def test_an_error_in_what_is_read_is_not_one_of_the_file_that_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^texts\.csv is damaged$"), written_whole(tmp_path / "out.jsonl"):
        raise DataError("texts.csv is damaged")


def test_a_lack_of_memory_for_one_text_is_not_tried_again() -> None:
    assert not is_out_of_memory(MemoryLimitError("no memory for a text of 9 tokens"))
    tried: list[list[int]] = []

    def work(rows: list[int]) -> None:
        tried.append(rows)
        raise MemoryLimitError("no memory")

    with pytest.raises(MemoryLimitError):
        list(TokenBudget(100).run([5, 5], 2, work))
    assert tried == [[0, 1]]


@pytest.mark.parametrize("value", [1, np.int64(1), np.uint8(200)])
def test_a_count_is_a_whole_number(value: Any) -> None:
    assert type(errors.count("it", value)) is int


@pytest.mark.parametrize(
    "value", [0, -1, True, np.True_, "8", 3.5, 3.0, None, [1], np.array([1, 2]), torch.tensor(1.0)]
)
def test_what_is_no_count_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InputError, match=r"^it must be a whole number of at least 1, not ") as caught:
        errors.count("it", value)
    assert "\n" not in str(caught.value)


def test_a_value_is_shown_in_one_short_line() -> None:
    assert len(shown(torch.nn.Sequential(*[torch.nn.Linear(2, 2)] * 9))) == 60
    assert "\n" not in shown(torch.zeros(9, 9))
