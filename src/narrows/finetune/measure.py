"""The accuracy of a saved adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from narrows.data import datasets
from narrows.data.example import Example
from narrows.finetune.batches import collate, encode, plan_batches
from narrows.finetune.device import choose_device
from narrows.models.hub import bundled
from narrows.models.hub.card import Accuracy, ModelCard


def measure(
    adapter: Path, base: Path, labels: Sequence[str], tests: Mapping[str, Sequence[Example]], device: torch.device
) -> tuple[Accuracy, ...]:
    """Measure the accuracy of a saved adapter, in float32 and on texts cut at the model's limit only.

    Args:
        adapter: Folder of the adapter.
        base: Folder of the base model.
        labels: The names of the classes, in the order of the logits.
        tests: Examples by the name of their data set.
        device: Where to compute.

    Returns:
        One accuracy for each data set.
    """
    model, tokenizer = bundled.merge(adapter, base, labels)
    model.to(device)
    results = []
    for name, examples in tests.items():
        items = encode(tokenizer, examples, labels, tokenizer.model_max_length)
        right = 0
        with torch.inference_mode():
            for batch in plan_batches([len(item.ids) for item in items], 64, 16384, seed=0, epoch=0):
                inputs, gold = collate([items[index] for index in batch], tokenizer.pad_token_id, device)
                right += int((model(**inputs).logits.argmax(dim=-1) == gold).sum())
        split = datasets.describe(name).report
        results.append(Accuracy(name, split, len(items), round(right / len(items), 4)))
    return tuple(results)


def remeasure(adapter: Path, data_dir: Path | None = None, base: Path | None = None, device: str = "auto") -> ModelCard:
    """Measure an adapter's accuracies again, on this machine and on the base as it is found here, and write its card.

    Args:
        adapter: Folder of the adapter.
        data_dir: Folder with the published files; None = from the Hub.
        base: Folder of the base model; None = the one that is installed.
        device: As in `FinetuneConfig`.

    Returns:
        The new card.
    """
    card, base = ModelCard.load(adapter), bundled.base_folder(base)
    tests = {result.dataset: datasets.load(result.dataset, result.split, data_dir) for result in card.accuracy}
    accuracy = measure(adapter, base, card.labels, tests, choose_device(device))
    card = replace(card, accuracy=accuracy, base=bundled.base_name(base), base_sha256=bundled.weights_sha256(base))
    card.save(adapter)
    return card
