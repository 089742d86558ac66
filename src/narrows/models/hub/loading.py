"""Loading a classifier by name: a demo model, a folder, or a model of the Hub."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.errors import ModelError, first_line
from narrows.models.hub import bundled
from narrows.models.hub.card import CARD_FILE

# Heads that are explained, but not loaded by name.
WITH_ANOTHER_HEAD = ("ForTokenClassification", "ForQuestionAnswering", "ForMaskedLM", "ForCausalLM", "LMHeadModel")


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
    if (Path(name) / bundled.ADAPTER_CONFIG).is_file() and not (Path(name) / CARD_FILE).is_file():
        way = "load it with peft.AutoPeftModelForSequenceClassification and give Explainer(model, tokenizer)"
        raise ModelError(f"{name} is an adapter that was not made by 'narrows finetune' (no {CARD_FILE}): {way}")
    if name in bundled.names() or (Path(name) / bundled.ADAPTER_CONFIG).is_file():
        demo = bundled.find(name)
        model, tokenizer = demo.load()
        model.config.name_or_path = name  # results then name the demo model, not the folder of its base
        return Classifier(_placed(model, place), tokenizer, name, demo.prior)
    try:
        with bundled.quiet():
            # Without an explicit False, transformers asks on the terminal whether to run remote code.
            config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
            saved = _check_saved_class(name, config)
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
            model, report = transformers.AutoModelForSequenceClassification.from_pretrained(
                name, trust_remote_code=False, use_safetensors=True, output_loading_info=True
            )
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(_why_not(name, error)) from error
    if report["missing_keys"]:
        raise ModelError(f"{name} has no trained classification head: its weights lack {_list(report['missing_keys'])}")
    # Of its own classes, transformers leaves out what has been renamed or is never used; but no part of a block.
    own = saved is None or hasattr(transformers, saved)
    if lost := [key for key in report["unexpected_keys"] if not own or any(map(str.isdecimal, key.split(".")))]:
        without = f"{type(model).__name__}, as its config.json has it, lacks some of the weights of {name}"
        way = "mend config.json" if own else f"load it with its class {saved}, and give Explainer(model, tokenizer)"
        raise ModelError(f"{without} ({_list(lost)}): {way}")
    prior = Path(name) / bundled.PRIOR_FILE
    return Classifier(_placed(model, place), tokenizer, name, prior if prior.is_file() else None)


def _check_saved_class(name: str, config: Any) -> str | None:
    """Return the name of the class that was saved; a ModelError if transformers has it and it is no classifier."""
    saved: str | None = next(iter(getattr(config, "architectures", None) or []), None)
    if saved is None or not hasattr(transformers, saved) or saved.endswith("ForSequenceClassification"):
        return saved
    if not saved.endswith(WITH_ANOTHER_HEAD):
        raise ModelError(f"{name} has no trained classification head: it is a {saved}")
    way = f"load it with transformers.{saved}.from_pretrained and give Explainer(model, tokenizer)"
    raise ModelError(f"{name} is a {saved} and no classifier of texts: {way}")


def _list(keys: Iterable[str]) -> str:
    """List the first of some weights by name."""
    names = sorted(keys)
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def _placed(model: Any, device: str) -> PreTrainedModel:
    try:
        return model.to(device).eval()  # type: ignore[no-any-return]
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ModelError(f"cannot use device {device!r}: {first_line(error)}") from error


def _why_not(name: str, error: Exception) -> str:
    """Say in one line why a model was not loaded."""
    reason = " ".join(str(error).split()).split(". ")[0]
    if "ignore_mismatched_sizes" in reason:  # transformers logs the rest
        reason = "some of its weights have other sizes than its config.json says"
    if Path(name).is_dir():
        return f"{name} holds no classifier that can be loaded: {reason:.300}"
    known = f"neither a demo model ({', '.join(bundled.names())}) nor a folder"
    return f"no such model: {name!r} is {known}, and the Hub gave none: {reason:.160}"
