"""Any method by name, and any command line: exit code 0, or 2 and lines that say what is wrong."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from fuzzing import ANY, MIXED, share, tried
from narrows import cli
from narrows.errors import NarrowsError
from narrows.methods.registry import find_method, method_names, settings_by_name, spec

VALUES = st.one_of(
    st.sampled_from(("", "-1", "0", "1", "2", "1,3", "0-2", "0-9999999", "1e9", "nan", "inf", "none", "auto")),
    st.sampled_from(("mask", "delete", "0,1", "1,0", "instance", "residual", "9" * 30, "1e-400", "--", "=")),
    st.integers().map(str),
    ANY,
)
WRITTEN = st.builds(
    lambda name, given: ":".join([name, *(f"{key}={value}" for key, value in given)]),
    st.sampled_from((*method_names(), "magic", "", "FAST")),
    st.lists(
        st.tuples(st.sampled_from(sorted({key for name in method_names() for key in settings_by_name(name)})), VALUES),
        max_size=3,
    ),
)
OPTIONS = ("--pair", "--model", "--method", "--layer", "--target", "--against", "--prior", "--device", "--file")
OPTIONS += ("--out", "--batch-size", "--limit", "--seed", "--data", "--split", "--html", "--unknown", "--max-tokens")
COMMANDS = ("explain", "methods", "models", "inspect", "report", "summarize", "merge", "prior", "magic", "")


@share(15)
@given(WRITTEN | ANY)
def test_any_method_by_name(written: str) -> None:
    found = tried(lambda: find_method(written))
    if not isinstance(found, NarrowsError):
        assert find_method(spec(found)) == found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    for part in tiny.classifier("bert"):
        part.save_pretrained(folder)
    (folder.parent / "texts.csv").write_text("text,label\na good film,positive\nbad,x\n", encoding="utf-8")
    return folder


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
    with monkeypatch.context() as patched, redirect_stdout(out), redirect_stderr(err):
        patched.setattr(sys, "argv", ["narrows", *arguments])
        patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"good"), "utf-8"))
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out.flush(), err.flush()
    said = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    return int(stop.value.code or 0), *said


@share(25)
@given(data=st.data())
def test_any_command_line(model: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject) -> None:
    monkeypatch.chdir(model.parent)
    draw: Any = data.draw
    values = st.one_of(VALUES, MIXED, WRITTEN, st.sampled_from((str(model), "texts.csv", "out.jsonl", ".")))
    sound = ["--model", str(model), "--prior", "instance"]
    arguments = [draw(st.sampled_from(COMMANDS) if draw(st.booleans()) else st.just("explain"))]
    arguments += sound if draw(st.booleans()) and arguments == ["explain"] else []
    for _ in range(draw(st.integers(0, 3))):
        arguments += [draw(st.sampled_from(OPTIONS)), draw(values)]
    arguments += draw(st.lists(st.one_of(values, st.just("--json")), max_size=2))
    arguments = [argument for argument in arguments if "\0" not in argument]  # no system passes it
    if "--model" not in arguments and arguments[:1] in (["explain"], ["prior"]):
        arguments += sound  # the demo model takes seconds
    code, out, err = run(arguments, monkeypatch)
    assert code in (0, 2), err
    assert "Traceback" not in err
    assert not {"\x1b", "\x9b", "\u202e"} & set(out + err)
    if code == 2 and err:
        assert all(line.startswith("narrows: ") for line in err.splitlines() if line.strip()), err
