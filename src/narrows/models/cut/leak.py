"""Checks of a cut, once per model and layer: no information about the text bypasses it, and gradients come back."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from narrows.data.example import Example
from narrows.errors import ModelError
from narrows.models.cut.blocks import count_embeddings
from narrows.models.cut.gradient import architecture, check_gradient
from narrows.models.cut.network import Network
from narrows.models.cut.split import run_prefix, run_suffix
from narrows.models.cut.view import borrowed, origin
from narrows.models.text.encoding import collate, encode, padding_id

# A connection around the cut, for example from the embeddings to a later block, would carry the text past any noise:
# the measured information would be too low. One backward graph shows it: with frozen weights and a constant activation
# at the cut, the logits have a gradient if and only if they still depend on the embedded text.
PROBE = "a b"  # used twice, as a pair: models that answer questions need two texts
_SOUND: WeakKeyDictionary[nn.Module, tuple[int, set[int]]] = WeakKeyDictionary()


def check_cut(network: Network, tokenizer: PreTrainedTokenizerBase, layers: Sequence[int]) -> None:
    """Raise a ModelError if the text reaches the head around a layer, or if a part after it passes no gradient back."""
    sound = sound_places(network.model)
    new = sorted(set(layers) - sound)
    if not new:
        return
    own, inputs = Network.of(borrowed(network.model)), probe(network, tokenizer)
    prefix = run_prefix(own, inputs, new)
    for layer in new:
        run = partial(run_suffix, own, prefix, inputs, layer)
        with torch.inference_mode(False), torch.enable_grad():
            with _followed_embeddings(own.model, inputs["input_ids"]):
                logits = run(prefix.activations[layer].detach())
            if logits.requires_grad:
                leak = "information about the text also reaches its head around that layer; choose another layer"
                raise ModelError(f"{type(own.model).__name__} cannot be explained at layer {layer}: {leak}")
            if not any(place < layer for place in sound):  # the part after a deeper layer is a part of this one
                check_gradient(own.model, run, prefix.activations[layer])
        sound.add(layer)


def sound_places(model: nn.Module) -> set[int]:
    """Return the layers of a model that passed, to be added to; none once its architecture has changed."""
    model = origin(model)
    now = architecture(model)
    if model not in _SOUND or _SOUND[model][0] != now:
        _SOUND[model] = now, set()
    return _SOUND[model][1]


def probe(network: Network, tokenizer: PreTrainedTokenizerBase) -> dict[str, Tensor]:
    """Give the inputs that a cut is tried out on."""
    model = network.model
    return collate([encode(tokenizer, Example(PROBE, PROBE), None)], padding_id(model, tokenizer), model.device)


@contextmanager
def _followed_embeddings(model: Any, ids: Tensor) -> Iterator[None]:
    """Give every embedding of the text's tokens a gradient."""
    vocabulary = count_embeddings(model)

    def follow(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        given = args[0] if args and isinstance(args[0], Tensor) else None
        of_tokens = given is not None and given.shape == ids.shape and torch.equal(given, ids)
        if not of_tokens and getattr(module, "num_embeddings", None) != vocabulary:
            return output
        return output.detach().requires_grad_().clone()  # a copy: some models scale it in place

    with ExitStack() as hooks:
        for module in model.modules():
            if isinstance(module, nn.Embedding):
                hooks.enter_context(module.register_forward_hook(follow))
        yield
