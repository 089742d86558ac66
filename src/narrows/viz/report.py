"""A run, or several, as one page to read: tables, figures, and the texts that a method explains best and worst."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from narrows.data.schema import AttributionDict, ComparisonDict, MethodSummary, RunSummary
from narrows.errors import InputError
from narrows.viz.html import Json, document, map_values
from narrows.viz.shade import scales_of
from narrows.viz.summary import DATASETS, best, headings, method_labels


@dataclass(frozen=True)
class Graded:
    """One text with its map and what removing the first ninth of its tokens did."""

    attribution: AttributionDict
    drop: float  # p_before - p_after
    p_before: float  # p(target) of the untouched text
    p_after: float  # without the ninth of the content tokens that the map calls most relevant
    dataset: str
    method: str  # label of the method that made the map


@dataclass(frozen=True)
class _Column:
    """One measure of a table of methods."""

    heading: str
    field: str  # of the summary of a method, or of its drops
    high_is_good: bool | None = None  # None: there is no best
    written: str = "{:,.3f}"


_COLUMNS = (
    _Column("drop at 11 %", "drop_11", True),
    _Column("MoRF area", "area_morf", False),
    _Column("LeRF area", "area_lerf", True),
    _Column("comprehen\u00adsiveness", "comprehensiveness", True),
    _Column("sufficiency", "sufficiency", False),
    _Column("flips", "flips", True, "{:.1%}"),
    _Column("seconds per text", "seconds"),
    _Column("forward-equiv. per text", "forward_equivalents", written="{:,.1f}"),
)
_DROPS = tuple(_Column(f"{share} %", share, True) for share in ("5", "11", "20", "33", "50"))


def render_report(
    summaries: Sequence[RunSummary],
    figures: Mapping[str, str],  # from a caption to SVG text; images within the page: nothing in them can act on it
    most: Sequence[Graded],  # the most faithful texts, the best first
    least: Sequence[Graded],  # the least faithful ones, the worst first
    about: Mapping[str, str],  # what the runs are of: model, hashes, versions, seeds, command
    title: str = "Narrows: how far to trust the maps",
) -> str:
    """Draw runs as one page that needs nothing but itself: no script, nothing fetched, every text escaped."""
    labels = method_labels(summaries)
    for name, svg in figures.items():
        if "<svg" not in svg:
            raise InputError(f"the figure {name!r} is no SVG text: {svg[:40]!r}")
    scales = iter(scales_of([graded.attribution for graded in (*most, *least)]))
    cost = "Removing the first ninth of the tokens cost these predictions"
    groups = [("Most faithful", f"{cost} most.", most), ("Least faithful", f"{cost} least.", least)]
    values = {
        "runs": [_run(name, summary) for name, summary in zip(headings(summaries), summaries, strict=True)],
        "columns": _COLUMNS,
        "shares": _DROPS,
        "labels": labels,
        "measures": {column.field: column.heading for column in _COLUMNS[:2]},
        "figures": {name: base64.b64encode(svg.encode()).decode() for name, svg in figures.items()},
        "groups": [
            (name, note, [(graded, map_values(graded.attribution, next(scales))) for graded in texts])
            for name, note, texts in groups
            if texts
        ],
        "datasets": DATASETS,
        "about": about,
    }
    return document("report.html.j2", title, values, images=True)


def _run(name: str, summary: RunSummary) -> Json:
    methods, pairs = list(summary["methods"].values()), summary["comparisons"]
    by_pair: dict[tuple[str, str], dict[str, ComparisonDict]] = {}
    for pair in pairs:
        by_pair.setdefault((pair["method"], pair["other"]), {})[pair["measure"]] = pair
    return {
        "name": name,
        "summary": summary,
        "rows": _rows(methods, _COLUMNS),
        "drops": _rows(methods, _DROPS),
        "measures": list(dict.fromkeys(pair["measure"] for pair in pairs)),
        "pairs": by_pair,
    }


def _rows(methods: Sequence[MethodSummary], columns: Sequence[_Column]) -> list[Json]:
    """Return one row per method, the best of a column marked."""
    rows: list[Json] = [{"label": method["label"], "cells": []} for method in methods]
    own: list[Mapping[str, Any]] = [{**method, **method["drops"]} for method in methods]
    for column in columns:
        values = {method["name"]: method[column.field] for method in own}
        winners = set() if column.high_is_good is None else best(values, column.high_is_good)
        for row, method in zip(rows, own, strict=True):
            found = method[column.field]
            value = "unknown" if found is None else column.written.format(found).replace("%", " %")
            interval, is_best = method.get(f"{column.field}_interval"), method["name"] in winners
            row["cells"].append({"value": value, "interval": interval, "best": is_best})
    return rows
