"""What results are of: enough to make them again, and to tell them from others."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import nn

from narrows import __version__
from narrows.bottleneck.prior import Prior
from narrows.methods.registry import PATHS
from narrows.models.cut.blocks import find_blocks, text_config
from narrows.models.heads.targets import class_labels
from narrows.models.hub.loading import Classifier
from narrows.run.store import MANIFEST

PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "captum", "lime", "scikit-learn", "peft", "pyarrow")
COMPUTE_MAPS = ("narrows", "torch", "transformers", "tokenizers", "numpy", "pyarrow")


def hash_weights(model: nn.Module) -> str:
    """Hash all weights of a model.

    Args:
        model: The model.

    Returns:
        SHA-256, in hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).float().numpy().tobytes())
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """Hash a file.

    Args:
        path: The file.

    Returns:
        SHA-256, in hexadecimal digits.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hash_files(options: Mapping[str, Any]) -> dict[str, str]:
    """Hash the files that a method reads.

    Args:
        options: Of the method.

    Returns:
        Option to SHA-256 of its file, or of the manifest of a run's folder; other options have none.
    """
    paths = {name: Path(str(options[name])) for name in PATHS if name in options}
    paths = {name: path / MANIFEST if path.is_dir() else path for name, path in paths.items()}
    return {name: hash_file(path) for name, path in paths.items() if path.is_file()}


def describe_model(classifier: Classifier, labels: Sequence[str]) -> dict[str, Any]:
    """Describe a classifier.

    Args:
        classifier: The model.
        labels: Its labels.

    Returns:
        Name, hashes of weights and prior, sizes, labels, device and dtype.
    """
    model = classifier.model
    prior = classifier.prior
    return {
        "name": classifier.name,
        "sha256": hash_weights(model),
        "prior_sha256": None if prior is None else hash_file(Path(prior)),
        "architecture": type(model).__name__,
        "blocks": len(find_blocks(model)),
        "hidden": text_config(model).hidden_size,
        "labels": list(labels),
        "device": str(model.device.type),
        "dtype": str(model.dtype).removeprefix("torch."),
    }


def describe_run(classifier: Classifier, prior: Prior | str, settings: dict[str, Any]) -> dict[str, Any]:
    """Describe what maps are made with, the texts aside.

    Args:
        classifier: The model.
        prior: What an uninformative activation looks like.
        settings: By their names.

    Returns:
        Plain values; the same ones, the same maps.
    """
    model = classifier.model
    labels = class_labels(model, int(model.config.num_labels or 0))
    described = describe_model(classifier, labels)
    for name in ("prior_sha256", "device"):  # another prior may be used; another machine may go on
        del described[name]
    backend = classifier.tokenizer.backend_tokenizer
    return {
        "model": {**described, "tokenizer_sha256": hashlib.sha256(backend.to_str().encode()).hexdigest()},
        "prior": prior.digest if isinstance(prior, Prior) else prior,
        "config": settings,
        "versions": {name: version for name, version in versions().items() if name in COMPUTE_MAPS},
    }


def digest(content: dict[str, Any]) -> str:
    """Hash plain values.

    Args:
        content: What JSON can hold.

    Returns:
        SHA-256, in hexadecimal digits, whatever the order of the keys.

    Example:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def versions() -> dict[str, str]:
    """List the versions of what computes.

    Returns:
        Package to version, those that are installed.
    """
    found = {"python": platform.python_version(), "narrows": __version__}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
