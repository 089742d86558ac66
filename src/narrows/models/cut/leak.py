"""A check that no information about the text bypasses a cut."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from narrows.data.example import Example
from narrows.errors import ModelError
from narrows.models.cut.network import Network
from narrows.models.cut.split import run_prefix, run_suffix
from narrows.models.cut.view import borrowed, origin
from narrows.models.text.encoding import collate, encode, padding_id

# A connection around the cut, for example from the embeddings to a later block, would carry the text past any noise:
# the measured information would be too low. One backward graph shows it: with frozen weights and a constant activation
# at the cut, the logits have a gradient if and only if they still depend on the embedded text.
PROBE = "a b"  # used twice, as a pair: models that answer questions need two texts
_SOUND: WeakKeyDictionary[nn.Module, set[int]] = WeakKeyDictionary()


def check_cut(network: Network, tokenizer: PreTrainedTokenizerBase, layer: int) -> None:
    """Raise a ModelError if the text reaches the head around a layer; each layer is tested once per model."""
    sound = _SOUND.setdefault(origin(network.model), set())
    if layer in sound:
        return
    padding = padding_id(network.model, tokenizer)
    inputs = collate([encode(tokenizer, Example(PROBE, PROBE), None)], padding, network.model.device)
    own = Network.of(borrowed(network.model))
    prefix = run_prefix(own, inputs, [layer])
    with torch.inference_mode(False), torch.enable_grad(), _followed_embeddings(own.model, inputs["input_ids"]):
        logits = run_suffix(own, prefix, inputs, layer, prefix.activations[layer].detach())
    if logits.requires_grad:
        leak = "information about the text also reaches its head around that layer; choose another layer"
        raise ModelError(f"{type(own.model).__name__} cannot be explained at layer {layer}: {leak}")
    sound.add(layer)


@contextmanager
def _followed_embeddings(model: Any, ids: Tensor) -> Iterator[None]:
    """Give every embedding of the text's tokens a gradient."""
    vocabulary = None
    with suppress(NotImplementedError, AttributeError):
        vocabulary = model.get_input_embeddings().num_embeddings

    def follow(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        given = args[0] if args and isinstance(args[0], Tensor) else None
        of_tokens = given is not None and given.shape == ids.shape and torch.equal(given, ids)
        if not of_tokens and getattr(module, "num_embeddings", None) != vocabulary:
            return output
        return output.detach().requires_grad_().clone()  # a copy: some models scale it in place

    with ExitStack() as hooks:
        for module in model.modules():
            if isinstance(module, nn.Embedding):
                hooks.callback(module.register_forward_hook(follow).remove)
        yield
