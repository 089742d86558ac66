"""``narrows serve``: what keeps it from serving is one line. What it serves is tested in tests/app."""

from __future__ import annotations

import builtins
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from command import Runner, assert_one_line


def test_a_port_that_is_taken_is_told(run: Runner, model: Path) -> None:
    pytest.importorskip("uvicorn", reason="the page needs the extra app")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_one_line(run("serve", "--model", model, "--port", port), f"cannot serve on port {port}", "--port")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--port", "70000"], "port must be between 0 and 65535"),
        (["--max-tokens", "1"], "max_tokens must be at least 8"),
    ],
)
def test_options_out_of_range_are_told(run: Runner, options: list[str], says: str) -> None:
    pytest.importorskip("uvicorn", reason="the page needs the extra app")
    assert_one_line(run("serve", *options), says)


def test_a_folder_without_a_model_is_told(run: Runner, tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="the page needs the extra app")
    assert_one_line(run("serve", "--model", tmp_path, "--port", 0), "holds no model")


def test_without_a_web_server_the_extra_is_named(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "uvicorn":
            raise ImportError(name)
        return real(name, *arguments, **options)

    for name in [name for name in sys.modules if name.startswith("narrows.app")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    assert_one_line(run("serve"), 'pip install "narrows[app]"')


def test_a_folder_without_a_run_is_told(run: Runner, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="the page needs the extra app")
    assert_one_line(run("serve", "--model", model, "--runs", tmp_path, "--port", 0), "is this the folder of a run")
