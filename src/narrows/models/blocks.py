"""Finding the blocks of a transformer by its structure, whatever its class is called."""

from __future__ import annotations

from numbers import Integral

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from narrows.errors import LayerError, ModelError
from narrows.prior import ModelIdentity

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


def find_blocks(model: nn.Module) -> list[nn.Module]:
    """Find the blocks: the outermost ModuleList of as many modules as the configuration counts hidden layers.

    Args:
        model: A Hugging Face encoder or decoder, with or without a head.

    Returns:
        The blocks in their order; block 1 stands at index 0.

    Raises:
        LayerError: If no list of modules, or more than one, could be the blocks.
    """
    expected = getattr(text_config(model), "num_hidden_layers", None)
    found: dict[str, nn.ModuleList] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(outer + ".") for outer in found)
        if isinstance(module, nn.ModuleList) and len(module) == expected and not inside:
            found[name] = module
    if len(found) != 1:
        what = "none" if not found else ", ".join(found)
        raise LayerError(
            f"cannot tell the blocks of {type(model).__name__}: of its module lists, exactly one should hold "
            f"{expected} modules outside any other; found {what}"
        )
    return list(next(iter(found.values())))


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
    config = text_config(model)
    probes = []
    for _, parameter in sorted(model.named_parameters()):
        flat = parameter.detach().reshape(-1)
        last = flat.numel() - 1
        probes.append(flat[[place * last // (PROBED_WEIGHTS - 1) for place in range(PROBED_WEIGHTS)]].float().cpu())
    probe: Tensor = torch.cat(probes)
    return ModelIdentity(
        config._name_or_path or type(model).__name__, config.hidden_size, len(find_blocks(model)), probe
    )
