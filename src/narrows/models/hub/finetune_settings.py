"""The settings of ``narrows finetune``. The module is light: the command line makes its options from it."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, fields
from math import inf
from pathlib import Path
from typing import Annotated, Literal, get_args

from narrows.errors import InputError, one_of

Precision = Literal["auto", "bfloat16", "float32"]
Device = Literal["auto", "cpu", "cuda"]

_MODULES = r".*\.layer\.\d+\..*\.(query|key|value|dense)"
_RATES = ("learning_rate", "head_learning_rate")
_ABOVE_0 = (*_RATES, "epochs", "batch_size", "clip", "rank", "alpha", "checkpoint_minutes")
_RULES: dict[str, tuple[Callable[[float], bool], str]] = {
    **dict.fromkeys(_ABOVE_0, (lambda value: 0 < value < inf, "above 0")),
    **dict.fromkeys(("dropout", "lora_dropout", "warmup"), (lambda value: 0 <= value < 1, "at least 0 and below 1")),
    "weight_decay": (lambda value: 0 <= value < inf, "at least 0"),
    "limit": (lambda value: value >= 1, "at least 1"),
    "max_length": (lambda value: value >= 8, "at least 8"),
    "seed": (lambda value: 0 <= value < 2**32, "at least 0 and below 2**32"),
}


@dataclass(frozen=True)
class FinetuneSettings:
    """Settings of a fine-tuning run: the one place of their defaults; each is an option of ``narrows finetune``."""

    dataset: Annotated[tuple[str, ...], "Data set, or file with texts and labels, to train on; again for more."]
    out: Annotated[Path, "Folder for the model, its card, its prior and the checkpoints."]
    data_dir: Annotated[Path | None, "Folder with the published files; without it they come from the Hub."] = None
    evaluate: Annotated[
        tuple[str, ...], "Data set or file to measure the accuracy on; default: those of --dataset (a tenth of a file)."
    ] = ()
    text_column: Annotated[str | None, "Column of the text in files, if it is not called text or sentence."] = None
    pair_column: Annotated[str | None, "Column of the second text in files; goes with --text-column."] = None
    label_column: Annotated[str | None, "Column of the label in files, if it is not called label."] = None
    name: Annotated[str, "Name on the model card; default: the name of the folder."] = ""
    base: Annotated[Path | None, "Folder with the base model; default: all-MiniLM-L6-v2."] = None
    init_from: Annotated[str, "Start from this demo model or folder of an earlier run."] = ""
    full: Annotated[bool, "Train all weights, not only LoRA matrices, pooler and classifier."] = False
    limit: Annotated[int | None, "Take a random sample of so many rows of each data set."] = None
    seed: Annotated[int, "Seed of new weights, order of the data, dropout and samples."] = 0
    epochs: Annotated[float, "Passes over the data."] = 3.0
    batch_size: Annotated[int, "Most texts in a batch."] = 32
    max_length: Annotated[int, "Tokens after which training texts are cut; evaluation uses the model's limit."] = 256
    learning_rate: Annotated[
        float | None, "Highest learning rate of the LoRA weights, or of the base; default: 1e-3, with --full 5e-5."
    ] = None
    head_learning_rate: Annotated[float, "Highest learning rate of pooler and classifier."] = 5e-4
    weight_decay: Annotated[float, "Weight decay of AdamW."] = 0.01
    warmup: Annotated[float, "Share of the steps in which the learning rate rises."] = 0.06
    clip: Annotated[float, "Largest norm of the gradient."] = 1.0
    dropout: Annotated[float, "Dropout of the base while it is trained, in its attention too."] = 0.1
    rank: Annotated[int, "Rank of the LoRA matrices."] = 24
    alpha: Annotated[float, "LoRA's alpha: the update is scaled by alpha / rank."] = 48.0
    lora_dropout: Annotated[float, "Dropout on the input of the LoRA matrices."] = 0.05
    modules: Annotated[str, "Pattern of the linear layers that get LoRA matrices."] = _MODULES
    precision: Annotated[Precision, "Precision of the matrix products; auto: bfloat16 on GPUs that have it."] = "auto"
    device: Annotated[Device, "Where to train; auto: a GPU if there is one."] = "auto"
    checkpoint_minutes: Annotated[float, "Minutes between checkpoints."] = 5.0

    def __post_init__(self) -> None:
        if not self.dataset:
            raise InputError("name at least one data set to train on")
        for name, (holds, rule) in _RULES.items():
            value = getattr(self, name)
            if value is not None and not holds(value):
                raise InputError(f"{name} must be {rule}, not {value}")
        for name, choices in (("precision", get_args(Precision)), ("device", get_args(Device))):
            one_of(name, getattr(self, name), choices)

    def command(self) -> str:
        """Write the command that gives these settings, as one line for the shell."""
        words = ["narrows", "finetune"]
        for item in fields(self):
            value, option = getattr(self, item.name), f"--{item.name.replace('_', '-')}"
            given = value if isinstance(value, tuple) else (value,)
            if value is True:
                words.append(option)
            elif value != item.default:
                words += [word for one in given for word in (option, str(one))]
        return shlex.join(words)

    def to_dict(self) -> dict[str, str | int | float | list[str] | None]:
        """Give the settings by their names, as JSON can hold them."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        plain = {name: str(value) for name, value in values.items() if isinstance(value, Path)}
        return {**values, **plain, **{name: list(value) for name, value in values.items() if isinstance(value, tuple)}}
