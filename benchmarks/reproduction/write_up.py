"""The pages reproduction.md and faithfulness.md, their figures, and the table of the README, from results/*.json."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from experiments import BETAS, FEW, IMDB_TOKENS, LAYERS, MASKED, MODELS, OLD_ADAM, PREDICTED, RATES, experiments

from narrows.models.hub import bundled
from narrows.viz.summary import DATASETS

Group = dict[str, Any]  # data set to summary
DASH = "\N{EN DASH}"
# Table 1 of the paper: drop of p(gold) at 11 %, BERT-base; and its hours for 25,000 IMDB reviews on an RTX 2080 Ti.
PAPER = {
    "random": {"imdb": 0.011, "mnli_matched": 0.106, "mnli_mismatched": 0.106, "ag_news": 0.008, "rte": 0.012},
    "lime": {"imdb": 0.038, "mnli_matched": 0.244, "mnli_mismatched": 0.260, "ag_news": 0.033, "rte": 0.014},
    "ig": {"imdb": 0.090, "mnli_matched": 0.226, "mnli_mismatched": 0.233, "ag_news": 0.036, "rte": 0.043},
    "paper": {"imdb": 0.229, "mnli_matched": 0.374, "mnli_mismatched": 0.367, "ag_news": 0.029, "rte": 0.059},
}
HOURS = {"paper": 10, "lime": 13, "ig": 2}
SHARES = ("5", "11", "20", "33", "50")  # percent of the tokens, the first to be removed
LEADING = ("fast", "best", "paper", "ig", "lime", "layer_ig", "random")  # as many as a figure has looks for
EARLIER = "56ec884"  # rows of this commit that today's code would not give again are called NAME@56ec884
BEGIN, END = "<!-- written by benchmarks/reproduction/run.py -->", "<!-- end -->"


def write_up(results: Path, out: Path) -> list[Path]:
    """Draw the figures and write the pages and, if there is a README beside their folder, its table.

    Args:
        results: Folder of the summaries.
        out: Folder of the pages.

    Returns:
        The files written.
    """
    found, figures, readme = read(results), out / "reproduction", out.parent / "README.md"
    figures.mkdir(parents=True, exist_ok=True)
    draw(found, figures)
    written = {out / name: text for name, text in pages(found).items()}
    if readme.is_file() and BEGIN in readme.read_text(encoding="utf-8"):
        written[readme] = fill(readme.read_text(encoding="utf-8"), short_table(found[""]))
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
    return list(written)


def read(results: Path) -> dict[str, Group]:
    """Read the summaries by prefix and data set, and the checks; methods are labelled by what users type."""
    found: dict[str, Group] = {}
    for prefix in ("", FEW, LAYERS, BETAS, RATES, PREDICTED, MASKED):
        paths = {name: results / f"{prefix}{name}.json" for name in MODELS}
        found[prefix] = {name: json.loads(path.read_text()) for name, path in paths.items() if path.is_file()}
        for summary in found[prefix].values():
            for spec, row in summary["methods"].items():
                row["label"] = spec
    found["checks"] = {path.stem: json.loads(path.read_text()) for path in (results / "checks").glob("*.json")}
    found["facts"] = {path.stem: json.loads(path.read_text()) for path in results.glob("pictures.json")}
    return found


def pages(found: Mapping[str, Group]) -> dict[str, str]:
    """Write the pages, by file name."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["number"] = number
    functions = (own, drops, measure, shares, versus, in_words, paper_table, time_table, sweep_table, grid)
    environment.globals |= {function.__name__: function for function in functions} | {
        "tables": found[""],
        "few": found[FEW],
        "predicted": found[PREDICTED],
        "masked": found[MASKED],
        "layers": found[LAYERS],
        "betas": found[BETAS],
        "rates": found[RATES],
        "checks": found["checks"],
        "facts": found["facts"],
        "names": DATASETS,
        "measured": measured(found[prefix] for prefix in ("", FEW, PREDICTED, MASKED)),
        "versions": next(iter(found[""].values()))["versions"],
        "cards": {name: bundled.find(name).card() for name in sorted(set(MODELS.values()))},
        "commands": [shlex.join(each.words) for each in experiments(Path("DATA"), Path("runs"), 500)],
        "tokens": IMDB_TOKENS,
        "earlier": EARLIER,
    }
    templates = {name: Path(__file__).parent / f"{name}.j2" for name in ("reproduction.md", "faithfulness.md")}
    return {
        name: environment.from_string(path.read_text(encoding="utf-8")).render().strip() + "\n"
        for name, path in templates.items()
    }


