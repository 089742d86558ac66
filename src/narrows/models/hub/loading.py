"""Loading a model by name: a demo model, an adapter, a folder, a GGUF file, or an id on the Hub."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.errors import ModelError, first_line
from narrows.models.heads.names import TaskName
from narrows.models.hub import bundled
from narrows.models.hub.card import CARD_FILE
from narrows.models.hub.checkpoint import check_task, read_checkpoint
from narrows.models.hub.fetched import find_fetched


@dataclass(frozen=True)
class LoadedModel:
    """A loaded model."""

    model: PreTrainedModel  # in evaluation mode
    tokenizer: PreTrainedTokenizerBase
    name: str  # what it was loaded by
    prior: Path | None  # file of the corpus prior that ships with it


def load_model(name: str | os.PathLike[str], device: str | None = None, task: TaskName | None = None) -> LoadedModel:
    """Load a model with its head: only safetensors or GGUF and no remote code; device None = a GPU.

    The task says what the head is for where the checkpoint does not.
    """
    if not isinstance(name, str | os.PathLike) or not os.fspath(name):
        raise ModelError(f"a model is loaded by its name or folder, not by {name!r:.60}")
    check_task(task)
    name = os.fspath(name)
    is_adapter = (Path(name) / bundled.ADAPTER_CONFIG).is_file()
    if is_adapter and not (Path(name) / CARD_FILE).is_file():
        way = "load it with peft.AutoPeftModelForSequenceClassification and give Explainer(model, tokenizer)"
        raise ModelError(f"{name} is an adapter that was not made by 'narrows finetune' (no {CARD_FILE}): {way}")
    if name in bundled.names() or is_adapter:
        demo = bundled.find(name)
        _check_demo(name, "text-classification", task)
        model, tokenizer = demo.load()
        return _loaded(model, tokenizer, name, device, demo.prior)
    if (fetched := find_fetched(name)) is not None:
        _check_demo(name, fetched.task, task)
        model, tokenizer = read_checkpoint(str(fetched.folder()), fetched.task)
        return _loaded(model, tokenizer, name, device, fetched.prior)
    model, tokenizer = read_checkpoint(name, task)
    prior = Path(name) / bundled.PRIOR_FILE
    return _loaded(model, tokenizer, name, device, prior if prior.is_file() else None)


def _check_demo(name: str, own: TaskName, task: TaskName | None) -> None:
    if task not in (None, own):
        raise ModelError(f"{name} is for {own}, not for {task}")


def _loaded(model: Any, tokenizer: Any, name: str, device: str | None, prior: Path | None) -> LoadedModel:
    """Put a model on its device, and name it: results name a demo model, not the folder of its weights."""
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    model.config.name_or_path = name
    try:
        return LoadedModel(model.to(place).eval(), tokenizer, name, prior)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ModelError(f"cannot use device {place!r}: {first_line(error)}") from error
