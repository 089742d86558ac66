"""The training loop: AdamW over batches, with checkpoints that a killed run goes on from.

What happens in a step depends on the seed and the number of the step alone (the order of the data, the dropout, the
learning rate), so that a run which was killed and resumed ends with the weights of one that was not.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from narrows.data.output import written_whole
from narrows.errors import DataError, InputError, NumericsError
from narrows.finetune.batches import Encoded, collate, plan_batches
from narrows.finetune.device import autocast

CHECKPOINT = "checkpoint.safetensors"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW remembers of a weight
_AVERAGED = 100  # steps over which the reported loss is averaged, about


@dataclass(frozen=True)
class LoopSettings:
    """Settings of the loop.

    Attributes:
        epochs: Passes over the data; the last may be a part of one.
        batch_size: Most texts in a batch.
        batch_tokens: Most tokens in a batch, padding included.
        warmup: Share of the steps in which the learning rate rises from 0; it then falls to 0 in a straight line.
        clip: Largest norm of the gradient.
        seed: Seed of the order and of the dropout.
        precision: ``bfloat16`` or ``float32``, of the matrix products.
        checkpoint_minutes: Time between checkpoints.
    """

    epochs: float
    batch_size: int
    batch_tokens: int
    warmup: float
    clip: float
    seed: int
    precision: str
    checkpoint_minutes: float


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        step: Steps done.
        steps: Steps in all.
        tokens: Tokens done, padding included.
        total_tokens: Tokens in all.
        loss: Running mean of the cross-entropy, in nats.
        seconds: Time spent, that of earlier sittings included.
    """

    step: int
    steps: int
    tokens: int
    total_tokens: int
    loss: float
    seconds: float


class Loop:
    """A training run over encoded texts, which knows how to stop and go on."""

    def __init__(
        self,
        model: Any,
        optimizer: torch.optim.Optimizer,
        items: Sequence[Encoded],
        settings: LoopSettings,
        padding: int,
    ) -> None:
        """Plan the run; nothing is trained yet.

        Args:
            model: Takes the inputs that `collate` makes and returns an output with logits; on its device already.
            optimizer: AdamW over its trainable parameters; the learning rates in its groups are the highest ones.
            items: The training data.
            settings: Settings.
            padding: Id of the padding token.
        """
        self.model, self.optimizer, self.items, self.settings = model, optimizer, items, settings
        self.padding = padding
        self.trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.batches = self._plan()
        self.costs = [len(batch) * max(len(items[index].ids) for index in batch) for batch in self.batches]

    def _plan(self) -> list[list[int]]:
        lengths = [len(item.ids) for item in self.items]
        settings = self.settings
        whole, part = int(settings.epochs), settings.epochs % 1
        batches: list[list[int]] = []
        for epoch in range(whole + (part > 0)):
            planned = plan_batches(lengths, settings.batch_size, settings.batch_tokens, settings.seed, epoch)
            batches += planned if epoch < whole else planned[: max(1, round(part * len(planned)))]
        return batches

    def run(self, checkpoint: Path, fingerprint: str, report: Callable[[Progress], None]) -> Progress:
        """Train to the end, from the checkpoint where there is one; leave a checkpoint of the end.

        Args:
            checkpoint: The file of the checkpoint.
            fingerprint: Says whether a checkpoint belongs to this run.
            report: Called after each step.

        Returns:
            The state at the end.

        Raises:
            NumericsError: If the loss is no longer a finite number.
        """
        start = self._resume(checkpoint, fingerprint)
        state, device = start, next(self.model.parameters()).device
        began, saved = time.monotonic() - state.seconds, time.monotonic()
        self.model.train()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            for step in range(start.step, start.steps):
                loss = self._step(step, device)
                if not math.isfinite(loss):
                    raise NumericsError(f"the loss is {loss} at step {step + 1}: lower the learning rate")
                mean = loss if step == 0 else state.loss + (loss - state.loss) / min(step + 1, _AVERAGED)
                tokens, seconds = state.tokens + self.costs[step], time.monotonic() - began
                state = replace(state, step=step + 1, tokens=tokens, loss=mean, seconds=seconds)
                if time.monotonic() - saved >= 60 * self.settings.checkpoint_minutes or state.step == state.steps:
                    self._save(checkpoint, fingerprint, state)
                    saved = time.monotonic()
                report(state)
        self.model.eval()
        return state

    def _step(self, step: int, device: torch.device) -> float:
        # Seeded step by step, so that the dropout after a resumption is that of an undisturbed run.
        torch.manual_seed(self.settings.seed * 1_000_003 + step)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.rate(step)
        inputs, labels = collate([self.items[index] for index in self.batches[step]], self.padding, device)
        with autocast(device, self.settings.precision):
            logits = self.model(**inputs).logits
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.trained.values(), self.settings.clip)
        self.optimizer.step()
        return loss.item()

    def rate(self, step: int) -> float:
        """Give the learning rate of a step as a share of the highest one.

        Args:
            step: Number of the step, from 0.

        Returns:
            A number above 0 and at most 1.
        """
        steps = len(self.batches)
        warmup = max(1, round(self.settings.warmup * steps))
        return min((step + 1) / warmup, (steps - step) / max(1, steps - warmup), 1.0)

    def _save(self, checkpoint: Path, fingerprint: str, state: Progress) -> None:
        """Write a checkpoint, so that at any moment there is a whole one."""
        tensors = {f"weights/{name}": value.detach().cpu().contiguous() for name, value in self.trained.items()}
        for name, value in self.trained.items():
            for key in _MOMENTS:
                moment = self.optimizer.state[value][key]
                tensors[f"{key}/{name}"] = moment.detach().cpu().contiguous()
        done = {"step": state.step, "tokens": state.tokens, "loss": state.loss, "seconds": state.seconds}
        with written_whole(checkpoint) as partial:
            save_file(tensors, partial, {"fingerprint": fingerprint, "progress": json.dumps(done)})

    def _resume(self, checkpoint: Path, fingerprint: str) -> Progress:
        """Read the checkpoint into model and optimiser, and say where the run stood: at the start without one."""
        start = Progress(0, len(self.batches), 0, sum(self.costs), math.nan, 0.0)
        if not checkpoint.is_file():
            return start
        try:
            with safe_open(checkpoint, "pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("fingerprint") == fingerprint:
                    for name, value in self.trained.items():
                        value.data.copy_(file.get_tensor(f"weights/{name}"))
                        self.optimizer.state[value] = dict(_moments(file, name, value.device))
                    return replace(start, **json.loads(metadata["progress"]))
        except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise DataError(f"{checkpoint}: damaged ({error}); delete it to start again") from error
        raise InputError(f"{checkpoint}: is of a run with other settings or data; delete it first")


def _moments(file: Any, name: str, device: torch.device) -> Iterator[tuple[str, torch.Tensor]]:
    for key in _MOMENTS:
        moment = file.get_tensor(f"{key}/{name}")
        yield key, moment if key == "step" else moment.to(device)  # AdamW counts its steps on the CPU
