"""Fixtures of the command line's tests: a runner, and a tiny saved classifier."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

import tiny
from command import TEXTS, Run, Runner
from narrows import cli
from narrows.models.corpus import estimate_prior


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Runner:
    """Run a command as the shell would, but in this process."""

    def command(*arguments: object) -> Run:
        monkeypatch.setattr(sys, "argv", ["narrows", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "100")
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        gc.unfreeze()  # a command ends with its process, this one does not
        captured = capfd.readouterr()
        return Run(int(stop.value.code or 0), without_holes(captured.out), captured.err)

    return command


def without_holes(said: str) -> str:
    """Leave out what tokenizers 0.22 says on stdout of the tiny vocabulary, in which two numbers are not used."""
    return "".join(line for line in said.splitlines(keepends=True) if not line.startswith("The OrderedVocab"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny classifier and, beside it, its prior."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    classifier, tokenizer = tiny.classifier("bert")
    classifier.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    estimate_prior(classifier, tokenizer, TEXTS).save(folder.parent / "prior.safetensors")
    return folder
