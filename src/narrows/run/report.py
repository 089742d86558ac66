"""What a run found, for people: a page, figures and tables, made of its files alone."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from narrows import __version__
from narrows.bottleneck.trace import Trace, trace_dicts
from narrows.config import PAPER_DEPTH, BottleneckConfig, Preset, Settings, choose_config
from narrows.data.output import written_whole
from narrows.data.schema import AttributionDict, RunSummary, TokenDict
from narrows.errors import DataError, InputError, NarrowsWarning
from narrows.evaluation.metrics import drop
from narrows.run.results import Results, label, summarize, unfinished, write_summary
from narrows.run.store import MANIFEST
from narrows.viz.canvas import figure_svg, save_figure
from narrows.viz.curves import plot_comparison, plot_cost, plot_degradation
from narrows.viz.rates import has_rate, plot_rates, plot_sweep_rates
from narrows.viz.report import Graded, render_report
from narrows.viz.summary import summary_table
from narrows.viz.sweeps import plot_sweep_curves, plot_sweep_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 10  # most and least faithful texts
SWEPT: tuple[Literal["layer", "beta"], ...] = ("layer", "beta")
RATE = "What is left of the prediction when so many bits pass the bottleneck"
TABLES = {"markdown": "md", "latex": "tex", "csv": "csv"}


@dataclass(frozen=True)
class Sweep:
    """One method at several values of one option.

    Attributes:
        parameter: ``layer`` or ``beta``.
        values: Of each method of the run.
    """

    parameter: Literal["layer", "beta"]
    values: dict[str, float]


def find_runs(folder: Path) -> list[Path]:
    """Find the runs in a folder.

    Args:
        folder: Of one run, or of folders of runs.

    Returns:
        The folders of the runs, by name.

    Raises:
        DataError: If there is none.
    """
    if (folder / MANIFEST).is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
    if not found:
        raise DataError(f"{folder} holds no run: there is no {MANIFEST} in it, nor in a folder of it")
    return found


def find_sweep(results: Results) -> Sweep | None:
    """Tell whether a run puts one method through the values of one option.

    Args:
        results: The run.

    Returns:
        The option and its values, or None.
    """
    entries = list(results.methods.values())
    for parameter in SWEPT:
        rest = {json.dumps([e["method"], {**e["options"], parameter: None}], sort_keys=True) for e in entries}
        if len(entries) > 1 and len(rest) == 1 and all(parameter in e["options"] for e in entries):
            return Sweep(parameter, {e["name"]: float(e["options"][parameter]) for e in entries})
    return None


def draw(results: Sequence[Results], summaries: Sequence[RunSummary]) -> dict[str, tuple[str, Figure]]:
    """Draw what runs of one kind found.

    Args:
        results: Comparisons of methods, or sweeps over the same option.
        summaries: Of each.

    Returns:
        File name to caption and figure.

    Raises:
        InputError: If comparisons and sweeps are mixed.
    """
    sweeps = [find_sweep(each) for each in results]
    rated = any(has_rate(method) for summary in summaries for method in summary["methods"].values())
    if all(sweep is None for sweep in sweeps):
        figures = {
            "degradation": ("Tokens removed, most relevant first", plot_degradation(summaries)),
            "normalized": (
                "The same, as the paper draws it: 1 = untouched, 0 = without all tokens",
                plot_degradation(summaries, "normalized"),
            ),
            "least_first": ("Tokens removed, least relevant first", plot_degradation(summaries, order="lerf")),
            "comparison": ("What the first ninth of the tokens costs", plot_comparison(summaries)),
            "cost": ("Faithfulness against cost", plot_cost(summaries)),
        }
        return {**figures, "rate": (RATE, plot_rates(summaries))} if rated else figures
    known = [sweep for sweep in sweeps if sweep is not None]
    parameter = known[0].parameter
    if len(known) < len(sweeps) or any(sweep.parameter != parameter for sweep in known):
        raise InputError("comparisons of methods and sweeps cannot share a report: give their folders one by one")
    values = {name: value for sweep in known for name, value in sweep.values.items()}
    figures = {
        f"{parameter}_curves": (f"Tokens removed, by {parameter}", plot_sweep_curves(summaries, parameter, values)),
        f"{parameter}_line": (
            f"What the first ninth of the tokens costs, by {parameter}",
            plot_sweep_line(summaries, parameter, values),
        ),
    }
    if rated:
        figures[f"{parameter}_rate"] = (f"{RATE}, by {parameter}", plot_sweep_rates(summaries, parameter, values))
    return figures


def write_report(
    folder: Path, out: Path | None = None, method: str | None = None, removal: str | None = None
) -> list[Path]:
    """Write a page, figures and tables of the runs in a folder.

    Args:
        folder: Of one run, or of folders of runs.
        out: Where to; None = into the folder, for a removal that is named into one of its own there.
        method: Whose most and least faithful maps are shown; None = the first bottleneck, else the first of all.
        removal: How tokens were removed; None = in the first way that each run was asked for.

    Returns:
        The files written, the page first.

    Raises:
        DataError: If there is no run, or one is damaged.
        InputError: If the method was not run, or the kinds of runs are mixed.
    """
    place = out or (folder if removal is None else folder / f"report-{removal}")
    results, summaries = _read_finished(find_runs(folder), removal)
    figures = draw(results, summaries)
    (place / "figures").mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for name, (_, figure) in figures.items():
        files += save_figure(figure, place / "figures" / name)
    for kind, suffix in TABLES.items():
        files.append(_write(place / f"drop_11.{suffix}", summary_table(summaries, kind)))  # type: ignore[arg-type]
    texts = [
        graded
        for each, summary in zip(results, summaries, strict=True)
        for graded in grade(each, _chosen(each, summary, method), summary["removal"])
    ]
    texts.sort(key=lambda graded: -graded.drop)
    shown = min(SHOWN, len(texts) // 2)
    page = render_report(
        summaries,
        {caption: figure_svg(figure) for caption, figure in figures.values()},
        texts[:shown],
        texts[::-1][:shown],
        _about(results, summaries),
    )
    return [_write(place / "report.html", page), *files]


def _read_finished(runs: Sequence[Path], removal: str | None) -> tuple[list[Results], list[RunSummary]]:
    """Read the runs of which something is done; say what is missing, whole runs and methods in the making."""
    results: list[Results] = []
    summaries: list[RunSummary] = []
    for run in runs:
        try:
            summary, each = write_summary(run), Results.read(run)
            if removal is not None:
                summary = summarize(each, removal)
        except DataError as error:
            if run == runs[-1] and not results:
                raise
            warnings.warn(f"left out: {error}", NarrowsWarning, stacklevel=3)
            continue
        if pending := unfinished(each, summary):
            warnings.warn(f"{run}: left out, not done yet: {', '.join(pending)}", NarrowsWarning, stacklevel=3)
        results.append(each)
        summaries.append(summary)
    return results, summaries


def grade(results: Results, method: str, removal: str | None = None) -> list[Graded]:
    """Say of every text how far its map can be trusted.

    Args:
        results: The run.
        method: Whose maps.
        removal: How tokens were removed; None = in the first way that the run was asked for.

    Returns:
        One per text, in their order.
    """
    curves, maps = results.curves(method, removal or results.removals[0]), results.maps(method)
    traces = results.traces(method)
    drops = drop(curves.morf)
    return [
        Graded(
            saved_map(results, method, row, maps[row], traces[row]),
            float(drops[row]),
            float(curves.morf[row, 0]),
            float(curves.morf[row, 1]),
            results.manifest["dataset"],
            label(results.methods[method]["method"], results.methods[method]["options"]),
        )
        for row in range(len(maps))
    ]


def saved_map(
    results: Results, method: str, row: int, scores: np.ndarray[Any, Any], trace: Trace = ()
) -> AttributionDict:
    """Put one map into the saved form that pictures are made of.

    Args:
        results: The run.
        method: Whose map.
        row: Of which text.
        scores: The map, (tokens,).
        trace: What the bottleneck saw on the way.

    Returns:
        The saved form; without words, and bits where the scores are none.
    """
    instance, entry = results.instances[row], results.methods[method]
    labels = results.manifest["model"]["labels"]
    in_bits = entry["method"] in ("narrows", "iba", "iba_released")
    blocks = results.manifest["model"]["blocks"]
    layers: tuple[int, ...] = (round(PAPER_DEPTH * blocks),)
    config = dict(entry["options"])
    if in_bits:
        chosen = _bottleneck_config(entry)
        walked = {"points": chosen.points, "rounds": chosen.rounds, "stretch": list(chosen.stretch)}
        layers, config = chosen.layers(blocks), {**config, "readout": chosen.readout, **walked}
    if "layer" in config:
        layers = (int(config["layer"]),)
    columns = ("tokens", "starts", "ends", "segments")
    tokens: list[TokenDict] = [
        {
            "token": token,
            "start": start,
            "end": end,
            "segment": segment,
            "special": segment is None,
            "bits": abs(score) if in_bits else 0.0,
            "score": score,
        }
        for token, start, end, segment, score in zip(
            *(instance[name] for name in columns), scores.tolist(), strict=True
        )
    ]
    return {
        "text": instance["text"],
        "text_pair": instance["text_pair"],
        "tokens": tokens,
        "words": [],
        "target": labels[instance["target"]],
        "predicted": labels[instance["predicted"]],
        "probabilities": dict(zip(labels, instance["probabilities"], strict=True)),
        "layer": layers[-1],
        "layers": list(layers),
        "total_bits": float(sum(token["bits"] for token in tokens)),
        "carried_bits": trace[0].information if trace else None,
        "truncated": instance["truncated"],
        "method": entry["method"],
        "config": config,
        "trace": trace_dicts(trace),
        "narrows_version": __version__,
    }


def _bottleneck_config(entry: Mapping[str, Any]) -> BottleneckConfig:
    """Make the settings of a bottleneck again from the options of the method."""
    options = entry["options"]
    preset: Preset = options.get("preset", "fast") if entry["method"] == "narrows" else "paper"
    return choose_config(preset, **{name: options[name] for name in Settings.__annotations__ if name in options})


def _chosen(results: Results, summary: RunSummary, method: str | None) -> str:
    done = list(summary["methods"])
    if method is not None and method not in done:
        raise InputError(f"{results.folder}: method {method!r} is not done; there are {', '.join(done)}")
    return method or next((name for name in done if name.startswith("narrows")), done[0])


def _about(results: Sequence[Results], summaries: Sequence[RunSummary]) -> Mapping[str, str]:
    """List what the runs are of, for the foot of the page."""
    about: dict[str, str] = {}
    for each, summary in zip(results, summaries, strict=True):
        manifest, model = each.manifest, each.manifest["model"]
        about[str(each.folder)] = (
            f"{manifest['dataset']} ({manifest['split'] or 'file'}), {manifest['instances']} texts "
            f"(SHA-256 {manifest['texts_sha256'][:12]}), target {manifest['target']}, seed {manifest['seed']}, "
            f"cut at {manifest['max_tokens'] or 'the limit of the model'} tokens; model {model['name']} "
            f"(SHA-256 {model['sha256'][:12]}), {model['device']}, {model['dtype']}, "
            f"{'no corpus prior' if model['prior_sha256'] is None else 'prior SHA-256 ' + model['prior_sha256'][:12]}"
        )
        if pending := unfinished(each, summary):
            about[str(each.folder)] += f"; left out, not done yet: {', '.join(pending)}"
    about["versions"] = ", ".join(f"{name} {version}" for name, version in results[0].manifest["versions"].items())
    return about


def _write(path: Path, content: str) -> Path:
    with written_whole(path) as partial:
        partial.write_text(content, encoding="utf-8")
    return path
