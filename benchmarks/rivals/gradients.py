"""Rivals by gradients at the embeddings: GIM by its authors' package, and sequential integrated gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.methods.method import Batch, Scores

STEPS = 10


def gim(batch: Batch) -> Sequence[Scores]:
    """Gradient interaction modifications (Edin et al. 2025): one gradient times input less the padding token.

    Its package (MIT) explains the next token of language models; its change of the backward pass works for any.
    """
    from gim.context import GIM  # type: ignore[import-not-found]

    found = []
    for row in range(len(batch)):
        whole, plain = _embedded(batch, row, batch.tokenizer.pad_token_id)
        with GIM(batch.model):
            gradient = _gradient(batch, row, whole)
        found.append(((whole - plain) * gradient)[0].sum(dim=-1).double().numpy())
    return found


def sig(batch: Batch) -> Sequence[Scores]:
    """Sequential integrated gradients (Enguehard 2023): each token's own path, from [MASK] among the other tokens."""
    found = []
    points = (torch.arange(STEPS) + 0.5) / STEPS
    for row, encoding in enumerate(batch.encodings):
        whole, plain = _embedded(batch, row, batch.tokenizer.mask_token_id)
        scores = torch.zeros(len(encoding))
        for place in batch.content[row].nonzero().flatten().tolist():
            path = whole.repeat(STEPS, 1, 1)
            rise = whole[0, place] - plain[0, place]
            path[:, place] = plain[0, place] + points.unsqueeze(1) * rise
            scores[place] = (_gradient(batch, row, path)[:, place].mean(dim=0) * rise).sum()
        found.append(scores.double().numpy())
    return found


def _embedded(batch: Batch, row: int, filler: int) -> tuple[Tensor, Tensor]:
    """Embed the words of a text without padding, and as many of a filler, (1, tokens, hidden) each."""
    ids, embed = (
        batch.inputs["input_ids"][row : row + 1, : len(batch.encodings[row])],
        batch.model.get_input_embeddings(),
    )
    with torch.no_grad():
        return embed(ids), embed(torch.full_like(ids, filler))


def _gradient(batch: Batch, row: int, embeddings: Tensor) -> Tensor:
    """Differentiate the target's logit by the embeddings of the words, (copies, tokens, hidden)."""
    size, target = len(batch.encodings[row]), batch.targets[row]
    other: dict[str, Any] = {
        name: values[row : row + 1, :size].expand(len(embeddings), -1)
        for name, values in batch.inputs.items()
        if name != "input_ids"
    }
    leaf = embeddings.detach().requires_grad_()
    logits = batch.model(inputs_embeds=leaf, **other).logits
    return torch.autograd.grad(logits[:, target].sum(), leaf)[0]
