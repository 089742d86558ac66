"""Whole runs on a tiny base: they learn, survive being killed, and start from another model."""

from __future__ import annotations

import json
import os
import random
import runpy
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
from narrows.bottleneck.prior import Prior
from narrows.errors import DataError, DependencyError, InputError, ModelError, NumericsError
from narrows.models.cut.blocks import identify
from narrows.models.hub import bundled
from narrows.models.hub import finetune as module
from narrows.models.hub.card import ModelCard, TrainingData
from narrows.models.hub.finetune import build, finetune, start_from
from narrows.models.hub.finetune_settings import FinetuneSettings
from narrows.models.hub.loading import load_model

WEIGHTS = bundled.ADAPTER_WEIGHTS
FILES = ["README.md", "adapter_config.json", WEIGHTS, "card.json", "prior.safetensors"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base.save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base.save_sst2(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def _own_base(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(bundled.BASE_VARIABLE, str(base))


def settings(base: Path, data: Path, out: Path, **changes: Any) -> FinetuneSettings:
    """With dropout, whose random numbers a resumed run must draw again."""
    return tiny_base.settings(base, data, out, **{"dropout": 0.05, "lora_dropout": 0.05, "epochs": 6.0} | changes)


@pytest.fixture(scope="module")
def losses() -> list[float]:
    return []


@pytest.fixture(scope="module")
def finished(base: Path, data: Path, losses: list[float], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupts."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    finetune(settings(base, data, out), lambda step, steps, loss: losses.append(loss))
    return out


class StoppedError(Exception):
    """Stands for a run that is killed."""


def stop_at(step: int) -> Callable[[int, int, float], None]:
    def report(done: int, steps: int, loss: float) -> None:
        if done == step:
            raise StoppedError

    return report


def test_a_run_learns(finished: Path, losses: list[float]) -> None:
    assert 0.6 < losses[0] < 0.8  # about ln 2
    assert losses[-1] < 0.5
    assert ModelCard.load(finished).accuracy[0].accuracy >= 0.9
    classifier = load_model(str(finished), "cpu")
    texts = ["the film is very good", "it is a bad film"]
    with torch.no_grad():
        logits = classifier.model(**classifier.tokenizer(texts, padding=True, return_tensors="pt")).logits
    assert [classifier.model.config.id2label[int(index)] for index in logits.argmax(-1)] == ["positive", "negative"]


def test_a_run_leaves_an_adapter_in_peft_s_format_its_card_and_its_prior(
    finished: Path, base: Path, data: Path
) -> None:
    assert sorted(path.name for path in finished.iterdir()) == FILES
    assert len({path.stat().st_mode & 0o777 for path in finished.iterdir()}) == 1  # all may be read by others
    # An older peft warns of a setting that it does not know, even of one that is not set.
    assert None not in json.loads((finished / "adapter_config.json").read_text("utf-8")).values()
    state = load_file(finished / WEIGHTS)
    assert {value.dtype for value in state.values()} == {torch.float16}
    assert {name.split(".")[-3] for name in state if "lora_A" in name} == {"query", "key", "value", "dense"}
    assert peft.PeftConfig.from_pretrained(str(finished)).r == 4
    card = ModelCard.load(finished)
    assert (card.name, card.labels, card.seed) == ("whole", ("negative", "positive"), 0)
    assert (card.base, card.base_sha256) == (base.name, bundled.weights_sha256(base))
    assert card.command == settings(base, data, finished).command()
    assert card.settings["epochs"] == 6.0
    rows = len((data / "glue/SST-2/train.tsv").read_text().splitlines()) - 1
    assert card.trained_on == (TrainingData("sst2", "train", rows, 0),)
    assert (card.accuracy[0].dataset, card.accuracy[0].split) == ("sst2", "dev")
    assert card.parameters == sum(value.numel() for value in state.values())
    assert set(card.versions) == {"python", "torch", "transformers", "peft", "accelerate"}
    classifier = load_model(str(finished), "cpu")
    assert classifier.prior == finished / "prior.safetensors"
    prior = Prior.load(classifier.prior)
    assert torch.equal(prior.model.probe, identify(classifier.model).probe)
    assert prior.model.name == "whole"


def test_the_accuracy_of_the_card_is_that_of_the_saved_files(finished: Path, base: Path, data: Path) -> None:
    model, tokenizer = bundled.load_adapted(finished, base)
    rows = [line.split("\t") for line in (data / "glue/SST-2/dev.tsv").read_text().splitlines()[1:]]
    with torch.no_grad():
        right = [
            int(model(**tokenizer(text, return_tensors="pt")).logits.argmax()) == int(label) for text, label in rows
        ]
    (result,) = ModelCard.load(finished).accuracy
    assert (result.n, result.accuracy) == (len(rows), round(sum(right) / len(rows), 4))


def test_a_folder_that_is_finished_is_not_trained_again(finished: Path, base: Path, data: Path) -> None:
    before = (finished / WEIGHTS).read_bytes()
    with pytest.raises(InputError, match="holds a finished model already"):
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
import tiny_base
from narrows.models.hub.finetune import finetune
torch.set_num_threads(1)
def report(step, steps, loss):
    if step == 17:
        os.kill(os.getpid(), signal.SIGKILL)
places = [Path(place) for place in {[str(base), str(data), str(out)]!r}]
finetune(tiny_base.settings(*places, checkpoint_minutes=1e-9, dropout=0.05, lora_dropout=0.05, epochs=6.0), report)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.run(
        [sys.executable, "-c", code], check=False, env=environment, capture_output=True, text=True, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [path.name for path in out.iterdir()] == ["checkpoints"]
    (out / "checkpoints" / "checkpoint-17").mkdir()  # broken off in the middle
    steps: list[int] = []
    finetune(settings(base, data, out), lambda step, steps_, loss: steps.append(step))
    assert steps[0] == 17
    assert (out / WEIGHTS).read_bytes() == (finished / WEIGHTS).read_bytes()
    assert sorted(path.name for path in out.iterdir()) == FILES


def test_a_run_that_is_stopped_while_it_is_measured_does_not_train_again(
    finished: Path, base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object) -> None:
        raise StoppedError

    with monkeypatch.context() as context, pytest.raises(StoppedError):
        context.setattr(module, "_measure", stop)
        finetune(settings(base, data, tmp_path))
    assert not (tmp_path / "card.json").exists()
    steps: list[int] = []
    card = finetune(settings(base, data, tmp_path), lambda step, steps_, loss: steps.append(step))
    assert steps == []
    assert card.accuracy == ModelCard.load(finished).accuracy
    assert card.seconds > 0
    assert (tmp_path / WEIGHTS).read_bytes() == (finished / WEIGHTS).read_bytes()


@pytest.mark.parametrize("change", ["settings", "rows", "base"])
def test_checkpoints_of_another_run_are_refused(change: str, base: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(StoppedError):
        finetune(settings(base, data, out, checkpoint_minutes=1e-9), stop_at(2))
    other: dict[str, Callable[[], FinetuneSettings]] = {
        "settings": lambda: settings(base, data, out, learning_rate=1e-3),
        "rows": lambda: settings(base, tiny_base.save_sst2(tmp_path / "data", rows=290), out),
        "base": lambda: settings(tiny_base.save_base(tmp_path / "base", seed=1), data, out),
    }
    with pytest.raises(InputError, match="other settings or data; delete it first"):
        finetune(other[change]())


@pytest.mark.parametrize("name", [WEIGHTS, "optimizer.pt", "rng_state.pth", "trainer_state.json"])
def test_a_damaged_checkpoint_is_one_clear_line(name: str, base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        finetune(settings(base, data, tmp_path, checkpoint_minutes=1e-9), stop_at(2))
    path = tmp_path / "checkpoints" / "checkpoint-1" / name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"checkpoint-1: cannot be resumed .*delete .*checkpoints to start again"):
        finetune(settings(base, data, tmp_path))


def test_a_checkpoint_is_written_only_when_its_time_has_come(base: Path, data: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    finetune(
        settings(base, data, tmp_path, epochs=1.0),
        lambda *_: seen.append(len(list((tmp_path / "checkpoints").glob("checkpoint-*")))),
    )
    assert set(seen) == {0}


def test_a_run_that_diverges_is_one_clear_line(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(NumericsError, match=r"the loss is (nan|inf) at step \d+: lower the learning rate"):
        finetune(settings(base, data, tmp_path / "run", learning_rate=1e30))
    assert not (tmp_path / "run" / "card.json").exists()


def test_nothing_is_printed_and_torch_s_random_numbers_are_left_alone(
    base: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    finetune(settings(base, data, tmp_path, epochs=0.5))
    assert torch.equal(torch.rand(3), expected)
    said = capfd.readouterr()
    # Before 0.23 tokenizers tells that the vocabulary of the tiny base, which has two tokens twice, leaves out two ids.
    assert [line for line in said.out.splitlines() if not line.startswith("The OrderedVocab")] == []
    assert said.err == ""


@pytest.mark.parametrize(("epochs", "steps"), [(0.5, 5), (1.0, 9), (1.5, 14)])
def test_a_part_of_an_epoch_is_trained_and_each_text_once_in_a_whole_one(
    epochs: float, steps: int, base: Path, data: Path
) -> None:
    lengths = [random.Random(row).randrange(3, 20) for row in range(284)]
    batches = module._plan(lengths, settings(base, data, Path("out"), epochs=epochs))
    assert abs(len(batches) - steps) <= 1
    assert batches == module._plan(lengths, settings(base, data, Path("out"), epochs=3.0))[: len(batches)]
    if epochs == 1.0:
        assert sorted(row for batch in batches for row in batch) == list(range(284))


def test_all_weights_are_trained_if_the_user_says_so(finished: Path, base: Path, data: Path, tmp_path: Path) -> None:
    first: list[float] = []
    out = tmp_path / "full"
    changes = {"full": True, "init_from": str(finished), "learning_rate": 1e-3, "epochs": 1.0}
    card = finetune(settings(base, data, out, **changes), lambda step, steps, loss: first.append(loss))
    assert first[0] < 0.6  # it starts from what the adapter has learnt
    assert "--full --" in card.command
    assert card.accuracy[0].accuracy >= 0.9
    classifier = load_model(str(out), "cpu")
    assert classifier.prior == out / "prior.safetensors"
    assert card.parameters == sum(value.numel() for value in classifier.model.parameters())
    assert not (out / WEIGHTS).exists()
    start, _ = bundled.load_adapted(finished, base)
    moved = [not torch.equal(a, b) for a, b in zip(start.parameters(), classifier.model.parameters(), strict=True)]
    assert all(moved)
    again = settings(base, data, tmp_path / "again", full=True, init_from=str(out), epochs=0.1)
    first.clear()
    finetune(again, lambda step, steps, loss: first.append(loss))
    assert first[0] < 0.6


def test_the_learning_rate_left_out_suits_what_is_trained(base: Path, data: Path) -> None:
    given = settings(base, data, Path("out"), learning_rate=None, precision="auto", device="cpu")
    resolved = module._resolved(given)
    assert (resolved.learning_rate, resolved.precision) == (1e-3, "float32")
    full = settings(base, data, Path("out"), learning_rate=None, full=True)
    assert module._resolved(full).learning_rate == 5e-5


def test_a_file_of_texts_and_labels_is_a_data_set(base: Path, tmp_path: Path) -> None:
    rows = [f"{text},{('bad', 'good')[label]}" for text, label in tiny_base.sentences(200, seed=0)]
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    card = finetune(settings(base, tmp_path, tmp_path / "run", dataset=(str(tmp_path / "train.csv"),), data_dir=None))
    assert card.labels == ("bad", "good")
    assert (card.accuracy[0].split, card.accuracy[0].n) == ("held out", 20)
    assert card.accuracy[0].accuracy > 0.6


def test_dropout_is_that_of_the_settings(base: Path, data: Path) -> None:
    model, _ = build(base, ("no", "yes"), settings(base, data, Path("out"), dropout=0.5, lora_dropout=0.25))
    found = {name: module.p for name, module in model.named_modules() if isinstance(module, torch.nn.Dropout)}
    assert {value for name, value in found.items() if "lora" in name} == {0.25}
    assert {value for name, value in found.items() if "lora" not in name} == {0.5}
    assert any("attention.self.dropout" in name for name in found)


def test_a_run_starts_from_another_adapter_by_the_names_of_its_labels(base: Path, data: Path, tmp_path: Path) -> None:
    tiny_base.save_adapter(tmp_path / "nli", base, ("neutral", "entailment", "contradiction"))
    source = load_file(tmp_path / "nli" / WEIGHTS)
    head = source["base_model.model.classifier.weight"].float()
    new, given = ("entailment", "not_entailment"), settings(base, data, tmp_path, init_from=str(tmp_path / "nli"))
    model, _ = build(base, new, given)
    start_from(model, given, new)
    mapped = model.base_model.model.classifier.modules_to_save["default"].weight
    torch.testing.assert_close(mapped[0], head[1])
    torch.testing.assert_close(mapped[1], (head[0] + head[2]) / 2)
    name = "base_model.model.bert.encoder.layer.1.attention.self.query.lora_B.weight"
    copied = model.get_submodule(name.removesuffix(".weight"))["default"].weight
    torch.testing.assert_close(copied, source[name].float())


def test_a_head_whose_labels_are_all_new_starts_from_the_mean(base: Path, data: Path, tmp_path: Path) -> None:
    tiny_base.save_adapter(tmp_path / "old", base, ("a", "b"))
    head = load_file(tmp_path / "old" / WEIGHTS)["base_model.model.classifier.bias"].float()
    given = settings(base, data, tmp_path, init_from=str(tmp_path / "old"))
    model, _ = build(base, ("x", "y"), given)
    start_from(model, given, ("x", "y"))
    mapped = model.base_model.model.classifier.modules_to_save["default"].bias
    torch.testing.assert_close(mapped, head.mean().expand(2))


def test_what_does_not_fit_is_no_start(finished: Path, base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another rank"):
        finetune(settings(base, data, tmp_path / "run", init_from=str(finished), rank=8))
    with pytest.raises(ModelError, match=r"no bundled model.*sentiment"):
        finetune(settings(base, data, tmp_path / "run", init_from=str(tmp_path)))
    tiny_base.save_adapter(tmp_path / "broken", base, ("a", "b"))
    (tmp_path / "broken" / WEIGHTS).write_bytes(b"not tensors")
    with pytest.raises(ModelError, match="cannot be read"):
        finetune(settings(base, data, tmp_path / "run", init_from=str(tmp_path / "broken")))


def test_layers_that_are_not_there_are_told(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no LoRA on this base with modules 'nothing'"):
        finetune(settings(base, data, tmp_path / "run", modules="nothing"))


def test_an_output_that_cannot_be_made_is_told(base: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made a folder"):
        finetune(settings(base, data, tmp_path / "file" / "run"))


def test_what_the_machine_lacks_is_told(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no GPU"):
        finetune(settings(base, data, tmp_path / "run", device="cuda"))
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(DependencyError, match=r'accelerate: pip install "narrows\[finetune\]"'):
        runpy.run_path(str(module.__file__))
