"""The examples run from beginning to end, as a reader runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_there_is_something_to_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"sentiment_mistake.py", "nli_across_layers.py"}


@pytest.mark.parametrize(
    ("name", "says", "pictures"),
    [
        ("sentiment_mistake.py", "The map blames", {"mistakes.html", "mistake.svg"}),
        ("nli_across_layers.py", "the strongest word is", {"layers.svg", "layers.html"}),
    ],
)
def test_an_example_runs(name: str, says: str, pictures: set[str], tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), str(tmp_path)]
    environment = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200, env=environment)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == pictures
