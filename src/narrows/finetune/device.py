"""Where the training runs, and in which precision."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from narrows.errors import InputError
from narrows.finetune.settings import Precision


def choose_device(name: str) -> torch.device:
    """Find a device.

    Args:
        name: ``cpu``, ``cuda``, ``cuda:1`` and so on, or ``auto``: a GPU where there is one.

    Returns:
        The device.

    Raises:
        InputError: If it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"no device {name!r} here; use cpu, cuda or auto") from error
    return device


def describe_device(device: torch.device) -> str:
    """Name a device for the model card.

    Args:
        device: The device.

    Returns:
        The name of the GPU, or the number of the CPU's threads.
    """
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{device.type}, {torch.get_num_threads()} threads"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Choose the precision of the matrix products.

    Args:
        device: Where they run.
        precision: ``bfloat16`` or ``float32``.

    Returns:
        A context for the forward pass.
    """
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def faster_precision(device: torch.device) -> Precision:
    """Find out which precision is the faster on a device.

    Measured on a CPU: one that has no instructions for bfloat16 is tens of times slower in it than in float32, one that
    has them about three times faster.

    Args:
        device: The device.

    Returns:
        ``bfloat16`` or ``float32``.
    """
    if device.type != "cpu":
        return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    seconds = {precision: _time_of_product(precision) for precision in (torch.float32, torch.bfloat16)}
    return "bfloat16" if seconds[torch.bfloat16] < seconds[torch.float32] else "float32"


def _time_of_product(precision: torch.dtype) -> float:
    left, right = torch.ones(256, 384, dtype=precision), torch.ones(384, 384, dtype=precision)
    left @ right  # the first product sets things up
    began = time.perf_counter()
    for _ in range(3):
        left @ right
    return time.perf_counter() - began
