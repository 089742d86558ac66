"""The experiments of the write-up are commands that exist, of methods that exist."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from narrows.data import datasets
from narrows.methods.registry import Spec

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "reproduction"))
from experiments import MODELS, experiments

LISTED = experiments(Path("data"), Path("runs"), 50)


def option(words: tuple[str, ...], name: str) -> str:
    return words[words.index(f"--{name}") + 1]


@pytest.mark.parametrize("words", [experiment.words for experiment in LISTED], ids=lambda words: " ".join(words[1:4]))
def test_an_experiment_can_be_run(words: tuple[str, ...]) -> None:
    assert words[:2] == ("narrows", "evaluate") or words[:2] == ("narrows", "sweep")
    assert option(words, "dataset") in datasets.DATASETS
    names = option(words, "methods" if words[1] == "evaluate" else "method").split(",")
    for name in names:
        Spec.parse(name).make(0)


def test_every_data_set_of_the_paper_is_evaluated_on_the_same_texts_throughout() -> None:
    for name in MODELS:
        commands = [experiment.words for experiment in LISTED if experiment.name == name]
        assert commands
        assert len({(option(words, "limit"), option(words, "out")) for words in commands}) == 1
