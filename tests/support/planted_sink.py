"""The planted decoder with a sink: its first position has a huge activation, which says nothing of the text."""

from __future__ import annotations

import torch
from torch import Tensor

import tiny
from planted_decoder import planted_decoder

TEXTS = ("film is! not bad", "so!it is a film", "a good! film", "it is a! good day", "not! so bad", "the! end of it")
HEIGHT = 200.0


def planted_sink(seed: int = 0) -> tiny.Classifier:
    """Build the model; a hook adds the sink to the output of the embeddings, as an early block of a real model does."""
    model, tokenizer = planted_decoder(seed)

    def sink(_: torch.nn.Module, __: object, output: Tensor) -> Tensor:
        raised = output.clone()
        raised[:, 0, 2:] += HEIGHT
        return raised

    model.model.embed_tokens.register_forward_hook(sink)
    return model, tokenizer
