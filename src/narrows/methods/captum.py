"""What the captum methods share: log p(target), in nats, as a function of the embeddings, row by row."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from narrows.bottleneck.optimize import check_counts, check_seed
from narrows.errors import InputError, ModelError, need
from narrows.methods.method import Batch
from narrows.models.cut.gradient import check_gradient
from narrows.models.cut.leak import probe, sound_places
from narrows.models.cut.network import Network
from narrows.models.cut.split import forward_head
from narrows.models.cut.view import borrowed
from narrows.models.heads.goals import judge
from narrows.models.predict import BATCH_TOKENS
from narrows.models.text.encoding import check_rows

EMBEDDINGS = -1  # where they are, among the layers
Baseline = Literal["pad", "mask"]  # what replaces the content tokens; special tokens stay what they are
LogP = Callable[..., Tensor]
"""From activations (rows, tokens, features), the text of each row (rows,) and inputs to -loss in nats, (rows,)."""


class FromBaseline:
    """What the methods have in common that take gradients between a text without content and the text."""

    baseline: Baseline
    counted = "steps"  # the setting that counts the points
    quantity, unit, signed = "score", "nats of log p", True
    additive = False  # not to the rise from a typical text

    def __post_init__(self) -> None:
        check_counts(self, self.counted)
        check_seed(getattr(self, "seed", 0))
        if self.baseline not in ("pad", "mask"):
            raise InputError(f"baseline must be 'pad' or 'mask', not {self.baseline!r}")
        load()

    @property
    def copies(self) -> int:
        """As many as points."""
        return int(getattr(self, self.counted))

    @property
    def caption(self) -> str:
        """What a score is."""
        return f"A token's score is its share of the rise of log p(target) from a text of {self.baseline} tokens."


def load(module: str = "captum.attr") -> Any:
    """Load a module of another package, captum's methods by default, or raise a `DependencyError`."""
    return need(module, f'this method needs {module.split(".")[0]}: pip install "narrows[evaluate]"')


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


def integrate(log_p: LogP, batch: Batch, ends: tuple[Tensor, Tensor], steps: int) -> Tensor:
    """Integrate gradients from one activation to another, (batch, tokens, features) each: scores, (batch, tokens)."""
    start, end = ends
    most = BATCH_TOKENS if batch.budget is None else batch.budget.tokens
    together = max(most // end.shape[1], len(end))  # rows; steps of a long text are cut into several passes
    options = {"n_steps": steps, "internal_batch_size": together, "additional_forward_args": arguments(batch)}
    integrated: Tensor = load().IntegratedGradients(log_p).attribute(end, baselines=start, **options)
    return integrated.sum(dim=-1)


def embed(batch: Batch, ids: Tensor) -> Tensor:
    """Look up embeddings, (batch, tokens, features), in float32 or better: points between two of them need it."""
    with torch.no_grad():
        return at_least_float32(_embedding(batch.model)(ids))


def at_least_float32(value: Tensor) -> Tensor:
    """Widen half precision to float32."""
    return value.to(torch.promote_types(value.dtype, torch.float32))


def without_content(batch: Batch, baseline: Baseline) -> Tensor:
    """Replace the content tokens: ids, (batch, tokens); a `ModelError` if the tokenizer has no such token."""
    token = batch.cut.padding if baseline == "pad" else batch.tokenizer.mask_token_id
    if token is None:
        raise ModelError(f"{type(batch.tokenizer).__name__} has no mask token: choose baseline=pad")
    check_rows(batch.model, batch.tokenizer, [token])
    ids = batch.inputs["input_ids"].clone()
    ids[batch.content] = token
    return ids


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
    try:
        return model.get_input_embeddings()  # type: ignore[operator, no-any-return]
    except NotImplementedError as error:
        raise ModelError(f"{type(model).__name__} names no input embedding to take gradients at") from error
