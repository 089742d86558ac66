"""docs/models.md says what the matrix says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from families import FAMILIES, REFUSALS

SCRIPT = Path(__file__).parents[1] / "docs" / "write_models.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_models", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date() -> None:
    script = load()
    assert script.PAGE.read_text(encoding="utf-8") == script.render(), "run make models-page"


def test_every_row_is_on_the_page() -> None:
    page = load().render()
    for row in (*FAMILIES, *REFUSALS):
        assert f"| {row.name} |" in page
