"""What users hand over in place of a model, such as a wrapper around one: refused with the way to do it."""

from pathlib import Path
from typing import Any

from torch import nn
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from narrows.errors import ModelError
from narrows.models.cut.blocks import unwrapped


def check_model(model: Any, tokenizer: Any) -> None:
    """Raise a ModelError unless these are a model and a tokenizer of transformers; it says what would be right."""
    if way := _instead(model):
        raise ModelError(f"{type(model).__name__} cannot be explained as it is: {way}")
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise ModelError(f"a tokenizer of transformers is needed beside the model, not {type(tokenizer).__name__}")


def _instead(model: Any) -> str | None:
    """Say what to give in place of an object, by its attributes; None if it can be used as a model."""
    model = unwrapped(model) if isinstance(model, nn.Module) else model
    config, inner = getattr(model, "config", None), getattr(model, "model", None)
    if not isinstance(model, nn.Module) and _is_pipeline(model):
        return "use Explainer.from_pipeline"
    if isinstance(model, str | Path):
        return f"use Explainer.from_pretrained({str(model)!r})"
    if hasattr(model, "encode") and hasattr(model, "similarity"):  # sentence-transformers
        return "it computes embeddings, so it has no prediction; give a model with a head"
    if hasattr(model, "model_body") and hasattr(model, "model_head"):  # setfit
        return "its head is outside of the transformer; give a transformer with a classification head"
    if isinstance(inner, nn.Module) and hasattr(model, "predict"):  # sentence-transformers' CrossEncoder, a Trainer
        return "give its parts, Explainer(it.model, its tokenizer); what is explained are the logits of the model"
    if not isinstance(model, nn.Module):
        return "give a model of transformers, then its tokenizer"
    if not isinstance(config, PretrainedConfig):
        has = "no config" if config is None else f"a config of class {type(config).__name__}"
        return f"it has {has}; derive its class from PreTrainedModel, with a PretrainedConfig"
    if not all(hasattr(model, name) for name in ("device", "dtype", "get_input_embeddings")):
        return "derive its class from PreTrainedModel in place of Module"
    return None


def _is_pipeline(given: Any) -> bool:
    from transformers import Pipeline  # brings the reading of images and videos along

    return isinstance(given, Pipeline)
