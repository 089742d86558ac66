"""Reports of evaluations: a page, figures and tables, made from their files alone."""

import heapq
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from narrows.data.output import read_json, write_whole
from narrows.data.parquet import COLUMNS, from_row, read_rows
from narrows.data.schema import AttributionDict, RunSummary
from narrows.errors import DataError, InputError, warn
from narrows.evaluation.metrics import drop
from narrows.run.parts import part_file, present_parts
from narrows.run.results import Results, summarize, unfinished
from narrows.run.store import MANIFEST
from narrows.viz.canvas import figure_svg, save_figure
from narrows.viz.curves import has_rate, plot_comparison, plot_cost, plot_degradation, plot_rates
from narrows.viz.html import render_page
from narrows.viz.report import Graded, render_report
from narrows.viz.summary import summary_table
from narrows.viz.sweeps import plot_sweep_curves, plot_sweep_line, plot_sweep_rates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 10  # texts of either kind
PAGE = "report.html"
SWEPT: tuple[Literal["layer", "beta"], ...] = ("layer", "beta")
TABLES = {"markdown": "md", "latex": "tex", "csv": "csv"}
SCALED = "The same, scaled as in the paper: 1 = the whole text, 0 = no token"
FALL = "Drop of p(target) without the first ninth of the tokens"
RATE = "p(target) when so many bits pass the bottleneck"


class Sweep(NamedTuple):
    """One method at several values of one setting."""

    parameter: Literal["layer", "beta"]
    values: dict[str, float]  # by the spec of the method


def find_sweep(results: Results) -> "Sweep | None":
    """Return the setting and its values if all methods of an evaluation are one that differs in it alone."""
    settings = {name: method["settings"] for name, method in results.methods.items()}
    for parameter in SWEPT:
        values = {name: own.get(parameter) for name, own in settings.items()}
        others = {json.dumps({**own, parameter: None}, sort_keys=True) for own in settings.values()}
        if len(values) > len(others) == 1 and all(isinstance(value, int | float) for value in values.values()):
            return Sweep(parameter, {name: float(value) for name, value in values.items()})
    return None


def draw(results: Sequence[Results], summaries: Sequence[RunSummary]) -> "dict[str, tuple[str, Figure]]":
    """Draw evaluations of one kind, comparisons of methods or sweeps over one setting: caption and figure by name."""
    sweeps = [find_sweep(each) for each in results]
    rated = any(has_rate(method) for summary in summaries for method in summary["methods"].values())
    if len({sweep and sweep.parameter for sweep in sweeps}) > 1:
        raise InputError("comparisons of methods and sweeps cannot share a report: give one folder at a time")
    if sweeps[0] is None:
        figures = {
            "degradation": ("Tokens removed, most relevant first", plot_degradation(summaries)),
            "normalized": (SCALED, plot_degradation(summaries, "normalized")),
            "least_first": ("Tokens removed, least relevant first", plot_degradation(summaries, order="lerf")),
            "comparison": (FALL, plot_comparison(summaries)),
            "cost": ("Faithfulness against cost", plot_cost(summaries)),
        }
        return {**figures, "rate": (RATE, plot_rates(summaries))} if rated else figures
    parameter = sweeps[0].parameter
    values = {name: value for sweep in sweeps if sweep for name, value in sweep.values.items()}
    kinds: list[tuple[str, str, Callable[..., Figure]]] = [("curves", "Tokens removed", plot_sweep_curves)]
    kinds += [("line", FALL, plot_sweep_line), *([("rate", RATE, plot_sweep_rates)] if rated else [])]
    by = f", by {parameter}"
    return {f"{parameter}_{kind}": (text + by, plot(summaries, parameter, values)) for kind, text, plot in kinds}


def write_report(
    folder: str | Path, out: Path | None = None, method: str | None = None, removal: str | None = None
) -> list[Path]:
    """Write a page, figures and tables of the evaluations in a folder.

    Args:
        folder: Of one evaluation, or of folders of evaluations.
        out: Where to write; None = into the folder, for a removal that is given into ``report-REMOVAL`` there.
        method: The spec of the method whose most and least faithful texts are shown; None = the first.
        removal: How tokens were removed; None = the first way of each evaluation.

    Returns:
        The files written, the page first.

    Raises:
        DataError: If there is no evaluation, or one is damaged.
        InputError: If the method was not evaluated, or comparisons and sweeps are mixed.
    """
    folder = Path(folder)
    place = out or (folder if removal is None else folder / f"report-{removal}")
    results, summaries = _read_finished(folder, removal)
    figures = draw(results, summaries)
    (place / "figures").mkdir(parents=True, exist_ok=True)
    files = [path for name, (_, figure) in figures.items() for path in save_figure(figure, place / "figures" / name)]
    for kind, suffix in TABLES.items():
        files.append(_write(place / f"drop_11.{suffix}", summary_table(summaries, kind)))  # type: ignore[arg-type]
    most, least = grade(results, summaries, method)
    svgs = {caption: figure_svg(figure) for caption, figure in figures.values()}
    page = render_report(summaries, svgs, most, least, _about(results, summaries))
    return [_write(place / PAGE, page), *files]


