"""Finding the blocks of a transformer by its structure, whatever its class is called."""

from collections.abc import Iterator
from numbers import Integral
from operator import itemgetter
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from narrows.bottleneck.prior import PROBED_WEIGHTS, ModelIdentity
from narrows.errors import LayerError, ModelError

# Architectures that cannot be cut between their blocks, whatever the head.
REFUSED = {
    "canine": "it merges characters between its blocks, so that no block sees the tokens of the text",
    "funnel": "it shortens the text between its blocks, so that a position after a block belongs to several tokens",
    "flaubert": "its blocks are not modules",
    "xlm": "its blocks are not modules",
}
Module = TypeVar("Module", bound=nn.Module)


def unwrapped(model: Module) -> Module:
    """Take off what torch.compile, DataParallel and DistributedDataParallel put around a module."""
    while True:
        inner = getattr(model, "_modules", {})
        if type(model).__name__ == "OptimizedModule" and "_orig_mod" in inner:
            model = inner["_orig_mod"]
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        else:
            return model


def own_config(model: nn.Module) -> PretrainedConfig:
    """Return the model's own configuration, which describes its head: labels, their number, the problem type."""
    if isinstance(config := getattr(unwrapped(model), "config", None), PretrainedConfig):
        return config
    raise ModelError(f"{type(model).__name__} is not a Hugging Face model: it has no config")


def text_config(model: nn.Module) -> PretrainedConfig:
    """Return the configuration of the blocks: the model's own, or that of its text part if it has several."""
    return own_config(model).get_text_config()


def find_stacks(model: nn.Module) -> list[list[nn.Module]]:
    """List the blocks of each stack in running order: of an encoder or a decoder, or of both, encoder first."""
    # A stack is the outermost ModuleList with as many modules as the configuration counts. Where blocks share weights
    # in groups (ALBERT), one module is listed for each block of its group.
    config = text_config(model)
    called = type(model).__name__
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        advice = "load it without offloading, for example with device_map={'': 'cpu'}"
        raise ModelError(f"weights of {called} are not in memory: {advice}")
    reason = REFUSED.get(config.model_type)
    if config.model_type == "big_bird" and config.attention_type == "block_sparse":
        reason = "its sparse attention depends on the length of the text; load it with attention_type='original_full'"
    if reason:
        raise ModelError(f"{called} cannot be explained: {reason}")
    expected = getattr(config, "num_hidden_layers", None)
    if getattr(config, "is_encoder_decoder", False):
        decoder = getattr(config, "decoder_layers", None) or getattr(config, "num_decoder_layers", None)
        counts = {"encoder": getattr(config, "encoder_layers", expected), "decoder": decoder}
        sides = [
            [modules for name, modules in _outermost_lists(model, count).items() if part in name.split(".")]
            for part, count in counts.items()
        ]
        if all(len(side) == 1 for side in sides):
            return [list(side[0]) for side in sides]
    groups = getattr(config, "num_hidden_groups", expected)
    found = _outermost_lists(model, groups)
    if len(found) != 1:
        what = f"exactly one outermost module list should hold {groups} modules; found {', '.join(found) or 'none'}"
        raise LayerError(f"cannot tell the blocks of {called}: {what}")
    modules = next(iter(found.values()))
    if groups == expected or expected is None or groups is None:
        return [list(modules)]
    return [[modules[int(index / (expected / groups))] for index in range(expected)]]


def find_blocks(model: nn.Module) -> list[nn.Module]:
    """List the blocks of all stacks in the order in which they run; block 1 is at index 0."""
    return [block for stack in find_stacks(model) for block in stack]


def block_count(model: nn.Module) -> int:
    """Count the blocks of all stacks: a T5 of 3 + 3 blocks has 6, though its configuration counts 3."""
    return len(find_blocks(model))


def count_embeddings(model: Any) -> int | None:
    """Count the tokens that a model has an embedding for; None if neither it nor its configuration says."""
    try:
        return int(model.get_input_embeddings().num_embeddings)
    except (AttributeError, NotImplementedError):  # a class of the user's own need not say where they are
        return getattr(text_config(model), "vocab_size", None)


def _outermost_lists(model: nn.Module, length: int | None) -> dict[str, nn.ModuleList]:
    """Collect the module lists of this length that are not inside another one, by name."""
    found: dict[str, nn.ModuleList] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(outer + ".") for outer in found)
        if isinstance(module, nn.ModuleList) and len(module) == length and not inside:
            found[name] = module
    return found


def check_layer(layer: int, blocks: int) -> int:
    """Return the layer if it is one of the model's (0 = embeddings, n = after the n-th block)."""
    if isinstance(layer, bool) or not isinstance(layer, Integral) or not 0 <= layer <= blocks:
        raise LayerError(f"layer {layer!r} is out of range: the model has {blocks} blocks, so 0 to {blocks} is valid")
    return int(layer)


def identify(model: nn.Module) -> ModelIdentity:
    """Describe a model well enough to recognise it: its name, sizes and a few of its weights."""
    config, stacks = text_config(model), find_stacks(model)
    probes = [_probe(weight) for _, weight in sorted(_weights(model), key=itemgetter(0))]
    name, hidden = config._name_or_path or type(model).__name__, config.hidden_size * len(stacks)
    return ModelIdentity(name=name, hidden=hidden, blocks=sum(map(len, stacks)), probe=torch.cat(probes))


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield names and weights, also those that are no parameters: quantised ones in buffers, or packed by torch."""
    yield from model.named_parameters()
    for name, part in model.named_modules():
        for own, buffer in part.named_buffers(recurse=False):
            if buffer.dtype.itemsize == 1 and buffer.dtype != torch.bool:
                yield f"{name}.{own}", buffer
        if callable(packed := getattr(part, "weight", None)):
            yield f"{name}.weight", packed()


def _probe(weight: Tensor) -> Tensor:
    """Pick a few numbers of a weight, (weights,), in float32."""
    try:
        flat = weight.detach().reshape(-1)
    except (NotImplementedError, RuntimeError):  # tensors of torchao cannot be reshaped
        flat = weight.detach().dequantize().reshape(-1)
    last = flat.numel() - 1
    picked = flat[[step * last // (PROBED_WEIGHTS - 1) for step in range(PROBED_WEIGHTS)]]
    return (picked.dequantize() if picked.is_quantized else picked).float().cpu()
