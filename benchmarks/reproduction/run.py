"""Run the paper's experiments on the demo models, keep their summaries, and write docs/reproduction.md and others.

    python benchmarks/reproduction/run.py --data DIR --limit 500 --runs runs --results results --out docs
    python benchmarks/reproduction/run.py --write-up  # runs nothing: docs/ and README.md from the committed results

Interrupted or finished, the same line resumes. The pages are made from the results alone: one summary per run.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

from experiments import Experiment, experiments
from write_up import write_up

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def main() -> None:
    """Run, keep, check, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the published files")
    parser.add_argument("--limit", type=int, default=500, help="texts per data set")
    parser.add_argument("--runs", type=Path, default=Path("out/reproduction/runs"), help="folder of the runs")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the summaries")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder of the pages")
    parser.add_argument("--write-up", action="store_true", help="run nothing, write the pages")
    options = parser.parse_args()
    if not options.write_up:
        if options.data is None:
            parser.error("say where the data is: --data DIR")
        run_all(experiments(options.data, options.runs, options.limit), options.runs, options.results)
        check_and_draw(options.data, options.limit, options.results, options.out)
    print(*write_up(options.results, options.out), sep="\n")


def run_all(listed: list[Experiment], runs: Path, results: Path) -> None:
    """Run the commands, each in a process of its own, and keep the summary of each."""
    for number, experiment in enumerate(listed, 1):
        print(f"[{number}/{len(listed)}] {shlex.join(experiment.words)}", flush=True)
        subprocess.run([sys.executable, "-m", *experiment.words], check=True)
        keep(runs / experiment.name, results)


def keep(run: Path, results: Path) -> None:
    """Copy the summary of a run, one file per way to remove tokens; a row that is new gets the commit that made it."""
    from narrows.run.results import Results, summarize

    found = Results.read(run)
    commit = subprocess.check_output(["git", "rev-parse", "--short=7", "HEAD"], text=True, cwd=HERE).strip()
    results.mkdir(parents=True, exist_ok=True)
    for removal in found.removals:
        summary = summarize(found, removal)
        path = results / f"{'' if removal == 'delete' else f'{removal}-'}{run.name}.json"
        before = json.loads(path.read_text())["methods"] if path.is_file() else {}
        for name, row in summary["methods"].items():
            known = before.get(name, {})
            same = row == {key: value for key, value in known.items() if key != "commit"}
            row["commit"] = known["commit"] if same else commit  # type: ignore[typeddict-unknown-key]
        path.write_text(json.dumps({**summary, "versions": found.manifest["versions"]}, indent=1) + "\n")


def check_and_draw(data: Path, limit: int, results: Path, out: Path) -> None:
    """Run the other checks, and draw single texts."""
    from checks import check_all
    from pictures import draw_all

    check_all(data, results / "checks", limit)
    (out / "reproduction").mkdir(parents=True, exist_ok=True)
    (results / "pictures.json").write_text(json.dumps(draw_all(out / "reproduction"), indent=1) + "\n")


if __name__ == "__main__":
    main()
