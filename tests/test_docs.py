"""What the pages refer to is there: files, functions, and the numbers of the default algorithm."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from narrows.methods import find_method, method_names
from narrows.methods.iterations import SHARE, SHORTEST

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "llms.txt", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[([^]]*)\]\(([^)#]+)[^)]*\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for _, target in LINK.findall(page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), f"{page.name} links {target}"


def test_the_page_of_the_method_names_functions_that_are_there() -> None:
    page = ROOT / "docs" / "explanation" / "method.md"
    linked = [(text, target) for text, target in LINK.findall(page.read_text(encoding="utf-8")) if "`" in text]
    assert len(linked) > 8
    for text, target in linked:
        source = (page.parent / target).read_text(encoding="utf-8")
        for name in re.findall(r"`([\w.]+)`", text):
            if not name.startswith("narrows."):
                assert re.search(rf"(def|class) {name.rpartition('.')[2]}\b", source), f"{target} has no {name}"


def test_the_page_on_evidence_has_the_numbers_of_the_code() -> None:
    page = " ".join((ROOT / "docs" / "explanation" / "evidence.md").read_text(encoding="utf-8").split())
    assert f"1/{round(1 / SHARE)} of the content tokens" in page
    assert f"fewer than {SHORTEST} content tokens" in page


def test_the_methods_of_the_readme_and_of_the_how_to_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r'`"([a-z_]+(?::[\w=,]+)?)"`', readme):
        find_method(name)
    how_to = (ROOT / "docs" / "how-to" / "evaluation.md").read_text(encoding="utf-8")
    missing = [name for name in method_names() if f"`{name}" not in how_to]
    assert not missing


def test_the_readme_counts_the_methods() -> None:
    count = len(method_names())
    assert f"| methods | {count} |" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"| {count} names |" in (ROOT / "docs" / "how-to" / "coming_from.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "found",
    [
        "integrated gradients at the embeddings: ahead on IMDB, MNLI-m, MNLI-mm, AG News, RTE, SST-2",
        "the paper's bottleneck: ahead on IMDB, MNLI-m, MNLI-mm, AG News, RTE, SST-2",
        "with 100 samples: ahead on IMDB, MNLI-m, MNLI-mm, AG News, RTE, SST-2",
        "`fast` is ahead on MNLI-m, MNLI-mm, level on IMDB, AG News, SST-2, behind on RTE",
    ],
)
def test_what_readme_and_the_page_on_trust_conclude_was_measured(found: str) -> None:
    page = (ROOT / "docs" / "faithfulness.md").read_text(encoding="utf-8")
    assert found in page, "README.md and docs/explanation/trust.md say so: change them with the results"


def test_every_guarantee_names_a_test_that_is_there() -> None:
    page = (ROOT / "docs" / "reference" / "guarantees.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert len(named) > 30
    missing = [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")]
    assert not missing
