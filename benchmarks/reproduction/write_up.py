"""The write-up: the paper's figures beside ours, made of the runs' files alone."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import jinja2
from experiments import (
    BETAS,
    FURTHER,
    IMDB_TOKENS,
    LAYER,
    LAYERS,
    MODELS,
    PAPER_LAYER,
    PREDICTED,
    RATES,
    Experiment,
)

from narrows.data.schema import MethodSummary, RunSummary
from narrows.errors import DataError
from narrows.models.hub import bundled
from narrows.run.report import draw, find_sweep
from narrows.run.results import Results, summarize, write_summary
from narrows.viz.canvas import save_figure
from narrows.viz.summary import DATASETS

IBA, RELEASED = f"iba:{PAPER_LAYER}", f"iba_released:{PAPER_LAYER}"
PAGES = ("reproduction.md", "faithfulness.md")
CHECKS = ("rationales", "randomised", "seeds", "ceiling")
OURS = ("narrows", "narrows:preset=best")
# Table 1 of the paper: drop of p(gold) at 11 %, BERT-base.
PAPER = {
    "random": {"imdb": 0.011, "mnli_matched": 0.106, "mnli_mismatched": 0.106, "ag_news": 0.008, "rte": 0.012},
    "lime": {"imdb": 0.038, "mnli_matched": 0.244, "mnli_mismatched": 0.260, "ag_news": 0.033, "rte": 0.014},
    "ig": {"imdb": 0.090, "mnli_matched": 0.226, "mnli_mismatched": 0.233, "ag_news": 0.036, "rte": 0.043},
    IBA: {"imdb": 0.229, "mnli_matched": 0.374, "mnli_mismatched": 0.367, "ag_news": 0.029, "rte": 0.059},
}
# For 25,000 IMDB reviews on an RTX 2080 Ti.
PAPER_HOURS = {IBA: 10, "lime": 13, "ig": 2}
PAPER_BETA = 1e-5  # on RTE 1e-4
CLAIMS = (
    (IBA, "random", "the bottleneck finds more than chance"),
    (IBA, "lime", "the bottleneck beats LIME"),
    (IBA, "ig", "the bottleneck beats integrated gradients"),
    (RELEASED, "lime", "the bottleneck as released beats LIME"),
    (RELEASED, "ig", "the bottleneck as released beats integrated gradients"),
    ("narrows", IBA, "Narrows' default beats the paper's settings"),
    ("narrows", "lime", "Narrows' default beats LIME"),
    ("narrows", "ig", "Narrows' default beats integrated gradients"),
)


def write_up(listed: Sequence[Experiment], data: Path, runs: Path, out: Path) -> list[Path]:
    """Write reproduction.md, faithfulness.md and their figures.

    Args:
        listed: The experiments.
        data: Folder of the data, named DATA in the commands.
        runs: Folder of the results; experiments without any are left out.
        out: Folder of the write-up.

    Returns:
        The pages.
    """
    pictures = out / "reproduction"
    pictures.mkdir(parents=True, exist_ok=True)
    summaries: dict[str, RunSummary] = {}
    results: dict[str, Results] = {}
    for path in sorted(runs.glob("*/manifest.json")):
        try:
            summaries[path.parent.name] = write_summary(path.parent)
            results[path.parent.name] = Results.read(path.parent)
        except DataError as error:  # no method is done yet, or the run is from the archive, which holds no texts
            print(f"left out: {error}", file=sys.stderr)
    if not results:
        raise SystemExit(f"{runs} holds no run that could be written up: run without --write-up first")
    tables = {name: summaries[name] for name in MODELS if name in summaries}
    further = {name: summaries[FURTHER + name] for name in MODELS if FURTHER + name in summaries}
    otherwise = {
        "Tokens behind [MASK] instead of deleted": _masked(results),
        "The predicted class as target": {
            name: summaries[PREDICTED + name] for name in MODELS if PREDICTED + name in summaries
        },
    }
    figures = _figures(summaries, results, pictures)
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"number": _number, "cell": _cell}
    values = {
        "names": DATASETS,
        "tables": tables,
        "further": further,
        "otherwise": {
            title: (found, {own: _leads(found, own) for own in OURS}) for title, found in otherwise.items() if found
        },
        "table_labels": _labels(list(tables.values())),
        "labels": _labels([s for group in (tables, further, *otherwise.values()) for s in group.values()]),
        "paper": PAPER,
        "hours": PAPER_HOURS,
        "claims": [_claim(tables, *claim) for claim in CLAIMS],
        "leads": {own: _leads(tables, own) for own in OURS},
        "few_leads": {own: _leads(further, own) for own in OURS},
        "layers": _best(summaries, results, LAYERS, LAYER),
        "betas": _best(summaries, results, BETAS, PAPER_BETA),
        "figures": figures,
        "rated": max((each["instances"] for name, each in summaries.items() if name.startswith(RATES)), default=0),
        "pictures": sorted(path.name for path in pictures.glob("figure_*.png")),
        "checks": {name: _json(runs / "checks" / f"{name}.json") for name in CHECKS},
        "facts": _json(runs / "pictures.json"),
        "cards": {name: bundled.find(name).card() for name in sorted(set(MODELS.values()))},
        "commands": _commands(listed, data, runs),
        "versions": next(iter(results.values())).manifest["versions"],
        "tokens": IMDB_TOKENS,
        "layer": LAYER,
        "iba": IBA,
        "released": RELEASED,
    }
    pages = []
    for name in PAGES:
        source = (Path(__file__).parent / f"{name}.j2").read_text(encoding="utf-8")
        page = environment.from_string(source).render(values)
        (out / name).write_text(page.strip() + "\n", encoding="utf-8")
        pages.append(out / name)
    return pages


def _masked(results: Mapping[str, Results]) -> dict[str, RunSummary]:
    """Sum up the runs that put [MASK] in the place of tokens, by data set."""
    found = {}
    for name in MODELS:
        if name in results and "mask" in results[name].removals:
            with suppress(DataError):  # no method is done yet
                found[name] = summarize(results[name], "mask")
    return found


def _figures(summaries: Mapping[str, RunSummary], results: Mapping[str, Results], pictures: Path) -> list[str]:
    """Draw the figures of the comparisons and of the sweeps; give their names."""
    groups = {"figure_1_": "", "few_": FURTHER, "figure_2a_4_": LAYERS, "figure_2b_": BETAS, "rates_": RATES}
    drawn = []
    for prefix, folder in groups.items():
        names = [folder + name for name in MODELS if folder + name in results]
        found = draw([results[name] for name in names], [summaries[name] for name in names]) if names else {}
        for name, (_, figure) in found.items():
            save_figure(figure, pictures / f"{prefix}{name}")
            drawn.append(f"{prefix}{name}")
    return drawn


def _labels(summaries: Sequence[RunSummary]) -> dict[str, str]:
    """Label all methods, those of the paper's table first."""
    found = {name: method["label"] for summary in summaries for name, method in summary["methods"].items()}
    order = [*PAPER, RELEASED, "narrows", *found]
    return {name: found[name] for name in dict.fromkeys(order) if name in found}


