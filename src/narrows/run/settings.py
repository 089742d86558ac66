"""The settings of an evaluation. Light on purpose: the command line makes its options from them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from narrows.errors import InputError

BETAS = "1e-7,1e-6,1e-5,1e-4,1e-3,1e-2,1e-1,1,10"


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What every run over a data set is told; each is an option of its command.

    Raises:
        InputError: If a setting is out of its range.
    """

    dataset: Annotated[
        str, "sst2, imdb, ag_news, mnli_matched, mnli_mismatched, rte, snli; or a file with text and label."
    ]
    out: Annotated[Path, "Folder for the results; what lies there already is gone on with."]
    data_dir: Annotated[Path | None, "Folder with the published files; without it they come from the Hub."] = None
    split: Annotated[str | None, "Split of the data set; default: the one that results are reported on."] = None
    limit: Annotated[int | None, "Take a random sample of so many texts."] = None
    model: Annotated[str, "A demo model (see 'narrows models'), an id on the Hub, or a folder."] = "sentiment"
    prior: Annotated[Path | None, "File of the model's corpus prior; default: the one that it ships with."] = None
    labels: Annotated[str, "Names of the model's classes in its order, with commas, if it calls them LABEL_0, ..."] = ""
    target: Annotated[str, "What is explained: 'gold', 'predicted' or a label."] = "gold"
    removal: Annotated[str, "How tokens are removed: delete, mask, attention; several with commas."] = "delete"
    max_tokens: Annotated[int | None, "Cut longer texts; default: where the model's own limit is."] = None
    seed: Annotated[int, "Seed of the sample and of the methods that draw."] = 0
    batch_size: Annotated[int, "Texts per part: what is lost at most when the run is stopped."] = 32
    device: Annotated[str | None, "Where to run: cpu, cuda, ...; default: a GPU if there is one."] = None

    def __post_init__(self) -> None:
        for name in ("limit", "max_tokens", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, not {value}")
        if not self.removal_names:
            raise InputError("name at least one way to remove tokens: delete, mask or attention")

    @property
    def removal_names(self) -> tuple[str, ...]:
        """The ways to remove tokens, one by one."""
        return _listed(self.removal)

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """The names of the classes, one by one; None where the model's own are meant."""
        return _listed(self.labels) or None


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(RunSettings):
    """Settings of ``narrows evaluate``.

    Example:
        >>> EvaluateSettings(dataset="rte", out=Path("rte"), methods="ig, lime").method_names
        ('ig', 'lime')
    """

    methods: Annotated[
        str, "Methods to compare, with commas; options behind colons: narrows,ig:steps=50,lime:samples=1000."
    ] = "narrows,iba,ig,lime,random"
    scores: Annotated[
        tuple[str, ...], "File with scores (text, tokens, scores), or folder of narrows run; again for more."
    ] = ()

    @property
    def method_names(self) -> tuple[str, ...]:
        """The methods, one by one."""
        return (*_listed(self.methods), *(f"file:path={path}" for path in self.scores))


@dataclass(frozen=True, kw_only=True)
class LayerSettings(RunSettings):
    """Settings of ``narrows sweep layers``."""

    method: Annotated[str, "The method, options behind colons; 'iba' is the paper's."] = "iba"
    layers: Annotated[str, "Layers with commas, or a range as 0-6; default: all from 1 on."] = ""

    def method_names(self, blocks: int) -> tuple[str, ...]:
        """List the method at every layer.

        Args:
            blocks: Number of blocks of the model.

        Returns:
            The methods.

        Raises:
            InputError: If the layers are not given as numbers.
        """
        return tuple(f"{self.method}:layer={layer}" for layer in parse_layers(self.layers or f"1-{blocks}"))


@dataclass(frozen=True, kw_only=True)
class BetaSettings(RunSettings):
    """Settings of ``narrows sweep beta``."""

    method: Annotated[str, "The method, options behind colons; 'iba' is the paper's."] = "iba"
    betas: Annotated[str, "Weights of the information, with commas; the paper's series goes from 1e-7 to 1e-2."] = BETAS

    @property
    def method_names(self) -> tuple[str, ...]:
        """The method at every beta."""
        return tuple(f"{self.method}:beta={beta}" for beta in _listed(self.betas))


def parse_layers(text: str) -> list[int]:
    """Read layers from text.

    Args:
        text: Numbers with commas, ranges among them.

    Returns:
        The layers.

    Raises:
        InputError: If it is anything else.

    Example:
        >>> parse_layers("0,2-4")
        [0, 2, 3, 4]
    """
    return [layer for part in _listed(text) for layer in _range(part)]


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _range(text: str) -> list[int]:
    try:
        if re.fullmatch(r"\d+-\d+", text):
            first, last = map(int, text.split("-"))
            return list(range(first, last + 1))
        return [int(text)]  # a negative one is refused by who knows the layers
    except ValueError:
        raise InputError(f"layers must be numbers such as 1,3,5 or 0-6, not {text!r}") from None
