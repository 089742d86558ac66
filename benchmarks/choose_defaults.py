"""Measure what the default settings rest on: the degradation test over settings of the bottleneck.

For every setting the same texts are explained (gold label) and degraded by deletion. Prints one row per setting as soon
as it is measured and writes all rows as JSON; docs/explanation/defaults.md is made from such runs.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from narrows import Explainer
from narrows.data import datasets
from narrows.data.example import Example
from narrows.data.labels import find_label
from narrows.evaluation.degradation import Array, Curves, degrade
from narrows.evaluation.metrics import area, drop
from narrows.evaluation.statistics import bootstrap_interval
from narrows.models.heads.goals import OneOf
from narrows.models.heads.targets import class_labels
from narrows.models.heads.task import Question
from narrows.models.text.encoding import encode, token_limit

# By question, settings of methods; the layer of the others is the one at three quarters of the depth.
QUESTIONS: dict[str, tuple[str, ...]] = {
    "beta": (
        *(f"information:samples=2:beta={beta}" for beta in (0.1, 0.3, 1, 3, 10)),
        *(f"paper:samples=2:beta={beta}" for beta in (0.01, 0.1, 1)),
    ),
    "layer": tuple(f"information:samples=2:layer={layer}" for layer in range(7)),
    "samples": tuple(f"information:samples={samples}" for samples in (1, 2, 4, 10)),
    "sign": ("information:samples=2", "information_signed:samples=2", "paper:samples=2", "paper:samples=2:sign=true"),
    "path": (
        *(f"complete:draws=0:steps={steps}" for steps in (3, 5, 10)),
        "complete:draws=0:steps=2:layer=1-5",
        "complete:draws=0:steps=5:layer=1",
        "complete:draws=0:steps=5:layer=3",
    ),
    "interval": tuple(
        f"fast:steps={steps}:iterations={steps}:interval={interval}"
        for interval in ("0,1", "0.1,0.9", "0.2,0.8", "0.05,0.75")
        for steps in (3, 8)
    ),
    "iterations": tuple(
        f"fast:steps={steps}:iterations={iterations}"
        for steps, iterations in ((3, 1), (3, 2), (3, 3), (4, 2), (4, 4), (6, 3), (8, 8), (12, 4))
    ),
    "prior": ("information:samples=2", "information:samples=2:prior=instance", "released"),
    "adam": ("paper", "paper:adam_eps=1e-16"),
}


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
    examples = list(datasets.load(options.dataset, options.split, options.data_dir, options.limit))
    limit = options.max_tokens or token_limit(model, tokenizer)
    questions, gold = gold_questions(base, examples, limit)

    rows: list[dict[str, Any]] = json.loads(options.out.read_text()) if options.out.exists() else []
    for question in options.questions:
        for method in QUESTIONS[question]:
            explainer = Explainer(model, tokenizer, method, base.prior, max_tokens=limit)
            start = time.perf_counter()
            attributions = list(explainer(examples, "gold"))
            seconds = time.perf_counter() - start
            rankings = [attribution.ranking for attribution in attributions]
            figures = summarize(degrade(model, tokenizer, questions, rankings, gold))
            about = {"question": question, "dataset": options.dataset, "method": method, "seconds": round(seconds, 1)}
            rows.append({**about, **figures})
            print(json.dumps(rows[-1]), flush=True)
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(rows, indent=1) + "\n")


def gold_questions(
    explainer: Explainer, examples: list[Example], limit: int | None
) -> tuple[list[Question], list[OneOf]]:
    """Ask a classifier for the gold label of examples.

    Args:
        explainer: Of the classifier.
        examples: With labels.
        limit: Tokens at which a text is cut; None = nowhere.

    Returns:
        What `degrade` takes: questions and goals.
    """
    model, tokenizer = explainer.model, explainer.tokenizer
    labels = class_labels(model, model.config.num_labels)
    questions = [Question(example, encode(tokenizer, example, limit), None) for example in examples]
    return questions, [OneOf(find_label(str(example.label), labels)) for example in examples]


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