def grade(
    results: Sequence[Results], summaries: Sequence[RunSummary], method: str | None = None
) -> tuple[list[Graded], list[Graded]]:
    """Read the texts with the largest drops, the largest first, and with the smallest, the smallest first."""
    runs: list[tuple[Results, RunSummary, str]] = []
    for each, summary in zip(results, summaries, strict=True):
        name, *others = summary["methods"]
        if method not in (None, name, *others):
            done = ", ".join([name, *others])
            raise InputError(f"{each.folder}: method {method!r} is not finished; there are {done}")
        runs.append((each, summary, method or name))
    curves = [each.curves(name, summary["removal"]).morf for each, summary, name in runs]
    falls = ((float(fall), run, text) for run, morf in enumerate(curves) for text, fall in enumerate(drop(morf)))
    ranked = [each for each in falls if np.isfinite(each[0])]  # the others could not be explained
    ranked.sort(key=lambda entry: -entry[0])
    shown = min(SHOWN, len(ranked) // 2)
    ends = ranked[:shown], ranked[::-1][:shown]
    found: dict[tuple[int, int], Graded] = {}
    for run, (each, summary, name) in enumerate(runs):
        wanted = {text: fall for end in ends for fall, own, text in end if own == run}
        label = summary["methods"][name]["label"]
        for row in each.rows(name, sorted({text // each.manifest["rows_per_part"] for text in wanted})):
            if (text := row["row"]) in wanted:
                before, after = curves[run][text, :2].tolist()
                found[run, text] = Graded(from_row(row), wanted[text], before, after, summary["dataset"], label)
    most, least = ([found[run, text] for _, run, text in end] for end in ends)
    return most, least


def is_dataset_run(folder: Path) -> bool:
    """Tell whether a folder is of ``narrows run``, or of one method of an evaluation."""
    return (folder / MANIFEST).is_file() and "shard" in read_json(folder / MANIFEST)


def write_maps_page(folder: Path, out: Path | None = None) -> Path:
    """Write a page, into the folder of a run or elsewhere, of the texts with the largest and the smallest scores."""
    maps = extreme_maps(folder, SHOWN)
    if not maps:
        raise DataError(f"{folder} has no explained text: see narrows inspect {folder}")
    (place := out or folder).mkdir(parents=True, exist_ok=True)
    title = f"Narrows: the texts of {folder.name} with the largest and the smallest scores"
    return _write(place / PAGE, render_page(maps, title))


def extreme_maps(folder: Path, count: int) -> list[AttributionDict]:
    """Read so many texts with the largest summed absolute scores, and as many with the smallest; largest first."""
    ends = {*heapq.nlargest(count, _sizes(folder)), *heapq.nsmallest(count, _sizes(folder))}
    places = {-number: part for _, number, part in sorted(ends, reverse=True)}
    found = {
        row["row"]: from_row(row)
        for part in sorted(set(places.values()))
        for row in read_rows(part_file(folder, part), tuple(COLUMNS))
        if row["row"] in places
    }
    return [found[number] for number in places]


def _sizes(folder: Path) -> Iterator[tuple[float, int, int]]:
    """Give size, number (negative, so that of equals the first comes first) and part of every explained text."""
    for part in present_parts(folder):
        for row in read_rows(part_file(folder, part), ("row", "scores")):
            if row["scores"] is not None:
                yield float(np.abs(row["scores"]).sum()), -row["row"], part


def _read_finished(folder: Path, removal: str | None) -> tuple[list[Results], list[RunSummary]]:
    """Read the evaluations, a folder or those in it, that have a finished method; warn of what is left out."""
    runs = [folder] if (folder / MANIFEST).is_file() else sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
    if not runs:
        raise DataError(f"{folder} has no evaluation: there is no {MANIFEST} in it, nor in a folder of it")
    found: list[tuple[Results, RunSummary]] = []
    for run in runs:
        try:
            each = Results.read(run)
            summary = summarize(each, removal)
        except DataError as error:
            if run == runs[-1] and not found:
                raise
            warn(f"left out: {error}")
            continue
        if pending := unfinished(each, summary):
            warn(f"{run}: left out, not finished: {', '.join(pending)}")
        found.append((each, summary))
    return [each for each, _ in found], [summary for _, summary in found]


def _about(results: Sequence[Results], summaries: Sequence[RunSummary]) -> Mapping[str, str]:
    """List what the evaluations are of, for the foot of the page."""
    about: dict[str, str] = {}
    for each, summary in zip(results, summaries, strict=True):
        manifest, model = each.manifest, each.manifest["model"]
        pending = ", ".join(unfinished(each, summary))
        about[str(each.folder)] = (
            f"{manifest['dataset']} ({manifest['split'] or 'file'}), {manifest['instances']} texts "
            f"(SHA-256 {manifest['texts_sha256'][:12]}), target {manifest['target']}, "
            f"cut at {manifest['max_tokens'] or 'the limit of the model'} tokens; model {model['name']} "
            f"(SHA-256 {model['sha256'][:12]}), {model['dtype']}, prior {manifest['prior']}"
        ) + (f"; left out, not finished: {pending}" if pending else "")
    about["methods"] = ", ".join(dict.fromkeys(name for summary in summaries for name in summary["methods"]))
    about["versions"] = ", ".join(f"{name} {version}" for name, version in results[0].manifest["versions"].items())
    return about


def _write(path: Path, content: str) -> Path:
    write_whole(path, content)
    return path
