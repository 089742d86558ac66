"""ProxySPEX (Butler et al. 2025) by the package shapiq: boosted trees fitted to p(target) of texts with tokens gone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from narrows.methods.method import Batch, Scores, in_rows
from narrows.methods.perturbation import find_removable, predict_present


def proxyspex(budget: int) -> Callable[[Batch], Sequence[Scores]]:
    """Score tokens by their Shapley values in the proxy, from so many evaluations."""

    def explain(batch: Batch) -> Sequence[Scores]:
        units = find_removable(batch, "delete")
        values = [_values(batch, row, len(own), budget) for row, own in enumerate(units)]
        return in_rows(batch, units, values)

    return explain


def _values(batch: Batch, row: int, players: int, budget: int) -> Scores:
    from shapiq import ProxySPEX  # type: ignore[import-not-found]

    def game(coalitions: np.ndarray) -> Scores:
        return predict_present(batch, [row] * len(coalitions), coalitions.astype(bool), "delete")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        proxy = ProxySPEX(n=players, index="SV", max_order=1, random_state=int(batch.generator(0, row).integers(2**31)))
        found = proxy.approximate(budget, game)
    return np.asarray(found.get_n_order_values(1), dtype=np.float64)
