"""Summaries of runs to draw: built by hand in the saved form, no run needed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from narrows.data.schema import ComparisonDict, MethodSummary, RunSummary

# Name, label, how good it is, forward-equivalents.
METHODS = (
    ("fast", "Evidence (fast)", 0.95, 60.0),
    ("paper", "IBA (paper)", 0.72, 66.7),
    ("released", "IBA (released code)", 0.5, 33.3),
    ("ig", "IG", 0.85, 20.0),
    ("ig:steps=50", "IG, steps 50", 0.9, 100.0),
    ("layer_ig", "layer IG", 0.93, 10.5),
    ("gradient_x_input", "gradient x input", 0.4, 2.0),
    ("saliency", "saliency (L2)", 0.55, 2.0),
    ("lime", "LIME", 0.88, 100.0),
    ("kernel_shap", "KernelSHAP", 0.8, 200.0),
    ("occlusion", "occlusion", 0.82, 24.0),
    ("random", "random", 0.04, 0.0),
)
DATASETS = {"imdb": 0.3, "mnli_matched": 0.38, "mnli_mismatched": 0.36, "ag_news": 0.23, "rte": 0.1}


def method(name: str, label: str, drop: float, forwards: float, **changes: Any) -> MethodSummary:
    """A method whose curve falls by ``drop`` at the first point and goes on falling to 0.3."""
    morf = [0.92, *(0.3 + (0.62 - drop) * (1 - step / 9) ** 1.5 * 1.1 for step in range(1, 10))]
    morf[1] = 0.92 - drop
    lerf = [0.92 - 0.62 * (step / 9) ** (2 + 6 * drop) for step in range(10)]
    rated = name.startswith(("fast", "complete", "paper", "released"))
    made: MethodSummary = {
        "name": name,
        "label": label,
        "unit": "bits",
        "signed": True,
        "drop_11": drop,
        "drop_11_interval": [drop - 0.03, drop + 0.035],
        "drops": {"5": drop / 2, "11": drop, "20": 1.3 * drop, "33": 1.5 * drop, "50": 1.6 * drop},
        "drops_interval": {share: [drop - 0.03, drop + 0.03] for share in ("5", "11", "20", "33", "50")},
        "area_morf": sum(morf) / 10,
        "area_morf_interval": [sum(morf) / 10 - 0.02, sum(morf) / 10 + 0.02],
        "area_lerf": sum(lerf) / 10,
        "area_lerf_interval": [sum(lerf) / 10 - 0.02, sum(lerf) / 10 + 0.02],
        "comprehensiveness": drop + 0.1,
        "sufficiency": 0.3 - drop / 2,
        "flips": min(1.0, 1.2 * drop),
        "curve_morf": morf,
        "curve_lerf": lerf,
        "rate_bits": [10.0 * 8**point for point in range(4)] if rated else [],
        "rate_probability": [0.5, 0.7, 0.85, 0.92] if rated else [],
        "rate_interval": [[p - 0.02, p + 0.02] for p in (0.5, 0.7, 0.85, 0.92)] if rated else [],
        "normalized": [(value - 0.25) / (0.92 - 0.25) for value in morf],
        "seconds": forwards / 100,
        "forward_equivalents": forwards,
        "instances": 500,
        "method": {
            "name": name.partition(":")[0],
            "settings": {},
            "label": label,
            "quantity": "score",
            "unit": "bits",
            "signed": True,
            "additive": False,
            "caption": f"A score of {label}.",
            "how": "",
        },
    }
    made.update(changes)  # type: ignore[typeddict-item]
    return made


def run(dataset: str, methods: Sequence[MethodSummary], **changes: Any) -> RunSummary:
    pairs = combinations(methods, 2)
    comparisons: list[ComparisonDict] = [
        {
            "method": one["name"],
            "other": other["name"],
            "measure": measure,
            "difference": difference,
            "interval": [difference - 0.02, difference + 0.02],
            "win_rate": 0.5 + difference,
        }
        for one, other in pairs
        for measure, difference in (
            ("drop_11", one["drop_11"] - other["drop_11"]),
            ("area_morf", other["area_morf"] - one["area_morf"]),
        )
    ]
    made: RunSummary = {
        "dataset": dataset,
        "split": "test",
        "instances": 500,
        "target": "gold",
        "left_out": 0,
        "unit_of": "token",
        "removal": "delete",
        "model": "sentiment",
        "max_tokens": None,
        "methods": {own["name"]: own for own in methods},
        "comparisons": comparisons,
        "narrows_version": "0.1.0",
    }
    made.update(changes)  # type: ignore[typeddict-item]
    return made


def runs(methods: int = len(METHODS), datasets: int = len(DATASETS)) -> list[RunSummary]:
    """Runs on the first data sets, of the first methods and of random."""
    chosen = [*METHODS[: methods - 1], METHODS[-1]] if methods > 1 else [METHODS[0]]
    return [
        run(dataset, [method(name, label, scale * good, forwards) for name, label, good, forwards in chosen])
        for dataset, scale in list(DATASETS.items())[:datasets]
    ]


def sweep(parameter: str, values: Sequence[float], datasets: int = 2) -> tuple[list[RunSummary], dict[str, float]]:
    """Runs of one method at several layers or betas, and of random; and the value of each method."""
    names = {f"paper:{parameter}={value}": value for value in values}
    found = []
    for number, dataset in enumerate(list(DATASETS)[:datasets]):
        drops = [0.1 + 0.3 * ((place + number) % len(values)) / len(values) for place in range(len(values))]
        methods = [method(name, name, drop, 60.0) for name, drop in zip(names, drops, strict=True)]
        found.append(run(dataset, [*methods, method("random", "random", 0.02, 0.0)]))
    return found, names
