"""Reading a checkpoint by its own architecture: a folder, a GGUF file, or an id on the Hub; all of it, or an error.

torch and transformers are imported by what uses them, so that lists of models can be shown without.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from safetensors import SafetensorError

from narrows.errors import ModelError, one_of
from narrows.models.heads.names import HEADS, TaskName, cannot_explain, find_head
from narrows.models.hub import gguf_file
from narrows.models.hub.quiet import quiet

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def read_checkpoint(name: str, task: TaskName | None = None) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Read a model, in evaluation mode on the CPU, and its tokenizer: only safetensors or GGUF, and no remote code."""
    # The task counts where the checkpoint does not say what its head is for. Weights stay float32 or bfloat16 as they
    # are saved; others become float32.
    import torch
    import transformers

    check_task(task)
    source = _source(name)
    weights: dict[str, Any] = {"dtype": torch.float32} if "gguf_file" in source else {"use_safetensors": True}
    with _reading(name):
        saved, task, _ = _read_head(name, source, task)
        tokenizer = transformers.AutoTokenizer.from_pretrained(**source)
        kind = getattr(transformers, f"AutoModel{HEADS[task][0]}")
        model, report = kind.from_pretrained(**source, **weights, output_loading_info=True)
    _check_whole(name, saved, task, model, report)
    model = gguf_file.plain_copy(model) if "gguf_file" in source else model.eval()
    is_quantised = getattr(model, "hf_quantizer", None) is not None
    return model.float() if model.dtype == torch.float16 and not is_quantised else model, tokenizer


def read_head(name: str, task: TaskName | None = None) -> tuple[TaskName, Any]:
    """Tell what a checkpoint's head is for, and give its configuration; its weights are not read."""
    with _reading(name):
        return _read_head(name, _source(name), task)[1:]


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Read a checkpoint in silence; whatever is wrong with it becomes one line."""
    try:
        with quiet():
            yield
    except ModelError:
        raise
    except (OSError, ValueError, LookupError, RuntimeError, SafetensorError, struct.error) as error:
        raise ModelError(_why_not(name, error)) from error


def _source(name: str) -> dict[str, Any]:
    """Say where transformers finds a checkpoint."""
    # Without an explicit False, transformers asks on the terminal whether to run remote code.
    source: dict[str, Any] = {"pretrained_model_name_or_path": name, "trust_remote_code": False}
    if name.endswith(gguf_file.SUFFIX):
        gguf_file.check_packages()
        source["pretrained_model_name_or_path"], source["gguf_file"] = gguf_file.split_name(name)
    return source


def _read_head(name: str, source: Mapping[str, Any], task: TaskName | None) -> tuple[str | None, TaskName, Any]:
    """Give the class that a checkpoint was saved as, what its head is for, and its configuration."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(**source)
    saved = next(iter(getattr(config, "architectures", None) or []), None)
    return saved, _choose_task(name, saved, config.model_type, task, "gguf_file" in source), config


def check_task(task: str | None) -> None:
    """Raise an InputError if there is no such task."""
    if task is not None:
        one_of("task", task, get_args(TaskName))


def _choose_task(name: str, saved: str | None, model_type: str, task: TaskName | None, is_gguf: bool) -> TaskName:
    """Tell what to read a checkpoint for; a ModelError if it was saved with another head, or with none."""
    import transformers

    told = None if saved is None else find_head(saved, model_type)
    if task is not None:
        if told not in (None, task):
            raise ModelError(f"{name} is a {saved}, so it is for {told}, not for {task}")
        return task
    if told is not None:
        return told
    if saved is not None and hasattr(transformers, saved):
        refused = cannot_explain(saved, model_type)
        raise ModelError(f"{name}: {refused}" if refused else f"{name} has no trained head: it is a {saved}")
    return "text-generation" if is_gguf else "text-classification"


def _check_whole(name: str, saved: str | None, task: TaskName, model: Any, report: Any) -> None:
    """Raise a ModelError if weights are missing, or if weights of a block have no place in the model."""
    import transformers

    called = type(model).__name__
    if report["missing_keys"]:
        lacking = f"its weights lack {_list(report['missing_keys'])} of a {called}"
        raise ModelError(f"{name} has no trained head for {task}, or not all of its blocks: {lacking}")
    # Of its own classes, transformers leaves out what has been renamed or is never used; but no part of a block.
    own = saved is None or hasattr(transformers, saved)
    if lost := [key for key in report["unexpected_keys"] if not own or any(map(str.isdecimal, key.split(".")))]:
        without = f"{called}, as its config.json has it, lacks some of the weights of {name}"
        way = "mend config.json" if own else f"load it with its class {saved}, and give Explainer(model, tokenizer)"
        raise ModelError(f"{without} ({_list(lost)}): {way}")


def _list(keys: Iterable[str]) -> str:
    """List the first of some weights by name."""
    names = sorted(keys)
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def _why_not(name: str, error: Exception) -> str:
    """Say in one line why a checkpoint could not be read."""
    reason = " ".join(str(error).split()).split(". ")[0]
    if "ignore_mismatched_sizes" in reason:  # transformers logs the rest
        reason = "some of its weights have other sizes than its config.json says"
    if Path(name).exists():
        return f"{name} holds no model that can be loaded: {reason:.300}"
    known = "neither a demo model ('narrows models' lists them) nor a folder"
    return f"no such model: {name!r} is {known}, and the Hub gave none: {reason:.160}"
