"""The information bottleneck done the obvious way, as a yardstick for speed: it works as the released code does.

One text at a time; every step runs the whole model, embeddings and the blocks before the bottleneck included; the
weights stay trainable, so every backward pass computes their gradients too. The objective is that of Narrows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid


def explain_naively(  # noqa: PLR0913 - the settings of the paper, spelled out
    model: nn.Module,
    block: nn.Module,
    inputs: dict[str, Tensor],
    mean: Tensor,
    std: Tensor,
    target: int,
    beta: float,
    steps: int = 10,
    samples: int = 10,
) -> Tensor:
    """Optimise a mask per token and feature after one block.

    Args:
        model: A classifier.
        block: The bottleneck stands at its output.
        inputs: One text, (1, tokens) each.
        mean: Of the prior, (hidden,).
        std: Of the prior, (hidden,).
        target: Index of the class to explain.
        beta: Weight of the information.
        steps: Updates.
        samples: Noise copies.

    Returns:
        Information per token in nats, (tokens,).
    """
    repeated = {name: value.repeat(samples, 1) for name, value in inputs.items()}
    alpha: Tensor | None = None
    information: Tensor = torch.empty(0)

    def insert(_: nn.Module, __: Any, output: Any) -> Any:
        nonlocal alpha, information
        x = output if isinstance(output, Tensor) else output[0]
        if alpha is None:
            alpha = torch.full(x.shape[1:], 5.0, requires_grad=True)
        kept = torch.sigmoid(alpha)
        r = (x - mean) / std
        information = -0.5 * (1 + 2 * logsigmoid(-alpha) - (kept * r) ** 2 - (1 - kept) ** 2)
        mixed = (kept * x + (1 - kept) * (mean + std * torch.randn_like(x))).to(x.dtype)  # the mask is float32
        return mixed if isinstance(output, Tensor) else (mixed, *output[1:])

    handle = block.register_forward_hook(insert)
    try:
        adam = None
        for _ in range(steps):
            logits = model(**repeated).logits
            adam = adam or torch.optim.Adam([alpha], lr=1.0)  # type: ignore[arg-type]
            loss = cross_entropy(logits, torch.full((samples,), target)) + beta * information.mean()
            adam.zero_grad()
            model.zero_grad()
            loss.backward()
            adam.step()
        return information.mean(dim=0).sum(dim=-1).detach()
    finally:
        handle.remove()
        model.zero_grad()
