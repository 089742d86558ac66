"""Run the paper's experiments on the demo models; docs/reproduction.md and docs/faithfulness.md are written by this.

    python benchmarks/reproduction/run.py --data DIR --limit 500 --runs runs --out docs

Everything is kept: run again, it goes on where it stopped, or only writes up what is there (--write-up).
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

from checks import check_all
from experiments import experiments
from pictures import draw_all
from write_up import write_up


def main() -> None:
    """Run, check, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the published files")
    parser.add_argument("--limit", type=int, default=500, help="texts per data set")
    parser.add_argument("--runs", type=Path, default=Path("out/reproduction/runs"), help="folder for the results")
    parser.add_argument("--out", type=Path, default=Path("out/reproduction"), help="folder for the write-up")
    parser.add_argument("--write-up", action="store_true", help="run nothing, write up what is there")
    options = parser.parse_args()
    listed = experiments(options.data, options.runs, options.limit)
    start = time.monotonic()
    for number, experiment in enumerate(listed, 1):
        if options.write_up:
            break
        minutes = (time.monotonic() - start) / 60
        print(f"[{number}/{len(listed)}, {minutes:.0f} min] {shlex.join(experiment.words)}", flush=True)
        # The command of this very environment, in a process of its own as a user runs it.
        subprocess.run([sys.executable, "-m", *experiment.words], check=True)
    pictures = options.out / "reproduction"
    pictures.mkdir(parents=True, exist_ok=True)
    found = options.runs / "pictures.json"
    if not options.write_up:
        check_all(options.data, options.runs / "checks", options.limit)
        found.write_text(json.dumps(draw_all(pictures), indent=1) + "\n")
    print(*write_up(listed, options.data, options.runs, options.out), sep="\n")


if __name__ == "__main__":
    main()
