"""Running a command of the command line, and what it must say to a fault of the user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

TEXTS = ["the film is very good", "bad acting, it is not a good film", "a super film"]


@dataclass(frozen=True)
class Run:
    """What a command left behind."""

    code: int
    out: str
    err: str


Runner = Callable[..., Run]


def assert_one_line(run: Run, *parts: str) -> None:
    """A fault of the user: exit code 2, nothing on stdout, one line on stderr, no traceback."""
    assert run.code == 2
    assert run.out == ""
    assert len(run.err.splitlines()) == 1, run.err
    assert run.err.startswith("narrows: error: ")
    for part in parts:
        assert part in run.err