def draw(found: Mapping[str, Group], out: Path) -> None:
    """Draw the figures of the comparisons and of the sweeps."""
    from pictures import save_png

    from narrows.viz import curves, sweeps

    table = list(found[""].values())
    named = [own(name, found[""]) for name in LEADING]
    main: Any = [
        {**each, "methods": {name: each["methods"][name] for name in named if name in each["methods"]}}
        for each in table
    ]
    figures: dict[str, Any] = {
        "degradation": curves.plot_degradation(main),
        "normalized": curves.plot_degradation(main, "normalized"),
        "least_first": curves.plot_degradation(main, order="lerf"),
        "cost": curves.plot_cost(table),
    }
    for prefix, parameter in ((LAYERS, "layer"), (BETAS, "beta"), (RATES, "layer")):
        swept: Any = (list(found[prefix].values()), parameter, values_of(found[prefix], parameter))
        if swept[0] and prefix == RATES:
            figures["rates"] = sweeps.plot_sweep_rates(*swept)
        elif swept[0]:
            figures[f"{parameter}_curves"] = sweeps.plot_sweep_curves(*swept)
            figures[f"{parameter}_line"] = sweeps.plot_sweep_line(*swept)
    for name, figure in figures.items():
        save_png(figure, out / f"{name}.png")


def values_of(group: Group, parameter: str) -> dict[str, float]:
    """Give the layer or beta of each method of a sweep."""
    rows = {spec: row for summary in group.values() for spec, row in summary["methods"].items()}
    return {spec: row["method"]["settings"][parameter] for spec, row in rows.items()}


def own(name: str, group: Group) -> str:
    """Name the row of a method; where it was not measured, that of an earlier version."""
    names = {spec for summary in group.values() for spec in summary["methods"]}
    return next((each for each in (name, f"{name}@{EARLIER}", f"{name}:adam_eps=1e-16") if each in names), name)


def specs(group: Group) -> list[str]:
    """List the methods of a group, the first ones first."""
    found = dict.fromkeys(name for summary in group.values() for name in summary["methods"])
    first = [own(name, group) for name in ("fast", "best", "paper", OLD_ADAM, "released", "ig", "lime")]
    return list(dict.fromkeys(name for name in (*first, *found) if name in found))


def number(value: float, digits: int = 3) -> str:
    """Write a number; below 1 without the leading 0."""
    return f"{value:,.{digits}f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:,.{digits}f}"


def interval(value: float, ends: Sequence[float]) -> str:
    """Write a number and its interval."""
    return f"{number(value)} [{', '.join(map(number, ends))}]"


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def by_method(group: Group, cell: Callable[[Any], str], counts: bool = False) -> str:
    """Write a table with a row per method and a column per data set."""
    head = [f"{DATASETS[name]} (n = {own['instances']})" if counts else DATASETS[name] for name, own in group.items()]
    rows = []
    for spec in specs(group):
        found = [summary["methods"].get(spec) for summary in group.values()]
        rows.append([f"`{spec}`", *(DASH if row is None else cell(row) for row in found)])
    return grid(["method", *head], rows)


def drops(group: Group) -> str:
    """Write the drops at 1/9 with their intervals."""
    return by_method(group, lambda row: interval(row["drop_11"], row["drop_11_interval"]), counts=True)


def measure(group: Group, name: str, digits: int = 3) -> str:
    """Write one measure of every method."""
    return by_method(group, lambda row: number(row[name], digits))


def shares(group: Group) -> str:
    """Write the drops at several shares of the tokens; a dash where one was not measured."""
    return by_method(
        group,
        lambda row: " / ".join(number(row["drops"][share]) if share in row["drops"] else DASH for share in SHARES),
    )


def pair(summary: Any, one: str, other: str, by: str) -> tuple[float, float, float] | None:
    """Find by how much a method is ahead of another on the same texts, and the interval."""
    for each in summary["comparisons"]:
        if each["measure"] == by and {each["method"], each["other"]} == {one, other}:
            sign = 1 if each["method"] == one else -1
            low, high = sorted(sign * end for end in each["interval"])
            return sign * each["difference"], low, high
    return None


