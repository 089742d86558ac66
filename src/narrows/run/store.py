"""The folder of a run: locked while it is written, with a manifest that tells its results from others."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from narrows import __version__
from narrows.data.output import check_folder, read_json, write_json
from narrows.data.parquet import load_arrow
from narrows.errors import InputError, need
from narrows.methods.registry import Described, describe, spec
from narrows.models.cut.blocks import find_blocks, text_config
from narrows.models.heads.targets import class_labels
from narrows.models.hub.loading import LoadedModel
from narrows.run.code import own_code, written

MANIFEST, LOCK = "manifest.json", ".lock"
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "pyarrow", "captum", "lime", "scikit-learn")

Json = dict[str, Any]


def load_packages() -> Any:
    """Load what a run needs to keep its results, filelock and pyarrow, or raise a `DependencyError`; give filelock."""
    load_arrow()
    return need("filelock", 'runs need filelock: pip install "narrows[run]"')


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder if needed, and keep other runs out of it; an `InputError` if another run has it."""
    check_folder(folder)
    lock = load_packages().FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except TimeoutError:
        raise InputError(f"{folder} is in use by another run: wait for it, or give another folder") from None
    except OSError as error:
        raise InputError(f"cannot write into {folder}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def claim(folder: Path, identity: Json) -> Json:
    """Write what the results in a folder are of, or check that they are of the same; give what the manifest says."""
    check_claim(folder, identity)
    if not (path := folder / MANIFEST).exists():
        write_json(path, identity)
    return {key: value for key, value in read_json(path).items() if key != "result"}


def check_claim(folder: Path, identity: Json) -> None:
    """Raise an `InputError` that names the differences if a folder has results of something else."""
    if not (folder / MANIFEST).exists():
        return
    before, now = _leaves(read_json(folder / MANIFEST)), _leaves(json.loads(json.dumps(identity)))
    short = [{key: f"{json.dumps(each.get(key), ensure_ascii=False):.60}" for key in now} for each in (before, now)]
    differing = [f"{key} was {short[0][key]} and is {short[1][key]}" for key in now if before.get(key) != now[key]]
    if differing:
        what = f"{folder} has results of another run ({'; '.join(differing)})"
        raise InputError(f"{what}: give another folder, or the same settings")


def _leaves(content: Json, prefix: str = "") -> Json:
    """Flatten nested objects: ``{"model": {"name": ...}}`` becomes ``{"model.name": ...}``."""
    found: Json = {}
    for key, value in content.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def digest(content: Json) -> str:
    """Hash plain values, whatever the order of their keys: SHA-256, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def identify_model(loaded: LoadedModel) -> Json:
    """Identify a model: its name, hashes of its weights and its tokenizer, sizes, labels, dtype."""
    model, weights = loaded.model, hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        weights.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        weights.update(tensor.detach().cpu().contiguous().view(-1).float().numpy().tobytes())
    return {
        "name": loaded.name,
        "sha256": weights.hexdigest(),
        "tokenizer_sha256": hashlib.sha256(loaded.tokenizer.backend_tokenizer.to_str().encode()).hexdigest(),
        "architecture": type(model).__name__,
        "blocks": len(find_blocks(model)),
        "hidden": text_config(model).hidden_size,
        "labels": list(class_labels(model)),
        "dtype": str(model.dtype).removeprefix("torch."),
    }


def identify_method(method: Described) -> Json:
    """Identify a method: its spec, name, settings, and hashes of the files that it reads and of the user's own code."""
    about = describe(method)
    files: Json = {}
    for name, value in about["settings"].items():
        if isinstance(value, str) and (path := Path(value)).exists():
            path = path / MANIFEST if path.is_dir() else path  # the folder of a run is known by its manifest
            files[name] = hashlib.sha256(path.read_bytes() if path.is_file() else b"").hexdigest()
    own = {"spec": spec(method), "name": about["name"], "settings": about["settings"]}
    if code := list(own_code(method)):  # of the user's own: its name does not say what it does
        own["code"] = hashlib.sha256(repr(written(code)).encode()).hexdigest()
    return {**own, "files": files} if files else own


def versions() -> dict[str, str]:
    """List the versions of the packages that compute, those that are installed."""
    found = {"narrows": __version__}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
