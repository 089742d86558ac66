"""The short way from a classifier and a method to maps, and what every registered method needs to be quick."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from narrows.attributions import Attributions
from narrows.bottleneck.prior import PRIORS, AnyPrior
from narrows.data.example import Item
from narrows.explainer import Explainer
from narrows.methods.cut_model import CutModel
from narrows.methods.method import Batch, Method
from narrows.methods.registry import method_names
from narrows.models.cut.network import Network
from narrows.models.cut.split import Prefix, repeat_inputs, run_suffix
from narrows.models.heads.goals import Goal, judge
from narrows.models.text.reader import Reader
from tiny import Classifier

QUICK = {
    "complete": "complete:steps=60:draws=2",
    "paper": "paper:samples=2:steps=3",
    "information": "information:samples=2:steps=3",
    "information_signed": "information_signed:samples=2:steps=3",
    "released": "released:samples=2:steps=3",
    "lime": "lime:samples=20",
    "kernel_shap": "kernel_shap:samples=20",
}
COMPUTED = tuple(name for name in method_names() if name != "file")
"""The registered methods that look at the model; ``file`` reads what others made."""


def quick(name: str) -> str:
    """A method by name, with settings that make it quick."""
    return QUICK.get(name, name)


def explain(
    classifier: Classifier,
    method: str | Method,
    items: Sequence[Item],
    targets: Sequence[Any] | None = None,
    prior: Any = "instance",
) -> Attributions:
    """Explain texts in one batch, as users do."""
    return Explainer(*classifier, method, prior)(list(items), None if targets is None else list(targets))


def negative_log_likelihood(
    network: Network, prefix: Prefix, inputs: Mapping[str, Tensor], layer: int, goals: Sequence[Goal]
) -> Callable[[Tensor], Tensor]:
    """The loss: activations (batch, samples, tokens, hidden) -> -log p(target) in nats, (batch, samples)."""

    def nll(activation: Tensor) -> Tensor:
        batch, samples = activation.shape[:2]
        logits = run_suffix(network, prefix, repeat_inputs(inputs, samples), layer, activation.flatten(0, 1))
        return judge(goals, logits.view(batch, samples, *logits.shape[1:]))

    return nll


def scores(*args: Any, **settings: Any) -> list[NDArray[np.float64]]:
    """As `explain`: only the scores."""
    return [attribution.scores for attribution in explain(*args, **settings)]


@contextmanager
def lent_batch(
    classifier: Classifier,
    items: Sequence[Item],
    targets: Sequence[Any] | None = None,
    prior: AnyPrior = PRIORS["instance"],
) -> Iterator[Batch]:
    """A batch as a method gets it, with the model lent to it."""
    model, tokenizer = classifier
    reader = Reader(model, tokenizer, None, "truncate")
    cut = CutModel(Network.of(model), tokenizer, reader.task, prior, "tiny")
    asked = zip(items, targets or [None] * len(items), strict=True)
    questions = [question for item, target in asked for question in reader.ask(item, target).questions]
    with cut.lent() as view:
        yield Batch(view, questions)


def state_of(model: nn.Module) -> list[Any]:
    """Whatever a guest could leave behind, the weights aside."""
    modules = [
        (m.training, list(m._forward_hooks), list(m._forward_pre_hooks), sorted(m.__dict__)) for m in model.modules()
    ]
    parameters = [(p.requires_grad, p.grad is None) for p in model.parameters()]
    configs = [m.config._attn_implementation for m in model.modules() if hasattr(m, "config")]
    return [modules, parameters, configs, model.config.to_dict()]
