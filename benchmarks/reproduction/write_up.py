"""The pages reproduction.md and faithfulness.md, their figures, and the table of trust.md, from results/*.json."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
import tables
from experiments import BETAS, IMDB_TOKENS, LAYERS, MODELS, PASSES, PREFIXES, RATES, experiments_of_the_paper
from tables import EARLIER, Group, only, short_table, values_of

from narrows.models.hub.card import ModelCard
from narrows.viz.summary import DATASETS

HERE = Path(__file__).parent
LEADING = ("fast", "best", "paper", "ig", "lime", "layer_ig", "random")  # as many as a figure has looks for
SIX, TWELVE = "six", "twelve"  # blocks: the demo models, and those of the paper's depth
PARTS = ("measures", "other_removals", "rivals", "other_models", "ground_truth")
PAGES = {"reproduction.md": TWELVE, "faithfulness.md": SIX}  # and the runs that each of them cannot do without
PAGES |= {f"faithfulness/{name}.md": SIX for name in PARTS}
TRUST = Path("explanation") / "trust.md"  # the page that holds the short table
BEGIN, END = "<!-- written by benchmarks/reproduction/run.py -->", "<!-- end -->"
Found = dict[str, dict[str, Group]]  # by number of blocks, by what was run, by data set


def write_up(results: Path, out: Path, models: Path) -> list[Path]:
    """Draw the figures and write the pages and, if there is a page on trust in their folder, its table.

    Args:
        results: Folder of the summaries.
        out: Folder of the pages.
        models: Folder of the models of 12 blocks.

    Returns:
        The files written.
    """
    found, figures, trust = read(results), out / "reproduction", out / TRUST
    figures.mkdir(parents=True, exist_ok=True)
    draw(found, figures)
    written = {out / name: text for name, text in pages(found, models).items()}
    if trust.is_file():
        written[trust] = fill(trust.read_text(encoding="utf-8"), short_table(found[SIX][""]))
    for path, text in written.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(written)


def read(results: Path) -> Found:
    """Read all that was run: the summaries, by prefix and data set, the checks, and facts of pictures and of time.

    Runs of hours are kept one by one: Table 1 of 12 blocks waits until every data set is there.
    """
    twelve = _read(results / TWELVE)
    return {SIX: _read(results), TWELVE: twelve if len(twelve[""]) == len(MODELS) else {**twelve, "": {}}}


def _read(results: Path) -> dict[str, Group]:
    found: dict[str, Group] = {}
    for prefix in PREFIXES:
        paths = {name: results / f"{prefix}{name}.json" for name in MODELS}
        found[prefix] = {name: json.loads(path.read_text()) for name, path in paths.items() if path.is_file()}
        for summary in found[prefix].values():
            for spec, row in summary["methods"].items():
                row["label"] = spec  # methods are called what users type
    found["checks"] = {path.stem: json.loads(path.read_text()) for path in (results / "checks").glob("*.json")}
    paths = {name: results / f"{name}.json" for name in ("pictures", "timing", "released")}
    found["facts"] = {name: json.loads(path.read_text()) for name, path in paths.items() if path.is_file()}
    return found


def pages(found: Found, models: Path) -> dict[str, str]:
    """Write the pages whose runs are there, by file name."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["number"] = tables.number
    names = "better claims cost_table drops found grid hours_table in_words leading measure moved only own paper_table"
    names += " published rivals shares sweep_table versus"
    listed = experiments_of_the_paper(Path("DATA"), Path("MODELS"), Path("RUNS"), 500)
    environment.globals |= {name: getattr(tables, name) for name in names.split()} | {
        "six": found[SIX],
        "twelve": found[TWELVE],
        "names": DATASETS,
        "measured": measured,
        "cards": {path.name: ModelCard.load(path) for path in sorted(models.glob("*")) if path.is_dir()},
        "commands": [shlex.join(each.words) for each in listed],
        "tokens": IMDB_TOKENS,
        "earlier": EARLIER,
    }
    return {
        name: environment.from_string((HERE / f"{name}.j2").read_text(encoding="utf-8")).render().strip() + "\n"
        for name, runs in PAGES.items()
        if found[runs][""]
    }


def draw(found: Found, out: Path) -> None:
    """Draw the figures of the comparisons and of the sweeps."""
    from pictures import save_png

    from narrows.viz import curves, sweeps

    figures: dict[str, Any] = {}
    six, twelve = found[SIX], found[TWELVE]
    if twelve[""]:
        main: Any = list(only(twelve[""], LEADING).values())
        figures["degradation"] = curves.plot_degradation(main)
        figures["normalized"] = curves.plot_degradation(main, "normalized")
        figures["least_first"] = curves.plot_degradation(main, order="lerf")
    for prefix, parameter in ((LAYERS, "layer"), (BETAS, "beta")):
        if twelve[prefix]:
            swept: Any = (list(twelve[prefix].values()), parameter, values_of(twelve[prefix], parameter))
            figures[f"{parameter}_curves"] = sweeps.plot_sweep_curves(*swept)
            figures[f"{parameter}_line"] = sweeps.plot_sweep_line(*swept)
    if six[""]:
        figures["six_blocks"] = curves.plot_degradation(list(only(six[""], LEADING).values()))
        figures["cost"] = curves.plot_cost(list(six[""].values()))
    if six[PASSES]:
        figures["passes"] = curves.plot_cost(list(six[PASSES].values()))
    for name, group in (("rates", six[RATES]), ("early_exit", twelve[RATES])):
        if group:
            figures[name] = sweeps.plot_sweep_rates(list(group.values()), "layer", values_of(group, "layer"))
    for name, figure in figures.items():
        save_png(figure, out / f"{name}.png")


def measured(groups: Iterable[Group]) -> dict[str, list[str]]:
    """List what was measured at which commit, the latest first."""
    found: dict[str, dict[str, None]] = {}
    for summary in (summary for group in groups for summary in group.values()):
        for spec, row in summary["methods"].items():
            found.setdefault(row["commit"], {})[spec] = None
    return {commit: list(found[commit]) for commit in sorted(found, key=lambda commit: commit == EARLIER)}


def fill(text: str, table: str) -> str:
    """Put a table between two comments."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.partition(END)[2]}"
