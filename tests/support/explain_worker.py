"""A run over a data set in a process of its own, for tests that kill it: ``python explain_worker.py TEXTS OUT``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import tiny
from narrows.models.hub.loading import LoadedModel
from narrows.run import ExplainSettings, explain_dataset
from narrows.run.store import Json

METHOD = "information_signed:layer=2:steps=2:samples=2"
SETTINGS = ExplainSettings(method=METHOD, prior="instance", rows_per_part=3, batch_size=2)


def run(texts: Path, out: Path) -> Json:
    """Explain the texts of a file with a tiny random model."""
    torch.set_num_threads(1)
    model, tokenizer = tiny.classifier("bert")
    return explain_dataset(texts, out, SETTINGS, loaded=LoadedModel(model, tokenizer, "tiny", None))


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
