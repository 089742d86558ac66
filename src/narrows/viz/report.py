"""A run, or several, as one page to read: tables, figures, and the texts that a method explains best and worst."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from narrows.data.schema import AttributionDict, ComparisonDict, MethodSummary, RunSummary
from narrows.errors import InputError
from narrows.viz.html import Json, document, map_values
from narrows.viz.shade import Scale, scales_of
from narrows.viz.spans import visible
from narrows.viz.summary import DATASETS, EN_DASH, best, headings, method_labels


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
    digits: int = 3
    high_is_good: bool | None = None  # None: there is no best
    share: bool = False  # written in percent


_MEASURES = {"drop_11": "drop at 11 %", "area_morf": "MoRF area"}
_COLUMNS = (
    _Column("drop at 11 %", "drop_11", high_is_good=True),
    _Column("MoRF area", "area_morf", high_is_good=False),
    _Column("LeRF area", "area_lerf", high_is_good=True),
    _Column("comprehen\u00adsiveness", "comprehensiveness", high_is_good=True),
    _Column("sufficiency", "sufficiency", high_is_good=False),
    _Column("flips", "flips", digits=1, high_is_good=True, share=True),
    _Column("seconds per text", "seconds", digits=3),
    _Column("forward-equiv. per text", "forward_equivalents", digits=1),
)
_DROPS = tuple(_Column(f"{share} %", share, high_is_good=True) for share in ("5", "11", "20", "33", "50"))


def render_report(
    summaries: Sequence[RunSummary],
    figures: Mapping[str, str],
    most: Sequence[Graded],
    least: Sequence[Graded],
    about: Mapping[str, str],
    title: str = "Narrows: how far to trust the maps",
) -> str:
    """Draw runs as one page that needs nothing but itself: no script, nothing fetched, every text escaped.

    Args:
        summaries: The runs, at least one.
        figures: From a caption to SVG text, as `narrows.viz.canvas.figure_svg` gives it. They are images within the
            page: nothing in them can act on it.
        most: The most faithful texts, the best first.
        least: The least faithful texts, the worst first.
        about: What the runs are of: model, hashes, versions, seeds, command.
        title: The page's title.

    Returns:
        The HTML document.

    Raises:
        InputError: If there is no run, or a figure is no SVG.
    """
    labels = method_labels(summaries)
    names = headings(summaries)
    groups = [
        ("Most faithful", "Removing the first ninth of the tokens cost these predictions most.", most),
        ("Least faithful", "Removing the first ninth of the tokens cost these predictions least.", least),
    ]
    scales = iter(scales_of([graded.attribution for graded in (*most, *least)]))
    values = {
        "runs": [_run(name, summary, labels) for name, summary in zip(names, summaries, strict=True)],
        "columns": [{"heading": column.heading, "good": _good(column)} for column in _COLUMNS],
        "shares": [column.heading for column in _DROPS],
        "figures": [_figure(caption, svg) for caption, svg in figures.items()],
        "groups": [
            {"name": name, "note": note, "texts": [_text(graded, next(scales)) for graded in texts]}
            for name, note, texts in groups
            if texts
        ],
        "about": [{"name": visible(name), "value": visible(value)} for name, value in about.items()],
    }
    return document("report.html.j2", title, values, images=True)


def _good(column: _Column) -> str | None:
    return None if column.high_is_good is None else "high is good" if column.high_is_good else "low is good"


def _run(name: str, summary: RunSummary, labels: Mapping[str, str]) -> Json:
    """Return the tables of one run, numbers already written out."""
    methods = list(summary["methods"].values())
    longest = summary["max_tokens"]
    return {
        "name": visible(name),
        "facts": visible(
            f"{summary['instances']:,} texts ({summary['split'] or 'of a file'}), model {summary['model']}, "
            f"target: {summary['target']}, tokens removed by: {summary['removal']}, "
            f"{'texts not cut' if longest is None else f'texts cut to {longest:,} tokens'}, "
            f"narrows {summary['narrows_version']}"
        ),
        "rows": _rows(methods, _COLUMNS),
        "drops": _rows(methods, _DROPS),
        **_comparisons(summary["comparisons"], labels),
    }


def _rows(methods: Sequence[MethodSummary], columns: Sequence[_Column]) -> list[Json]:
    """Return one row per method, the best of a column marked."""
    rows: list[Json] = [{"label": visible(method["label"]), "cells": []} for method in methods]
    for column in columns:
        own: list[Mapping[str, Any]] = [{**method, **method["drops"]} for method in methods]
        values = {method["name"]: method[column.field] for method in own}
        winners = set() if column.high_is_good is None else best(values, column.high_is_good)
        for row, method in zip(rows, own, strict=True):
            value, interval = method[column.field], method.get(f"{column.field}_interval")
            written = f"{100 * value:.{column.digits}f} %" if column.share else f"{value:,.{column.digits}f}"
            cell = {"value": written, "interval": interval and _interval(interval), "best": method["name"] in winners}
            row["cells"].append(cell)
    return rows


def _interval(interval: Sequence[float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"


def _comparisons(comparisons: Sequence[ComparisonDict], labels: Mapping[str, str]) -> Json:
    """Return one row per pair of methods, with the columns of each measure."""
    measures = list(dict.fromkeys(pair["measure"] for pair in comparisons))
    rows: dict[tuple[str, str], dict[str, Json]] = {}
    for pair in comparisons:
        low, high = pair["interval"]
        rows.setdefault((pair["method"], pair["other"]), {})[pair["measure"]] = {
            "difference": f"{pair['difference']:+.3f}",
            "interval": _interval(pair["interval"]),
            "beyond_zero": low > 0 or high < 0,
            "win_rate": f"{100 * pair['win_rate']:.1f} %",
        }
    unknown = {"difference": EN_DASH, "interval": None, "beyond_zero": False, "win_rate": EN_DASH}
    return {
        "measures": [visible(_MEASURES.get(measure, measure)) for measure in measures],
        "pairs": [
            {
                "method": visible(labels.get(method, method)),
                "other": visible(labels.get(other, other)),
                "cells": [found.get(measure, unknown) for measure in measures],
            }
            for (method, other), found in rows.items()
        ],
    }


def _figure(caption: str, svg: str) -> Json:
    if "<svg" not in svg:
        raise InputError(f"the figure {caption!r} is no SVG text: {svg[:40]!r}")
    return {"caption": visible(caption), "data": base64.b64encode(svg.encode()).decode()}


def _text(graded: Graded, scale: Scale) -> Json:
    return {
        "map": map_values(graded.attribution, scale),
        "dataset": visible(DATASETS.get(graded.dataset, graded.dataset)),
        "method": visible(graded.method),
        "before": f"{graded.p_before:.3f}",
        "after": f"{graded.p_after:.3f}",
        "drop": f"{graded.drop:+.3f}",
    }
