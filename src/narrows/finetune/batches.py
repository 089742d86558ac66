"""Batches of encoded texts: similar lengths together, in an order that the seed alone decides."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from narrows.data.example import Example

_POOL = 50  # batches that are sorted by length together: little padding, and still a random order


@dataclass(frozen=True)
class Encoded:
    """A text as the model takes it.

    Attributes:
        ids: Token ids, special tokens included.
        segments: 0 for tokens of the first text, 1 for those of the second.
        label: Index of the gold class.
    """

    ids: list[int]
    segments: list[int]
    label: int


def encode(tokenizer: Any, examples: Sequence[Example], labels: Sequence[str], max_length: int) -> list[Encoded]:
    """Turn examples into token ids.

    Args:
        tokenizer: The base's tokenizer.
        examples: Texts or pairs with the names of their gold labels.
        labels: The names of the classes, in the order of the logits.
        max_length: Tokens after which a text is cut; of a pair, the longer text.

    Returns:
        The encoded examples, in the same order.
    """
    index = {label: number for number, label in enumerate(labels)}
    paired = any(example.text_pair is not None for example in examples)
    batch = tokenizer(
        [example.text for example in examples],
        [example.text_pair or "" for example in examples] if paired else None,
        truncation=True,
        max_length=max_length,
        return_token_type_ids=True,
        return_attention_mask=False,
    )
    rows = zip(batch["input_ids"], batch["token_type_ids"], examples, strict=True)
    return [Encoded(ids, segments, index[str(example.label)]) for ids, segments, example in rows]


def plan_batches(lengths: Sequence[int], batch_size: int, batch_tokens: int, seed: int, epoch: int) -> list[list[int]]:
    """Put the texts of an epoch into batches of similar length, in a random order.

    Args:
        lengths: Tokens of each text.
        batch_size: Most texts in a batch.
        batch_tokens: Most tokens in a batch, padding included; a longer text is a batch of its own.
        seed: Seed.
        epoch: Number of the epoch, which changes the order.

    Returns:
        Indices of the texts, batch by batch; each text once.

    Example:
        >>> sorted(sum(plan_batches([3, 9, 4, 8], 2, 100, seed=0, epoch=0), []))
        [0, 1, 2, 3]
    """
    generator = random.Random(f"{seed} {epoch}")
    order = list(range(len(lengths)))
    generator.shuffle(order)
    batches: list[list[int]] = []
    for start in range(0, len(order), batch_size * _POOL):
        pool = sorted(order[start : start + batch_size * _POOL], key=lambda index: lengths[index])
        batch: list[int] = []
        for index in pool:
            if batch and (len(batch) == batch_size or (len(batch) + 1) * lengths[index] > batch_tokens):
                batches.append(batch)
                batch = []
            batch.append(index)
        batches.append(batch)
    generator.shuffle(batches)
    return batches


def collate(
    items: Sequence[Encoded], padding: int, device: torch.device
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Pad texts to the longest.

    Args:
        items: The texts.
        padding: Id of the padding token.
        device: Where the tensors go.

    Returns:
        The model's inputs, each (batch, tokens), and the labels (batch,).
    """
    width = max(len(item.ids) for item in items)
    inputs = {
        "input_ids": [item.ids + [padding] * (width - len(item.ids)) for item in items],
        "token_type_ids": [item.segments + [0] * (width - len(item.ids)) for item in items],
        "attention_mask": [[1] * len(item.ids) + [0] * (width - len(item.ids)) for item in items],
    }
    labels = torch.tensor([item.label for item in items], device=device)
    return {name: torch.tensor(value, device=device) for name, value in inputs.items()}, labels
