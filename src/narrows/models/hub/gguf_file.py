"""GGUF files, the format of llama.cpp: transformers reads and dequantises them."""

import copy
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from narrows.errors import need

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SUFFIX = ".gguf"


def split_name(name: str) -> tuple[str, str]:
    """Split ``FOLDER/FILE.gguf``, or ``OWNER/NAME/FILE.gguf`` of the Hub, as transformers takes it."""
    folder, _, file = PurePath(name).as_posix().rpartition("/")
    return folder or ".", file


def check_packages() -> None:
    """Raise a DependencyError if a package that transformers reads GGUF files with is missing."""
    for package in ("gguf", "accelerate"):
        need(package, f'GGUF files need {package}: pip install "narrows[lm]"')


def plain_copy(model: Any) -> "PreTrainedModel":
    """Copy a model into an ordinary one: transformers counts one of a GGUF file as quantised, and does not save it."""
    import torch

    config = copy.deepcopy(model.config)
    vars(config).pop("quantization_config", None)
    # The weights start random, which must not change the caller's random numbers.
    with torch.random.fork_rng(devices=[]):
        plain: Any = type(model)(config).to(model.dtype)
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    return plain.eval()  # type: ignore[no-any-return]
