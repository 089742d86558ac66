"""The experiments on the demo models and on models of 12 blocks, as commands of ``narrows``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
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
FRONT = (  # from 2 to 40 passes: what does a pass buy?
    *("fast:layer=3:steps=1:iterations=1", "fast:steps=1:iterations=1", "fast:steps=2:iterations=2", "fast"),
    *("fast:steps=6", "best", "saliency", "gradient_x_input", "ig:steps=3", "ig:steps=5", "ig", "ig:steps=20"),
    *("lime:samples=10", "lime:samples=25", "lime:samples=50"),
)
MODELS = {
    "imdb": "sentiment",
    "mnli_matched": "nli",
    "mnli_mismatched": "nli",
    "ag_news": "topic",
    "rte": "rte",
    "sst2": "sentiment",  # not in the paper
}
# On the base of 12 blocks: the model of each data set that `training.py` makes, and what the paper ran.
TWELVE = {name: "mnli" if name.startswith("mnli") else name for name in MODELS}
PUBLISHED = ("random", "fast", "best", "paper", "paper:prior=instance", "released", "ig", "lime")
PUBLISHED_FOR = {"rte": ("paper:beta=0.0001:layer=10",)}  # on the others layer 9, beta 1e-5: what `paper` is
IMDB_TOKENS = 96  # reviews are cut where the demo model was trained
# Before the name of a data set, what a folder or a file of results has of it; nothing: the table.
FEW, LAYERS, BETAS, RATES, PREDICTED, MASKED = "few-", "layers-", "beta-", "rates-", "predicted-", "mask-"
PASSES = "passes-"
PREFIXES = ("", FEW, LAYERS, BETAS, RATES, PREDICTED, MASKED, PASSES)
FEW_SHARE, SWEPT_SHARE = 0.2, 0.08  # of the texts


@dataclass(frozen=True)
class Experiment:
    """One command, and the folder of its results."""

    name: str
    words: tuple[str, ...]


def experiments(data: Path, runs: Path, limit: int) -> list[Experiment]:
    """List the commands on the demo models, the most important first.

    Args:
        data: Folder with the published files.
        runs: Folder of the results.
        limit: Texts per data set.
    """
    few, swept = max(2, round(FEW_SHARE * limit)), max(2, round(SWEPT_SHARE * limit))
    command = partial(_commands, data, runs, MODELS)

    def compare(prefix: str, count: int, methods: Iterable[str], *options: str) -> list[Experiment]:
        return command("evaluate", prefix, MODELS, count, "--methods", ",".join(methods), *options)

    return [
        *compare("", limit, TABLE),
        *command("sweep layers", LAYERS, MODELS, swept, "--method", "paper:samples=2"),
        *command("sweep beta", BETAS, ("mnli_matched", "rte"), swept, "--method", "paper:samples=2"),
        *command("sweep layers", RATES, MODELS, swept, "--method", "complete"),
        *compare(FEW, few, COSTLY),
        *compare(PASSES, few, FRONT),
        *compare("", limit, (*COMPARED, "lime:removal=mask"), "--removal", "mask"),  # the attributions are there
        *compare(PREDICTED, limit, COMPARED, "--target", "predicted"),
    ]


def experiments_of_the_paper(data: Path, models: Path, runs: Path, limit: int) -> list[Experiment]:
    """List the commands on the models of 12 blocks: Table 1 first, then the layers and beta.

    Args:
        data: Folder with the published files.
        models: Folder of the models that `training.py` made.
        runs: Folder of the results.
        limit: Texts per data set; two fifths of them for IMDB's layers, a fifth for other layers and betas.
    """
    found = {name: str(models / model) for name, model in TWELVE.items()}
    command, most, some = partial(_commands, data, runs, found), max(2, 2 * limit // 5), max(2, limit // 5)
    table: list[Experiment] = []
    for name in TWELVE:
        methods = ",".join((*PUBLISHED, *PUBLISHED_FOR.get(name, ())))
        table += command("evaluate", "", [name], limit, "--methods", methods)
    others = [name for name in TWELVE if name != "imdb"]
    return [
        *table,
        *command("sweep layers", LAYERS, ["imdb"], most, "--method", "paper:samples=2"),
        *command("sweep layers", LAYERS, others, some, "--method", "paper:samples=2"),
        *command("sweep beta", BETAS, ("mnli_matched", "rte"), some, "--method", "paper:samples=2"),
        *command("sweep layers", RATES, ["imdb"], max(2, some // 5), "--method", "complete:steps=20:draws=4"),
    ]


def _commands(
    data: Path, runs: Path, models: Mapping[str, str], what: str, prefix: str, names: Iterable[str], count: int,
    *options: str,
) -> list[Experiment]:  # fmt: skip
    """List a command for each of some data sets."""
    found = []
    for name in names:
        words = ["narrows", *what.split(), "--dataset", name, "--data-dir", str(data), "--model", models[name]]
        words += ["--limit", str(count), *options, "--out", str(runs / f"{prefix}{name}")]
        words += ["--max-tokens", str(IMDB_TOKENS)] if name == "imdb" else []
        found.append(Experiment(f"{prefix}{name}", tuple(words)))
    return found
