"""LoRA adapters on a base model: new ones, ones that start from another, and their saved form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors

from narrows.errors import InputError, ModelError
from narrows.models.hub import bundled
from narrows.models.hub.card import ModelCard

HEAD = ("pooler", "classifier")  # trained in full, beside the LoRA matrices


@dataclass(frozen=True)
class LoraSettings:
    """Size and place of the LoRA matrices.

    Attributes:
        rank: Their rank.
        alpha: The update is scaled by alpha / rank.
        dropout: On their input.
        modules: Pattern of the names of the linear layers that get them.
    """

    rank: int
    alpha: float
    dropout: float
    modules: str


def build(base: Path, labels: Sequence[str], settings: LoraSettings, dropout: float, seed: int) -> tuple[Any, Any]:
    """Put new LoRA matrices and a new head on a base.

    Args:
        base: Folder of the base model.
        labels: The names of the classes.
        settings: Size and place of the matrices.
        dropout: Of the base while it is trained, in its attention too.
        seed: Seed of the new weights.

    Returns:
        The model, of which only the matrices, pooler and classifier are trainable, and its tokenizer.

    Raises:
        InputError: If no linear layer matches the pattern.
    """
    peft = bundled.import_peft()
    lora = peft.LoraConfig(
        task_type="SEQ_CLS",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.modules,
        modules_to_save=list(HEAD),
    )
    with torch.random.fork_rng(devices=[]), bundled.quiet():
        torch.manual_seed(seed)
        model, tokenizer = bundled.load_base(base, labels)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
        try:
            return peft.get_peft_model(model, lora), tokenizer
        except ValueError as error:
            raise InputError(f"no LoRA on this base with modules {settings.modules!r}: {error}") from error


def start_from(model: Any, source: str, labels: Sequence[str]) -> None:
    """Copy another adapter into a new one.

    A class that the other does not have starts as the mean of the other's classes that are left over: so
    ``not_entailment`` starts between ``neutral`` and ``contradiction``.

    Args:
        model: The new one, as made by `build`.
        source: Name of a bundled model, or the folder of an adapter.
        labels: The names of the new classes.

    Raises:
        InputError: If the other adapter has another rank or is on other layers.
        ModelError: If there is no such adapter.
    """
    folder = bundled.find(source).folder if source in bundled.names() else Path(source)
    old_labels = ModelCard.load(folder).labels
    try:
        halves = safetensors.load_file(folder / bundled.ADAPTER_WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder / bundled.ADAPTER_WEIGHTS}: cannot be read: {error}") from error
    state = {name: value.float() for name, value in halves.items()}
    left = [index for index, label in enumerate(old_labels) if label not in labels] or list(range(len(old_labels)))
    for name in [name for name in state if ".classifier." in name]:
        old = state[name]
        rows = [old[old_labels.index(label)] if label in old_labels else old[left].mean(dim=0) for label in labels]
        state[name] = torch.stack(rows)
    own = _state(model)
    if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in state.items()}:
        raise InputError(f"{folder}: its adapter has another rank or other layers; give the same ones here")
    bundled.import_peft().set_peft_model_state_dict(model, state)


def save(model: Any, out: Path) -> None:
    """Write the adapter and the head, as float16.

    Args:
        model: As made by `build`.
        out: Folder.
    """
    halves = {name: value.detach().cpu().half().contiguous() for name, value in _state(model).items()}
    # Not save_file, which makes a file that its owner alone may read.
    (out / bundled.ADAPTER_WEIGHTS).write_bytes(safetensors.save(halves, {"format": "pt"}))
    settings = model.peft_config["default"]
    settings.base_model_name_or_path, settings.inference_mode = bundled.BASE_ID, True
    settings.save_pretrained(str(out))
    # What is not set is left out: an older peft warns of every setting that it does not know.
    path = out / bundled.ADAPTER_CONFIG
    given = {name: value for name, value in json.loads(path.read_text("utf-8")).items() if value is not None}
    path.write_text(json.dumps(given, indent=2, sort_keys=True) + "\n", "utf-8")


def _state(model: Any) -> dict[str, torch.Tensor]:
    # Without the flag peft asks the Hub whether the vocabulary was changed.
    return dict(bundled.import_peft().get_peft_model_state_dict(model, save_embedding_layers=False))
