"""How far to trust attributions: tests of what a method returned, whichever method it is."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narrows.evaluation.ceiling import WorstRemoval, find_worst_removals
    from narrows.evaluation.cost import Cost, measured
    from narrows.evaluation.degradation import Curves, degrade
    from narrows.evaluation.rationales import agreement, read_eraser
    from narrows.evaluation.sanity import cascade, seed_stability
    from narrows.evaluation.statistics import Comparison, bootstrap_interval, kendall_tau, paired_bootstrap

_HOME = {
    "Comparison": "statistics",
    "Cost": "cost",
    "Curves": "degradation",
    "WorstRemoval": "ceiling",
    "agreement": "rationales",
    "bootstrap_interval": "statistics",
    "cascade": "sanity",
    "degrade": "degradation",
    "find_worst_removals": "ceiling",
    "kendall_tau": "statistics",
    "measured": "cost",
    "paired_bootstrap": "statistics",
    "read_eraser": "rationales",
    "seed_stability": "sanity",
}

__all__ = [  # noqa: RUF022 - in the order in which a reader meets them
    "degrade",
    "Curves",
    "bootstrap_interval",
    "paired_bootstrap",
    "Comparison",
    "kendall_tau",
    "find_worst_removals",
    "WorstRemoval",
    "cascade",
    "seed_stability",
    "read_eraser",
    "agreement",
    "measured",
    "Cost",
]


def __getattr__(name: str) -> Any:
    """Import a name when it is used."""
    if name not in _HOME:
        raise AttributeError(f"module 'narrows.evaluation' has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
