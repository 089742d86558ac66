"""Print what `benchmarks/measure.py` measured, as a table for people or in Markdown."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

COLUMNS = ("method", "s per text", "times naive", "by processor time", "least to most", "passes", "of matrix rate")


def rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """Write the figures of one workload.

    Args:
        result: As `measure.py` saves it.

    Returns:
        A row per method, in the order of COLUMNS.
    """
    return [
        (
            name,
            f"{figures['seconds']:.3f}",
            f"{figures['times_naive']:.1f}",
            f"{figures['times_naive_processor']:.1f}",
            " to ".join(f"{end:.1f}" for end in figures["times_naive_interval"]),
            f"{figures['forward_equivalents']:.1f}",
            f"{figures['gflops'] / result['matrix_gflops']:.0%}" if figures["gflops"] else "",
        )
        for name, figures in result["methods"].items()
    ]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, nargs="?", default=Path("out/benchmark.json"))
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    report = json.loads(options.report.read_text())
    for result in report["results"]:
        threads = report["environment"]["threads"]
        rounds = next(iter(result["methods"].values()))["rounds"]
        title = f"{result['workload']}, {report['dtype']}, {threads} threads, {rounds} rounds"
        if options.markdown:
            print(f"\n{title}\n\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
            print("\n".join(f"| {' | '.join(row)} |" for row in rows(result)))
            continue
        table = Table(*COLUMNS, title=title)
        for row in rows(result):
            table.add_row(*row)
        Console().print(table)
    peak = report["peak_memory_bytes"] / 2**30
    rates = ", ".join(f"{result['matrix_gflops']:.0f}" for result in report["results"])
    print(f"\nmatrix products: {rates} GFLOP per processor second; peak memory {peak:.1f} GiB")


if __name__ == "__main__":
    main()
