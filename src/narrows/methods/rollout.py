"""Attention rollout: how much of each token attention alone carries to where the head reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from narrows.attribution import Attribution
from narrows.errors import ModelError
from narrows.methods.method import Batch, Names
from narrows.models.cut.calling import call, find_logits
from narrows.models.cut.layout import Inputs
from narrows.models.cut.network import Network

ATTENTION_TOKENS = 2_048  # per pass: every block keeps heads * tokens weights for each of them


@dataclass(frozen=True)
class Rollout:
    """Attention rollout (Abnar and Zuidema, ACL 2020), in the rows of the positions that the head is found to read."""

    names: ClassVar[Names] = {"rollout": {}}
    label, quantity, unit, signed, additive, copies = "attention rollout", "score", "score", False, False, 1
    caption = "A token's score is the share of the attention that reaches the head from it."
    how = "Attention of all blocks, averaged over heads and multiplied through, with residuals."

    def explain(self, batch: Batch) -> list[Attribution]:
        """Multiply the attention of some texts at a time: every block keeps heads * tokens weights for each token."""
        batch.cut.layers(batch.cut.blocks, ())  # what the head reads is found by its gradient
        _ = batch.answers  # before the attention is computed in the plain way
        together = max(ATTENTION_TOKENS // batch.real.shape[1], 1)
        flows = []
        _show_attention(batch.model)
        for start in range(0, len(batch), together):
            inputs = {name: value[start : start + together] for name, value in batch.inputs.items()}
            with batch.reading(range(len(batch))[start : start + together]):
                flows.append(_flow(*_look(batch.cut.network, inputs)))
        return batch.attributions(self, torch.cat(flows))


def _flow(attentions: Sequence[Tensor], row: Tensor) -> Tensor:
    """Multiply the attentions of all blocks, from the head down, a row at a time: scores, (batch, tokens)."""
    for attention in reversed(attentions):
        mixed = attention + torch.eye(attention.shape[-1], dtype=attention.dtype, device=attention.device)
        row = torch.einsum("bi,bij->bj", row, mixed / mixed.sum(dim=-1, keepdim=True))
    return row


def _look(network: Network, inputs: Inputs) -> tuple[list[Tensor], Tensor]:
    """Get each block's mean attention, (batch, tokens, tokens), and the shares that the head reads, (batch, tokens)."""
    ends: list[Tensor] = []

    def cut(_: nn.Module, __: Any, output: Any) -> Any:
        end = (output if isinstance(output, Tensor) else output[0]).detach().requires_grad_()
        ends.append(end)
        return end if isinstance(output, Tensor) else (end, *output[1:])

    with network.blocks[-1].register_forward_hook(cut):
        output = call(network.model, inputs, ["output_attentions"])
    attentions = tuple(getattr(output, "attentions", None) or ())
    tokens, name = inputs["input_ids"].shape[1], type(network.model).__name__
    square = all(isinstance(a, Tensor) and a.ndim == 4 and a.shape[2:] == (tokens, tokens) for a in attentions)
    if len(attentions) != len(network.blocks) or not square:
        raise ModelError(f"{name} gives no attention weights (tokens, tokens) of each block: rollout needs them")
    # Fixed weights that differ from class to class, for the plain sum of logits may not change where each does.
    logits = find_logits(network.model, output)
    classes = torch.arange(1, logits.shape[-1] + 1, device=logits.device)
    (moves,) = torch.autograd.grad((logits * classes.sqrt()).sum(), ends[-1])
    read = (moves != 0).any(dim=-1) & inputs["attention_mask"].bool()
    if not read.any(dim=1).all():
        raise ModelError(f"the head of {name} reads no position of its last block: rollout has nowhere to start")
    means = [attention.detach().float().mean(dim=1) for attention in attentions]
    return means, read.float() / read.sum(dim=1, keepdim=True)


def _show_attention(model: PreTrainedModel) -> None:
    """Have a view show its attention weights: the fused kernels keep none."""
    held = [getattr(module, "config", None) for module in model.modules()]
    for config in {id(config): config for config in held if isinstance(config, PretrainedConfig)}.values():
        # Not by the public setter: it passes over some models that read their configuration at every call.
        config._attn_implementation_internal = "eager"
