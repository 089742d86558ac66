"""Whole runs on a tiny base: they learn, survive being killed, and start from another adapter."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file

import tiny_base
from narrows.errors import InputError, ModelError, NumericsError
from narrows.finetune import train
from narrows.finetune.bar import training_bar
from narrows.finetune.loop import Progress
from narrows.finetune.measure import remeasure
from narrows.finetune.train import finetune
from narrows.models.hub import bundled, lora
from narrows.models.hub.card import ModelCard, TrainingData
from tiny_base import settings

WEIGHTS = bundled.ADAPTER_WEIGHTS
FILES = ["README.md", "adapter_config.json", WEIGHTS, "card.json"]


@pytest.fixture(scope="module")
def losses() -> list[float]:
    return []


@pytest.fixture(scope="module")
def finished(base: Path, data: Path, losses: list[float], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    finetune(settings(base, data, out), lambda progress: losses.append(progress.loss))
    return out


def test_a_run_learns(finished: Path, base: Path, losses: list[float]) -> None:
    assert 0.6 < losses[0] < 0.8  # about ln 2
    assert losses[-1] < 0.4
    (result,) = ModelCard.load(finished).accuracy
    assert result.accuracy >= 0.9
    model, tokenizer = bundled.load_adapted(finished, base)
    with torch.no_grad():
        logits = model(
            **tokenizer(["the film is very good", "it is a bad film"], padding=True, return_tensors="pt")
        ).logits
    assert [model.config.id2label[int(index)] for index in logits.argmax(-1)] == ["positive", "negative"]


def test_a_run_leaves_an_adapter_in_peft_s_format_and_its_card(finished: Path, base: Path, data: Path) -> None:
    assert sorted(path.name for path in finished.iterdir()) == FILES
    # An older peft warns of a setting that it does not know, even of one that is not set.
    assert None not in json.loads((finished / "adapter_config.json").read_text("utf-8")).values()
    state = load_file(finished / WEIGHTS)
    assert {value.dtype for value in state.values()} == {torch.float16}
    assert {name.split(".")[-3] for name in state if "lora_A" in name} == {"query", "key", "value", "dense"}
    assert peft.PeftConfig.from_pretrained(str(finished)).r == 4
    card = ModelCard.load(finished)
    assert (card.name, card.labels, card.seed) == ("whole", ("negative", "positive"), 0)
    assert card.base == base.name
    assert card.base_sha256 == bundled.weights_sha256(base)
    assert card.command == settings(base, data, finished).command()
    assert card.settings["epochs"] == 4.0
    rows = len((data / "glue/SST-2/train.tsv").read_text().splitlines()) - 1
    assert card.trained_on == (TrainingData("sst2", "train", rows, 0),)
    assert (card.accuracy[0].dataset, card.accuracy[0].split) == ("sst2", "dev")
    assert card.parameters == sum(value.numel() for value in state.values())
    assert set(card.versions) == {"python", "torch", "transformers", "peft"}


def test_the_accuracy_of_the_card_is_that_of_the_saved_files(finished: Path, base: Path, data: Path) -> None:
    card = ModelCard.load(finished)
    wrong = card.accuracy[0].__class__("sst2", "dev", 1, 0.0)
    try:
        ModelCard(**{**card.__dict__, "accuracy": (wrong,)}).save(finished)
        assert remeasure(finished, data, base, "cpu").accuracy == card.accuracy
        assert ModelCard.load(finished) == card
    finally:
        card.save(finished)
    model, tokenizer = bundled.load_adapted(finished, base)
    rows = [line.split("\t") for line in (data / "glue/SST-2/dev.tsv").read_text().splitlines()[1:]]
    with torch.no_grad():
        right = [
            int(model(**tokenizer(text, return_tensors="pt")).logits.argmax()) == int(label) for text, label in rows
        ]
    assert card.accuracy[0].n == len(rows)
    assert card.accuracy[0].accuracy == round(sum(right) / len(rows), 4)


def test_a_folder_that_is_finished_is_not_trained_again(finished: Path, base: Path, data: Path) -> None:
    before = (finished / WEIGHTS).read_bytes()
    with pytest.raises(InputError, match="holds a finished adapter already"):
        finetune(settings(base, data, finished))
    assert (finished / WEIGHTS).read_bytes() == before


def test_a_run_that_is_killed_and_started_again_ends_with_the_same_bytes(
    finished: Path, base: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    code = f"""
