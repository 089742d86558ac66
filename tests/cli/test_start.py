"""What a command loads before it needs it, and what the shell offers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from narrows.methods.catalogue import make_catalogue, read_catalogue
from narrows.methods.registry import method_names

MODEL_LIBRARIES = {"torch", "transformers", "scipy", "accelerate"}  # the last two come with the second
# What neither a list nor the explanation of one text needs.
OTHERS = {"peft", "sklearn", "pandas", "pyarrow", "matplotlib", "captum", "lime", "datasets", "duckdb", "ray", "gguf"}
OTHERS |= {"torchvision", "gradio", "uvicorn", "IPython", "transformers.pipelines"}
LIBRARIES = MODEL_LIBRARIES | OTHERS
MAIN = """
import sys
sys.argv = ["narrows", *sys.argv[1:]]
from narrows.cli import main
try:
    main()
finally:
    print("loaded:", *sorted(sys.modules), file=sys.stderr)
"""


def loaded_by(*arguments: str, code: int = 0, **variables: str) -> set[str]:
    """The modules that a fresh interpreter holds after a command."""
    command, environment = [sys.executable, "-c", MAIN, *arguments], {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == code, done.stderr
    return set(done.stderr.splitlines()[-1].removeprefix("loaded: ").split())


@pytest.mark.parametrize("command", ["--help", "--version", "explain --help", "methods", "methods fast", "models"])
def test_what_only_tells_something_loads_no_model_library(command: str) -> None:
    loaded = loaded_by(*command.split())
    assert "narrows" in loaded
    assert loaded & LIBRARIES == set()


@pytest.mark.parametrize(
    "command",
    [
        "explain good --method nope",
        "run --data missing.csv --out OUT",
        "evaluate --dataset sst2 --methods fast,nope --out OUT",
        "sweep layers --dataset sst2 --method nope --out OUT",
        "calibrate --data missing.csv --out OUT.safetensors --method nope",
    ],
)
def test_a_wrong_argument_is_told_before_a_model_library_is_loaded(command: str, tmp_path: Path) -> None:
    loaded = loaded_by(*command.replace("OUT", str(tmp_path / "out")).split(), code=2)
    assert "narrows" in loaded
    assert loaded & LIBRARIES == set()


def test_a_demo_model_is_merged_once_and_then_explained_without_peft(tmp_path: Path) -> None:
    assert "peft" in loaded_by("explain", "A fine film.", NARROWS_CACHE=str(tmp_path))
    loaded = loaded_by("explain", "A fine film.", NARROWS_CACHE=str(tmp_path))
    assert {"torch", "transformers"} <= loaded
    assert loaded & OTHERS == set()


def test_the_catalogue_is_what_the_methods_say() -> None:
    """If this fails: python -m narrows.methods.catalogue."""
    assert read_catalogue() == make_catalogue()
    assert tuple(read_catalogue()) == method_names()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("explain --model s", {"sentiment"}),
        ("explain --method info", {"information", "information_signed"}),
        ("explain --model nli --target ", {"entailment", "neutral", "contradiction", "gold"}),
        ("evaluate --dataset mnli_", {"mnli_matched", "mnli_mismatched"}),
        ("evaluate --methods fast,sal", {"fast,saliency"}),
        ("run --data ss", {"sst2"}),
    ],
)
def test_the_shell_is_offered_names(words: str, offered: set[str]) -> None:
    count = len(words.split()) + words.endswith(" ")
    asked = os.environ | {
        "COMP_WORDS": f"narrows {words}",
        "COMP_CWORD": str(count),
        "_NARROWS_COMPLETE": "complete_bash",
    }
    code = MAIN.replace("finally:", "except SystemExit:")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=asked)
    assert set(done.stdout.split()) == offered
    assert set(done.stderr.split()) & LIBRARIES == set()
