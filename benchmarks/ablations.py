"""Measure what could make the optimisation cheaper: fewer or other noise copies, fewer steps, a warm start.

The maps of each variant are compared with those of many copies (Kendall tau per text) and put to the degradation test,
gold label, on the train split. docs/explanation/performance.md holds the results.

    python benchmarks/ablations.py --dataset sst2 --model sentiment --limit 100 --data-dir DATA
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from agree import agree
from choose_defaults import gold_questions, mean, summarize
from torch import Tensor
from torch.optim import Adam

from narrows import Attribution, Explainer
from narrows.bottleneck.optimize import NoiseSource
from narrows.data import datasets
from narrows.evaluation.cost import measured
from narrows.evaluation.degradation import degrade
from narrows.models.text.encoding import token_limit

Draw = Callable[[NoiseSource, int], Tensor]
plain: Draw = NoiseSource.draw


def antithetic(source: NoiseSource, samples: int) -> Tensor:
    """Draw half of the copies and add their opposites, so that the noise of a text has the mean 0 exactly."""
    half = plain(source, samples // 2)
    return torch.cat([half, -half], dim=1)


def common(draw: Draw) -> Draw:
    """Draw once and use the same noise at every step."""

    def first(source: NoiseSource, samples: int) -> Tensor:
        drawn: dict[Any, Tensor] = first.__dict__
        if source not in drawn:
            drawn.clear()
            drawn[source] = draw(source, samples)
        return drawn[source]

    return first


def silent(source: NoiseSource, samples: int) -> Tensor:
    """Put the prior's mean in place of the noise."""
    return torch.zeros_like(plain(source, samples))


class WarmAdam(Adam):
    """Adam after a warm start: one jump to where the first gradient points, in place of as many equal steps.

    Plain Adam makes its first step as long for every mask. Here the mask of each text whose loss falls most by
    closing goes JUMP down at once, the one whose loss falls least (or rises most) stays open, the others in
    proportion to their gradient's rank: the text's tokens start in the order in which the first gradient puts them.
    """

    jumped = False

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Jump the first time, then step as Adam does."""
        if self.jumped:
            return super().step(closure)
        self.jumped = True
        (alpha,) = self.param_groups[0]["params"]
        rank = alpha.grad.argsort(dim=1).argsort(dim=1).to(alpha)  # of each token, by its gradient, rising
        alpha -= JUMP * rank / max(alpha.shape[1] - 1, 1)
        return None


@dataclass(frozen=True)
class Variant:
    """A way to optimise.

    Attributes:
        draw: Its noise.
        optimizer: What moves the masks.
        settings: Settings of the method ``information`` that differ, as text.
    """

    draw: Draw = plain
    optimizer: type[Adam] = Adam
    settings: str = ""


REFERENCE = "40 copies"
JUMP = 5.0  # from an open mask, alpha 5, to one that is half open
VARIANTS = {
    REFERENCE: Variant(settings=":samples=40"),
    "10 copies": Variant(),
    "10 copies, another seed": Variant(settings=":seed=1"),
    "10 copies, antithetic": Variant(antithetic),
    "10 copies, the same noise at all steps": Variant(common(plain)),
    "4 copies": Variant(settings=":samples=4"),
    "4 copies, antithetic": Variant(antithetic, settings=":samples=4"),
    "4 copies, antithetic, the same noise at all steps": Variant(common(antithetic), settings=":samples=4"),
    "2 copies": Variant(settings=":samples=2"),
    "2 copies, antithetic": Variant(antithetic, settings=":samples=2"),
    "1 copy": Variant(settings=":samples=1"),
    "no noise, 1 copy": Variant(silent, settings=":samples=1"),
    "10 copies, 7 steps": Variant(settings=":steps=7"),
    "10 copies, 5 steps": Variant(settings=":steps=5"),
    "10 copies, 5 steps of twice the size": Variant(settings=":steps=5:learning_rate=2.0"),
    "10 copies, 3 steps of three times the size": Variant(settings=":steps=3:learning_rate=3.0"),
    "10 copies, 20 steps": Variant(settings=":steps=20"),
    "10 copies, a warm start and 3 steps": Variant(optimizer=WarmAdam, settings=":steps=4"),
    "10 copies, a warm start and 5 steps": Variant(optimizer=WarmAdam, settings=":steps=6"),
    "10 copies, a warm start and 9 steps": Variant(optimizer=WarmAdam, settings=":steps=10"),
}


@contextmanager
def optimizing(variant: Variant) -> Iterator[None]:
    """Let the optimisation draw its noise and move its masks in another way."""
    with patch.object(NoiseSource, "draw", variant.draw), patch("torch.optim.Adam", variant.optimizer):
        yield


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sentiment")
    parser.add_argument("--dataset", default="sst2")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="beside 40 copies")
    parser.add_argument("--out", type=Path, default=Path("out/ablations.json"))
    options = parser.parse_args()
    base = Explainer.from_pretrained(options.model)
    examples = list(datasets.load(options.dataset, "train", options.data_dir, options.limit))
    limit = token_limit(base.model, base.tokenizer)
    questions, gold = gold_questions(base, examples, limit)
    rows: list[dict[str, Any]] = []
    reference: list[Attribution] | None = None
    for name in dict.fromkeys([REFERENCE, *options.variants]):
        variant = VARIANTS[name]
        explainer = Explainer(base.model, base.tokenizer, f"information{variant.settings}", base.prior)
        start = time.process_time()
        with optimizing(variant), measured(base.model) as cost:
            attributions = list(explainer(examples, "gold"))
        reference = reference or attributions
        rows.append(
            {
                "variant": name,
                "dataset": options.dataset,
                "tau": round(agree(reference, attributions)["tau"], 3),
                **summarize(degrade(base.model, base.tokenizer, questions, [a.ranking for a in attributions], gold)),
                "forward_equivalents": round(cost.forward_equivalents / len(examples), 1),
                "processor_seconds": round((time.process_time() - start) / len(examples), 4),
                "p_survived": mean(np.array([np.exp(-a.trace[-1].cross_entropy) for a in attributions])),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
