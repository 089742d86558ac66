"""What the shell offers after an option: names that are known without a model library."""

from collections.abc import Callable, Iterable

import typer

Complete = Callable[[typer.Context, str], list[str]]


def _models(context: typer.Context, incomplete: str) -> list[str]:
    from narrows.models.hub import bundled
    from narrows.models.hub.fetched import FETCHED

    return _beginning(incomplete, [*bundled.names(), *(model.name for model in FETCHED)])


def _methods(context: typer.Context, incomplete: str) -> list[str]:
    """Offer methods; of a list with commas, for its last one."""
    from narrows.methods.catalogue import read_catalogue

    done, comma, last = incomplete.rpartition(",")
    return [f"{done}{comma}{name}" for name in _beginning(last, read_catalogue())]


def _datasets(context: typer.Context, incomplete: str) -> list[str]:
    from narrows.data.datasets import DATASETS

    return _beginning(incomplete, DATASETS)


def _targets(context: typer.Context, incomplete: str) -> list[str]:
    """Offer the labels of the demo model that is named before, and what stands for a label."""
    from narrows.models.hub import bundled

    model = str(context.params.get("model") or "sentiment")
    labels = bundled.find(model).card().labels if model in bundled.names() else ()
    return _beginning(incomplete, [*labels, "gold"])


def _beginning(start: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(start)]


BY_OPTION: dict[str, Complete] = {
    "model": _models,
    "method": _methods,
    "methods": _methods,
    "data": _datasets,
    "dataset": _datasets,
    "target": _targets,
    "against": _targets,
}
