"""Loading a classifier by name: a demo model, a folder, or a model of the Hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.errors import ModelError
from narrows.models.hub import bundled


@dataclass(frozen=True)
class Classifier:
    """A loaded classifier."""

    model: PreTrainedModel  # in evaluation mode
    tokenizer: PreTrainedTokenizerBase
    name: str  # what it was loaded by
    prior: Path | None  # file of the corpus prior that ships with it


def load_classifier(name: str, device: str | None = None) -> Classifier:
    """Load a demo model, a folder or an id on the Hub: only safetensors and no remote code; device None = a GPU."""
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name in bundled.names() or (Path(name) / bundled.ADAPTER_CONFIG).is_file():
        demo = bundled.find(name)
        model, tokenizer = demo.load()
        model.config.name_or_path = name  # results then name the demo model, not the folder of its base
        return Classifier(_placed(model, place), tokenizer, name, demo.prior)
    try:
        with bundled.quiet():
            # Without an explicit False, transformers asks on the terminal whether to run remote code.
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
            model, report = transformers.AutoModelForSequenceClassification.from_pretrained(
                name, trust_remote_code=False, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(_why_not(name, error)) from error
    if missing := sorted(report["missing_keys"]):
        listed = ", ".join(missing[:4]) + (", ..." if len(missing) > 4 else "")
        raise ModelError(f"{name} has no trained classification head: its weights lack {listed}")
    prior = Path(name) / bundled.PRIOR_FILE
    return Classifier(_placed(model, place), tokenizer, name, prior if prior.is_file() else None)


def _placed(model: Any, device: str) -> PreTrainedModel:
    try:
        return model.to(device).eval()  # type: ignore[no-any-return]
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ModelError(f"cannot use device {device!r}: {str(error).splitlines()[0]}") from error


def _why_not(name: str, error: Exception) -> str:
    """Say in one line why a model was not loaded."""
    reason = " ".join(str(error).split()).split(". ")[0]
    if Path(name).is_dir():
        return f"{name} holds no classifier that can be loaded: {reason:.300}"
    known = f"neither a demo model ({', '.join(bundled.names())}) nor a folder"
    return f"no such model: {name!r} is {known}, and the Hub gave none: {reason:.160}"