def versus(group: Group, one: str, by: str = "drop_11") -> str:
    """Compare one method with every other: yes, no, or level, the difference and its interval."""

    def cell(found: tuple[float, float, float] | None) -> str:
        if found is None:
            return DASH
        word = "**yes**" if found[1] > 0 else "**no**" if found[2] < 0 else "level"
        return f"{word} {interval(found[0], found[1:])}"

    rows = {other: [pair(each, one, other, by) for each in group.values()] for other in specs(group)}
    lines = [[f"`{other}`", *map(cell, found)] for other, found in rows.items() if any(found)]
    return grid([f"`{one}` ahead of", *(DATASETS[name] for name in group)], lines)


def in_words(group: Group, one: str, other: str, by: str = "drop_11") -> str:
    """Say on which data sets a method is ahead of another, level with it, and behind."""
    places: dict[str, list[str]] = {"ahead on": [], "level on": [], "behind on": []}
    for name, summary in group.items():
        found = pair(summary, one, other, by)
        if found is not None:
            word = "ahead on" if found[1] > 0 else "behind on" if found[2] < 0 else "level on"
            places[word].append(DATASETS[name])
    return ", ".join(f"{word} {', '.join(names)}" for word, names in places.items() if names) or "not compared"


def measured(groups: Iterable[Group]) -> dict[str, list[str]]:
    """List what was measured at which commit, the latest first."""
    found: dict[str, dict[str, None]] = {}
    for summary in (summary for group in groups for summary in group.values()):
        for spec, row in summary["methods"].items():
            found.setdefault(row["commit"], {})[spec] = None
    return {commit: list(found[commit]) for commit in sorted(found, key=lambda commit: commit == EARLIER)}


def paper_table(group: Group) -> str:
    """Set the paper's Table 1 beside ours."""
    said = {own(name, group): values for name, values in PAPER.items()}
    rows = []
    for spec in specs(group):
        rows.append([f"`{spec}`"])
        for name, summary in group.items():
            row, theirs = summary["methods"].get(spec), said.get(spec, {}).get(name)
            ours = DASH if row is None else interval(row["drop_11"], row["drop_11_interval"])
            rows[-1] += ["" if theirs is None else number(theirs), ours]
    return grid(["", *(f"{DATASETS[name]} {who}" for name in group for who in ("paper", "ours"))], rows)


def time_table(summary: Any) -> str:
    """Set the paper's hours beside our cost of a text, in brackets as multiples of those of integrated gradients."""
    rows, methods = [], summary["methods"]
    for name in (*HOURS, "fast", "best"):
        spec = own(name, {"": summary})
        if spec in methods:
            cost = methods[spec]["forward_equivalents"]
            hours = f"{HOURS[name]} ({HOURS[name] / HOURS['ig']:.1f})" if name in HOURS else ""
            share = number(cost / methods["ig"]["forward_equivalents"], 1)
            rows.append([f"`{spec}`", hours, f"{number(cost, 1)} ({share})"])
    return grid(["method", "paper, hours", "ours, forward-equivalents"], rows)


def sweep_table(group: Group, parameter: str) -> str:
    """Write the drops at 1/9 of a sweep, a row per data set, the highest in bold."""
    values, rows = values_of(group, parameter), []
    for name, summary in group.items():
        found = sorted((values[spec], row["drop_11"]) for spec, row in summary["methods"].items())
        highest = max(drop for _, drop in found)
        cells = (f"**{number(drop)}**" if drop == highest else number(drop) for _, drop in found)
        rows.append([f"{DATASETS[name]} (n = {summary['instances']})", *cells])
    return grid([parameter, *(f"{value:g}" for value in sorted(set(values.values())))], rows)


def short_table(group: Group) -> str:
    """Write the README's table: cost and drop of the methods that most readers ask for."""
    rows = []
    for spec in (own(name, group) for name in ("fast", "best", "paper", "ig", "lime")):
        found = [summary["methods"][spec] for summary in group.values()]
        costs = sorted(row["forward_equivalents"] for row in found)
        cost = " to ".join(dict.fromkeys(number(each, 0) for each in (costs[0], costs[-1])))
        rows.append([f"`{spec}`", cost, *(number(row["drop_11"]) for row in found)])
    return grid(["drop of p(gold)", "passes", *(DATASETS[name] for name in group)], rows)


def fill(text: str, table: str) -> str:
    """Put a table between two comments."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.partition(END)[2]}"
