"""Settings of runs and evaluations. No model code is imported here: the command line makes its options from them."""

import re
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Annotated, Literal

from narrows.data.columns import Columns
from narrows.data.units import UnitKind
from narrows.errors import InputError
from narrows.methods.registry import Described, split_methods
from narrows.methods.settings import Setting, parse_setting
from narrows.models.heads.names import TaskName

LongTexts = Literal["truncate", "windows", "error"]
Engine = Literal["local", "ray"]
TARGETS = "'gold', 'predicted', a label or continuation; default: gold, for language models without labels predicted."
MODEL = "A demo model (see 'narrows models'), an id on the Hub, a folder, or a .gguf file."
TASK = "What the model's head is for, where the checkpoint does not say so."
TEXT_COLUMN = "Column of the text, if it is not called text or sentence."
PAIR_COLUMN = "Column of the second text of a pair; goes with --text-column."
LABEL_COLUMN = "Column of the gold label, if it is not called label."
ID_COLUMN = "Column of what you call a text, if it is not called id or idx."
BETAS = "1e-7,1e-6,1e-5,1e-4,1e-3,1e-2,1e-1,1,10"


@dataclass(frozen=True, kw_only=True)
class ExplainSettings:
    """What the attributions of a run depend on: the same settings, model and texts give the same files everywhere."""

    model: Annotated[str, MODEL] = "sentiment"
    task: Annotated[TaskName | None, TASK] = None
    method: Annotated[str | Described, "How texts are explained: a name with settings, such as ig:steps=50."] = "fast"
    target: Annotated[str, "What is explained: 'predicted', 'gold', a label or a continuation."] = "predicted"
    prior: Annotated[str | None, "File of a prior, 'instance' or 'residual'; default: the model's own."] = None
    max_tokens: Annotated[int | None, "Most tokens of a text; default: the model's limit."] = None
    unit_of: Annotated[UnitKind, "What is masked, removed and ranked as one."] = "token"
    check: Annotated[bool, "Remove what each map ranks first, and ask the model again: many passes more."] = False
    long_texts: Annotated[LongTexts, "Cut longer texts, explain them in windows, or record an error."] = "truncate"
    rows_per_part: Annotated[int, "Texts per file: the unit of work, and the most that a crash loses."] = 512
    batch_size: Annotated[int, "Most texts in a forward pass."] = 32
    tokens_per_batch: Annotated[int | None, "Most tokens in a pass, with copies; default: 4096, on GPUs 65536."] = None

    def __post_init__(self) -> None:
        _check_least(self, 1, "max_tokens", "rows_per_part", "batch_size", "tokens_per_batch")


@dataclass(frozen=True, kw_only=True)
class DatasetSettings(ExplainSettings):
    """Settings of ``narrows run``: those of the attributions, the texts, and where the work is done."""

    method: Annotated[str, "How texts are explained: a name with settings, such as ig:steps=50."] = "fast"
    data: Annotated[
        str, "A .txt, .csv, .jsonl, ... file, a folder of such, a data set, OWNER/NAME on the Hub; - = stdin."
    ]
    out: Annotated[Path, "Folder for the results; an interrupted run is resumed."]
    text_column: Annotated[str | None, TEXT_COLUMN] = None
    pair_column: Annotated[str | None, PAIR_COLUMN] = None
    label_column: Annotated[str | None, LABEL_COLUMN] = None
    id_column: Annotated[str | None, ID_COLUMN] = None
    calibrate_with: Annotated[Path | None, "First calibrate on this file, into OUT/calibration.safetensors."] = None
    data_dir: Annotated[Path | None, "Folder with the data set's published files."] = None
    split: Annotated[str | None, "Split of the data set; default: the one that results are reported on."] = None
    limit: Annotated[int | None, "Take a random sample of so many texts."] = None
    seed: Annotated[int, "Seed of that sample."] = 0
    shard: Annotated[str, "Make one share of the parts, such as 2/8; 'narrows merge' joins the shares."] = "1/1"
    strict: Annotated[bool, "Stop at the first text that cannot be explained."] = False
    engine: Annotated[Engine, "This process, or a pool of workers on Ray."] = "local"
    address: Annotated[str | None, "With ray: a cluster, 'auto' or HOST:PORT; default: start one here."] = None
    workers: Annotated[int, "With ray: most workers, each with the model."] = 2
    gpus_per_worker: Annotated[float, "With ray: GPUs per worker; below one, workers share a GPU."] = 0
    threads: Annotated[int | None, "Threads per worker; default: all cores here, 1 with ray."] = None
    device: Annotated[str | None, "Where to compute: cpu, cuda, ...; default: a GPU if there is one."] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_least(self, 1, "limit", "workers", "threads")
        _check_least(self, 0, "seed", "gpus_per_worker")
        if self.engine == "local" and (self.address is not None or self.gpus_per_worker):
            raise InputError("--address and --gpus-per-worker need --engine ray")
        if self.calibrate_with is not None and self.prior is not None:
            raise InputError("--calibrate-with makes the prior: leave out --prior")
        Share.parse(self.shard)


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings that evaluations and sweeps share; each is an option of the command."""

    dataset: Annotated[
        str, "sst2, imdb, ag_news, mnli_matched, mnli_mismatched, rte, snli; a file (text, label); - = stdin."
    ]
    out: Annotated[Path, "Folder for the results; an interrupted evaluation is resumed, new methods are added."]
    text_column: Annotated[str | None, TEXT_COLUMN] = None
    pair_column: Annotated[str | None, PAIR_COLUMN] = None
    label_column: Annotated[str | None, LABEL_COLUMN] = None
    id_column: Annotated[str | None, ID_COLUMN] = None
    data_dir: Annotated[Path | None, "Folder with the published files; default: from the Hub."] = None
    split: Annotated[str | None, "Split of the data set; default: the one that results are reported on."] = None
    limit: Annotated[int | None, "Take a random sample of so many texts."] = None
    seed: Annotated[int, "Seed of that sample; methods that draw have a seed of their own."] = 0
    model: Annotated[str, MODEL] = "sentiment"
    task: Annotated[TaskName | None, TASK] = None
    prior: Annotated[str | None, "File of a prior, 'instance' or 'residual'; default: the model's own."] = None
    labels: Annotated[str, "Names of the model's classes in its order, with commas, if it calls them LABEL_0, ..."] = ""
    target: Annotated[str | None, TARGETS] = None
    unit_of: Annotated[UnitKind, "What is explained, ranked and removed as one."] = "token"
    removal: Annotated[str, "How tokens are removed: delete, mask, attention, replace; several with commas."] = "delete"
    keep_read: Annotated[bool, "Never remove the token at which a decoder's answer is read: the last one."] = False
    max_tokens: Annotated[int | None, "Cut longer texts; default: the model's limit."] = None
    rows_per_part: Annotated[int, "Texts per file: the most that a crash loses."] = 128
    batch_size: Annotated[int, "Most texts in a forward pass."] = 32
    device: Annotated[str | None, "Where to compute: cpu, cuda, ...; default: a GPU if there is one."] = None

    def __post_init__(self) -> None:
        _check_least(self, 1, "limit", "max_tokens", "rows_per_part", "batch_size")
        _check_least(self, 0, "seed")
        if not self.removal_names:
            raise InputError("name at least one way to remove tokens: delete, mask, attention or replace")

    @property
    def removal_names(self) -> tuple[str, ...]:
        """The ways to remove tokens."""
        return _listed(self.removal)

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """The names of the classes; None = the model's own."""
        return _listed(self.labels) or None


