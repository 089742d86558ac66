"""Fine-tune a classifier per data set on the base of 12 blocks, as commands of ``narrows``.

Only matrices of low rank in the attention, pooler and classifier are trained, so that a model is under 1 MB and can
stand in models/: nobody has to train for an hour before anything is measured. A killed run resumes.

    python benchmarks/reproduction/training.py --data DIR --base out/reproduction/e5-small-english
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from base import FOLDER

MODELS = Path(__file__).parent / "models"
EVERY = (
    *("--rank", "8", "--alpha", "16", "--lora-dropout", "0.0", "--precision", "float32"),
    *("--modules", r".*\.attention\..*\.(query|key|value|dense)"),
)
RECIPES = {  # in this order: rte starts from mnli
    "sst2": ("--dataset", "sst2", "--max-length", "64", "--epochs", "1"),
    "imdb": ("--dataset", "imdb", "--max-length", "128", "--epochs", "1"),
    "ag_news": ("--dataset", "ag_news", "--max-length", "96", "--epochs", "2"),
    "mnli": (
        *("--dataset", "mnli", "--dataset", "snli", "--max-length", "96", "--epochs", "1"),
        *("--evaluate", "mnli_matched", "--evaluate", "mnli_mismatched"),
    ),
    "rte": ("--dataset", "rte", "--max-length", "192", "--epochs", "5", "--learning-rate", "5e-4"),
}
STARTS = {"rte": "mnli"}


def command(name: str, data: Path, out: Path, limit: int | None = None) -> list[str]:
    """Give the command that trains a model; limit: rows of each data set."""
    words = ["narrows", "finetune", *RECIPES[name], *EVERY, "--data-dir", str(data), "--out", str(out / name)]
    words += ["--init-from", str(out / STARTS[name])] if name in STARTS else []
    return words + (["--limit", str(limit)] if limit else [])


def train(names: Sequence[str], data: Path, out: Path, limit: int | None = None) -> None:
    """Train those of the models that are not there yet, each in a process of its own."""
    for name in names:
        if not (out / name / "card.json").is_file():
            words = command(name, data, out, limit)
            print(shlex.join(words), flush=True)
            subprocess.run([sys.executable, "-m", *words], check=True)


def main() -> None:
    """Train the models that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the published files")
    parser.add_argument("--base", type=Path, default=FOLDER, help="folder that base.py wrote")
    parser.add_argument("--out", type=Path, default=MODELS, help="folder of the models")
    parser.add_argument("--models", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--limit", type=int, help="rows of each data set")
    options = parser.parse_args()
    os.environ["NARROWS_BASE"] = str(options.base)
    train(options.models, options.data, options.out, options.limit)


if __name__ == "__main__":
    main()
