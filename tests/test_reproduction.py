"""The experiments of the write-up are commands and methods that exist; the pages are those of the results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from experiments import MODELS, PUBLISHED, PUBLISHED_FOR, experiments, experiments_of_the_paper
from tables import short_table
from training import MODELS as FOLDERS
from write_up import PAGES, SIX, TRUST, fill, pages, read

from narrows.data import datasets
from narrows.methods import find_method, split_methods
from narrows.methods.registry import spec

ROOT = Path(__file__).parents[1]
HERE = ROOT / "benchmarks" / "reproduction"
LISTED = experiments(Path("data"), Path("runs"), 50)
EVERY = LISTED + experiments_of_the_paper(Path("data"), Path("models"), Path("runs"), 50)


def option(words: tuple[str, ...], name: str) -> str:
    return words[words.index(f"--{name}") + 1]


@pytest.mark.parametrize("words", [experiment.words for experiment in EVERY], ids=lambda words: " ".join(words[1:4]))
def test_an_experiment_can_be_run(words: tuple[str, ...]) -> None:
    assert words[:2] == ("narrows", "evaluate") or words[:2] == ("narrows", "sweep")
    assert option(words, "dataset") in datasets.DATASETS
    for name in split_methods(option(words, "methods" if words[1] == "evaluate" else "method")):
        find_method(name)


def test_methods_are_spelled_as_results_spell_them() -> None:
    for name in (*PUBLISHED, *(name for names in PUBLISHED_FOR.values() for name in names)):
        assert spec(find_method(name)) == name


def test_every_data_set_of_the_paper_is_evaluated_on_the_same_texts_throughout() -> None:
    for name in MODELS:
        commands = [experiment.words for experiment in LISTED if experiment.name == name]
        assert commands
        assert len({(option(words, "limit"), option(words, "out")) for words in commands}) == 1


def test_the_results_are_small() -> None:
    assert sum(path.stat().st_size for path in (HERE / "results").rglob("*.json")) < 2_000_000


def test_the_pages_and_the_short_table_are_those_of_the_results() -> None:
    found = read(HERE / "results")
    for name, text in pages(found, FOLDERS).items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == text, f"{name}: run benchmarks/reproduction/run.py"
    trust = (ROOT / "docs" / TRUST).read_text(encoding="utf-8")
    assert fill(trust, short_table(found[SIX][""])) == trust


def test_figures_of_the_pages_are_there() -> None:
    for page in (*PAGES, "gallery.md"):
        path = ROOT / "docs" / page
        for name in (part.partition(")")[0] for part in path.read_text(encoding="utf-8").split("](")[1:]):
            if name.endswith(".png"):
                assert (path.parent / name).is_file(), f"{page} shows {name}"


def test_no_number_of_a_summary_is_missing() -> None:
    for path in (HERE / "results").glob("**/*.json"):
        if path.stem not in ("pictures", "timing", "released") and path.parent.name != "checks":
            for row in json.loads(path.read_text())["methods"].values():
                assert len(row["curve_morf"]) == len(row["curve_lerf"]) == 10
                assert row["commit"]
