"""What users see when something is wrong: one line that acts on nothing, whatever it quotes."""

from __future__ import annotations

import pickle

import pytest

from narrows import errors
from narrows.errors import NarrowsError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, NarrowsError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_one_line_that_drives_no_terminal(kind: type[NarrowsError]) -> None:
    error = kind("x.csv: no\n  column \x1b[31mred\x9b \u202e\u2028 映画")
    assert str(error) == "x.csv: no column \\x1b[31mred\\x9b \\u202e\\u2028 映画"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
