"""A run in a process of its own, for tests that kill it: ``python worker.py TEXTS OUT``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import tiny
from narrows.methods.registry import Spec
from narrows.models.hub.loading import Classifier
from narrows.run.evaluate import Plan, evaluate
from narrows.run.instances import Source

METHODS = ("random", "gradient_x_input", "lime:samples=20", "iba:layer=2:prior=instance:samples=2")


def run(texts: Path, out: Path) -> None:
    """Evaluate a few methods on the texts of a file with a tiny random model."""
    torch.set_num_threads(1)
    model, tokenizer = tiny.classifier("bert")
    plan = Plan(Source(str(texts)), tuple(map(Spec.parse, METHODS)), batch_size=2)
    evaluate(Classifier(model, tokenizer, "tiny", None), plan, out)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
