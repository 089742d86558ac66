"""Soak: threads that explain and threads that predict, on one model, for minutes, against the same one after the other.

    python benchmarks/soak.py --minutes 10 --threads 4

So many threads explain and as many predict with the plain model. Every result is compared with the one computed
before, alone: predictions bit by bit, maps up to rounding, since texts of a list may share other batches. Counts and
differences are printed; the exit status is 1 if there is any error or difference, or if the model was altered.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows import Attribution, Explainer

TEXTS = (
    "A gorgeous, witty film.",
    "Dull and far too long, I left early.",
    "The plot is thin, but the acting is superb.",
    "An utter waste of a talented cast and two hours of my life.",
    "Good.",
)
METHODS = (
    "fast",
    "best",
    "paper:steps=3:samples=2",
    "ig:steps=5",
    "gradient_shap",
    "kernel_shap:samples=20",
    "rollout",
)
RTOL, ATOL = 1e-3, 1e-4  # of scores of some bits, computed in float32
SHOWN = 5  # tracebacks


class Tally:
    """Counts what all threads did."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, what: str, trouble: str | None = None) -> None:
        """Count something, and show the first few troubles."""
        with self._lock:
            self.counts[what] += 1
            if trouble is not None and self.counts[what] <= SHOWN:
                print(f"{what}: {trouble}", file=sys.stderr, flush=True)


def state(model: torch.nn.Module) -> list[Any]:
    """List what could be left behind."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    modules = [(m.training, sorted(vars(m)), *(len(vars(m)[name]) for name in names)) for m in model.modules()]
    return [modules, [parameter.requires_grad for parameter in model.parameters()], str(getattr(model, "config", None))]


def same(found: Sequence[Attribution], expected: Sequence[Attribution]) -> bool:
    """Tell whether maps agree up to rounding."""
    pairs = list(zip(found, expected, strict=True))
    close = all(np.allclose(own.scores, other.scores, rtol=RTOL, atol=ATOL) for own, other in pairs)
    return close and all((own.text, own.predicted) == (other.text, other.predicted) for own, other in pairs)


def soak(minutes: float, threads: int) -> Tally:
    """Run all threads for some minutes."""
    base = Explainer.from_pretrained("sentiment", device="cpu")
    model, tokenizer, tally = base.model, base.tokenizer, Tally()
    explainers = [Explainer(model, tokenizer, method, base.prior) for method in METHODS]
    inputs = [dict(tokenizer(text, return_tensors="pt")) for text in TEXTS]

    def predict(place: int) -> Tensor:
        with torch.no_grad():
            logits: Tensor = model(**inputs[place]).logits
        return logits

    predicted = [predict(place) for place in range(len(TEXTS))]
    alone = [[explainer(text) for text in TEXTS] for explainer in explainers]
    before, end = state(model), time.monotonic() + minutes * 60
    together = threading.Barrier(2 * threads)

    def explain_one(turn: int) -> bool:
        method, place = turn % len(METHODS), turn % len(TEXTS)
        if turn % 4 == 0:
            return same(explainers[method](list(TEXTS)), alone[method])
        return same([explainers[method](TEXTS[place])], [alone[method][place]])

    def predict_one(turn: int) -> bool:
        place = turn % len(TEXTS)
        if turn % 10 == 0:
            fresh = tokenizer(TEXTS[place], padding="max_length", max_length=64, return_tensors="pt")
            return bool(fresh["input_ids"].shape == (1, 64))
        return torch.equal(predict(place), predicted[place])

    def work(what: str, first: int, one: Callable[[int], bool]) -> None:
        together.wait()
        for turn in itertools.count(first):
            if time.monotonic() > end:
                return
            try:
                right = one(turn)
            except Exception:
                tally.add(f"{what} errors", traceback.format_exc())
            else:
                tally.add(f"{what} right" if right else f"{what} wrong", None if right else f"turn {turn}")

    with ThreadPoolExecutor(2 * threads) as pool:
        works = [("explanations", explain_one), ("predictions", predict_one)]
        for number, (what, one) in itertools.product(range(threads), works):
            pool.submit(work, what, 17 * number, one)
    if state(model) != before:
        tally.add("model altered", "flags, hooks, forwards or the configuration are not what they were")
    return tally


def main() -> int:
    """Soak and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=4, help="that explain, and as many that predict")
    args = parser.parse_args()
    torch.set_num_threads(1)
    sys.setswitchinterval(1e-4)
    counts = soak(args.minutes, args.threads).counts
    names = [f"{what} {how}" for what in ("explanations", "predictions") for how in ("right", "wrong", "errors")]
    for name in (*names, "model altered"):
        print(f"{name:20}{counts[name]:>9,}")
    works = counts["explanations right"] and counts["predictions right"]
    return 0 if works and set(counts) <= {"explanations right", "predictions right"} else 1


if __name__ == "__main__":
    sys.exit(main())
