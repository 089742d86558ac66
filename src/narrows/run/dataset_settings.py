"""The settings of a run over a data set. Light on purpose: the command line makes its options from them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from narrows.config import Granularity, Preset, Readout, choose_config
from narrows.errors import InputError
from narrows.run.settings import parse_layers

LongTexts = Literal["truncate", "windows", "error"]
Engine = Literal["local", "ray"]

# Settings that `narrows.config.choose_config` takes.
_CONFIG = ("preset", "readout", "granularity", "points", "rounds", "beta", "steps", "samples", "seed")


@dataclass(frozen=True, kw_only=True)
class ExplainSettings:
    """What the maps depend on: the same settings, model and texts make the same files, wherever they are made.

    Raises:
        InputError: If a setting is out of its range.

    Example:
        >>> ExplainSettings(layer="1-3", samples=4).layers
        [1, 2, 3]
    """

    model: Annotated[str, "A demo model (see 'narrows models'), an id on the Hub, or a folder."] = "sentiment"
    layer: Annotated[str | None, "Bottleneck after this block; of several (1,3,5 or 1-5) the mean map."] = None
    target: Annotated[str, "What is explained: 'predicted', 'gold' or a label."] = "predicted"
    prior: Annotated[str | None, "File of a prior, 'instance' or 'residual'; default: the model's own."] = None
    preset: Annotated[Preset, "Settings to start from."] = "fast"
    readout: Annotated[Readout | None, "Evidence, or information with or without a sign."] = None
    granularity: Annotated[Granularity | None, "One mask per token, or per feature."] = None
    points: Annotated[int | None, "Points on the path of 'evidence', per layer."] = None
    rounds: Annotated[int | None, "How often 'evidence' is read."] = None
    beta: Annotated[str | None, "Weight of the information: 'auto' or a number."] = None
    steps: Annotated[int | None, "Updates of the mask."] = None
    samples: Annotated[int | None, "Noise copies per step."] = None
    seed: Annotated[int, "Seed of the noise; each text has its own, made of this one and the text."] = 0
    max_tokens: Annotated[int | None, "What is a long text; default: what is longer than the model takes."] = None
    long_texts: Annotated[LongTexts, "A long text is cut, read in windows, or recorded as an error."] = "truncate"
    features: Annotated[bool, "Keep the whole token by feature map, as float16."] = False
    rows_per_part: Annotated[int, "Texts per file: the unit of work, and what is lost at most on a crash."] = 512
    batch_size: Annotated[int, "Most texts that share a forward pass."] = 32
    tokens_per_batch: Annotated[
        int | None, "Most tokens, copies counted, that share a pass; default: 4096 on CPUs, 65536 elsewhere."
    ] = None

    def __post_init__(self) -> None:
        for name in ("max_tokens", "rows_per_part", "batch_size", "tokens_per_batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, not {value}")
        _ = self.layers
        choose_config(**self.config)  # a wrong setting is told before a model is loaded

    @property
    def layers(self) -> list[int] | None:
        """The layers, one by one; None where the readout chooses."""
        return None if self.layer is None else parse_layers(self.layer)

    @property
    def config(self) -> dict[str, Any]:
        """What differs from the preset, for `narrows.config.choose_config`, and the preset."""
        given = {name: getattr(self, name) for name in _CONFIG if getattr(self, name) is not None}
        return {**given, **({} if self.beta is None else {"beta": _parse_beta(self.beta)})}


@dataclass(frozen=True, kw_only=True)
class DatasetSettings(ExplainSettings):
    """Settings of ``narrows run``: what the maps depend on, the texts, and how the work is done."""

    data: Annotated[str, "A .txt, .csv, .jsonl, ... file, a folder of such, a data set, or OWNER/NAME on the Hub."]
    out: Annotated[Path, "Folder for the results; what lies there already is gone on with."]
    data_dir: Annotated[Path | None, "Folder with the data set's published files."] = None
    split: Annotated[str | None, "Split of the data set; default: the one that results are reported on."] = None
    limit: Annotated[int | None, "Take a random sample of so many texts."] = None
    shard: Annotated[str, "Do one share of the parts, as 2/8; 'narrows merge' puts the shares together."] = "1/1"
    strict: Annotated[bool, "Stop at the first text that cannot be explained."] = False
    engine: Annotated[Engine, "This process, or a pool of workers on Ray."] = "local"
    address: Annotated[
        str | None, "With ray: a cluster to join ('auto', or HOST:PORT); default: start a local one."
    ] = None
    workers: Annotated[int, "With ray: most workers, each with the model."] = 2
    gpus_per_worker: Annotated[float, "With ray: GPUs per worker; a part of one lets workers share it."] = 0
    threads: Annotated[int | None, "Threads per worker; default: all cores here, 1 with ray."] = None
    device: Annotated[str | None, "Where to run: cpu, cuda, ...; default: a GPU if there is one."] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("limit", "workers", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, not {value}")
        if self.gpus_per_worker < 0:
            raise InputError(f"gpus_per_worker must be at least 0, not {self.gpus_per_worker}")
        if self.engine == "local" and (self.address is not None or self.gpus_per_worker):
            raise InputError("--address and --gpus-per-worker go with --engine ray")
        Share.parse(self.shard)


@dataclass(frozen=True)
class Share:
    """One of several shares of the parts of a run.

    Attributes:
        index: From 1.
        count: How many there are.
    """

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read a share.

        Args:
            text: Such as ``2/8``.

        Returns:
            The share.

        Raises:
            InputError: If it is anything else.

        Example:
            >>> [part for part in range(9) if Share.parse("2/4").has(part)]
            [1, 5]
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        index, count = map(int, match.groups()) if match else (0, 0)
        if not 1 <= index <= count:
            raise InputError(f"a shard is given as 1/8, 2/8, ..., 8/8, not as {text!r}")
        return cls(index, count)

    def has(self, part: int) -> bool:
        """Tell whether a part belongs to this share.

        Args:
            part: Its number, from 0.

        Returns:
            True for every ``count``-th part.
        """
        return part % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def _parse_beta(beta: str) -> float | str:
    if beta == "auto":
        return beta
    try:
        return float(beta)
    except ValueError:
        raise InputError(f"beta must be 'auto' or a number, not {beta!r}") from None
