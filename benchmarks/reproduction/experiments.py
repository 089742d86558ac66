"""The experiments of the paper on the demo models, as commands of ``narrows``: what is run is what is written down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LAYER = 5  # of 6; the paper's 9 of 12, and 10 of 12 for RTE
PAPER_LAYER = f"layer={LAYER}"
# The methods of the paper's table and what it does not have.
TABLE = (
    *("random", "ig", f"iba:{PAPER_LAYER}", f"iba_released:{PAPER_LAYER}", "lime", "narrows", "narrows:preset=best"),
    *("layer_ig", "gradient_x_input", "saliency", "gradient_shap", "rollout", f"update_norm:{PAPER_LAYER}"),
    "ig:baseline=mask",
)
COMPARED = ("random", "ig", f"iba:{PAPER_LAYER}", "lime", "narrows", "narrows:preset=best")
# One pass per token, or a hundred and more: on fewer texts, and ours on the same.
COSTLY = (
    *("narrows", "narrows:preset=best", "lime"),
    *("occlusion", "kernel_shap", "ig:steps=50", "lime:samples=1000", "kernel_shap:samples=1000"),
)
MODELS = {
    "imdb": "sentiment",
    "mnli_matched": "nli",
    "mnli_mismatched": "nli",
    "ag_news": "topic",
    "rte": "rte",
    "sst2": "sentiment",  # not in the paper
}
IMDB_TOKENS = 96  # reviews are cut where the demo model was trained: 2 cores would need days for all of their tokens
FURTHER = "few-"  # before the name of a data set: the folder of the costly methods
LAYERS, BETAS, RATES = "layers-", "beta-", "rates-"  # the same of the sweeps, and of the rate at each layer
PREDICTED = "predicted-"  # the same of the runs that explain the predicted class
MASKED = (*COMPARED, "lime:removal=mask")  # in the folder of the data set itself: the maps are there
FEW = 0.2  # share of the texts that the costly methods get
SWEPT = 0.08  # and the sweeps


@dataclass(frozen=True)
class Experiment:
    """One command.

    Attributes:
        name: Folder of its results.
        words: The command.
    """

    name: str
    words: tuple[str, ...]


def experiments(data: Path, runs: Path, limit: int) -> list[Experiment]:
    """List the commands, the most important first.

    Args:
        data: Folder with the published files.
        runs: Folder of the results.
        limit: Texts per data set.

    Returns:
        The commands, in the order in which they are run.
    """
    few, swept = max(2, round(FEW * limit)), max(2, round(SWEPT * limit))

    def compare(folder: str, count: int, methods: tuple[str, ...], *options: str) -> list[Experiment]:
        chosen = ("--methods", ",".join(methods), *options)
        return [_command("evaluate", folder.format(name), name, data, runs, count, chosen) for name in MODELS]

    def sweep(what: str, folder: str, method: str, names: Iterable[str]) -> list[Experiment]:
        chosen = ("--method", method)
        return [_command(f"sweep {what}", f"{folder}{name}", name, data, runs, swept, chosen) for name in names]

    layers = sweep("layers", LAYERS, "iba:samples=2", MODELS)
    betas = sweep("beta", BETAS, f"iba:{PAPER_LAYER}:samples=2", ("mnli_matched", "rte"))
    rates = sweep("layers", RATES, "narrows:preset=complete", MODELS)
    costly = compare(FURTHER + "{}", few, COSTLY)
    masked = compare("{}", limit, MASKED, "--removal", "mask")
    predicted = compare(PREDICTED + "{}", limit, COMPARED, "--target", "predicted")
    return [*compare("{}", limit, TABLE), *layers, *betas, *rates, *costly, *masked, *predicted]


def _command(
    what: str, name: str, dataset: str, data: Path, runs: Path, limit: int, options: tuple[str, ...]
) -> Experiment:
    words = ["narrows", *what.split(), "--dataset", dataset, "--data-dir", str(data), "--model", MODELS[dataset]]
    words += ["--limit", str(limit), *options, "--batch-size", "20", "--out", str(runs / name)]
    if dataset == "imdb":
        words += ["--max-tokens", str(IMDB_TOKENS)]
    return Experiment(name, tuple(words))
