"""The results of an evaluation, read back and summed up: figures and tables are made from these files alone."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from types import NoneType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from narrows import __version__
from narrows.bottleneck.trace import Trace, make_trace, mean_rate_curve
from narrows.data.output import check_content, read_json, write_json
from narrows.data.parquet import TRACE, read_rows
from narrows.data.schema import ComparisonDict, MethodSummary, RunSummary
from narrows.errors import DataError, need
from narrows.evaluation.degradation import Array, Curves
from narrows.evaluation.metrics import area, comprehensiveness, drop, drops, flips, normalized, sufficiency
from narrows.evaluation.statistics import bootstrap_interval, paired_bootstrap
from narrows.methods.file import FromFile
from narrows.run.evaluating import METHODS, curve_file, maps_folder
from narrows.run.parts import check_part, cost_file, part_file
from narrows.run.store import MANIFEST, Json

SUMMARY = "summary.json"
SUMMED = ("dataset", "split", "target", "unit_of", "max_tokens")  # of the manifest, in the summary
SHAPE: dict[str, type | tuple[type, ...]] = {
    "dataset": str,
    "split": str,
    "instances": int,
    "target": str,
    "unit_of": str,
    "max_tokens": (int, NoneType),
    "rows_per_part": int,
    "model.name": str,
}
FRAME = (  # columns of a frame
    *("drop_11", "area_morf", "area_lerf", "comprehensiveness", "sufficiency", "flips"),
    *("seconds", "forward_equivalents", "instances"),
)
METHOD_SHAPE = ("method.spec", "method.label", "method.unit")


@dataclass(frozen=True)
class Results:
    """The folder of an evaluation."""

    folder: Path  # its place
    manifest: Json  # what the results are of
    methods: dict[str, Json]  # by spec, what each method is (a `MethodDict`), in the order in which they were added
    removals: tuple[str, ...]  # the ways in which tokens were removed

    @classmethod
    def read(cls, folder: str | Path) -> "Results":
        """Read what all methods share; a `DataError` if it is not the folder of an evaluation."""
        folder = Path(folder)
        manifest, entered = read_json(folder / MANIFEST), read_json(folder / METHODS)
        check_content(folder / MANIFEST, manifest, SHAPE)
        check_content(folder / METHODS, entered, {"methods": list, "removals": list})
        for method in entered["methods"]:
            check_content(folder / METHODS, {"method": method}, dict.fromkeys(METHOD_SHAPE, str))
        methods = {entry["spec"]: entry for entry in entered["methods"]}
        return cls(folder, manifest, methods, tuple(entered["removals"]))

    @property
    def parts(self) -> range:
        """The numbers of the parts of each method."""
        return range(-(-self.manifest["instances"] // self.manifest["rows_per_part"]))

    def is_complete(self, name: str, removal: str) -> bool:
        """Tell whether all curves of a method are there."""
        return all(path.exists() for path in self._curve_files(name, removal))

    def rows(self, name: str, parts: Iterable[int], columns: Sequence[str] | None = None) -> Iterator[Json]:
        """Stream the rows that the run of a method wrote into some parts."""
        return _rows([part_file(maps_folder(self.folder, name), part) for part in parts], columns)

    def traces(self, name: str) -> list[Trace]:
        """Read the trace of each text, in the order of the texts; empty ones if the method leaves none."""
        columns = tuple(TRACE.values())
        return [make_trace(*(row[column] or () for column in columns)) for row in self.rows(name, self.parts, columns)]

    def curves(self, name: str, removal: str) -> Curves:
        """Read the degradation curves of a method, in the order of the texts."""
        columns = list(Curves.__annotations__)
        rows, expected = list(_rows(self._curve_files(name, removal), columns)), self.manifest["instances"]
        if len(rows) != expected:
            raise DataError(f"{self.folder}: curves of {name} for {len(rows)} of {expected} texts")
        return Curves(*(np.array([row[column] for row in rows]) for column in columns))

    def cost(self, name: str) -> tuple[float, float] | tuple[None, None]:
        """Compute the cost of a method: seconds and forward-equivalents per text; None of scores made elsewhere."""
        if self.methods[name]["name"] in FromFile.names:
            return None, None
        files = [cost_file(maps_folder(self.folder, name), part) for part in self.parts]
        spent = [read_json(file) for file in files]
        for file, own in zip(files, spent, strict=True):
            check_content(file, own, {"texts": int, "seconds": (int, float), "forward_equivalents": (int, float)})
        texts = sum(own["texts"] for own in spent)
        return sum(own["seconds"] for own in spent) / texts, sum(own["forward_equivalents"] for own in spent) / texts

    def to_frame(self, removal: str | None = None) -> Any:
        """Give a pandas data frame, a row for each finished method: its measures, their bounds and what it costs."""
        pandas = need("pandas", "to_frame needs pandas: pip install pandas")
        found = summarize(self, removal)["methods"].values()
        rows = []
        for own in found:
            low, high = own["drop_11_interval"] or (None, None)
            facts = {name: own[name] for name in ("name", "label", *FRAME)}  # type: ignore[literal-required]
            rows.append({**facts, "drop_11_low": low, "drop_11_high": high})
        return pandas.DataFrame(rows)

    def _curve_files(self, name: str, removal: str) -> list[Path]:
        return [curve_file(self.folder, removal, name, part) for part in self.parts]


def summarize(results: "Results", removal: str | None = None) -> RunSummary:
    """Sum up the finished methods for one way of removing tokens; a `DataError` if there is none.

    None = the first way that has some.
    """
    if removal is not None and removal not in results.removals:
        raise DataError(f"{results.folder}: tokens were removed by {', '.join(results.removals)}, not {removal!r}")
    ways = results.removals if removal is None else [removal]
    finished = {way: [name for name in results.methods if results.is_complete(name, way)] for way in ways}
    chosen, done = next(((way, done) for way, done in finished.items() if done), ("", []))
    if not done:
        raise DataError(f"{results.folder}: no method is finished; run narrows evaluate again to resume")
    curves = {name: results.curves(name, chosen) for name in done}
    known = np.all([own.known for own in curves.values()], axis=0)
    if not known.any():
        raise DataError(f"{results.folder}: there is no text that all of {', '.join(done)} could explain")
    curves = {name: own.take(known) for name, own in curves.items()}
    scaled = normalized({name: own.morf.mean(axis=0) for name, own in curves.items()})
    manifest = results.manifest
    return {
        **{name: manifest[name] for name in SUMMED},  # type: ignore[typeddict-item]
        "instances": int(known.sum()),
        "left_out": int((~known).sum()),
        "removal": chosen,
        "model": manifest["model"]["name"],
        "methods": {name: _summarize_method(results, name, curves[name], scaled[name], known) for name in done},
        "comparisons": _compare(curves),
        "narrows_version": __version__,
    }


def write_summary(folder: str | Path) -> RunSummary:
    """Sum up an evaluation, and write ``summary.json`` into its folder.

    Args:
        folder: Of the evaluation; a `DataError` if it is not one, or no method is finished.

    Returns:
        The summary for the first way of removing tokens; the file has ``other_removals`` too.
    """
    results = Results.read(folder)
    summary = summarize(results)
    done = [own for own in results.removals if any(results.is_complete(name, own) for name in results.methods)]
    later = [own for own in done if own != summary["removal"]]
    others = {removal: summarize(results, removal)["methods"] for removal in later}
    content = {**summary, "other_removals": others, "incomplete": unfinished(results, summary)}
    write_json(results.folder / SUMMARY, content)
    return summary


def unfinished(results: "Results", summary: RunSummary) -> list[str]:
    """Name the methods of an evaluation that its summary leaves out."""
    return [name for name in results.methods if name not in summary["methods"]]


def _summarize_method(
    results: "Results", name: str, curves: Curves, scaled: Array, known: NDArray[np.bool_]
) -> MethodSummary:
    about = {key: value for key, value in results.methods[name].items() if key not in ("spec", "files")}
    twins = [own for own in results.methods.values() if own["label"] == about["label"]]
    seconds, forwards = results.cost(name)
    rate = mean_rate_curve([trace for trace, own in zip(results.traces(name), known, strict=True) if own])
    lost = drops(curves)
    bounded = {"drop_11": drop(curves.morf), "area_morf": area(curves.morf), "area_lerf": area(curves.lerf)}
    others = {"comprehensiveness": comprehensiveness(curves.morf), "sufficiency": sufficiency(curves.lerf)}
    measures = {**bounded, **others, "flips": flips(curves.morf_decisions)}
    found: Any = {
        "name": name,
        "label": about["label"] if len(twins) == 1 else f"{about['label']} ({name})",  # fast and best are both evidence
        **{fact: about[fact] for fact in ("unit", "signed")},
        **{measure: float(values.mean()) for measure, values in measures.items()},
        **{f"{measure}_interval": _bounds(bootstrap_interval(values)) for measure, values in bounded.items()},
        "drops": {share: float(values.mean()) for share, values in lost.items()},
        "drops_interval": {share: _bounds(bootstrap_interval(values)) for share, values in lost.items()},
        **{f"curve_{order}": getattr(curves, order).mean(axis=0).tolist() for order in ("morf", "lerf")},
        **{f"rate_{field}": [getattr(point, field) for point in rate] for field in ("bits", "probability")},
        "rate_interval": [[point.low, point.high] for point in rate],
        "normalized": [float(value) if np.isfinite(value) else None for value in scaled],  # JSON has no NaN
        "seconds": seconds,
        "forward_equivalents": forwards,
        "instances": len(curves.morf),
        "method": about,
    }
    return cast(MethodSummary, found)


def _compare(curves: dict[str, Curves]) -> list[ComparisonDict]:
    """Compare every two methods on the same texts: a higher drop and a lower area are better."""
    drops_at_11 = {name: drop(own.morf) for name, own in curves.items()}
    areas = {name: -area(own.morf) for name, own in curves.items()}
    found: list[ComparisonDict] = []
    for one, other in combinations(curves, 2):
        for measure, values in (("drop_11", drops_at_11), ("area_morf", areas)):
            pair = paired_bootstrap(values[one], values[other])
            own = {"difference": pair.difference, "interval": _bounds(pair.interval), "win_rate": pair.win_rate}
            found.append({"method": one, "other": other, "measure": measure, **own})  # type: ignore[typeddict-item]
    return found


def _bounds(interval: tuple[float, float]) -> list[float] | None:
    return None if np.isnan(interval).any() else list(interval)


def _rows(files: Iterable[Path], columns: Sequence[str] | None) -> Iterator[Json]:
    for file in files:
        check_part(file)
        yield from read_rows(file, columns)
