"""How far to trust attributions: tests of what a method returned, whichever method it is."""

from narrows.evaluation.ceiling import WorstRemoval, find_worst_removals
from narrows.evaluation.cost import Cost, measured
from narrows.evaluation.degradation import Curves, degrade
from narrows.evaluation.rationales import agreement, read_eraser
from narrows.evaluation.sanity import cascade, seed_stability
from narrows.evaluation.statistics import Comparison, bootstrap_interval, kendall_tau, paired_bootstrap

__all__ = ["Comparison", "Cost", "Curves", "WorstRemoval", "agreement", "bootstrap_interval", "cascade", "degrade"]
__all__ += ["find_worst_removals", "kendall_tau", "measured", "paired_bootstrap", "read_eraser", "seed_stability"]
