"""Fine-tune a small classifier: LoRA adapter, pooler and head, in plain PyTorch, on benchmark data sets by name.

This is how the bundled models were made. A run leaves a folder with ``adapter_config.json``,
``adapter_model.safetensors`` (float16), ``card.json`` and ``README.md``; `bundled.load_adapted` loads
it. The accuracies in the card are measured on the saved files, after loading them again. A killed run goes on where it
stopped when the same command is given again.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from narrows.errors import InputError
from narrows.finetune.batches import Encoded, encode
from narrows.finetune.data import TrainingSet, read_data
from narrows.finetune.device import choose_device, describe_device, faster_precision
from narrows.finetune.loop import CHECKPOINT, Loop, LoopSettings, Progress
from narrows.finetune.measure import measure
from narrows.finetune.settings import FinetuneConfig
from narrows.models.hub import bundled, lora
from narrows.models.hub.card import CARD_FILE, ModelCard


def finetune(config: FinetuneConfig, report: Callable[[Progress], None] = lambda progress: None) -> ModelCard:
    """Train a classifier and write its adapter and card.

    Args:
        config: Settings.
        report: Called after each step.

    Returns:
        The card, as written. Its file is the last one, so that a folder with a card is a finished one.

    Raises:
        InputError: If the folder holds a finished adapter already, or cannot be made.
    """
    if (config.out / CARD_FILE).exists():
        raise InputError(f"{config.out}: holds a finished adapter already; choose another folder")
    device = choose_device(config.device)
    if config.precision == "auto":
        config = replace(config, precision=faster_precision(device))
    base = bundled.base_folder(config.base)
    data = read_data(config)
    try:
        config.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{config.out}: cannot be made a folder: {error.strerror}") from error
    loop, items = _prepare(config, base, data, device)
    end = loop.run(config.out / CHECKPOINT, _fingerprint(config, base, items), report)
    lora.save(loop.model, config.out)
    accuracy = measure(config.out, base, data.labels, data.tests, device)
    card = ModelCard(
        name=config.name or config.out.resolve().name,
        base=bundled.base_name(base),
        base_sha256=bundled.weights_sha256(base),
        labels=data.labels,
        trained_on=data.sources,
        accuracy=accuracy,
        seed=config.seed,
        command=config.command(),
        settings=config.to_dict(),
        versions=_versions(),
        device=describe_device(device),
        seconds=round(end.seconds, 1),
        parameters=sum(value.numel() for value in loop.trained.values()),
    )
    card.save(config.out)
    (config.out / CHECKPOINT).unlink(missing_ok=True)
    return card


def _prepare(config: FinetuneConfig, base: Path, data: TrainingSet, device: torch.device) -> tuple[Loop, list[Encoded]]:
    """Build the model, encode the texts and plan the steps."""
    settings = lora.LoraSettings(config.rank, config.alpha, config.lora_dropout, config.modules)
    model, tokenizer = lora.build(base, data.labels, settings, config.dropout, config.seed)
    if config.init_from:
        lora.start_from(model, config.init_from, data.labels)
    model.to(device)
    items = encode(tokenizer, data.train, data.labels, min(config.max_length, tokenizer.model_max_length))
    plan = LoopSettings(
        epochs=config.epochs,
        batch_size=config.batch_size,
        batch_tokens=config.batch_tokens,
        warmup=config.warmup,
        clip=config.clip,
        seed=config.seed,
        precision=config.precision,
        checkpoint_minutes=config.checkpoint_minutes,
    )
    return Loop(model, _optimizer(model, config), items, plan, tokenizer.pad_token_id), items


def _optimizer(model: Any, config: FinetuneConfig) -> torch.optim.Optimizer:
    trained = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    groups = [
        {"params": [value for name, value in trained if "lora_" in name], "lr": config.learning_rate},
        {"params": [value for name, value in trained if "lora_" not in name], "lr": config.head_learning_rate},
    ]
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)


def _fingerprint(config: FinetuneConfig, base: Path, items: Sequence[Encoded]) -> str:
    """Hash what decides the weights at the end: a checkpoint of another fingerprint is not gone on from."""
    # Where it runs, where its files lie and how it is tested make no difference to the run.
    outside = {"out", "data_dir", "base", "name", "evaluate", "device", "checkpoint_minutes"}
    settings = {name: value for name, value in config.to_dict().items() if name not in outside}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(bundled.weights_sha256(base).encode())
    for item in items:
        digest.update(f"{item.ids} {item.label}".encode())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    libraries = ("torch", "transformers", "peft")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in libraries}}
