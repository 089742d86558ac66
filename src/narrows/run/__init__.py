"""Work over whole data sets that can be stopped at any moment and goes on where it stopped."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narrows.run.dataset import explain_dataset
    from narrows.run.dataset_settings import ExplainSettings
    from narrows.run.finished import inspect, merge, read_run

_HOME = {
    "ExplainSettings": "dataset_settings",
    "explain_dataset": "dataset",
    "inspect": "finished",
    "merge": "finished",
    "read_run": "finished",
}

__all__ = ["ExplainSettings", "explain_dataset", "inspect", "merge", "read_run"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: the command line takes settings from here without model code."""
    if name not in _HOME:
        raise AttributeError(f"module 'narrows.run' has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
