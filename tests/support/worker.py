"""An evaluation in a process of its own, for tests that kill it: ``python worker.py TEXTS OUT``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import tiny
from narrows.data.source import Source
from narrows.models.hub.loading import LoadedModel
from narrows.run.evaluating import Plan, evaluate

METHODS = ("random", "gradient_x_input", "lime:samples=20", "paper:layer=2:samples=2")


def run(texts: Path, out: Path) -> None:
    """Evaluate a few methods on the texts of a file with a tiny random model."""
    torch.set_num_threads(1)
    model, tokenizer = tiny.classifier("bert")
    plan = Plan(Source(str(texts)), METHODS, prior="instance", rows_per_part=2)
    evaluate(LoadedModel(model, tokenizer, "tiny", None), plan, out)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