def _claim(tables: Mapping[str, RunSummary], method: str, other: str, text: str) -> dict[str, Any]:
    """Hold a claim against the paired intervals of each data set."""
    verdicts = {}
    for dataset, summary in tables.items():
        for pair in summary["comparisons"]:
            if pair["measure"] == "drop_11" and {pair["method"], pair["other"]} == {method, other}:
                sign = 1 if pair["method"] == method else -1
                low, high = sorted(sign * bound for bound in pair["interval"])
                verdict = "yes" if low > 0 else "no" if high < 0 else "open"
                verdicts[dataset] = {"difference": sign * pair["difference"], "low": low, "high": high, "is": verdict}
    return {"text": text, "verdicts": verdicts}


def _leads(tables: Mapping[str, RunSummary], own: str) -> list[dict[str, Any]]:
    """Hold one method against every other, on every data set."""
    others = dict.fromkeys(name for summary in tables.values() for name in summary["methods"] if name != own)
    claims = [{"name": other, **_claim(tables, own, other, other)} for other in others]
    return [claim for claim in claims if claim["verdicts"]]


def _best(
    summaries: Mapping[str, RunSummary], results: Mapping[str, Results], folder: str, chosen: float
) -> dict[str, dict[str, Any]]:
    """Find, for each sweep of a kind, the drop at each value, and how far the chosen value is from the best."""
    found = {}
    for name, each in results.items():
        sweep = find_sweep(each)
        if sweep is not None and name.startswith(folder):
            rows: list[tuple[float, MethodSummary]] = [
                (sweep.values[method], summary) for method, summary in summaries[name]["methods"].items()
            ]
            rows.sort(key=lambda row: row[0])
            best = max(rows, key=lambda row: row[1]["drop_11"])
            own = next((summary["name"] for value, summary in rows if value == chosen), None)
            behind = _claim({name: summaries[name]}, best[1]["name"], own, "")["verdicts"].get(name) if own else None
            found[summaries[name]["dataset"]] = {"rows": rows, "best": best, "chosen": chosen, "behind": behind}
    return found


def _commands(listed: Sequence[Experiment], data: Path, runs: Path) -> list[str]:
    lines = []
    for experiment in listed:
        words = [word.replace(str(data), "DATA").replace(str(runs), "runs") for word in experiment.words]
        lines.append(shlex.join(words))
    return lines


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def _number(value: float, digits: int = 3) -> str:
    text = f"{value:.{digits}f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.{digits}f}"
    return text


def _cell(method: MethodSummary | None) -> str:
    if method is None:
        return "\N{EN DASH}"
    low, high = method["drop_11_interval"]
    return f"{_number(method['drop_11'])} [{_number(low)}, {_number(high)}]"
