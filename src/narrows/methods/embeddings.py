"""Gradients at the input embeddings: log p(target), in nats, as a function of them, row by row."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from narrows.errors import ModelError
from narrows.methods.method import Batch
from narrows.models.cut.gradient import check_gradient
from narrows.models.cut.leak import probe, sound_places
from narrows.models.cut.network import Network
from narrows.models.cut.split import forward_head
from narrows.models.cut.view import borrowed
from narrows.models.heads.goals import judge

EMBEDDINGS = -1  # where they are, among the layers
LogP = Callable[..., Tensor]
"""From activations (rows, tokens, features), the text of each row (rows,) and inputs to -loss in nats, (rows,)."""


def gradient_at_embeddings(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the embeddings of a batch and the gradient of log p(target) at them, (batch, tokens, features) each."""
    embedded = embed(batch, batch.inputs["input_ids"]).requires_grad_()
    log_p = from_embeddings(batch)(embedded, *arguments(batch))
    return embedded.detach(), torch.autograd.grad(log_p.sum(), embedded)[0]


def arguments(batch: Batch) -> tuple[Tensor, ...]:
    """Give what the function takes beside the activations: the text of each row, then the inputs in their order."""
    _ = batch.answers  # now: a plain run of the model must not meet replaced embeddings
    return (torch.arange(len(batch), device=batch.real.device), *batch.inputs.values())


def from_embeddings(batch: Batch) -> LogP:
    """Make the function from embeddings to the objective; a `ModelError` if no gradient comes back to them."""
    check_embeddings(batch.cut.network, batch.tokenizer)

    def log_p(embedded: Tensor, rows: Tensor, *values: Tensor) -> Tensor:
        inputs = dict(zip(batch.inputs, values, strict=True))
        with replaced_embeddings(batch.model, inputs["input_ids"], embedded), batch.reading(rows.tolist()):
            return objective(batch, forward_head(batch.model, inputs), rows)

    return log_p


def check_embeddings(network: Network, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise a ModelError unless the gradient passes through the whole model; it is tried out once."""
    if EMBEDDINGS in (sound := sound_places(network.model)):
        return
    model, inputs = borrowed(network.model), probe(network, tokenizer)

    def run(embedded: Tensor) -> Tensor:
        with replaced_embeddings(model, inputs["input_ids"], embedded):
            return forward_head(model, inputs)

    with torch.inference_mode(False), torch.enable_grad():
        check_gradient(model, run, _embedding(model)(inputs["input_ids"]))
    sound.add(EMBEDDINGS)


def objective(batch: Batch, logits: Tensor, rows: Tensor) -> Tensor:
    """Judge logits, (rows, ...), each by the objective of its text: -loss in nats, (rows,), in float32 or better."""
    return -judge([batch.goals[row] for row in rows.tolist()], logits.unsqueeze(1)).squeeze(1)


def embed(batch: Batch, ids: Tensor) -> Tensor:
    """Look up embeddings, (batch, tokens, features), in float32 or better: points between two of them need it."""
    with torch.no_grad():
        return at_least_float32(_embedding(batch.model)(ids))


def at_least_float32(value: Tensor) -> Tensor:
    """Widen half precision to float32."""
    return value.to(torch.promote_types(value.dtype, torch.float32))


@contextmanager
def replaced_embeddings(model: nn.Module, ids: Tensor, embedded: Tensor) -> Iterator[None]:
    """Let the input embedding return a tensor, (rows, tokens, features), in its own dtype, for ids, (rows, tokens)."""
    calls, name = [], type(model).__name__

    def hook(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        calls.append(True)
        if not args or not torch.equal(args[0], ids):
            raise ModelError(f"{name} rearranges its tokens before it embeds them: no gradient fits them")
        return embedded.to(output.dtype)

    with _embedding(model).register_forward_hook(hook):
        yield
    if not calls:
        raise ModelError(f"{name} does not call its input embedding: there is no gradient at it")


def _embedding(model: nn.Module) -> nn.Module:
    with suppress(NotImplementedError):
        if (found := model.get_input_embeddings()) is not None:  # type: ignore[operator]
            return found  # type: ignore[no-any-return]
    raise ModelError(f"{type(model).__name__} names no input embedding to take gradients at")
