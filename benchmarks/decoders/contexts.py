"""Which parts of a context did a response rest on? Methods against random ablations, as ContextCite is tested.

For each context of `natural.contexts`, the model is asked for the probability of its own response with random halves of
the units left out (Cohen-Wang et al. 2024); the log-odds are kept in OUT/ablations.jsonl, and serve all methods. Then

- `drops`: by how much the log-probability of the response falls without the k units of the highest scores, k = 1, 3, 5;
- `lds`: Spearman's correlation of the sum of the scores of the units that stay with the log-odds of the response, over
  64 ablations that no method saw.

Methods: `leave_one_out`; `lasso:32`, `lasso:64`, ...: a sparse linear model of the log-odds, fitted to so many of the
ablations; any other name is a method of Narrows, whose scores are summed by unit. Resumes where it was killed.

    python benchmarks/decoders/contexts.py --model FOLDER --prompts DIR/context-test.jsonl --prior prior.safetensors \
        --methods leave_one_out lasso:32 lasso:64 lasso:256 fast best random --ablations 256 --out RUNS
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from keep import PromptRow, Reader
from lines import append, mend
from measure import load_prior, strict, touching
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.linear_model import Lasso
from sklearn.preprocessing import StandardScaler
from units import Array, leave_one_out, log_p

from narrows import Explainer, Prior
from narrows.evaluation import cost

KEPT = 0.5
HELD_OUT = 64
TOP = (1, 3, 5)
LASSO_ALPHA = 0.01  # on standardised log-odds, as ContextCite has it


@dataclass(frozen=True)
class Ablations:
    """Random halves of a context, and what the model makes of them.

    Attributes:
        kept: Which units stay, (ablations, units); the first `HELD_OUT` are for testing only.
        log_odds: Of the response, (ablations,).
    """

    kept: NDArray[np.bool_]
    log_odds: Array


def log_odds(log_probability: Array) -> Array:
    """Turn log p into log p / (1 - p)."""
    return log_probability - np.log(-np.expm1(np.minimum(log_probability, -1e-12)))


def ablate(reader: Reader, row: PromptRow, count: int) -> Ablations:
    """Draw halves of a context, the same for all methods, and ask the model."""
    draw = np.random.default_rng(list(row["id"].encode()))
    kept = draw.random((HELD_OUT + count, len(row["units"]))) < KEPT
    return Ablations(kept, log_odds(log_p(reader, row, kept.tolist())))


def lasso(ablations: Ablations, count: int) -> Array:
    """Fit a sparse linear model of the log-odds to the first ablations that are not held out, (units,)."""
    kept, values = ablations.kept[HELD_OUT:][:count], ablations.log_odds[HELD_OUT:][:count]
    if len(kept) < count:
        raise SystemExit(f"lasso:{count} needs --ablations {count}")
    inputs, outputs = StandardScaler(), StandardScaler()
    x, y = inputs.fit_transform(kept.astype(float)), outputs.fit_transform(values[:, None])[:, 0]
    fitted = Lasso(alpha=LASSO_ALPHA).fit(x, y)
    return np.asarray(fitted.coef_ * outputs.scale_ / inputs.scale_)


def by_unit(explainer: Explainer, row: PromptRow) -> Array:
    """Sum the scores that a method of Narrows gives the tokens of each unit, (units,)."""
    (found,) = strict([explainer(row["prompt"], target=row["response_ids"])])
    own = {place for place, segment in enumerate(found.segments) if segment == 0}  # not those of the response
    return np.array([found.scores[sorted(touching(found, span) & own)].sum() for span in row["units"]])


def assess(reader: Reader, row: PromptRow, scores: Array, ablations: Ablations) -> dict[str, Any]:
    """Test the scores of units: `drops` and `lds`; a constant prediction has a correlation of 0.

    Args:
        reader: The model.
        row: The context.
        scores: One per unit.
        ablations: Of it.

    Returns:
        The figures.
    """
    order = np.argsort(-scores, kind="stable")
    gone = [[unit not in order[:k] for unit in range(len(order))] for k in (0, *TOP)]
    whole, *without = log_p(reader, row, gone).tolist()
    predicted = ablations.kept[:HELD_OUT] @ scores
    constant = np.ptp(predicted) == 0
    lds = 0.0 if constant else float(spearmanr(predicted, ablations.log_odds[:HELD_OUT]).statistic)
    drops = {str(k): whole - left for k, left in zip(TOP, without, strict=True)}
    first = None if row["unit"] is None else int((scores > scores[row["unit"]]).sum()) + 1
    return {"lds": lds, "drops": drops, "unit_rank": first, "units": len(scores), "scores": scores.round(5).tolist()}


def explain(reader: Reader, row: PromptRow, method: str, prior: Prior, ablations: Ablations) -> dict[str, Any]:
    """Score the units of a context by a method, with the cost: seconds, and passes per context."""
    with cost.measured(reader.model) as spent:
        if method == "leave_one_out":
            scores = leave_one_out(reader, row)
        elif method.startswith("lasso:"):
            scores = lasso(ablations, int(method.removeprefix("lasso:")))
        else:
            scores = by_unit(Explainer(reader.model, reader.tokenizer, method, prior), row)
    costs: dict[str, float | None] = {"forward_equivalents": spent.forward_equivalents, "seconds": spent.seconds}
    if method.startswith("lasso:"):  # the ablations were run before
        costs = {"forward_equivalents": float(method.removeprefix("lasso:")), "seconds": None}
    return {**costs, **assess(reader, row, scores, ablations)}


def load_ablations(reader: Reader, rows: Sequence[PromptRow], path: Path, count: int) -> dict[str, Ablations]:
    """Read the ablations of contexts, and run those that are not there yet."""
    known = {line["id"]: line for line in mend(path) if len(line["kept"]) >= HELD_OUT + count}
    todo, began = [row for row in rows if row["id"] not in known], time.monotonic()
    for number, row in enumerate(todo, start=1):
        made = ablate(reader, row, count)
        line = {"id": row["id"], "kept": made.kept.astype(int).tolist(), "log_odds": made.log_odds.tolist()}
        known[row["id"]] = line
        append(path, line)
        left = (time.monotonic() - began) / number * (len(todo) - number)
        print(f"ablations: {number} of {len(todo)} contexts, {left / 60:.1f} min left", flush=True)
    return {
        row["id"]: Ablations(np.array(known[row["id"]]["kept"], dtype=bool), np.array(known[row["id"]]["log_odds"]))
        for row in rows
    }


def main() -> None:
    """Run the methods over contexts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, required=True, help="file of contexts that prompts.py wrote")
    parser.add_argument("--prior", type=Path, required=True, help="estimated if there is no such file")
    parser.add_argument("--data-dir", type=Path, help="to estimate the prior")
    parser.add_argument("--methods", nargs="+", required=True)
    parser.add_argument("--ablations", type=int, default=64, help="random ones to fit to, beside those held out")
    parser.add_argument("--limit", type=int, help="take the first so many contexts")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    reader, rows = Reader.load(options.model), mend(options.prompts)[: options.limit]
    prior = load_prior(options.prior, reader, options.data_dir)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / options.prompts.name
    ablations = load_ablations(reader, rows, options.out / "ablations.jsonl", options.ablations)
    done = {(line["method"], line["id"]) for line in mend(path)}
    for method in options.methods:
        todo, began = [row for row in rows if (method, row["id"]) not in done], time.monotonic()
        for number, row in enumerate(todo, start=1):
            line = explain(reader, row, method, prior, ablations[row["id"]])
            append(path, {"method": method, "id": row["id"], "kind": row["kind"], **line})
            left = (time.monotonic() - began) / number * (len(todo) - number)
            print(f"{method}: {number} of {len(todo)} contexts, {left / 60:.1f} min left", flush=True)


if __name__ == "__main__":
    main()
