"""The degradation test where a text with holes is nothing new: on a model that was fine-tuned on such texts.

A text without some of its words is one that no model was trained on, so part of a drop may be surprise. As in
F-Fidelity (Zheng et al. 2025) a demo model is fine-tuned further on texts of which up to half of the words were deleted
at random, with the same labels; then the methods are compared on it as on any other model. If their order is the same
as on the model as it was, it does not rest on surprise.

    python benchmarks/in_distribution.py --dataset sst2 --data-dir DATA --limit 100 --out DIR
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from narrows.data import datasets

MODELS = {"sst2": "sentiment", "imdb": "sentiment", "ag_news": "topic", "rte": "rte"}
MODELS |= {"mnli_matched": "nli", "mnli_mismatched": "nli"}
TRAINED_ON = {"mnli_matched": "mnli", "mnli_mismatched": "mnli"}
METHODS = "random,fast,best,paper,ig,lime,occlusion"
MOST_DELETED = 0.5
MAX_TOKENS = {"imdb": "96"}


def with_holes(text: str, draw: random.Random) -> str:
    """Delete words of a text at random, up to half of them; at least one stays."""
    words, share = text.split(), draw.random() * MOST_DELETED
    kept = [word for word in words if draw.random() >= share]
    return " ".join(kept or [draw.choice(words)])


def write_texts(dataset: str, data_dir: Path, count: int, path: Path) -> None:
    """Write training texts with holes, and their labels."""
    draw = random.Random(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "text_pair", "label"])
        for example in datasets.load(TRAINED_ON.get(dataset, dataset), "train", data_dir, count, 0):
            pair = "" if example.text_pair is None else with_holes(example.text_pair, draw)
            writer.writerow([with_holes(example.text, draw), pair, example.label])


def run(words: Sequence[str]) -> None:
    """Run a command of narrows."""
    print(" ".join(words), flush=True)
    subprocess.run([sys.executable, "-m", *words], check=True)


def main() -> None:
    """Train, evaluate both models, and print the methods in their order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=MODELS, default="sst2")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--train-texts", type=int, default=6_000)
    parser.add_argument("--limit", type=int, default=100, help="texts that are explained")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    folder, demo = options.out / options.dataset, MODELS[options.dataset]
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model" / "card.json").is_file():
        write_texts(options.dataset, options.data_dir, options.train_texts, folder / "train.csv")
        words = ["narrows", "finetune", "--dataset", str(folder / "train.csv"), "--out", str(folder / "model")]
        run([*words, "--init-from", demo, "--epochs", "1", "--max-length", "96", "--precision", "float32"])
    report: dict[str, Any] = {"texts": options.limit}
    for name, model in (("as it was", demo), ("used to holes", str(folder / "model"))):
        out = folder / name.replace(" ", "_")
        words = ["narrows", "evaluate", "--dataset", options.dataset, "--data-dir", str(options.data_dir)]
        words += ["--model", model, "--limit", str(options.limit), "--methods", options.methods, "--out", str(out)]
        words += ["--max-tokens", MAX_TOKENS[options.dataset]] if options.dataset in MAX_TOKENS else []
        run(words)
        rows = json.loads((out / "summary.json").read_text())["methods"]
        report[name] = {
            spec: [row["drop_11"], *row["drop_11_interval"], row["area_morf"]] for spec, row in rows.items()
        }
        order = sorted(rows, key=lambda spec: -rows[spec]["drop_11"])
        print(f"{name}: " + ", ".join(f"{spec} {rows[spec]['drop_11']:.3f}" for spec in order))
    path = options.out / "in_distribution.json"  # kept in benchmarks/reproduction/results/checks
    every = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**every, options.dataset: report}, indent=1) + "\n")


if __name__ == "__main__":
    main()