import os, signal, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
import torch
from narrows.finetune.train import finetune
from tiny_base import settings
torch.set_num_threads(1)
def report(progress):
    if progress.step == 7:
        os.kill(os.getpid(), signal.SIGKILL)
finetune(settings(Path({str(base)!r}), Path({str(data)!r}), Path({str(out)!r}), checkpoint_minutes=1e-9), report)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.run(
        [sys.executable, "-c", code], check=False, env=environment, capture_output=True, text=True, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [path.name for path in out.iterdir()] == ["checkpoint.safetensors"]
    (out / "checkpoint.safetensors.partial").write_bytes(b"broken off in the middle")
    steps: list[int] = []
    finetune(settings(base, data, out), lambda progress: steps.append(progress.step))
    assert steps[0] == 8
    assert (out / WEIGHTS).read_bytes() == (finished / WEIGHTS).read_bytes()
    assert sorted(path.name for path in out.iterdir() if path.suffix != ".partial") == FILES


def test_a_run_that_is_stopped_while_it_is_tested_does_not_train_again(
    finished: Path, base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "measure", stop)
    with pytest.raises(KeyboardInterrupt):
        finetune(settings(base, data, tmp_path))
    assert not (tmp_path / "card.json").exists()
    monkeypatch.undo()
    steps: list[int] = []
    card = finetune(settings(base, data, tmp_path), lambda progress: steps.append(progress.step))
    assert steps == []
    assert card.accuracy == ModelCard.load(finished).accuracy
    assert (tmp_path / WEIGHTS).read_bytes() == (finished / WEIGHTS).read_bytes()


@pytest.mark.parametrize("change", ["settings", "rows", "base"])
def test_a_checkpoint_of_another_run_is_refused(change: str, base: Path, data: Path, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        finetune(settings(base, data, out, checkpoint_minutes=1e-9), stop)
    other: dict[str, Callable[[], Any]] = {
        "settings": lambda: settings(base, data, out, learning_rate=1e-3),
        "rows": lambda: settings(base, tiny_base.save_sst2(tmp_path / "data", rows=290), out),
        "base": lambda: settings(tiny_base.save_base(tmp_path / "base", seed=1), data, out),
    }
    with pytest.raises(InputError, match="other settings or data"):
        finetune(other[change]())


def test_dropout_is_that_of_the_settings(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = settings(base, data, Path("out")).modules
    model, _ = lora.build(base, ("no", "yes"), lora.LoraSettings(4, 8.0, 0.25, pattern), dropout=0.5, seed=0)
    found = {name: module.p for name, module in model.named_modules() if isinstance(module, torch.nn.Dropout)}
    assert {value for name, value in found.items() if "lora" in name} == {0.25}
    assert {value for name, value in found.items() if "lora" not in name} == {0.5}
    assert any("attention.self.dropout" in name for name in found)
    taken: list[float] = []
    build = lora.build

    def spy(base: Any, labels: Any, settings: Any, dropout: float, seed: int) -> Any:
        taken.append(dropout)
        return build(base, labels, settings, dropout, seed)

    monkeypatch.setattr(lora, "build", spy)
    finetune(settings(base, data, tmp_path, dropout=0.125, epochs=0.1))
    assert taken == [0.125]


def test_a_run_that_diverges_is_one_clear_line(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(NumericsError, match=r"the loss is nan at step \d+: lower the learning rate"):
        finetune(settings(base, data, tmp_path / "run", learning_rate=1e30))
    assert not (tmp_path / "run" / "card.json").exists()


def test_a_run_starts_from_another_adapter_by_the_names_of_its_labels(base: Path, data: Path, tmp_path: Path) -> None:
    old = ("neutral", "entailment", "contradiction")
    tiny_base.save_adapter(tmp_path / "nli", base, old)
    source = load_file(tmp_path / "nli" / WEIGHTS)
    head = source["base_model.model.classifier.weight"].float()
    pattern = settings(base, data, tmp_path).modules
    new = ("entailment", "not_entailment")
    model, _ = lora.build(base, new, lora.LoraSettings(4, 8.0, 0.0, pattern), dropout=0.0, seed=5)
    lora.start_from(model, str(tmp_path / "nli"), new)
    mapped = model.base_model.model.classifier.modules_to_save["default"].weight
    torch.testing.assert_close(mapped[0], head[1])
    torch.testing.assert_close(mapped[1], (head[0] + head[2]) / 2)
    name = "base_model.model.bert.encoder.layer.1.attention.self.query.lora_B.weight"
    copied = model.get_submodule(name.removesuffix(".weight"))["default"].weight
    torch.testing.assert_close(copied, source[name].float())


def test_a_head_whose_labels_are_all_new_starts_from_the_mean(base: Path, data: Path, tmp_path: Path) -> None:
    tiny_base.save_adapter(tmp_path / "old", base, ("a", "b"))
    head = load_file(tmp_path / "old" / WEIGHTS)["base_model.model.classifier.bias"].float()
    pattern = settings(base, data, tmp_path).modules
    model, _ = lora.build(base, ("x", "y"), lora.LoraSettings(4, 8.0, 0.0, pattern), dropout=0.0, seed=5)
    lora.start_from(model, str(tmp_path / "old"), ("x", "y"))
    mapped = model.base_model.model.classifier.modules_to_save["default"].bias
    torch.testing.assert_close(mapped, head.mean().expand(2))


def test_init_from_shortens_the_training(finished: Path, base: Path, data: Path, tmp_path: Path) -> None:
    first: list[float] = []
    changes = {"init_from": str(finished), "epochs": 0.1}
    finetune(settings(base, data, tmp_path, **changes), lambda progress: first.append(progress.loss))
    assert first[0] < 0.4


def test_an_adapter_of_another_rank_is_no_start(finished: Path, base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another rank or other layers"):
        finetune(settings(base, data, tmp_path / "run", init_from=str(finished), rank=8))


def test_what_is_no_adapter_is_no_start(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no card.json"):
        finetune(settings(base, data, tmp_path / "run", init_from=str(tmp_path)))
    tiny_base.card(("a", "b")).save(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"not tensors")
    with pytest.raises(ModelError, match="cannot be read"):
        finetune(settings(base, data, tmp_path / "run", init_from=str(tmp_path)))


def test_layers_that_are_not_there_are_told(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no LoRA on this base with modules 'nothing'"):
        finetune(settings(base, data, tmp_path / "run", modules="nothing"))


def test_an_output_that_cannot_be_made_is_told(base: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made a folder"):
        finetune(settings(base, data, tmp_path / "file" / "run"))


def test_auto_writes_the_precision_that_it_chose(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "faster_precision", lambda device: "bfloat16")
    card = finetune(settings(base, data, tmp_path, precision="auto", epochs=0.1))
    assert card.settings["precision"] == "bfloat16"
    assert "--precision bfloat16" in card.command
    assert json.loads((tmp_path / "card.json").read_text())["settings"]["precision"] == "bfloat16"


def test_the_saved_files_may_be_read_by_others(finished: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in finished.iterdir()}
    assert len(set(modes.values())) == 1, modes


def test_the_bar_shows_the_steps_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with training_bar() as report:
        report(Progress(3, 10, 30, 100, 0.5, 1.0))
        report(Progress(10, 10, 100, 100, 0.25, 2.0))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "step 10/10  loss 0.250" in captured.err
