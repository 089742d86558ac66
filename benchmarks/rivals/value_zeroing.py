"""Value Zeroing (Mohebbi et al., EACL 2023), written anew from the paper: for models of the BERT family.

In each block the value of one token at a time is set to zero, in all heads; how far that turns the block's output at
every token, by the cosine, is what the one token gives to the others. Normed to one per token and multiplied through
the blocks, the row of the token that is read at scores the text. The same for every target, never negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from narrows.methods.method import Batch, Scores


def value_zeroing(batch: Batch) -> Sequence[Scores]:
    """Score the tokens of each text by what reaches its first token."""
    found = []
    for row, encoding in enumerate(batch.encodings):
        inputs = {name: values[row : row + 1, : len(encoding)] for name, values in batch.inputs.items()}
        found.append(mixing(batch.model, inputs)[0].numpy())
    return found


@torch.no_grad()
def mixing(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """Give how much of each token, second axis, is in each output, (tokens, tokens), for one text without padding."""
    bert = model.bert
    names = ("input_ids", "token_type_ids")
    state = bert.embeddings(**{name: inputs[name] for name in names if name in inputs})  # (1, tokens, hidden)
    tokens = state.shape[1]
    through = torch.eye(tokens, dtype=torch.float64)
    for block in bert.encoder.layer:
        whole = _output(block(state))
        zeroing = block.attention.self.value.register_forward_hook(_zero_one_each)
        try:
            without = _output(block(state.repeat(tokens, 1, 1)))  # row j: token j has no value
        finally:
            zeroing.remove()
        turned = 1 - cosine_similarity(whole.double(), without.double(), dim=-1)  # (zeroed, tokens)
        through = (turned / turned.sum(dim=0)).T @ through
        state = whole
    return through


def _zero_one_each(_: Any, __: Any, values: Tensor) -> Tensor:
    """Set the value of token j to zero in row j."""
    places = torch.arange(len(values))
    values = values.clone()
    values[places, places] = 0
    return values


def _output(given: Any) -> Tensor:
    """Return the hidden state of a block, alone or first of several outputs."""
    return given if isinstance(given, Tensor) else given[0]
