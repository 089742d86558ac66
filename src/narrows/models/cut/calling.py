"""Calling a model of any signature on the inputs that it takes, and finding the logits in whatever it returns."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils.generic import ModelOutput

from narrows.bottleneck.module import are_probabilities
from narrows.errors import ModelError
from narrows.models.cut.blocks import own_config
from narrows.models.cut.layout import Inputs

# The suffix skips blocks, which would otherwise have to fill a cache or return attentions and hidden states.
OFF = {"use_cache": False, "output_attentions": False, "output_hidden_states": False}
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
WRAP = "wrap it in a module whose forward(input_ids, attention_mask) returns the logits"


def call(model: nn.Module, inputs: Inputs, needed: Sequence[str] = ()) -> Any:
    """Call a model on those of the inputs, (batch, tokens) each, that its forward takes, with some switches on."""
    named = inspect.signature(model.forward).parameters
    off = {name: value for name, value in OFF.items() if name in named}
    args, kwargs = arguments(model, {**inputs, "return_dict": True, **off, **dict.fromkeys(needed, True)})
    called = f"{type(model).__name__}.forward"
    if lacking := [name for name in needed if name not in kwargs]:
        raise ModelError(f"{called} takes no {', '.join(lacking)}, which this method needs")
    try:
        return model(*args, **kwargs)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise ModelError(f"{called} takes any keyword and hands on too many: {error}; {WRAP}") from error


def arguments(model: nn.Module, inputs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Choose those of the inputs that a forward takes, by place and by name; a ModelError if they do not suffice."""
    parameters = inspect.signature(model.forward).parameters
    called, kinds = f"{type(model).__name__}.forward", {own.kind for own in parameters.values()}
    every = inspect.Parameter.VAR_KEYWORD in kinds
    given = {name: value for name, value in inputs.items() if every or name in parameters}
    if "input_ids" not in given:
        raise ModelError(f"{called}({', '.join(parameters)}) takes no input_ids: {WRAP}")
    needed = [name for name, own in parameters.items() if own.default is own.empty and own.kind not in VARIADIC]
    if lacking := [name for name in needed if name not in given]:
        raise ModelError(f"{called} needs {', '.join(lacking)}, which the tokenizer does not give: {WRAP}")
    by_place = [name for name, own in parameters.items() if own.kind is own.POSITIONAL_ONLY and name in given]
    return [given.pop(name) for name in by_place], given


def find_logits(model: nn.Module, output: Any) -> Tensor:
    """Return the logits, (batch, classes) or (batch, tokens, classes), of what a model returned."""
    called = type(model).__name__
    found = output if isinstance(output, Tensor) else None
    if isinstance(output, Mapping) or hasattr(output, "logits"):
        parts: Mapping[str, Any] = output if isinstance(output, Mapping) else vars(output)
        start, end = parts.get("start_logits"), parts.get("end_logits")
        found = parts.get("logits") if start is None or end is None else torch.stack([start, end], dim=-1)
    elif isinstance(output, (tuple, list)):
        several = [part for part in output if isinstance(part, Tensor) and part.is_floating_point() and part.ndim > 1]
        classes = getattr(own_config(model), "num_labels", None)
        fitting = several if len(several) == 1 else [part for part in several if part.shape[-1] == classes]
        if len(fitting) != 1:
            shapes = ", ".join(str(tuple(part.shape)) for part in several) or "none"
            told = f"{called} returns tensors of shapes {shapes}, of which {len(fitting)} have {classes} labels"
            raise ModelError(f"{told}: have it return {{'logits': ...}}")
        found = fitting[0]
    if not isinstance(found, Tensor):
        wanted = "it gives no logits (a classification head gives (batch, classes))"
        raise ModelError(f"{called} has no head that can be explained: {wanted}")
    if not isinstance(output, ModelOutput) and found.ndim > 1 and found.shape[-1] > 1 and are_probabilities(found):
        instead = "have it return what goes into its softmax"
        raise ModelError(f"{called} returns probabilities in place of logits: {instead}")
    return found
