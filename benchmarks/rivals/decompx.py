"""DecompX (Modarressi et al., ACL 2023), written anew from the paper: for classifiers of the BERT family.

Each token's vector is kept as a sum of parts, one from each token of the text. Every step of the model is applied to
the parts with what the whole text decides held fixed: attention weights, the deviation in a layer norm, and the slope
through the origin of an activation, f(x) / x. A bias is shared out by how much each part points along it. In the end
the parts of the logits add up to the logits, and are the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from narrows.methods.method import Batch, Scores

SMALL = 1e-12


def decompx(batch: Batch) -> Sequence[Scores]:
    """Score the tokens of each text by their part of the target's logit."""
    found = []
    for row, (encoding, target) in enumerate(zip(batch.encodings, batch.targets, strict=True)):
        inputs = {name: values[row : row + 1, : len(encoding)] for name, values in batch.inputs.items()}
        found.append(decompose(batch.model, inputs)[:, target].double().numpy())
    return found


@torch.no_grad()
def decompose(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """Give each token's part of the logits, (tokens, classes), for one text without padding."""
    bert = model.bert
    names = ("input_ids", "token_type_ids")
    whole = bert.embeddings(**{name: inputs[name] for name in names if name in inputs})[0]  # (tokens, hidden)
    parts = torch.diag_embed(whole.T).permute(1, 2, 0)  # (tokens, sources, hidden)
    for block in bert.encoder.layer:
        parts = _norm(_attend(block.attention, parts) + parts, block.attention.output.LayerNorm)
        inner = _activate(_linear(parts, block.intermediate.dense), block.intermediate.intermediate_act_fn)
        parts = _norm(_linear(inner, block.output.dense) + parts, block.output.LayerNorm)
    pooled = _activate(_linear(parts[:1], bert.pooler.dense), torch.tanh)
    return _linear(pooled, model.classifier)[0]


def _attend(attention: Any, parts: Tensor) -> Tensor:
    """Mix the parts of the values by the attention weights of the whole text."""
    own, whole = attention.self, parts.sum(dim=1)
    heads, size = own.num_attention_heads, own.attention_head_size

    def split(values: Tensor) -> Tensor:
        return values.view(len(values), heads, size).transpose(0, 1)

    query, key = split(own.query(whole)), split(own.key(whole))
    weights = (query @ key.transpose(1, 2) / size**0.5).softmax(dim=-1)  # (heads, tokens, tokens)
    values = (parts @ own.value.weight.T).unflatten(-1, (heads, size))  # (tokens, sources, heads, size)
    mixed = torch.einsum("hij,jkhd->ikhd", weights, values).flatten(2)
    dense = attention.output.dense
    return _share(mixed @ dense.weight.T, dense.weight @ own.value.bias + dense.bias)


def _linear(parts: Tensor, layer: nn.Linear) -> Tensor:
    return _share(parts @ layer.weight.T, layer.bias)


def _share(parts: Tensor, bias: Tensor) -> Tensor:
    """Share a bias out among the parts, by the size of their products with it."""
    along = (parts @ bias).abs() + SMALL
    return parts + (along / along.sum(dim=1, keepdim=True)).unsqueeze(-1) * bias


def _activate(parts: Tensor, function: Any) -> Tensor:
    """Multiply the parts by the slope of the line through the origin and the whole."""
    whole = parts.sum(dim=1, keepdim=True)
    safe = torch.where(whole.abs() < SMALL, SMALL, whole)
    return parts * (function(safe) / safe)


def _norm(parts: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Centre each part, and divide it by the deviation of the whole."""
    deviation = (parts.sum(dim=1, keepdim=True).var(dim=-1, keepdim=True, unbiased=False) + norm.eps).sqrt()
    return _share((parts - parts.mean(dim=-1, keepdim=True)) / deviation * norm.weight, norm.bias)
