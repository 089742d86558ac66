"""What the captum methods share: a baseline, and the way from it to the text."""

from typing import Any, Literal

from torch import Tensor

from narrows.bottleneck.optimize import check_counts, check_seed
from narrows.errors import InputError, ModelError, need
from narrows.methods.embeddings import LogP, arguments
from narrows.methods.method import Batch
from narrows.models.predict import BATCH_TOKENS
from narrows.models.text.encoding import check_rows

Baseline = Literal["pad", "mask"]  # what replaces the content tokens; special tokens stay what they are


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


def integrate(log_p: LogP, batch: Batch, ends: tuple[Tensor, Tensor], steps: int) -> Tensor:
    """Integrate gradients from one activation to another, (batch, tokens, features) each: scores, (batch, tokens)."""
    start, end = ends
    most = BATCH_TOKENS if batch.budget is None else batch.budget.tokens
    together = max(most // end.shape[1], len(end))  # rows; steps of a long text are cut into several passes
    options = {"n_steps": steps, "internal_batch_size": together, "additional_forward_args": arguments(batch)}
    integrated: Tensor = load().IntegratedGradients(log_p).attribute(end, baselines=start, **options)
    return integrated.sum(dim=-1)


def without_content(batch: Batch, baseline: Baseline) -> Tensor:
    """Replace the content tokens: ids, (batch, tokens); a `ModelError` if the tokenizer has no such token."""
    token = batch.cut.padding if baseline == "pad" else batch.tokenizer.mask_token_id
    if token is None:
        raise ModelError(f"{type(batch.tokenizer).__name__} has no mask token: choose baseline=pad")
    check_rows(batch.model, batch.tokenizer, [token])
    ids = batch.inputs["input_ids"].clone()
    ids[batch.content] = token
    return ids
