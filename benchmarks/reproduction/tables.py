"""Tables of runs as Markdown, and what they say in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from experiments import OLD_ADAM, PUBLISHED_FOR

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
REVIEWS = 25_000
SHARES = ("5", "11", "20", "33", "50")  # percent of the tokens, the first to be removed
MOVED = {"7739b76", "632740e", "badac20"}  # rows of `fast` and `best` before separators were held open
EARLIER = "56ec884"  # rows of this commit that today's code would not give again are called NAME@56ec884


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


def only(group: Group, names: Iterable[str]) -> Group:
    """Keep these methods of a group, in this order, or their rows of an earlier version."""
    named = [own(name, group) for name in names]
    return {
        dataset: {**each, "methods": {name: each["methods"][name] for name in named if name in each["methods"]}}
        for dataset, each in group.items()
    }


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
    """Say where a method is ahead of another, level, and behind; `paper` has the paper's settings for each data set."""
    # Other forms of the bottleneck have those of the first data sets everywhere, so they are held against the same.
    settled = one == "paper" and other != "released" and not other.startswith("paper")
    places: dict[str, list[str]] = {"ahead on": [], "level on": [], "behind on": []}
    for name, summary in group.items():
        found = pair(summary, published(name, group) if settled else one, other, by)
        if found is not None:
            word = "ahead on" if found[1] > 0 else "behind on" if found[2] < 0 else "level on"
            places[word].append(DATASETS[name])
    return ", ".join(f"{word} {', '.join(names)}" for word, names in places.items() if names) or "not compared"


def better(group: Group, one: str, other: str, name: str) -> str:
    """List the data sets on which one method has the higher mean of a measure."""
    rows = {dataset: summary["methods"] for dataset, summary in group.items()}
    return ", ".join(DATASETS[key] for key, own in rows.items() if own[one][name] > own[other][name]) or "none"


def found(seeds: Any, method: str) -> str:
    """Say which share of planted words a method ranks first by its scores, over the seeds of fine-tuning."""
    shares = [own[method]["score"][0] for own in seeds.values() if method in own]
    return number(sum(shares) / len(shares), 2)


def rivals(summary: Any) -> str:
    """Say what `fast` is ahead of on one data set, and set it beside the others, the highest drop first."""
    rows, places = [], {"ahead of": [], "level with": [], "behind": []}  # type: ignore[var-annotated]
    for name, row in sorted(summary["methods"].items(), key=lambda item: -item[1]["drop_11"]):
        drop, ahead = interval(row["drop_11"], row["drop_11_interval"]), pair(summary, "fast", name, "drop_11")
        if ahead is not None:
            places["ahead of" if ahead[1] > 0 else "behind" if ahead[2] < 0 else "level with"].append(f"`{name}`")
        less = "" if ahead is None else interval(ahead[0], ahead[1:])
        rows.append([f"`{name}`", drop, less, number(row["area_lerf"]), number(row["forward_equivalents"], 0)])
    texts = f"{DATASETS[summary['dataset']]} (n = {summary['instances']})"
    said = "; ".join(f"{word} {', '.join(names)}" for word, names in places.items() if names)
    table = grid([texts, "drop at 1/9", "`fast` less this", "LeRF area", "passes"], rows)
    return f"On {DATASETS[summary['dataset']]} `fast` is {said}.\n\n{table}"


def moved(group: Group) -> list[str]:
    """List the data sets on which separators still moved on the path when `fast` was measured."""
    rows = {name: summary["methods"].get("fast", {}) for name, summary in group.items()}
    return [DATASETS[name] for name, row in rows.items() if row.get("commit") in MOVED]


def published(dataset: str, group: Group) -> str:
    """Name the row that has the settings of the paper's own row for a data set."""
    named = next((name for name in PUBLISHED_FOR.get(dataset, ()) if name in group[dataset]["methods"]), "paper")
    return own(named, {dataset: group[dataset]})


def paper_table(group: Group) -> str:
    """Set the paper's Table 1 beside ours."""
    rows = []
    for spec in specs(group):
        rows.append([f"`{spec}`"])
        for name, summary in group.items():
            said = {own(method, group): values for method, values in PAPER.items() if method != "paper"}
            said[published(name, group)] = PAPER["paper"]
            row, theirs = summary["methods"].get(spec), said.get(spec, {}).get(name)
            ours = DASH if row is None else interval(row["drop_11"], row["drop_11_interval"])
            rows[-1] += ["" if theirs is None else number(theirs), ours]
    return grid(["", *(f"{DATASETS[name]} {who}" for name in group for who in ("paper", "ours"))], rows)


