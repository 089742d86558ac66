"""Make Markdown tables of what `measure.py` and `contexts.py` wrote, with bootstrap intervals over prompts.

    python benchmarks/decoders/table.py RUNS/recall-test.jsonl RUNS/needle-test.jsonl --against occlusion
    python benchmarks/decoders/table.py RUNS/natural-test.jsonl --against lime

Each table compares methods on the prompts that all of them explained. The first column has an interval; the last one is
the difference to one of the methods in it, on the same prompts, with the interval of the paired bootstrap. --by puts
another column first: "in the first two", "first, last token aside", "-MoRF area", "log p drop, top 3", ...
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from lines import read_lines
from prompts import DECIDES

from narrows.evaluation.statistics import bootstrap_interval, paired_bootstrap

Line: TypeAlias = dict[str, Any]
Measure: TypeAlias = Callable[[Line], float]


def hit(line: Line, most: int, ranks: str = "ranks", every_role: bool = False) -> float:
    """Tell whether one of the tokens that decide has a rank of so many or better; NaN if no tokens were ranked."""
    if not line[ranks]:
        return float("nan")
    roles = line[ranks] if every_role else DECIDES[line["kind"]]
    return float(any((line[ranks][role] or most + 1) <= most for role in roles))


def truth_measures(line: Line) -> dict[str, Measure]:
    """List the columns of prompts whose deciding tokens are known, the one that is compared first."""
    columns: dict[str, Measure] = {}
    if "unit_sum" in line:
        columns |= {
            "sentence first": lambda line: float(line["unit_sum"] == 1),
            "by its first token": lambda line: float(line["unit_first"] == 1) if "unit_first" in line else np.nan,
        }
    return columns | {
        "first": lambda line: hit(line, 1),
        "in the first two": lambda line: hit(line, 2),
        "first, last token aside": lambda line: hit(line, 1, "ranks_before"),
        "first two, last aside": lambda line: hit(line, 2, "ranks_before"),
        "any role first, last aside": lambda line: hit(line, 1, "ranks_before", every_role=True),
    }


def curve_measures(way: str) -> dict[str, Measure]:
    """List the columns of curves: what removing does to p(target), by one way of removal."""

    def drop(line: Line, point: int) -> float:
        morf = line["curves"][way]["morf"]
        return float(morf[0] - morf[point])

    def area(line: Line, order: str) -> float:
        return float(np.mean(line["curves"][way][order]))

    return {
        "drop at 1/9": lambda line: drop(line, 1),
        "drop at 2/9": lambda line: drop(line, 2),
        "drop at 1/3": lambda line: drop(line, 3),
        "-MoRF area": lambda line: -area(line, "morf"),
        "LeRF area": lambda line: area(line, "lerf"),
    }


def context_measures(line: Line) -> dict[str, Measure]:
    """List the columns of contexts."""
    tops = {f"log p drop, top {k}": (lambda line, k=k: float(line["drops"][k])) for k in line["drops"]}
    return {"LDS": lambda line: float(line["lds"]), **tops}


def in_common(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Sort lines by method, those prompts only that every method has, in one order."""
    by_method: dict[str, dict[str, Line]] = defaultdict(dict)
    for line in lines:
        by_method[line["method"]][line["id"]] = line
    ids = sorted(set.intersection(*(set(own) for own in by_method.values())))
    return {method: [own[id_] for id_ in ids] for method, own in by_method.items()}


def table(title: str, by_method: dict[str, list[Line]], columns: dict[str, Measure], against: str) -> str:
    """Write a table: a row per method, the mean of each measure, the first one with its interval.

    Args:
        title: What is compared.
        by_method: Lines of the same prompts.
        columns: By name, what is measured of a line.
        against: The method that the others are compared with.

    Returns:
        Markdown.
    """
    main, measured = next(iter(columns)), next(iter(by_method.values()))
    compared = against in by_method
    head = ["method", *columns, "passes", "s per text", *([f"{main}, less {against}"] if compared else [])]
    rows = []
    for method, lines in by_method.items():
        values = {name: [measure(line) for line in lines] for name, measure in columns.items()}
        cells = [number(own, 3) for own in values.values()]
        low, high = bootstrap_interval(values[main])
        cells[0] += f" [{low:.3f}, {high:.3f}]"
        cells += [number([line[name] for line in lines], digits) for name, digits in COSTS.items()]
        if compared:
            others = [columns[main](line) for line in by_method[against]]
            cells.append("" if method == against else difference(values[main], others))
        rows.append([f"`{method}`", *cells])
    written = [f"### {title}, {len(measured)} texts", "", _row(head), _row(["---"] * len(head)), *map(_row, rows)]
    return "\n".join(written) + "\n"


COSTS = {"forward_equivalents": 1, "seconds": 2}  # column: digits


def number(values: Sequence[float | None], digits: int) -> str:
    """Write a mean; nothing if there is none."""
    known = [value for value in values if value is not None and not np.isnan(value)]
    return f"{np.mean(known):.{digits}f}" if known else ""


def difference(values: Sequence[float], others: Sequence[float]) -> str:
    """Write a difference of means with its interval."""
    found = paired_bootstrap(values, others)
    return f"{found.difference:+.3f} [{found.interval[0]:+.3f}, {found.interval[1]:+.3f}]"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="files that measure.py or contexts.py wrote")
    parser.add_argument("--against", default="occlusion", help="the method that the others are compared with")
    parser.add_argument("--by", help="the column that is compared; default: the first one")
    parser.add_argument("--methods", nargs="+", help="these only, in this order")
    options = parser.parse_args()
    for path in options.runs:
        lines = read_lines(path)
        kept = [line for line in lines if options.methods is None or line["method"] in options.methods]
        by_method = in_common(kept)
        if options.methods:
            by_method = {method: by_method[method] for method in options.methods if method in by_method}
        for title, columns in tables(path.stem, kept[0]):
            ahead = {options.by: columns[options.by]} if options.by in columns else {}
            print(table(title, by_method, ahead | columns, options.against))


def tables(name: str, line: Line) -> Iterator[tuple[str, dict[str, Measure]]]:
    """Tell which tables a file gives, by one of its lines: titles and columns."""
    if "drops" in line:
        yield name, context_measures(line)
        return
    if line["ranks"] or "unit_sum" in line:
        yield name, truth_measures(line)
    for way in line.get("curves", {}):
        yield f"{name}, {way}", curve_measures(way)


if __name__ == "__main__":
    main()
