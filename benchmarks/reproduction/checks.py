"""Checks beside the degradation test: people's rationales, randomised weights, other seeds, the best removal."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from experiments import COMPARED, IMDB_TOKENS, MODELS

from narrows import Attributions, Explainer
from narrows.data import datasets
from narrows.evaluation.ceiling import find_worst_removals
from narrows.evaluation.degradation import degrade
from narrows.evaluation.metrics import drop
from narrows.evaluation.rationales import agreement, read_eraser
from narrows.evaluation.sanity import cascade, seed_stability
from narrows.evaluation.statistics import bootstrap_interval, mean_defined
from narrows.models.heads.goals import OneOf
from narrows.models.heads.task import Question
from narrows.models.text.encoding import encode

# Texts that are short enough for a search, whose cost grows with the cube of the length.
CEILINGS = ("mnli_matched", "mnli_mismatched", "ag_news", "rte", "sst2")
BEAM = 5
METHODS = (*COMPARED, "released", "rollout")
SEEDED = ("fast", "best", "paper", "random", "gradient_shap", "lime")
SEEDS = (0, 1, 2)

Check = Callable[[Path, str, int], dict[str, Any]]


def check_all(data: Path, out: Path, limit: int) -> None:
    """Run what has not been run yet; each check is one file of ``out``, by method or by data set."""
    few = max(4, limit // 10)
    jobs: dict[str, tuple[tuple[str, ...], Check, int]] = {
        "rationales": (METHODS, rationales, max(10, limit // 5)),
        "randomised": (METHODS, randomised, few),
        "seeds": (SEEDED, stability, few),
        "ceiling": (CEILINGS, ceiling, max(4, limit // 5)),
    }
    out.mkdir(parents=True, exist_ok=True)
    for check, (names, run, count) in jobs.items():
        path = out / f"{check}.json"
        done = json.loads(path.read_text()) if path.is_file() else {}
        for name in names:
            if name not in done:
                print(f"{check}: {name}", flush=True)
                done[name] = run(data, name, count)
                path.write_text(json.dumps(done, indent=1) + "\n")


def rationales(data: Path, method: str, count: int) -> dict[str, Any]:
    """Compare maps of ERASER movie reviews with the evidence that people marked."""
    reviews = list(read_eraser(data / "eraser_movies-val.jsonl.gz"))[:count]
    explainer = Explainer.from_pretrained("sentiment", method, max_tokens=IMDB_TOKENS)
    found = explainer([review.example for review in reviews], "gold")
    agreed = agreement(found, [review.spans for review in reviews])
    kept = ~np.isnan(agreed.auprc)
    return {
        "reviews": int(kept.sum()),
        "auprc": mean_defined(agreed.auprc),
        "auprc_interval": bootstrap_interval(agreed.auprc[kept]),
        "token_f1": mean_defined(agreed.token_f1),
        "token_f1_interval": bootstrap_interval(agreed.token_f1[kept]),
    }


def randomised(data: Path, method: str, count: int) -> dict[str, Any]:
    """Draw the weights again from the top down and compare the maps of SST-2 sentences: stage to mean Kendall tau."""
    explainer, texts = Explainer.from_pretrained("sentiment"), datasets.load("sst2", None, data, count)
    stages = cascade(method, explainer.model, explainer.tokenizer, texts, [text.label for text in texts])
    return {"texts": count, "tau": {stage.name: stage.mean for stage in stages}}


def stability(data: Path, method: str, count: int) -> dict[str, Any]:
    """Compare the maps of SST-2 sentences that several seeds give: mean Kendall tau of two."""
    texts = datasets.load("sst2", None, data, count)
    explainer = Explainer.from_pretrained("sentiment")
    taus = seed_stability(method, explainer, texts, [text.label for text in texts], SEEDS)
    return {"texts": count, "seeds": len(SEEDS), "tau": mean_defined(taus)}


def ceiling(data: Path, dataset: str, count: int) -> dict[str, Any]:
    """Search the removals that hurt most: their mean drop of p(gold) at 1/9, and that of maps of the same texts."""
    texts = datasets.load(dataset, None, data, count)
    made: dict[str, Attributions] = {}
    for method in ("fast", "best", "lime", "ig"):
        explainer = Explainer.from_pretrained(MODELS[dataset], method)
        made[method] = explainer(texts, "gold")
    model, tokenizer = explainer.model, explainer.tokenizer
    questions = [Question(text, encode(tokenizer, text, None), None) for text in texts]
    targets = [list(one.probabilities).index(one.target) for one in made["fast"]]
    encodings = [question.encoding for question in questions]
    drops = np.array([each.drop for each in find_worst_removals(model, tokenizer, encodings, targets, BEAM)])
    removed = partial(degrade, model, tokenizer, questions, goals=[OneOf(target) for target in targets])
    reached = {
        method: float(drop(removed([one.ranking for one in found]).morf).mean()) for method, found in made.items()
    }
    return {"texts": len(texts), "beam": float(drops.mean()), "interval": bootstrap_interval(drops), **reached}
