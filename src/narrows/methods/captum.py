"""What the methods that captum computes share: the model as a function of its embeddings, row by row.

They explain the objective of each text, log p(target) for a class, in nats, and so work for every head. Positions,
token types and masks stay those of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Literal

import torch
from torch import Tensor, nn

from narrows.errors import DependencyError, InputError, ModelError
from narrows.methods.method import Batch, content_positions
from narrows.models.cut.split import forward_head
from narrows.models.heads.goals import judge
from narrows.models.predict import BATCH_TOKENS

Baseline = Literal["pad", "mask"]
"""What replaces the content tokens: [PAD] or [MASK]. Special tokens stay what they are."""

LogP = Callable[..., Tensor]
"""From activations (rows, tokens, features), the text of each row (rows,) and inputs to -loss in nats, (rows,)."""


def load_captum() -> Any:
    """Load captum's attribution methods, or raise a `DependencyError`."""
    try:
        return import_module("captum.attr")
    except ImportError as error:
        raise DependencyError('this method needs captum: pip install "narrows[evaluate]"') from error


def arguments(batch: Batch) -> tuple[Tensor, ...]:
    """Give what the function takes beside the activations: the text of each row, then the inputs in their order."""
    _ = batch.answers  # now: a plain run of the model must not meet replaced embeddings
    rows = torch.arange(len(batch), device=batch.real.device)
    return (rows, *batch.inputs.values())


def from_embeddings(batch: Batch) -> LogP:
    """Make the function from embeddings to the objective."""

    def log_p(embedded: Tensor, rows: Tensor, *values: Tensor) -> Tensor:
        inputs = dict(zip(batch.inputs, values, strict=True))
        with replaced_embeddings(batch.model, inputs["input_ids"], embedded), batch.reading(rows.tolist()):
            return objective(batch, forward_head(batch.model, inputs), rows)

    return log_p


def objective(batch: Batch, logits: Tensor, rows: Tensor) -> Tensor:
    """Judge logits, (rows, ...), each by the objective of its text: -loss in nats, (rows,), in float32 or better."""
    goals = [batch.goals[row] for row in rows.tolist()]
    return -judge(goals, logits.unsqueeze(1)).squeeze(1)


def integrate(captum: Any, log_p: LogP, batch: Batch, ends: tuple[Tensor, Tensor], steps: int) -> Tensor:
    """Integrate gradients from one activation to another, (batch, tokens, features) each: scores, (batch, tokens)."""
    start, end = ends
    together = max(BATCH_TOKENS // end.shape[1], len(end))  # rows; steps of a long text are cut into several passes
    integrated: Tensor = captum.IntegratedGradients(log_p).attribute(
        end,
        baselines=start,
        n_steps=steps,
        internal_batch_size=together,
        additional_forward_args=arguments(batch),
    )
    return integrated.sum(dim=-1)


def embed(batch: Batch, ids: Tensor) -> Tensor:
    """Look up embeddings, (batch, tokens, features), in float32 or better: points between two of them need it."""
    with torch.no_grad():
        return at_least_float32(_embedding(batch.model)(ids))


def at_least_float32(value: Tensor) -> Tensor:
    """Widen half precision to float32."""
    return value.to(torch.promote_types(value.dtype, torch.float32))


def without_content(batch: Batch, baseline: Baseline) -> Tensor:
    """Replace the content tokens: ids, (batch, tokens); an `InputError` if the tokenizer has no such token."""
    token = batch.cut.padding if baseline == "pad" else batch.tokenizer.mask_token_id
    if token is None:
        raise InputError(f"{type(batch.tokenizer).__name__} has no mask token: choose baseline=pad")
    ids = batch.inputs["input_ids"].clone()
    for row, encoding in enumerate(batch.encodings):
        ids[row, content_positions(encoding)] = token
    return ids


def check_baseline(baseline: str) -> None:
    """Raise an `InputError` unless it is a baseline."""
    if baseline not in ("pad", "mask"):
        raise InputError(f"baseline must be 'pad' or 'mask', not {baseline!r}")


@contextmanager
def replaced_embeddings(model: nn.Module, ids: Tensor, embedded: Tensor) -> Iterator[None]:
    """Let the input embedding of a model return another tensor, in the dtype that it has itself.

    Args:
        model: The model.
        ids: What it is run on, (rows, tokens).
        embedded: What its embedding returns for them, (rows, tokens, features).

    Raises:
        ModelError: If the model embeds other than these tokens in this order, or does not call its embedding.
    """
    calls = []

    def hook(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        calls.append(True)
        if not args or not torch.equal(args[0], ids):
            raise ModelError(
                f"{type(model).__name__} rearranges its tokens before it embeds them: no gradient fits them"
            )
        return embedded.to(output.dtype)

    handle = _embedding(model).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
    if not calls:
        raise ModelError(f"{type(model).__name__} does not call its input embedding: there is no gradient at it")


def _embedding(model: nn.Module) -> nn.Module:
    try:
        return model.get_input_embeddings()  # type: ignore[operator, no-any-return]
    except NotImplementedError as error:
        raise ModelError(f"{type(model).__name__} names no input embedding to take gradients at") from error
