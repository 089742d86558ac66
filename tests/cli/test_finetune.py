"""``narrows finetune`` end to end, on a tiny base and a file of texts with labels."""

from __future__ import annotations

from pathlib import Path

import pytest

import tiny_base
from command import Runner, assert_one_line
from narrows.models.hub import bundled


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(bundled.BASE_VARIABLE, str(tiny_base.save_base(tmp_path / "base")))
    rows = [f"{text},{('bad', 'good')[label]}" for text, label in tiny_base.sentences(60, seed=0)]
    path = tmp_path / "train.csv"
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


def test_a_file_makes_a_model_that_the_other_commands_load(run: Runner, file: Path, tmp_path: Path) -> None:
    result = run("finetune", "--dataset", file, "--out", tmp_path / "mine", "--epochs", 1, "--rank", 2)
    assert result.code == 0, result.err
    assert f"{file} held out: " in result.out
    assert "2/2" in result.err
    explained = run("explain", "a good film", "--model", tmp_path / "mine", "--json")
    assert explained.code == 0, explained.err
    assert '"good"' in explained.out


def test_a_file_that_cannot_be_trained_on_is_one_line(run: Runner, file: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("text\na good film\n")
    assert_one_line(run("finetune", "--dataset", tmp_path / "texts.csv", "--out", tmp_path / "mine"), "'label'")
    assert_one_line(run("finetune", "--dataset", tmp_path / "no.csv", "--out", tmp_path / "mine"), "no such file")
    assert not (tmp_path / "mine").exists()
