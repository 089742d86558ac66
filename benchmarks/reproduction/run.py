"""Run the paper's experiments, keep their summaries, and write docs/reproduction.md and the pages on faithfulness.

    python benchmarks/reproduction/run.py --data DIR --limit 500             # Table 1 and the figures, on 12 blocks
    python benchmarks/reproduction/run.py --data DIR --limit 500 --blocks 6  # all methods on the demo models
    python benchmarks/reproduction/run.py --write-up  # runs nothing: docs/ from the committed results

Interrupted or finished, the same line resumes. The pages are made from the results alone: one summary per run.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from base import FOLDER, make_base
from experiments import Experiment, experiments, experiments_of_the_paper
from training import MODELS, RECIPES, train
from write_up import TWELVE, write_up

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LONG = 100  # texts: from here on the time is measured in several rounds
TIMED = ("narrows, the same settings", "LIME, 100 samples", "IG, 10 steps", "narrows, fast", "narrows, best")


def main() -> None:
    """Run, keep, check, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the published files")
    parser.add_argument("--limit", type=int, default=500, help="texts per data set")
    parser.add_argument("--runs", type=Path, default=Path("out/reproduction/runs"), help="folder of the runs")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the summaries")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder of the pages")
    parser.add_argument("--blocks", type=int, choices=(6, 12), default=12, help="6: the demo models; 12: as the paper")
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of the models of 12 blocks")
    parser.add_argument("--base", type=Path, default=FOLDER, help="their base; made if missing")
    parser.add_argument("--write-up", action="store_true", help="run nothing, write the pages")
    options = parser.parse_args()
    if not options.write_up:
        if options.data is None:
            parser.error("say where the data is: --data DIR")
        run_on_twelve(options) if options.blocks == 12 else run_on_six(options)
    print(*write_up(options.results, options.out, options.models), sep="\n")


def run_on_six(options: argparse.Namespace) -> None:
    """Compare all methods on the demo models, and check them in other ways."""
    from checks import check_all

    run_all(experiments(options.data, options.runs, options.limit), options.runs, options.results)
    check_all(options.data, options.results / "checks", options.limit)


def run_on_twelve(options: argparse.Namespace) -> None:
    """Make the base, train what is not there, run the paper's experiments, time them, and draw single texts."""
    from pictures import draw_all

    if not (options.base / "config.json").is_file():
        make_base(options.base)
    os.environ["NARROWS_BASE"] = str(options.base)
    train(list(RECIPES), options.data, options.models)
    runs, results, figures = options.runs / TWELVE, options.results / TWELVE, options.out / "reproduction"
    run_all(experiments_of_the_paper(options.data, options.models, runs, options.limit), runs, results)
    words = ["--dataset", "imdb", "--data-dir", str(options.data), "--model", str(options.models / "imdb")]
    size = ["4", "--rounds", "3", "--minutes", "60"] if options.limit >= LONG else ["2", "--rounds", "1"]
    words += ["--texts", *size, "--methods", *TIMED, "--out", str(results / "timing.json")]
    if not (results / "timing.json").is_file():
        subprocess.run([sys.executable, str(HERE.parent / "measure.py"), *words], check=True)
    figures.mkdir(parents=True, exist_ok=True)
    (results / "pictures.json").write_text(json.dumps(draw_all(options.models, figures), indent=1) + "\n")


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


if __name__ == "__main__":
    main()
