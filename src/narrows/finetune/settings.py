"""The settings of a fine-tuning run. Light on purpose: the command line makes its options from them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal, get_args

from narrows.errors import InputError

Precision = Literal["auto", "bfloat16", "float32"]

_ABOVE_0 = (
    *("epochs", "batch_size", "batch_tokens", "learning_rate", "head_learning_rate", "clip", "rank", "alpha"),
    "checkpoint_minutes",
)
_SHARES = ("dropout", "lora_dropout", "warmup")


@dataclass(frozen=True)
class FinetuneConfig:
    """Settings of a fine-tuning run: the one place of their defaults; each is an option of ``narrows finetune``.

    Raises:
        InputError: If a setting is out of its range.

    Example:
        >>> FinetuneConfig(("sst2",), Path("sentiment"), epochs=1.0).command()
        'narrows finetune --dataset sst2 --out sentiment --epochs 1.0'
    """

    dataset: Annotated[tuple[str, ...], "Data set to train on; give it again to mix several."]
    out: Annotated[Path, "Folder for the adapter, its card and the checkpoint."]
    data_dir: Annotated[Path | None, "Folder with the published files; without it they come from the Hub."] = None
    evaluate: Annotated[tuple[str, ...], "Data set to measure the accuracy on; default: those trained on."] = ()
    name: Annotated[str, "Name on the model card; default: the name of the folder."] = ""
    base: Annotated[Path | None, "Folder with the base model; default: all-MiniLM-L6-v2."] = None
    init_from: Annotated[str, "Start from this bundled model or adapter folder."] = ""
    limit: Annotated[int | None, "Take a random sample of so many rows of each data set."] = None
    seed: Annotated[int, "Seed of new weights, order of the data, dropout and samples."] = 0
    epochs: Annotated[float, "Passes over the data."] = 3.0
    batch_size: Annotated[int, "Most texts in a batch."] = 32
    batch_tokens: Annotated[int, "Most tokens in a batch, padding included."] = 16384
    max_length: Annotated[int, "Tokens after which training texts are cut; evaluation uses the model's limit."] = 256
    learning_rate: Annotated[float, "Highest learning rate of the LoRA weights."] = 1e-3
    head_learning_rate: Annotated[float, "Highest learning rate of pooler and classifier."] = 5e-4
    weight_decay: Annotated[float, "Weight decay of AdamW."] = 0.01
    warmup: Annotated[float, "Share of the steps in which the learning rate rises."] = 0.06
    clip: Annotated[float, "Largest norm of the gradient."] = 1.0
    dropout: Annotated[float, "Dropout of the base while it is trained, in its attention too."] = 0.1
    rank: Annotated[int, "Rank of the LoRA matrices."] = 24
    alpha: Annotated[float, "LoRA's alpha: the update is scaled by alpha / rank."] = 48.0
    lora_dropout: Annotated[float, "Dropout on the input of the LoRA matrices."] = 0.05
    modules: Annotated[str, "Pattern of the linear layers that get LoRA matrices."] = (
        r".*\.layer\.\d+\..*\.(query|key|value|dense)"
    )
    precision: Annotated[Precision, "Precision of the matrix products; auto: the faster one here."] = "auto"
    device: Annotated[str, "cpu, cuda or auto."] = "auto"
    checkpoint_minutes: Annotated[float, "Minutes between checkpoints."] = 5.0

    def __post_init__(self) -> None:
        if not self.dataset:
            raise InputError("name at least one data set to train on")
        for name in _ABOVE_0:
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in _SHARES:
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}")
        if not 0 <= self.weight_decay < float("inf"):
            raise InputError(f"weight_decay must be at least 0, not {self.weight_decay}")
        if self.max_length < 8:
            raise InputError(f"max_length must be at least 8, not {self.max_length}")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed must be at least 0 and below 2**32, not {self.seed}")
        if self.precision not in get_args(Precision):
            raise InputError(f"precision must be one of {', '.join(get_args(Precision))}, not {self.precision!r}")

    def command(self) -> str:
        """Write the command that gives these settings.

        Returns:
            One line for the shell.
        """
        words = ["narrows", "finetune"]
        for item in fields(self):
            value = getattr(self, item.name)
            if value != item.default:
                values = value if isinstance(value, tuple) else (value,)
                words += [word for one in values for word in (f"--{item.name.replace('_', '-')}", str(one))]
        return shlex.join(words)

    def to_dict(self) -> dict[str, str | int | float | list[str] | None]:
        """Give the settings as JSON can hold them.

        Returns:
            The values by their names.
        """
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            name: str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }
