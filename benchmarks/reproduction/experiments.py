"""The experiments of the paper on the demo models, as commands of ``narrows``: what is run is what is written down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

OLD_ADAM = "paper:adam_eps=1e-16"  # the optimiser of earlier versions
TABLE = (
    *("random", "fast", "best", "paper", "ig", "lime", "released", OLD_ADAM),
    *("layer_ig", "gradient_x_input", "saliency", "gradient_shap", "rollout", "update_norm", "ig:baseline=mask"),
)
COMPARED = ("random", "fast", "best", "paper", "ig", "lime")
COSTLY = (  # a pass per token, or a hundred and more: on fewer texts, and ours on the same
    *("fast", "best", "lime"),
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
IMDB_TOKENS = 96  # reviews are cut where the demo model was trained
# Before the name of a data set, what a folder or a file of results has of it; nothing: the table.
FEW, LAYERS, BETAS, RATES, PREDICTED, MASKED = "few-", "layers-", "beta-", "rates-", "predicted-", "mask-"
FEW_SHARE, SWEPT_SHARE = 0.2, 0.08  # of the texts


@dataclass(frozen=True)
class Experiment:
    """One command, and the folder of its results."""

    name: str
    words: tuple[str, ...]


def experiments(data: Path, runs: Path, limit: int) -> list[Experiment]:
    """List the commands, the most important first.

    Args:
        data: Folder with the published files.
        runs: Folder of the results.
        limit: Texts per data set.
    """
    few, swept = max(2, round(FEW_SHARE * limit)), max(2, round(SWEPT_SHARE * limit))

    def command(what: str, prefix: str, names: Iterable[str], count: int, *options: str) -> list[Experiment]:
        found = []
        for name in names:
            words = ["narrows", *what.split(), "--dataset", name, "--data-dir", str(data), "--model", MODELS[name]]
            words += ["--limit", str(count), *options, "--out", str(runs / f"{prefix}{name}")]
            words += ["--max-tokens", str(IMDB_TOKENS)] if name == "imdb" else []
            found.append(Experiment(f"{prefix}{name}", tuple(words)))
        return found

    def compare(prefix: str, count: int, methods: Iterable[str], *options: str) -> list[Experiment]:
        return command("evaluate", prefix, MODELS, count, "--methods", ",".join(methods), *options)

    return [
        *compare("", limit, TABLE),
        *command("sweep layers", LAYERS, MODELS, swept, "--method", "paper:samples=2"),
        *command("sweep beta", BETAS, ("mnli_matched", "rte"), swept, "--method", "paper:samples=2"),
        *command("sweep layers", RATES, MODELS, swept, "--method", "complete"),
        *compare(FEW, few, COSTLY),
        *compare("", limit, (*COMPARED, "lime:removal=mask"), "--removal", "mask"),  # the attributions are there
        *compare(PREDICTED, limit, COMPARED, "--target", "predicted"),
    ]
