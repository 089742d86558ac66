"""The results of an evaluation, read back and summed up: figures and tables are made from these files alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from narrows import __version__
from narrows.bottleneck.trace import Trace, make_trace, mean_rate_curve
from narrows.data.output import read_json, write_json
from narrows.data.parquet import TRACE, read_rows
from narrows.data.schema import ComparisonDict, MethodSummary, RunSummary
from narrows.errors import DataError
from narrows.evaluation.degradation import Array, Curves
from narrows.evaluation.metrics import area, comprehensiveness, drop, drops, flips, normalized, sufficiency
from narrows.evaluation.statistics import bootstrap_interval, paired_bootstrap
from narrows.run.evaluating import METHODS, curve_file, maps_folder
from narrows.run.parts import check_part, cost_file, part_file
from narrows.run.store import MANIFEST, Json

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Results:
    """The folder of an evaluation."""

    folder: Path  # its place
    manifest: Json  # what the results are of
    methods: dict[str, Json]  # by spec, what each method is (a `MethodDict`), in the order in which they were added
    removals: tuple[str, ...]  # the ways in which tokens were removed

    @classmethod
    def read(cls, folder: str | Path) -> Results:
        """Read what all methods share; a `DataError` if it is not the folder of an evaluation."""
        folder = Path(folder)
        manifest, entered = read_json(folder / MANIFEST), read_json(folder / METHODS)
        methods = {entry["spec"]: entry for entry in entered["methods"]}
        return cls(folder, manifest, methods, tuple(entered["removals"]))

    @property
    def instances(self) -> int:
        """The number of texts."""
        return int(self.manifest["instances"])

    @property
    def parts(self) -> range:
        """The numbers of the parts of each method."""
        return range(-(-self.instances // self.manifest["rows_per_part"]))

    def is_complete(self, name: str, removal: str) -> bool:
        """Tell whether all curves of a method are there."""
        return all(curve_file(self.folder, removal, name, part).exists() for part in self.parts)

    def rows(
        self, name: str, columns: Sequence[str] | None = None, parts: Sequence[int] | None = None
    ) -> Iterator[Json]:
        """Stream the rows that the run of a method wrote, of all texts in their order, or of some parts."""
        folder = maps_folder(self.folder, name)
        return _rows(lambda part: part_file(folder, part), self.parts if parts is None else parts, columns)

    def traces(self, name: str) -> list[Trace]:
        """Read the trace of each text, in the order of the texts; empty ones if the method leaves none."""
        columns = tuple(TRACE.values())
        return [make_trace(*(row[column] or () for column in columns)) for row in self.rows(name, columns)]

    def curves(self, name: str, removal: str) -> Curves:
        """Read the degradation curves of a method, in the order of the texts."""
        columns = list(Curves.__annotations__)
        rows = list(_rows(lambda part: curve_file(self.folder, removal, name, part), self.parts, columns))
        if len(rows) != self.instances:
            raise DataError(f"{self.folder}: curves of {name} for {len(rows)} of {self.instances} texts")
        return Curves(*(np.array([row[column] for row in rows]) for column in columns))

    def cost(self, name: str) -> tuple[float, float]:
        """Compute the cost of a method: seconds and forward-equivalents per text."""
        folder = maps_folder(self.folder, name)
        spent = [read_json(cost_file(folder, part)) for part in self.parts]
        texts = sum(part["texts"] for part in spent)
        seconds, forwards = (sum(part[what] for part in spent) / texts for what in ("seconds", "forward_equivalents"))
        return seconds, forwards


def summarize(results: Results, removal: str | None = None) -> RunSummary:
    """Sum up an evaluation; methods that are not finished are left out.

    Args:
        results: The evaluation.
        removal: How tokens were removed; None = the first way of the evaluation.

    Returns:
        The summary, as it is saved.

    Raises:
        DataError: If no method is finished, or tokens were not removed in this way.
    """
    chosen = results.removals[0] if removal is None else removal
    if chosen not in results.removals:
        raise DataError(f"{results.folder}: tokens were removed by {', '.join(results.removals)}, not {chosen!r}")
    done = [name for name in results.methods if results.is_complete(name, chosen)]
    if not done:
        raise DataError(f"{results.folder}: no method is finished; run narrows evaluate again to resume")
    curves = {name: results.curves(name, chosen) for name in done}
    scaled = normalized({name: own.morf.mean(axis=0) for name, own in curves.items()})
    manifest = results.manifest
    return {
        **{name: manifest[name] for name in ("dataset", "split", "instances", "target", "max_tokens")},  # type: ignore[typeddict-item]
        "removal": chosen,
        "model": manifest["model"]["name"],
        "methods": {name: _summarize_method(results, name, curves[name], scaled[name]) for name in done},
        "comparisons": _compare(curves),
        "narrows_version": __version__,
    }


def write_summary(folder: str | Path) -> RunSummary:
    """Sum up an evaluation, and write ``summary.json`` into its folder.

    Args:
        folder: Of the evaluation.

    Returns:
        The summary for the first way of removing tokens; the file has the methods for the other ways too, under
        ``other_removals``, and the names of the unfinished ones under ``incomplete``.

    Raises:
        DataError: If it is not the folder of an evaluation, or no method is finished.
    """
    results = Results.read(folder)
    summary = summarize(results)
    others = [removal for removal in results.removals if removal != summary["removal"]]
    done = [removal for removal in others if any(results.is_complete(name, removal) for name in results.methods)]
    content: dict[str, Any] = {
        **summary,
        "other_removals": {removal: summarize(results, removal)["methods"] for removal in done},
        "incomplete": unfinished(results, summary),
    }
    write_json(results.folder / SUMMARY, content)
    return summary


def unfinished(results: Results, summary: RunSummary) -> list[str]:
    """Name the methods of an evaluation that its summary leaves out."""
    return [name for name in results.methods if name not in summary["methods"]]


def _summarize_method(results: Results, name: str, curves: Curves, scaled: Array) -> MethodSummary:
    about = {key: value for key, value in results.methods[name].items() if key not in ("spec", "files")}
    twins = [own for own in results.methods.values() if own["label"] == about["label"]]
    seconds, forwards = results.cost(name)
    rate = mean_rate_curve(results.traces(name))
    lost = drops(curves)
    measures = {"drop_11": drop(curves.morf), "area_morf": area(curves.morf), "area_lerf": area(curves.lerf)}
    intervals = {f"{measure}_interval": list(bootstrap_interval(values)) for measure, values in measures.items()}
    return {
        "name": name,
        "label": about["label"] if len(twins) == 1 else f"{about['label']} ({name})",  # fast and best are both evidence
        "unit": about["unit"],
        "signed": about["signed"],
        **{measure: float(values.mean()) for measure, values in measures.items()},  # type: ignore[typeddict-item]
        **intervals,
        "drops": {share: float(values.mean()) for share, values in lost.items()},
        "drops_interval": {share: list(bootstrap_interval(values)) for share, values in lost.items()},
        "comprehensiveness": float(comprehensiveness(curves.morf).mean()),
        "sufficiency": float(sufficiency(curves.lerf).mean()),
        "flips": float(flips(curves.morf_decisions).mean()),
        "curve_morf": curves.morf.mean(axis=0).tolist(),
        "curve_lerf": curves.lerf.mean(axis=0).tolist(),
        "rate_bits": [point.bits for point in rate],
        "rate_probability": [point.probability for point in rate],
        "rate_interval": [[point.low, point.high] for point in rate],
        "normalized": [float(value) if np.isfinite(value) else None for value in scaled],  # JSON has no NaN
        "seconds": seconds,
        "forward_equivalents": forwards,
        "instances": len(curves.morf),
        "method": about,
    }


def _compare(curves: dict[str, Curves]) -> list[ComparisonDict]:
    """Compare every two methods on the same texts: a higher drop and a lower area are better."""
    measures: dict[str, Callable[[Curves], Array]] = {
        "drop_11": lambda own: drop(own.morf),
        "area_morf": lambda own: -area(own.morf),
    }
    found: list[ComparisonDict] = []
    for (one, its), (other, theirs) in combinations(curves.items(), 2):
        for measure, compute in measures.items():
            paired = paired_bootstrap(compute(its), compute(theirs))
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


def _rows(file: Callable[[int], Path], parts: Sequence[int], columns: Sequence[str] | None) -> Iterator[Json]:
    for part in parts:
        check_part(file(part))
        yield from read_rows(file(part), columns)
