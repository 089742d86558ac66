"""Measure what could make the optimisation cheaper: fewer or other noise copies, fewer steps.

The maps of each variant are compared with those of many copies (Kendall tau per text) and put to the degradation test,
gold label, on the train split. docs/performance.md holds the results.

    python benchmarks/ablations.py --dataset sst2 --model sentiment --limit 100 --data-dir DATA
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from agree import agree
from choose_defaults import mean, summarize
from torch import Tensor

from narrows import Attribution, Explainer, datasets
from narrows.config import Settings
from narrows.evaluation.cost import measured
from narrows.evaluation.degradation import degrade
from narrows.models.encoding import encode, token_limit
from narrows.models.targets import class_labels, find_label
from narrows.optimize import NoiseSource

Draw = Callable[[NoiseSource, int], Tensor]
plain: Draw = NoiseSource.draw


def antithetic(source: NoiseSource, samples: int) -> Tensor:
    """Draw half of the copies and add their opposites, so that the noise of a text has the mean 0 exactly."""
    half = plain(source, samples // 2)
    return torch.cat([half, -half], dim=1)


def common(draw: Draw) -> Draw:
    """Draw once and use the same noise at every step."""

    def first(source: NoiseSource, samples: int) -> Tensor:
        drawn: dict[NoiseSource, Tensor] = first.__dict__
        if source not in drawn:
            drawn.clear()
            drawn[source] = draw(source, samples)
        return drawn[source]

    return first


def silent(source: NoiseSource, samples: int) -> Tensor:
    """Put the prior's mean in place of the noise."""
    return torch.zeros_like(plain(source, samples))


@dataclass(frozen=True)
class Variant:
    """A way to optimise.

    Attributes:
        draw: Its noise.
        settings: What differs from the defaults of the readout ``information``.
    """

    draw: Draw = plain
    settings: Settings = field(default_factory=Settings)


REFERENCE = "40 copies"
VARIANTS = {
    REFERENCE: Variant(settings={"samples": 40}),
    "10 copies": Variant(),
    "10 copies, another seed": Variant(settings={"seed": 1}),
    "10 copies, antithetic": Variant(antithetic),
    "10 copies, the same noise at all steps": Variant(common(plain)),
    "4 copies": Variant(settings={"samples": 4}),
    "4 copies, antithetic": Variant(antithetic, {"samples": 4}),
    "4 copies, antithetic, the same noise at all steps": Variant(common(antithetic), {"samples": 4}),
    "2 copies": Variant(settings={"samples": 2}),
    "2 copies, antithetic": Variant(antithetic, {"samples": 2}),
    "1 copy": Variant(settings={"samples": 1}),
    "no noise, 1 copy": Variant(silent, {"samples": 1}),
    "10 copies, 7 steps": Variant(settings={"steps": 7}),
    "10 copies, 5 steps": Variant(settings={"steps": 5}),
    "10 copies, 5 steps of twice the size": Variant(settings={"steps": 5, "learning_rate": 2.0}),
    "10 copies, 3 steps of three times the size": Variant(settings={"steps": 3, "learning_rate": 3.0}),
    "10 copies, 20 steps": Variant(settings={"steps": 20}),
}


@contextmanager
def drawing(draw: Draw) -> Iterator[None]:
    """Let the optimisation draw its noise in another way."""
    with patch.object(NoiseSource, "draw", draw):
        yield


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sentiment")
    parser.add_argument("--dataset", default="sst2")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("out/ablations.json"))
    options = parser.parse_args()
    base = Explainer.from_pretrained(options.model)
    examples = list(datasets.load(options.dataset, "train", options.data_dir, options.limit))
    encodings = [encode(base.tokenizer, example, token_limit(base.model, base.tokenizer)) for example in examples]
    labels = class_labels(base.model, base.model.config.num_labels)
    gold = [find_label(str(example.label), labels) for example in examples]
    rows: list[dict[str, Any]] = []
    reference: list[Attribution] | None = None
    for name, variant in VARIANTS.items():
        explainer = Explainer(base.model, base.tokenizer, prior=base.prior, readout="information", **variant.settings)
        start = time.process_time()
        with drawing(variant.draw), measured(base.model) as cost:
            attributions = list(explainer(examples, "gold"))
        reference = reference or attributions
        rows.append(
            {
                "variant": name,
                "dataset": options.dataset,
                "tau": round(agree(reference, attributions)["tau"], 3),
                **summarize(degrade(base.model, base.tokenizer, encodings, [a.scores for a in attributions], gold)),
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
