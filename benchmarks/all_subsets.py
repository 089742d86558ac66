"""Short texts, of which every subset of the words is asked: how near do maps come to the best that any order can do?

All 2^n subsets of the n words of a text are given to the model, n up to 9. From these follow, exactly:

- the normalised AOPC (Edin et al. 2024, "Normalized AOPC"): the area over the curve as words are removed one by one,
  scaled so that the worst order of all has 0 and the best has 1;
- the LDS (Park et al. 2023): the rank correlation, over subsets, of the log-odds of the target with the sum of the
  scores of the words that are left. Scores that add up should do well here;
- the Shapley values of the log-odds, and how the scores correlate with them.

    python benchmarks/all_subsets.py --model sentiment --dataset sst2 --data-dir DATA --limit 60 --out all_subsets.json

Adds the methods to what OUT holds of the model and the data set.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from narrows import Example, Explainer
from narrows.data import datasets
from narrows.evaluation.statistics import bootstrap_interval
from narrows.models.heads.goals import Goal
from narrows.models.heads.task import Question
from narrows.models.text.reader import Reader
from narrows.models.variants import odds_of_target, removable_units, resolve, run_variants, without

METHODS = ("random", "fast", "best", "complete", "paper", "occlusion", "lime", "kernel_shap", "ig")
LEAST, MOST = 4, 9  # words
Array = NDArray[np.float64]


def ask_all(explainer: Explainer, reader: Reader, question: Question, goal: Goal) -> tuple[list[int], Array]:
    """Ask the model of all subsets: the first token of each word, and log-odds by the bits of the removed words."""
    asked = (question, goal)
    units = removable_units(reader.task, *asked)
    sets = [
        [place for bit, unit in enumerate(units) if gone >> bit & 1 for place in unit]
        for gone in range(1 << len(units))
    ]
    variants = [without(reader.task, explainer.tokenizer, asked, gone, "delete") for gone in sets]
    odds = run_variants(explainer.model, explainer.tokenizer, reader.task, variants, odds_of_target)
    return [unit[0] for unit in units], odds


def limits(p: Array, words: int) -> tuple[float, float]:
    """Find the least and the greatest sum of p along any order of removal, by dynamic programming over subsets."""
    found = []
    for pick in (min, max):
        sums = np.zeros(1 << words)
        for gone in range(1, 1 << words):
            sums[gone] = p[gone] + pick(sums[gone ^ (1 << bit)] for bit in range(words) if gone >> bit & 1)
        found.append(float(sums[-1]))
    return found[0], found[1]


def shapley(odds: Array, words: int) -> Array:
    """Compute the Shapley value of each word, nats of log-odds, by its definition."""
    values = np.zeros(words)
    for gone in range(1 << words):
        left = words - bin(gone).count("1")
        for bit in range(words):
            if not gone >> bit & 1:  # the word is there: what is lost without it
                weight = math.factorial(left - 1) * math.factorial(words - left) / math.factorial(words)
                values[bit] += weight * (odds[gone] - odds[gone | 1 << bit])
    return values


def judge(odds: Array, order: Sequence[int], scores: Array) -> dict[str, float]:
    """Compute what this file is about for one map: words in the order of removal, and their scores."""
    words, p = len(order), 1 / (1 + np.exp(-odds))
    gone = np.cumsum([1 << word for word in order])
    least, most = limits(p, words)
    subsets = np.arange(1, (1 << words) - 1)
    sums = ((subsets[:, None] >> np.arange(words) & 1) == 0) @ scores
    return {
        "aopc": (most - float(p[gone].sum())) / (most - least),
        "lds": _rank_correlation(sums, odds[subsets]),
        "shapley": _rank_correlation(scores, shapley(odds, words)),
    }


def _rank_correlation(one: Array, other: Array) -> float:
    return float(spearmanr(one, other).statistic) if np.ptp(one) > 0 and np.ptp(other) > 0 else 0.0


def short_texts(dataset: str, data_dir: Path, limit: int) -> list[Example]:
    """Take texts of a few words, in a random order."""
    every = datasets.load(dataset, None, data_dir, 10**6, 0)
    return [text for text in every if LEAST <= len(f"{text.text} {text.text_pair or ''}".split()) <= MOST][:limit]


def main() -> None:
    """Ask, explain, judge, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sentiment")
    parser.add_argument("--dataset", default="sst2")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--out", type=Path, default=Path("all_subsets.json"))
    options = parser.parse_args()
    explainer = Explainer.from_pretrained(options.model)
    reader = Reader(explainer.model, explainer.tokenizer, None, "truncate")
    texts = short_texts(options.dataset, options.data_dir, options.limit)
    questions = [reader.ask(text, None, "word").questions[0] for text in texts]
    goals = [own.goal for own in resolve(explainer.model, explainer.tokenizer, reader.task, questions)]
    tables = [ask_all(explainer, reader, question, goal) for question, goal in zip(questions, goals, strict=True)]
    kept = [n for n, (leaders, _) in enumerate(tables) if LEAST <= len(leaders) <= MOST]  # punctuation may be words
    print(f"{len(kept)} of {len(texts)} texts", flush=True)
    every = json.loads(options.out.read_text()) if options.out.is_file() else {}
    entry: dict[str, Any] = every.setdefault(f"{Path(options.model).name} {options.dataset}", {"methods": {}})
    if entry.setdefault("texts", len(kept)) != len(kept):
        parser.error(f"{options.out} holds figures of {entry['texts']} texts, not of {len(kept)}")
    for method in options.methods:
        found = Explainer(explainer.model, explainer.tokenizer, method, explainer.prior)(
            [texts[n] for n in kept], unit_of="word"
        )
        rows = []
        for n, own in zip(kept, found, strict=True):
            leaders, odds = tables[n]
            number = {place: word for word, place in enumerate(leaders)}
            order = [number[place] for place in own.ranking if place in number]
            scores = np.array([sum(own.scores[list(unit)]) for unit in questions[n].units])
            rows.append(judge(odds, order, scores))
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        entry["methods"][method] = {
            name: [float(own.mean()), *bootstrap_interval(own)] for name, own in columns.items()
        }
        print(method, {name: round(own[0], 3) for name, own in entry["methods"][method].items()}, flush=True)
    options.out.write_text(json.dumps(every, indent=1) + "\n")


if __name__ == "__main__":
    main()
