"""Runs beside each other as one table: methods down, data sets across, the drop at 11 % with its interval."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Literal, get_args

from narrows.data.schema import RunSummary
from narrows.errors import InputError, one_of
from narrows.viz.latex import escape_latex
from narrows.viz.spans import one_line, visible

TableFormat = Literal["markdown", "latex", "csv"]
EN_DASH = "\u2013"
DATASETS = {"imdb": "IMDB", "mnli_matched": "MNLI-m", "mnli_mismatched": "MNLI-mm", "ag_news": "AG News"}
DATASETS |= {"rte": "RTE", "sst2": "SST-2", "snli": "SNLI"}
_TELLS_APART = ("split", "model", "removal", "target", "unit_of", "max_tokens")


def summary_table(summaries: Sequence[RunSummary], format: TableFormat) -> str:
    r"""Write the drop at 11 % of every method on every data set, with its 95 % interval."""
    one_of("format", format, get_args(TableFormat))
    labels = method_labels(summaries)
    if format == "csv":
        return _csv(summaries, labels)
    escape = _escape_markdown if format == "markdown" else escape_latex
    bold = "**{}**" if format == "markdown" else r"\textbf{{{}}}"
    sizes = [f"{name} (n = {own['instances']:,})" for name, own in zip(headings(summaries), summaries, strict=True)]
    columns = [_column(summary, labels, bold) for summary in summaries]
    head = [escape(cell) for cell in ("method", *sizes)]
    body = [[escape(label), *cells] for label, *cells in zip(labels.values(), *columns, strict=True)]
    if format == "markdown":
        lines = [head, ["---"] * len(head), *body]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)
    written = [" & ".join(line).replace(EN_DASH, "--") + r" \\" for line in [head, *body]]
    written.insert(1, r"\hline")
    return "\n".join([rf"\begin{{tabular}}{{l{'c' * len(summaries)}}}", *written, r"\end{tabular}", ""])


def method_labels(summaries: Sequence[RunSummary]) -> dict[str, str]:
    """Return the label of each method of several runs, by its name, in the order in which they first appear."""
    labels: dict[str, str] = {}
    for name, method in (pair for summary in summaries for pair in summary["methods"].items()):
        labels.setdefault(name, method["label"])
    if not labels:
        raise InputError("a picture or table of runs needs at least one run with one method, got none")
    return labels


def headings(summaries: Sequence[RunSummary]) -> list[str]:
    """Name each run by its data set and, where several are of one data set, by what else they differ in."""
    sets, found = [summary["dataset"] for summary in summaries], []
    names = [DATASETS.get(name) or PurePath(name).name or name for name in sets]
    for name, summary in zip(names, summaries, strict=True):
        twins = [other for its, other in zip(names, summaries, strict=True) if its == name]
        parts = [_said(summary, key) for key in _TELLS_APART if len({_said(twin, key) for twin in twins}) > 1]
        found.append(", ".join([name, *parts]))
    return found


def best(values: Mapping[str, float | None], high_is_good: bool) -> set[str]:
    """Find the best of several methods; what is unknown or NaN takes no part, and one alone is not the best."""
    known = {name: value for name, value in values.items() if value is not None and math.isfinite(value)}
    if len(known) < 2:
        return set()
    record = (max if high_is_good else min)(known.values())
    return {name for name, value in known.items() if value == record}


def _column(summary: RunSummary, labels: Mapping[str, str], bold: str) -> list[str]:
    methods, cells = summary["methods"], []
    winners = best({name: method["drop_11"] for name, method in methods.items()}, high_is_good=True)
    for name in labels:
        if name not in methods:
            cells.append(EN_DASH)
            continue
        written = (bold if name in winners else "{}").format(f"{methods[name]['drop_11']:.3f}")
        bounds = methods[name]["drop_11_interval"]
        cells.append(written if bounds is None else f"{written} [{bounds[0]:.3f}, {bounds[1]:.3f}]")
    return cells


def _csv(summaries: Sequence[RunSummary], labels: Mapping[str, str]) -> str:
    writer = csv.writer(text := io.StringIO(), lineterminator="\n")
    names = [visible(name) for name in headings(summaries)]
    writer.writerow(["method", *(f"{name}{end}" for name in names for end in ("", " low", " high"))])
    for method, label in labels.items():
        cells: list[str] = []
        for summary in summaries:
            own = summary["methods"].get(method)
            bounds = (own and own["drop_11_interval"]) or (None, None)
            numbers = [own and own["drop_11"], *bounds]
            cells += ["" if number is None else f"{number:.6g}" for number in numbers]
        writer.writerow([visible(label), *cells])
    return text.getvalue()


def _said(summary: RunSummary, key: str) -> str:
    value = summary[key]  # type: ignore[literal-required]
    return str(value) if key != "max_tokens" else "uncut" if value is None else f"{value} tokens"


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\|*_`<>\[\]~&#$])", r"\\\1", one_line(text))
