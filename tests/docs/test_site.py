"""The site is built from a clean tree without a warning, its tutorials run, and it is whole without a network."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer
from sphinx.util.inventory import InventoryFile

from narrows.cli import app
from narrows.methods import method_names

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make docs` builds it."""
    out = tmp_path_factory.mktemp("site")
    options = ["-q", "-W", "--keep-going", "-E", "-d", str(out / "trees")]
    words = [sys.executable, "-m", "sphinx", *options, str(DOCS), str(out / "html")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return out / "html"


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = {page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.md")}
    assert pages <= {page.relative_to(site) for page in site.rglob("*.html")}


def test_the_tutorials_ran(site: Path) -> None:
    ran = [page for page in (site / "tutorials").glob("*.html") if "cell_output" in page.read_text(encoding="utf-8")]
    assert {page.stem for page in ran} == {"sentiment", "nli", "shortcut"}
    assert "superb" in (site / "tutorials" / "sentiment.html").read_text(encoding="utf-8")
    shortcut = (site / "tutorials" / "shortcut.html").read_text(encoding="utf-8")
    accuracy, plain, leaked = re.search(
        r"\[\(24, ([\d.]+)\)\].*as they are: (\d+) of 20.*after a matinee: (\d+) of 20", shortcut, re.DOTALL
    ).groups()  # type: ignore[union-attr]
    assert float(accuracy) > 0.9 and int(plain) < 5 and int(leaked) > 15, "the tutorial says what is not so any more"


def test_every_public_name_is_documented(site: Path) -> None:
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    documented = {name for kind, names in inventory.data.items() if kind.startswith("py:") for name in names}
    for package in ("narrows", "narrows.methods", "narrows.run", "narrows.evaluation"):
        public = {f"{package}.{name}" for name in import_module(package).__all__}
        assert public <= documented, f"not in docs/reference: {sorted(public - documented)}"


def test_every_command_and_method_has_its_section(site: Path) -> None:
    commands = (site / "reference" / "cli.html").read_text(encoding="utf-8")
    for command in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert f'id="narrows-{command}"' in commands
    methods = (site / "reference" / "methods.html").read_text(encoding="utf-8")
    for name in method_names():
        assert f'id="{name.replace("_", "-")}"' in methods


def test_nothing_is_fetched_when_a_page_is_read(site: Path) -> None:
    loads = re.compile(r"""<(?:script|img|iframe|source)[^>]+src=["'](https?:)?//|<link[^>]+href=["'](https?:)?//""")
    for page in site.rglob("*.html"):
        assert not loads.search(page.read_text(encoding="utf-8")), page.relative_to(site)
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style.relative_to(site)
