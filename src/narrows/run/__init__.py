"""Runs over whole data sets, and evaluations of methods: interrupted at any moment, they are resumed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narrows.run.dataset import explain_dataset
    from narrows.run.evaluating import Plan, evaluate
    from narrows.run.finished import inspect, merge, read_run
    from narrows.run.report import write_report
    from narrows.run.results import write_summary
    from narrows.run.settings import ExplainSettings

_HOME = {
    "ExplainSettings": "settings",
    "Plan": "evaluating",
    "evaluate": "evaluating",
    "explain_dataset": "dataset",
    "inspect": "finished",
    "merge": "finished",
    "read_run": "finished",
    "write_report": "report",
    "write_summary": "results",
}

__all__ = [  # noqa: RUF022 - in the order in which a reader meets them
    "explain_dataset",
    "ExplainSettings",
    "read_run",
    "inspect",
    "merge",
    "evaluate",
    "Plan",
    "write_summary",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Import a name when it is used: the command line takes settings from here without model code."""
    if name not in _HOME:
        raise AttributeError(f"module 'narrows.run' has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
