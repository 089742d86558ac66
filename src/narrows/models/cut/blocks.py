"""Finding the blocks of a transformer by its structure, whatever its class is called."""

from __future__ import annotations

from numbers import Integral

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from narrows.bottleneck.prior import ModelIdentity
from narrows.errors import LayerError, ModelError

# Architectures whose blocks a bottleneck cannot stand between, whatever the head.
REFUSED = {
    "canine": "it merges characters between its blocks, so that no block sees the tokens of the text",
    "funnel": "it shortens the text between its blocks, so that a place after a block belongs to several tokens",
    "flaubert": "its blocks are no modules",
    "xlm": "its blocks are no modules",
}
PROBED_WEIGHTS = 4  # per parameter: enough to tell two checkpoints of one architecture apart


def text_config(model: nn.Module) -> PretrainedConfig:
    """Look up the configuration that counts the blocks.

    Args:
        model: A Hugging Face model.

    Returns:
        Its configuration; for a model of several modalities, that of its text part.

    Raises:
        ModelError: If the model has no Hugging Face configuration.
    """
    config = getattr(model, "config", None)
    if not isinstance(config, PretrainedConfig):
        raise ModelError(f"{type(model).__name__} is no Hugging Face model: it has no config")
    return config.get_text_config()


def find_stacks(model: nn.Module) -> list[list[nn.Module]]:
    """Find the stacks of blocks: one for an encoder or a decoder, two for a model that has both.

    A stack is the outermost ModuleList of as many modules as the configuration counts. Where blocks share their weights
    in groups (ALBERT), one module stands for each block of its group.

    Args:
        model: A Hugging Face encoder or decoder, with or without a head.

    Returns:
        The blocks of each stack in the order in which they run, the encoder's before the decoder's.

    Raises:
        LayerError: If no list of modules, or more than one, could be the blocks.
        ModelError: If the model is known to have no blocks that a bottleneck could stand between, or if its weights are
            not in memory.
    """
    config = text_config(model)
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ModelError(
            f"weights of {type(model).__name__} are not in memory: load it without offloading, say with "
            "device_map={'': 'cpu'}"
        )
    if reason := _refusal(config):
        raise ModelError(f"{type(model).__name__} cannot be explained: {reason}")
    expected = getattr(config, "num_hidden_layers", None)
    if getattr(config, "is_encoder_decoder", False):
        counts = {
            "encoder": getattr(config, "encoder_layers", expected),
            "decoder": getattr(config, "decoder_layers", None) or getattr(config, "num_decoder_layers", None),
        }
        sides = [_lists_under(part, _outermost_lists(model, count)) for part, count in counts.items()]
        if all(len(side) == 1 for side in sides):
            return [list(side[0]) for side in sides]
    groups = getattr(config, "num_hidden_groups", expected)
    found = _outermost_lists(model, groups)
    if len(found) != 1:
        what = "none" if not found else ", ".join(found)
        raise LayerError(
            f"cannot tell the blocks of {type(model).__name__}: of its module lists, exactly one should hold "
            f"{groups} modules outside any other; found {what}"
        )
    modules = next(iter(found.values()))
    if groups == expected or expected is None or groups is None:
        return [list(modules)]
    return [[modules[int(index / (expected / groups))] for index in range(expected)]]


def find_blocks(model: nn.Module) -> list[nn.Module]:
    """Find the blocks of all stacks.

    Args:
        model: A Hugging Face model.

    Returns:
        The blocks in the order in which they run; block 1 stands at index 0. A module that runs several times (ALBERT)
        stands there as often.
    """
    return [block for stack in find_stacks(model) for block in stack]


def _refusal(config: PretrainedConfig) -> str | None:
    if config.model_type == "big_bird" and config.attention_type == "block_sparse":
        return "its sparse attention depends on the length of the text; load it with attention_type='original_full'"
    return REFUSED.get(config.model_type)


def _outermost_lists(model: nn.Module, length: int | None) -> dict[str, nn.ModuleList]:
    """Collect the lists of so many modules that lie in no other such list."""
    found: dict[str, nn.ModuleList] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(outer + ".") for outer in found)
        if isinstance(module, nn.ModuleList) and len(module) == length and not inside:
            found[name] = module
    return found


def _lists_under(part: str, lists: dict[str, nn.ModuleList]) -> list[nn.ModuleList]:
    return [modules for name, modules in lists.items() if part in name.split(".")]


def check_layer(layer: int, blocks: int) -> int:
    """Make sure that a layer exists.

    Args:
        layer: 0 = output of the embeddings, n = output of the n-th block.
        blocks: Number of blocks.

    Returns:
        The layer.

    Raises:
        LayerError: If it is out of range.
    """
    if isinstance(layer, bool) or not isinstance(layer, Integral) or not 0 <= layer <= blocks:
        raise LayerError(f"layer {layer!r} is out of range: the model has {blocks} blocks, so 0 to {blocks} is valid")
    return int(layer)


def identify(model: nn.Module) -> ModelIdentity:
    """Describe a model well enough to recognise it again.

    Args:
        model: A Hugging Face model.

    Returns:
        Its name, sizes and a few of its weights.
    """
    config, stacks = text_config(model), find_stacks(model)
    probes = []
    for _, parameter in sorted(model.named_parameters()):
        flat = parameter.detach().reshape(-1)
        last = flat.numel() - 1
        probes.append(flat[[place * last // (PROBED_WEIGHTS - 1) for place in range(PROBED_WEIGHTS)]].float().cpu())
    probe: Tensor = torch.cat(probes)
    return ModelIdentity(
        name=config._name_or_path or type(model).__name__,
        hidden=config.hidden_size * len(stacks),  # the activations of both stacks stand side by side
        blocks=sum(map(len, stacks)),
        probe=probe,
    )