def columns_of(settings: "DatasetSettings | RunSettings") -> Columns:
    """Give the names of columns that settings hold."""
    return Columns(settings.text_column, settings.pair_column, settings.label_column, settings.id_column)


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(RunSettings):
    """Settings of ``narrows evaluate``."""

    methods: Annotated[str, "Methods, with commas; settings after colons: ig:steps=50."] = "fast,paper,ig,lime,random"
    scores: Annotated[tuple[str, ...], "[NAME=]FILE of text, tokens, scores, or folder of a run; again for more."] = ()

    @property
    def method_names(self) -> tuple[str, ...]:
        """The methods, then one for each file of scores."""
        return (*split_methods(self.methods), *(f"file:path={path}" for path in self.scores))


@dataclass(frozen=True, kw_only=True)
class LayerSettings(RunSettings):
    """Settings of ``narrows sweep layers``."""

    method: Annotated[str, "The method, its other settings after colons."] = "paper"
    layers: Annotated[str, "Layers with commas, or a range such as 0-6; default: every block."] = ""

    def method_names(self, blocks: int) -> tuple[str, ...]:
        """List the method at every layer of a model with so many blocks."""
        setting = Setting("layers", tuple[int, ...], None, "")
        return tuple(f"{self.method}:layer={n}" for n in parse_setting(setting, self.layers or f"1-{blocks}"))


@dataclass(frozen=True, kw_only=True)
class BetaSettings(RunSettings):
    """Settings of ``narrows sweep beta``."""

    method: Annotated[str, "The method, its other settings after colons."] = "paper"
    betas: Annotated[str, "Weights of the information, with commas; the paper's series goes from 1e-7 to 1e-2."] = BETAS

    @property
    def method_names(self) -> tuple[str, ...]:
        """The method at every beta."""
        return tuple(f"{self.method}:beta={beta}" for beta in _listed(self.betas))


@dataclass(frozen=True)
class Share:
    """One of several shares of the parts of a run."""

    index: int = 1  # from 1
    count: int = 1  # how many there are

    @classmethod
    def parse(cls, text: str) -> "Share":
        """Read a share, written as ``2/8``."""
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        index, count = map(int, match.groups()) if match else (0, 0)
        if not 1 <= index <= count:
            raise InputError(f"a shard is written as 1/8, 2/8, ..., 8/8, not as {text!r}")
        return cls(index, count)

    def has(self, part: int) -> bool:
        """Tell whether a part belongs to this share: every ``count``-th does."""
        return part % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def _check_least(settings: object, least: int, *names: str) -> None:
    for name in names:
        if (value := getattr(settings, name)) is not None and not least <= value < inf:
            raise InputError(f"{name} must be at least {least}, not {value}")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
