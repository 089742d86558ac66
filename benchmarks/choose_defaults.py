"""Measure what the default settings rest on: the degradation test over settings of the bottleneck.

For every setting the same texts are explained (gold label) and degraded by deletion. Prints one row per setting as soon
as it is measured and writes all rows as JSON; docs/defaults.md is made from such runs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from narrows import Explainer
from narrows.config import MIDDLE, Settings
from narrows.data import datasets
from narrows.evaluation.degradation import Array, Curves, degrade
from narrows.evaluation.metrics import area, drop
from narrows.evaluation.statistics import bootstrap_interval
from narrows.models.heads.targets import class_labels, find_label
from narrows.models.text.encoding import encode, token_limit

QUESTIONS = ("beta", "layer", "samples", "readout", "path", "stretch", "rounds", "prior")
THREE = (1 / 6, 3 / 6, 5 / 6)  # depths
WHOLE = (0.0, 1.0)


def settings_grid(name: str, blocks: int) -> Iterator[tuple[int | list[int], str | None, Settings]]:
    """List the settings of one question.

    Args:
        name: The question, one of QUESTIONS.
        blocks: Number of blocks of the model.

    Yields:
        Layer, prior (None = the corpus prior) and settings.
    """
    middle = round(0.75 * blocks)
    match name:
        case "beta":
            for granularity, betas in (("token", (0.1, 0.3, 1, 3, 10)), ("feature", (0.01, 0.1, 1))):
                for beta in betas:
                    yield middle, None, {"granularity": granularity, "beta": beta, "samples": 2}  # type: ignore[typeddict-item]
        case "layer":
            for layer in range(blocks + 1):
                yield layer, None, {"samples": 2}
        case "samples":
            for samples in (1, 2, 4, 10):
                yield middle, None, {"samples": samples}
        case "readout":
            for granularity in ("token", "feature"):
                for readout in ("information", "signed"):
                    yield middle, None, {"samples": 2, "granularity": granularity, "readout": readout}  # type: ignore[typeddict-item]
        case "path":
            inner, three = list(range(1, blocks)), [round(d * blocks) for d in THREE]
            for layers, points in ((three, 3), (three, 5), (three, 10), (inner, 2), (three[:1], 5), (three[1:2], 5)):
                yield layers, None, {"readout": "evidence", "points": points, "rounds": 1, "stretch": WHOLE}
        case "stretch":
            three = [round(d * blocks) for d in THREE]
            for stretch in (WHOLE, (0.1, 0.9), MIDDLE, (0.05, 0.75)):
                for rounds in (3, 8):
                    yield three, None, {"readout": "evidence", "points": rounds, "rounds": rounds, "stretch": stretch}
        case "rounds":
            three = [round(d * blocks) for d in THREE]
            for points, rounds in ((3, 1), (3, 2), (3, 3), (4, 2), (4, 4), (6, 3), (8, 8), (12, 4)):
                yield three, None, {"readout": "evidence", "points": points, "rounds": rounds, "stretch": MIDDLE}
        case "prior":
            for prior in (None, "instance"):
                yield middle, prior, {"samples": 2}
            yield middle, "residual", {"samples": 10, "granularity": "feature", "beta": 1e-5}


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("questions", nargs="+", choices=QUESTIONS)
    parser.add_argument("--model", default="sentiment")
    parser.add_argument("--dataset", default="sst2")
    parser.add_argument("--split", help="default: the one that results are reported on; choose on another")
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("out/defaults.json"))
    options = parser.parse_args()
    base = Explainer.from_pretrained(options.model)
    model, tokenizer = base.model, base.tokenizer
    examples = datasets.load(options.dataset, options.split, options.data_dir, options.limit)
    limit = options.max_tokens or token_limit(model, tokenizer)
    encodings = [encode(tokenizer, example, limit) for example in examples]
    labels = class_labels(model, model.config.num_labels)
    gold = [find_label(str(example.label), labels) for example in examples]

    rows: list[dict[str, Any]] = json.loads(options.out.read_text()) if options.out.exists() else []
    draw = np.random.default_rng(0)
    maps = [draw.random(len(encoding)) for encoding in encodings]
    curves = degrade(model, tokenizer, encodings, maps, gold)
    rows.append({"question": "random", "dataset": options.dataset, **summarize(curves)})
    print(json.dumps(rows[-1]), flush=True)
    for question in options.questions:
        for layer, prior, settings in settings_grid(question, base.blocks):
            chosen = base.prior if prior is None else prior
            explainer = Explainer(model, tokenizer, layer, chosen, max_tokens=limit, **settings)
            start = time.perf_counter()
            attributions = explainer(list(examples), "gold")
            seconds = time.perf_counter() - start
            maps = [attribution.scores for attribution in attributions]
            about = {
                "question": question,
                "dataset": options.dataset,
                "layer": layer,
                "prior": prior or "corpus",
                **settings,
            }
            figures = summarize(degrade(model, tokenizer, encodings, maps, gold))
            survived = np.mean([np.exp(-attribution.trace[-1].cross_entropy) for attribution in attributions])
            needed = np.median([attribution.total_bits for attribution in attributions])
            extra = {
                "seconds": round(seconds, 1),
                "p_survived": round(float(survived), 3),
                "bits": round(float(needed)),
            }
            rows.append({**about, **figures, **extra})
            print(json.dumps(rows[-1]), flush=True)
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(rows, indent=1) + "\n")


def summarize(curves: Curves) -> dict[str, Any]:
    """Sum up the curves of one setting.

    Args:
        curves: p(gold) of the texts.

    Returns:
        The drop at 1/9 with its interval, and the areas.
    """
    drops = drop(curves.morf)
    return {
        "texts": len(drops),
        "drop_11": mean(drops),
        "drop_11_interval": [round(bound, 4) for bound in bootstrap_interval(drops)],
        "area_morf": mean(area(curves.morf)),
        "area_lerf": mean(area(curves.lerf)),
    }


def mean(values: Array) -> float:
    """Average over texts.

    Args:
        values: (texts,).

    Returns:
        The mean, to four digits.
    """
    return round(float(values.mean()), 4)


if __name__ == "__main__":
    main()
