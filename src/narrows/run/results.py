"""Reading the results of an evaluation back, and summing them up: figures and tables are made of these files alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from narrows import __version__
from narrows.bottleneck.trace import Trace, make_trace, mean_rate_curve
from narrows.data.schema import MethodSummary, RunSummary
from narrows.errors import DataError
from narrows.evaluation.degradation import Array, Curves
from narrows.evaluation.metrics import area, comprehensiveness, drop, flips, normalized, sufficiency
from narrows.evaluation.statistics import bootstrap_interval, paired_bootstrap
from narrows.run.evaluate import INSTANCES, METHODS, part_path, split_parts
from narrows.run.store import MANIFEST, Json, read_json, read_part, write_json

SUMMARY = "summary.json"
LABELS = {
    "random": "random",
    "narrows": "Narrows",
    "iba": "IBA (paper)",
    "iba_released": "IBA (released code)",
    "ig": "IG",
    "layer_ig": "layer IG",
    "gradient_x_input": "gradient x input",
    "saliency": "saliency (L2)",
    "gradient_shap": "GradientSHAP",
    "lime": "LIME",
    "kernel_shap": "KernelSHAP",
    "occlusion": "occlusion",
    "rollout": "attention rollout",
    "update_norm": "update norm",
    "file": "file",
}


@dataclass(frozen=True)
class Results:
    """The folder of an evaluation, read.

    Attributes:
        folder: Where it lies.
        manifest: What the results are of.
        methods: Method names in the order in which they were asked for, with their name in the registry and options.
        removals: The ways in which tokens were removed.
        instances: One row per text.
    """

    folder: Path
    manifest: Json
    methods: dict[str, Json]
    removals: tuple[str, ...]
    instances: list[Json]

    @classmethod
    def read(cls, folder: Path) -> Results:
        """Read what all methods share.

        Args:
            folder: Of the run.

        Returns:
            The results.

        Raises:
            DataError: If it is no folder of a run, or damaged.
        """
        manifest = read_json(folder / MANIFEST)
        entered = read_json(folder / METHODS)
        methods = {entry["name"]: entry for entry in entered["methods"]}
        return cls(folder, manifest, methods, tuple(entered["removals"]), read_part(folder / INSTANCES))

    @property
    def parts(self) -> list[list[int]]:
        """Ids of the texts of each part."""
        return split_parts([len(row["tokens"]) for row in self.instances], self.manifest["batch_size"])

    def is_complete(self, name: str, removal: str) -> bool:
        """Tell whether a method has been degraded on all texts.

        Args:
            name: The method.
            removal: How tokens were removed.

        Returns:
            True if all of its parts are there.
        """
        kind = f"curves/{removal}"
        return all(part_path(self.folder, kind, name, part).exists() for part in range(len(self.parts)))

    def maps(self, name: str) -> list[Array]:
        """Read the maps of a method.

        Args:
            name: The method.

        Returns:
            Scores of each text, (tokens,) each, in the order of the instances.
        """
        return [np.array(row["scores"]) for row in self._rows("maps", name)]

    def traces(self, name: str) -> list[Trace]:
        """Read the traces of a bottleneck.

        Args:
            name: The method.

        Returns:
            One per text, in the order of the instances; empty where the method, or an earlier version, left none.
        """
        rows = self._rows("maps", name)
        return [make_trace(row.get("cross_entropy", ()), row.get("information", ())) for row in rows]

    def curves(self, name: str, removal: str) -> Curves:
        """Read the degradation curves of a method.

        Args:
            name: The method.
            removal: How tokens were removed.

        Returns:
            The curves, rows in the order of the instances.
        """
        rows = self._rows(f"curves/{removal}", name)
        columns = ("morf", "lerf", "morf_decisions", "lerf_decisions")
        return Curves(*(np.array([row[column] for row in rows]) for column in columns))

    def cost(self, name: str) -> tuple[float, float]:
        """Add up what the maps of a method cost.

        Args:
            name: The method.

        Returns:
            Seconds and forward-equivalents per text.
        """
        paths = [part_path(self.folder, "maps", name, part) for part in range(len(self.parts))]
        spent = [read_json(path.with_suffix(".cost.json")) for path in paths]
        texts = sum(part["instances"] for part in spent)
        return tuple(sum(part[what] for part in spent) / texts for what in ("seconds", "forward_equivalents"))

    def _rows(self, kind: str, name: str) -> list[Json]:
        rows = {}
        for part in range(len(self.parts)):
            rows.update({row["id"]: row for row in read_part(part_path(self.folder, kind, name, part))})
        if len(rows) != len(self.instances):
            raise DataError(f"{self.folder}: {kind} of {name} covers {len(rows)} of {len(self.instances)} texts")
        return [rows[number] for number in range(len(self.instances))]


def label(name: str, options: Json) -> str:
    """Name a method for a figure.

    Args:
        name: In the registry.
        options: What differs from its defaults.

    Returns:
        For instance ``IG, steps 50``.

    Example:
        >>> label("ig", {"steps": 50})
        'IG, steps 50'
    """
    return ", ".join([LABELS.get(name, name), *(f"{key} {value}" for key, value in options.items())])


def summarize(results: Results, removal: str | None = None) -> RunSummary:
    """Sum up a run; methods that are not yet done are left out.

    Args:
        results: The run.
        removal: How tokens were removed; None = in the first way that the run was asked for.

    Returns:
        The summary, as it is saved.

    Raises:
        DataError: If no method is done, or tokens were not removed so.
    """
    chosen = results.removals[0] if removal is None else removal
    if chosen not in results.removals:
        raise DataError(f"{results.folder}: tokens were removed by {', '.join(results.removals)}, not {chosen!r}")
    done = [name for name in results.methods if results.is_complete(name, chosen)]
    if not done:
        raise DataError(f"{results.folder}: no method is done yet; run narrows evaluate again to go on")
    curves = {name: results.curves(name, chosen) for name in done}
    steps = normalized({name: own.morf.mean(axis=0) for name, own in curves.items()})
    manifest = results.manifest
    return {
        "dataset": manifest["dataset"],
        "split": manifest["split"],
        "instances": len(results.instances),
        "target": manifest["target"],
        "removal": chosen,
        "model": manifest["model"]["name"],
        "max_tokens": manifest["max_tokens"],
        "methods": {name: _method(results, name, curves[name], steps[name]) for name in done},
        "comparisons": _comparisons(curves),
        "narrows_version": __version__,
    }


def write_summary(folder: Path) -> RunSummary:
    """Sum up a run and save it as summary.json.

    Args:
        folder: Of the run.

    Returns:
        The summary.
    """
    results = Results.read(folder)
    summary = summarize(results)
    content: dict[str, Any] = dict(summary)
    others = [removal for removal in results.removals if removal != summary["removal"]]
    done = [removal for removal in others if any(results.is_complete(name, removal) for name in results.methods)]
    content["other_removals"] = {removal: summarize(results, removal)["methods"] for removal in done}
    content["incomplete"] = unfinished(results, summary)
    write_json(folder / SUMMARY, content)
    return summary


def unfinished(results: Results, summary: RunSummary) -> list[str]:
    """Name the methods that a run was asked for and that are not done yet.

    Args:
        results: The run.
        summary: Of what is done.

    Returns:
        Their names, in the order in which they were asked for.
    """
    return [name for name in results.methods if name not in summary["methods"]]


def _method(results: Results, name: str, curves: Curves, steps: Array) -> MethodSummary:
    entry = results.methods[name]
    seconds, forwards = results.cost(name)
    rate = mean_rate_curve(results.traces(name))
    measures = {"drop_11": drop(curves.morf), "area_morf": area(curves.morf), "area_lerf": area(curves.lerf)}
    intervals = {measure: list(bootstrap_interval(values)) for measure, values in measures.items()}
    return {
        "name": name,
        "label": label(entry["method"], entry["options"]),
        "drop_11": float(measures["drop_11"].mean()),
        "drop_11_interval": intervals["drop_11"],
        "area_morf": float(measures["area_morf"].mean()),
        "area_morf_interval": intervals["area_morf"],
        "area_lerf": float(measures["area_lerf"].mean()),
        "area_lerf_interval": intervals["area_lerf"],
        "comprehensiveness": float(comprehensiveness(curves.morf).mean()),
        "sufficiency": float(sufficiency(curves.lerf).mean()),
        "flips": float(flips(curves.morf_decisions).mean()),
        "curve_morf": curves.morf.mean(axis=0).tolist(),
        "curve_lerf": curves.lerf.mean(axis=0).tolist(),
        "rate_bits": [point.bits for point in rate],
        "rate_probability": [point.probability for point in rate],
        "normalized": [float(value) if np.isfinite(value) else None for value in steps],  # JSON has no NaN
        "seconds": seconds,
        "forward_equivalents": forwards,
        "instances": len(curves.morf),
    }


def _comparisons(curves: dict[str, Curves]) -> list[Any]:
    """Compare every two methods on the same texts: a higher drop and a lower area are better."""
    found = []
    for (one, its), (other, theirs) in combinations(curves.items(), 2):
        for measure, a, b in (
            ("drop_11", drop(its.morf), drop(theirs.morf)),
            ("area_morf", -area(its.morf), -area(theirs.morf)),
        ):
            paired = paired_bootstrap(a, b)
            found.append(
                {
                    "method": one,
                    "other": other,
                    "measure": measure,
                    "difference": paired.difference,
                    "interval": list(paired.interval),
                    "win_rate": paired.win_rate,
                }
            )
    return found
