"""What results are of: enough to make them again, and to tell them from others."""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import nn

from narrows import __version__
from narrows.methods.registry import Described, describe, spec
from narrows.models.cut.blocks import find_blocks, text_config
from narrows.models.heads.targets import class_labels
from narrows.models.hub.loading import Classifier
from narrows.run.store import MANIFEST, Json

PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "pyarrow", "captum", "lime", "scikit-learn")


def describe_model(classifier: Classifier) -> Json:
    """Describe a classifier: its name, hashes of its weights and its tokenizer, sizes, labels, dtype."""
    model = classifier.model
    tokenizer = classifier.tokenizer.backend_tokenizer.to_str()
    return {
        "name": classifier.name,
        "sha256": hash_weights(model),
        "tokenizer_sha256": hashlib.sha256(tokenizer.encode()).hexdigest(),
        "architecture": type(model).__name__,
        "blocks": len(find_blocks(model)),
        "hidden": text_config(model).hidden_size,
        "labels": list(class_labels(model)),
        "dtype": str(model.dtype).removeprefix("torch."),
    }


def describe_method(method: Described) -> Json:
    """Describe a method: its `MethodDict`, its spec, and hashes of the files that it reads."""
    about = describe(method)
    files = {name: _hash_file(Path(value)) for name, value in about["settings"].items() if _is_path(value)}
    return {"spec": spec(method), **about, **({"files": files} if files else {})}


def hash_weights(model: nn.Module) -> str:
    """Hash all weights of a model: SHA-256, in hexadecimal digits."""
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).float().numpy().tobytes())
    return found.hexdigest()


def digest(content: Json) -> str:
    """Hash plain values, whatever the order of their keys: SHA-256, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def versions() -> dict[str, str]:
    """List the versions of the packages that compute, those that are installed."""
    found = {"narrows": __version__}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and Path(value).exists()


def _hash_file(path: Path) -> str:
    """Hash a file, or the manifest of a run's folder."""
    file = path / MANIFEST if path.is_dir() else path
    return hashlib.sha256(file.read_bytes() if file.is_file() else b"").hexdigest()
