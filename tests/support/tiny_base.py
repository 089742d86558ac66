"""A tiny base model on disk, adapters for it, and a data set in its published layout that it can learn."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel

import tiny
from narrows.models.hub import finetune
from narrows.models.hub.card import Accuracy, ModelCard, TrainingData
from narrows.models.hub.finetune_settings import FinetuneSettings

GOOD, BAD = ("good", "super"), ("bad", "not")


def save_base(folder: Path, blocks: int = 2, seed: int = 0) -> Path:
    """An encoder without a head, as the demo models' base is published."""
    torch.manual_seed(seed)
    tokenizer = tiny.wordpiece_tokenizer()
    sizes = {"num_hidden_layers": blocks, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def sentences(count: int, seed: int) -> list[tuple[str, int]]:
    """Sentences of a few words, one of which says the label."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        label = draw.randrange(2)
        words = draw.choices(("film", "the", "a", "very", "it", "is", "act", "acting"), k=draw.randint(1, 6))
        words.insert(draw.randint(0, len(words)), draw.choice(GOOD if label else BAD))
        rows.append((" ".join(words), label))
    return rows


def save_sst2(folder: Path, rows: int = 300, seed: int = 0) -> Path:
    """SST-2 as GLUE publishes it; the dev file is one that no training row is in."""
    place = folder / "glue" / "SST-2"
    place.mkdir(parents=True)
    dev = dict(sentences(60, seed + 1))
    train = [row for row in sentences(rows, seed) if row[0] not in dev]
    for name, part in (("train", train), ("dev", dev.items())):
        lines = ["sentence\tlabel", *(f"{text}\t{label}" for text, label in part)]
        (place / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    return folder


def settings(base: Path, data: Path, out: Path, **changes: Any) -> FinetuneSettings:
    """A run of a second or two."""
    given: dict[str, Any] = {
        "dataset": ("sst2",),
        "out": out,
        "base": base,
        "data_dir": data,
        "rank": 4,
        "alpha": 8.0,
        "epochs": 4.0,
        "learning_rate": 2e-2,
        "head_learning_rate": 2e-2,
        "dropout": 0.0,
        "lora_dropout": 0.0,
        "precision": "float32",
        "device": "cpu",
    }
    return FinetuneSettings(**(given | changes))


def save_adapter(folder: Path, base: Path, labels: tuple[str, ...], rank: int = 4) -> Any:
    """An adapter with random weights, none of them zero, and its card; gives back the model it was saved from."""
    given = FinetuneSettings(("sst2",), folder, rank=rank, alpha=8.0)
    model, tokenizer = finetune.build(base, labels, given)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=generator).mul(0.3).half())
    folder.mkdir(parents=True)
    finetune.save(model, tokenizer, folder)
    card(labels).save(folder)
    return model.eval()


def card(labels: tuple[str, ...]) -> ModelCard:
    return ModelCard(
        name="tiny",
        base="tiny-base",
        base_sha256="0" * 64,
        labels=labels,
        trained_on=(TrainingData("sst2", "train", 1000, 3),),
        accuracy=(Accuracy("sst2", "dev", 872, 0.9123),),
        seed=0,
        command="narrows finetune --dataset sst2 --out tiny",
        settings={"rank": 4, "dataset": ["sst2"], "limit": None},
        versions={"python": "3.11", "torch": "2.13"},
        device="cpu, 1 threads",
        seconds=12.5,
        parameters=1234,
    )
