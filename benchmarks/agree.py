"""Hold the maps of half precision, and of texts explained one by one, against those of float32 batches.

python benchmarks/agree.py --dataset sst2 --data-dir DATA --limit 100
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from narrows import Attribution, Explainer
from narrows.data import datasets
from narrows.evaluation.statistics import kendall_tau

METHODS = ("fast", "best", "paper")


def agree(one: Sequence[Attribution], other: Sequence[Attribution]) -> dict[str, float]:
    """Compare two maps of each text.

    Args:
        one: The maps that count as right.
        other: Maps of the same texts and targets.

    Returns:
        Kendall's tau over the content tokens, mean and least over the texts, and the largest difference of a score as
        a share of the text's largest score.
    """
    taus, apart = [], []
    for first, second in zip(one, other, strict=True):
        content = np.array([segment is not None for segment in first.segments])
        a, b = np.asarray(first.scores)[content], np.asarray(second.scores)[content]
        taus.append(kendall_tau(a, b))
        apart.append(float(np.abs(a - b).max() / np.abs(a).max()))
    return {"tau": float(np.nanmean(taus)), "least_tau": float(np.nanmin(taus)), "apart": max(apart)}


def main() -> None:
    """Compare, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sentiment")
    parser.add_argument("--dataset", default="sst2")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("out/agree.json"))
    options = parser.parse_args()
    examples = list(datasets.load(options.dataset, None, options.data_dir, options.limit))
    found = []
    for method in METHODS:
        explainer = Explainer.from_pretrained(options.model, method=method)
        batched = list(explainer(examples, "gold"))
        alone = [explainer(example, "gold") for example in examples]
        explainer.model.bfloat16()
        half = list(explainer(examples, "gold"))
        found.append(
            {"method": method, "texts": len(examples), "alone": agree(batched, alone), "bfloat16": agree(batched, half)}
        )
        print(json.dumps(found[-1]), flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
