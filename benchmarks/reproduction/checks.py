"""Checks beside the degradation test: people's rationales, randomised weights, other seeds. Kept as JSON, done once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from experiments import IMDB_TOKENS, MODELS, PAPER_LAYER

from narrows.data import datasets
from narrows.evaluation.ceiling import find_worst_removals
from narrows.evaluation.degradation import degrade
from narrows.evaluation.metrics import drop
from narrows.evaluation.rationales import agreement, read_eraser
from narrows.evaluation.sanity import cascade, seed_stability
from narrows.evaluation.statistics import bootstrap_interval, mean_defined
from narrows.methods.method import Batch
from narrows.methods.registry import Spec
from narrows.models.heads.targets import class_labels, find_label
from narrows.models.hub.loading import load_classifier

# Data sets whose texts are short enough for a search, whose cost grows with the cube of the length. 100 texts of RTE
# were not done in two hours of one core; IMDB's are longer still.
CEILINGS = ("mnli_matched", "mnli_mismatched", "ag_news", "rte", "sst2")
BEAM = 5
METHODS = (
    "random",
    "lime",
    "ig",
    f"iba:{PAPER_LAYER}",
    f"iba_released:{PAPER_LAYER}",
    "narrows",
    "narrows:preset=best",
    "rollout",
)
SEEDED = ("lime", f"iba:{PAPER_LAYER}", "narrows", "narrows:preset=best", "random", "gradient_shap")
SEEDS = (0, 1, 2)


def check_all(data: Path, out: Path, limit: int) -> dict[str, Any]:
    """Do what has not been done yet.

    Args:
        data: Folder with the published files.
        out: Folder of the results.
        limit: Texts of the degradation test; a part of them is used here.

    Returns:
        Name of the check to method, or data set, to its figures.
    """
    few = max(4, limit // 10)
    jobs: dict[str, tuple[tuple[str, ...], Callable[[str], Any]]] = {
        "rationales": (METHODS, lambda name: rationales(data, name, max(10, limit // 5))),
        "randomised": (METHODS, lambda name: randomised(data, name, few)),
        "seeds": (SEEDED, lambda name: stability(data, name, few)),
        "ceiling": (CEILINGS, lambda name: ceiling(data, name, max(4, limit // 5))),
    }
    found: dict[str, Any] = {}
    for check, (methods, run) in jobs.items():
        path = out / f"{check}.json"
        done = json.loads(path.read_text()) if path.is_file() else {}
        for name in methods:
            if name not in done:
                print(f"{check}: {name}", flush=True)
                done[name] = run(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(done, indent=1) + "\n")
        found[check] = done
    return found


def rationales(data: Path, name: str, count: int) -> dict[str, Any]:
    """Compare maps of ERASER movie reviews with the evidence that people marked.

    Args:
        data: Folder with the published files.
        name: The method.
        count: Reviews, the first of the file.

    Returns:
        Mean AUPRC and token F1 with intervals, and the share of marked tokens.
    """
    reviews = list(read_eraser(data / "eraser_movies-val.jsonl.gz"))[:count]
    classifier = load_classifier("sentiment")
    batch = Batch.of(classifier, [review.example for review in reviews], IMDB_TOKENS)
    targets = gold(classifier.model, [str(review.example.label) for review in reviews])
    maps = Spec.parse(name).make(0)(classifier, batch, targets)
    agreed = agreement(maps, batch.encodings, [review.spans for review in reviews])
    kept = ~np.isnan(agreed.auprc)
    return {
        "reviews": int(kept.sum()),
        "auprc": mean_defined(agreed.auprc),
        "auprc_interval": bootstrap_interval(agreed.auprc[kept]),
        "token_f1": mean_defined(agreed.token_f1),
        "token_f1_interval": bootstrap_interval(agreed.token_f1[kept]),
    }


def randomised(data: Path, name: str, count: int) -> dict[str, Any]:
    """Draw the weights anew from the top down and compare the maps with the original ones.

    Args:
        data: Folder with the published files.
        name: The method.
        count: SST-2 sentences.

    Returns:
        Stage to mean Kendall tau.
    """
    classifier, batch, targets = sentences(data, count)
    stages = cascade(Spec.parse(name).make(0), classifier, batch, targets)
    return {"texts": count, "tau": {stage.name: stage.mean for stage in stages}}


def stability(data: Path, name: str, count: int) -> dict[str, Any]:
    """Compare the maps of several seeds.

    Args:
        data: Folder with the published files.
        name: The method.
        count: SST-2 sentences.

    Returns:
        Mean Kendall tau between two seeds.
    """
    classifier, batch, targets = sentences(data, count)
    spec = Spec.parse(name)
    taus = seed_stability(spec.make, classifier, batch, targets, SEEDS)
    return {"texts": count, "seeds": len(SEEDS), "tau": mean_defined(taus)}


def ceiling(data: Path, dataset: str, count: int) -> dict[str, Any]:
    """Search the removals that hurt most and hold the maps of Narrows against them.

    Args:
        data: Folder with the published files.
        dataset: Its name.
        count: Texts.

    Returns:
        Mean drop of p(gold) at 1/9 that a beam finds, with its interval, and that of maps on the same texts.
    """
    classifier = load_classifier(MODELS[dataset])
    examples = datasets.load(dataset, None, data, count)
    batch = Batch.of(classifier, examples)
    targets = gold(classifier.model, [str(example.label) for example in examples])
    model, tokenizer = classifier.model, classifier.tokenizer
    worst = find_worst_removals(model, tokenizer, batch.encodings, targets, BEAM)
    drops = np.array([each.drop for each in worst])
    found: dict[str, Any] = {"texts": len(batch), "beam": float(drops.mean()), "interval": bootstrap_interval(drops)}
    for name in ("narrows", "narrows:preset=best", "lime", "ig"):
        maps = Spec.parse(name).make(0)(classifier, batch, targets)
        found[name] = float(drop(degrade(model, tokenizer, batch.encodings, maps, targets).morf).mean())
    return found


def sentences(data: Path, count: int) -> tuple[Any, Batch, list[int]]:
    """Load the sentiment model and a sample of SST-2."""
    classifier = load_classifier("sentiment")
    examples = datasets.load("sst2", None, data, count)
    targets = gold(classifier.model, [str(example.label) for example in examples])
    return classifier, Batch.of(classifier, examples), targets


def gold(model: Any, labels: list[str]) -> list[int]:
    """Find the index of each gold label."""
    names = class_labels(model, model.config.num_labels)
    return [find_label(label, names) for label in labels]