def claims(group: Group) -> str:
    """Say for each data set of the paper what its Table 1 claims, and whether that is so here."""
    lines = []
    for name, summary in group.items():
        if name not in PAPER["paper"]:
            continue
        parts = []
        for other, label in (("lime", "LIME"), ("ig", "IG")):
            theirs = PAPER["paper"][name] - PAPER[other][name]
            ours = pair(summary, published(name, group), own(other, group), "drop_11")
            if ours is not None:
                side = "ahead of" if theirs > 0 else "behind"
                parts.append(f"{side} {label} by {number(abs(theirs))}: {_holds(theirs, ours)}")
        lines.append(f"- **{DATASETS[name]}**, `{published(name, group)}`: in the paper {'; '.join(parts)}.")
    return "\n".join(lines)


def _holds(theirs: float, ours: tuple[float, float, float]) -> str:
    """Say whether a difference of the paper has the sign of ours, and how sure that is."""
    value, low, high = ours
    if low <= 0 <= high:
        return f"not to be told here, {interval(value, (low, high))}"
    return f"{'holds' if theirs * value > 0 else 'does not hold'} here, {interval(value, (low, high))}"


def hours_table(timing: Any) -> str:
    """Set the paper's hours for 25,000 reviews beside ours, and beside the released code's way of doing it."""
    rows, found = [], timing["results"][0]["methods"]
    names = {
        "naive": ("the obvious loop", None),
        "narrows, the same settings": ("`paper`", HOURS["paper"]),
        "LIME, 100 samples": ("`lime`", HOURS["lime"]),
        "IG, 10 steps": ("`ig`", HOURS["ig"]),
        "narrows, fast": ("`fast`", None),
        "narrows, best": ("`best`", None),
    }
    for name, (label, theirs) in names.items():
        if name in found:
            row = found[name]
            ours = number(row["processor_seconds"] * REVIEWS / 3600, 0)
            rows.append([label, DASH if theirs is None else str(theirs), ours, number(row["times_naive_processor"], 1)])
    return grid(["method", "paper, hours", "ours, processor hours", "times the obvious loop"], rows)


def sweep_table(group: Group, parameter: str) -> str:
    """Write the drops at 1/9 of a sweep, a row per data set, the highest in bold."""
    values, rows = values_of(group, parameter), []
    for name, summary in group.items():
        found = sorted((values[spec], row["drop_11"]) for spec, row in summary["methods"].items())
        highest = max(drop for _, drop in found)
        cells = (f"**{number(drop)}**" if drop == highest else number(drop) for _, drop in found)
        rows.append([f"{DATASETS[name]} (n = {summary['instances']})", *cells])
    return grid([parameter, *(f"{value:g}" for value in sorted(set(values.values())))], rows)


def leading(group: Group, parameter: str, count: int = 3) -> str:
    """List the values of a sweep with the highest drops, for each data set, and for the mean over all of them."""
    values, drops, lines = values_of(group, parameter), dict[float, list[float]](), []
    for name, summary in group.items():
        found = {values[spec]: row["drop_11"] for spec, row in summary["methods"].items()}
        for value, drop in found.items():
            drops.setdefault(value, []).append(drop)
        lines.append((DATASETS[name], found))
    everywhere = {value: sum(own) / len(own) for value, own in drops.items() if len(own) == len(group)}
    lines.append(("mean of all", everywhere))
    first = {name: sorted(found, key=lambda value: -found[value])[:count] for name, found in lines}
    return "; ".join(f"{name} {', '.join(f'{value:g}' for value in own)}" for name, own in first.items())


def cost_table(group: Group) -> str:
    """Write what methods cost and find, the cheapest first; in bold where no other costs as little and finds more."""
    rows: dict[str, list[Any]] = {}
    for spec in specs(group):
        rows[spec] = [summary["methods"][spec] for summary in group.values()]
    lines = []
    for spec, own in sorted(rows.items(), key=lambda item: sum(row["forward_equivalents"] for row in item[1])):
        cells = []
        for row, others in zip(own, zip(*rows.values(), strict=True), strict=True):
            cheaper = (each for each in others if each["forward_equivalents"] <= row["forward_equivalents"])
            drop, best = number(row["drop_11"]), max(each["drop_11"] for each in cheaper)
            cells.append(f"**{drop}**" if row["drop_11"] == best else drop)
        lines.append([f"`{spec}`", _passes(own), *cells])
    heads = (f"{DATASETS[name]} (n = {summary['instances']})" for name, summary in group.items())
    return grid(["method", "passes", *heads], lines)


def _passes(rows: Iterable[Any]) -> str:
    """Write the least and the most passes per text of a method over data sets."""
    costs = sorted(row["forward_equivalents"] for row in rows)
    return " to ".join(dict.fromkeys(number(each, 0) for each in (costs[0], costs[-1])))


def short_table(group: Group) -> str:
    """Write the table of the page on trust: cost and drop of the methods that most readers ask for."""
    rows = []
    for spec in (own(name, group) for name in ("fast", "best", "paper", "ig", "lime")):
        found = [summary["methods"][spec] for summary in group.values()]
        rows.append([f"`{spec}`", _passes(found), *(number(row["drop_11"]) for row in found)])
    return grid(["drop of p(gold)", "passes", *(DATASETS[name] for name in group)], rows)
