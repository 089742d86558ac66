"""Files of JSON lines that a killed run resumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines; one that does not exist has none, a last line cut by a kill is left out."""
    lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else [""]
    return [json.loads(line) for line in lines[:-1]]


def mend(path: Path) -> list[dict[str, Any]]:
    """Read what is there, and cut off a line that a kill left unfinished."""
    lines = read_lines(path)
    if path.exists() and not path.read_text(encoding="utf-8").endswith("\n"):
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return lines


def append(path: Path, *lines: dict[str, Any]) -> None:
    """Add lines to a file."""
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
