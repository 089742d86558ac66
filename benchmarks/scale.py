"""Scale: what a million texts and 10^9 take, from runs with one worker and with two, and computed for other machines.

    python benchmarks/scale.py --data-dir DATA --texts 2000 --out out/scale

Runs ``narrows run`` on SST-2 in each way that WAYS lists, one thread per worker, on an otherwise idle machine. A rate
counts from the first finished part to the last, so start-up is left out; the time of the whole command stands beside
it. What other machines would take is arithmetic: passes x operations of a pass / (--share of the peak rate).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from measure import gigaflops
from rich.console import Console
from rich.table import Table
from workload import Workload

from narrows.data import datasets
from narrows.models.hub.loading import load_model

WAYS = {
    "1 process": (),
    "Ray, 1 worker": ("--engine", "ray", "--workers", "1"),
    "Ray, 2 workers": ("--engine", "ray", "--workers", "2"),
}
PEAKS = {"a GPU of 100 TFLOP/s": 1e5, "8 of them": 8e5, "100 of them": 1e7}  # GFLOP/s
ROWS = 100  # of a part
UNITS = {"days": 86_400, "hours": 3_600, "minutes": 60}


def run(data: Path, texts: int, options: tuple[str, ...], out: Path) -> dict[str, float]:
    """Explain texts by the command, and read from the log of the run how fast the parts came and how large they are."""
    words = ["narrows", "run", "--data", "sst2", "--data-dir", str(data), "--limit", str(texts), "--out", str(out)]
    words += ["--split", "train", "--rows-per-part", str(ROWS), "--threads", "1", *options]
    environment, start = {**os.environ, "OMP_NUM_THREADS": "1"}, time.monotonic()
    subprocess.run([sys.executable, "-m", *words], check=True, env=environment)
    seconds = time.monotonic() - start
    log = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    log.sort(key=lambda made: made["time"])
    costs = [json.loads(path.read_text(encoding="utf-8")) for path in (out / "costs").iterdir()]
    rows = sum(made["rows"] for made in log)
    return {
        "seconds": seconds,
        "rate": sum(made["rows"] for made in log[1:]) / (log[-1]["time"] - log[0]["time"]),
        "bytes": sum(path.stat().st_size for path in (out / "parts").iterdir()) / rows,
        "passes": sum(cost["forward_equivalents"] for cost in costs) / rows,
    }


def table(found: dict[str, dict[str, float]], work: float, share: float) -> Table:
    """Write what 10^6 and 10^9 texts take: measured rates first, then those of other machines.

    Args:
        found: By way to run, its figures.
        work: Operations of a pass through all blocks, GFLOP.
        share: Of the peak rate that others would reach.
    """
    first = next(iter(found.values()))
    rates = {f"measured: {name}": own["rate"] for name, own in found.items()}
    rates |= {f"computed: {name}": share * peak / (first["passes"] * work) for name, peak in PEAKS.items()}
    shown = Table("", "texts a second", "10^6 texts", "10^9 texts", title="fast on SST-2, sentiment")
    for name, rate in rates.items():
        shown.add_row(name, f"{rate:,.0f}", lasting(1e6 / rate), lasting(1e9 / rate))
    return shown


def lasting(seconds: float) -> str:
    """Write a time in the largest unit that it fills twice."""
    unit, size = next(((unit, size) for unit, size in UNITS.items() if seconds >= 2 * size), ("seconds", 1))
    return f"{seconds / size:,.0f} {unit}"


def main() -> None:
    """Run, keep the figures, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--share", type=float, default=0.2, help="of the peak rate that a GPU is taken to reach")
    parser.add_argument("--out", type=Path, default=Path("out/scale"))
    options = parser.parse_args()
    if options.texts < 2 * ROWS:
        parser.error(f"a rate needs {2 * ROWS} texts or more")
    if options.out.exists():
        parser.error(f"{options.out} is there already: a run that is resumed tells no time")
    found: dict[str, dict[str, Any]] = {}
    for name, way in WAYS.items():
        found[name] = run(options.data_dir, options.texts, way, options.out / name.replace(" ", "-"))
        print(name, json.dumps(found[name]), flush=True)
    texts = list(datasets.load("sst2", "train", options.data_dir, options.texts))
    work = gigaflops(Workload(load_model("sentiment"), texts))
    (options.out / "figures.json").write_text(json.dumps({"runs": found, "gflop_per_pass": work}, indent=1) + "\n")
    Console().print(table(found, work, options.share))
    two, one = found["Ray, 2 workers"], found["1 process"]
    print(f"2 workers: {two['rate'] / one['rate']:.2f} times one; {one['bytes']:,.0f} bytes per text")


if __name__ == "__main__":
    main()
