"""Runs over whole data sets, and evaluations of methods: interrupted at any moment, they are resumed."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narrows.run.dataset import explain_dataset
    from narrows.run.evaluating import Plan, evaluate
    from narrows.run.finished import inspect, merge, read_run, run_frame
    from narrows.run.report import write_report
    from narrows.run.results import Results, write_summary
    from narrows.run.settings import ExplainSettings
    from narrows.run.summary import summarize_run

_HOME = {"ExplainSettings": "settings", "explain_dataset": "dataset", "Plan": "evaluating", "evaluate": "evaluating"}
_HOME |= {"read_run": "finished", "inspect": "finished", "merge": "finished", "run_frame": "finished"}
_HOME |= {"summarize_run": "summary"}
_HOME |= {"Results": "results", "write_summary": "results", "write_report": "report"}

__all__ = ["ExplainSettings", "explain_dataset", "inspect", "merge", "read_run", "run_frame", "summarize_run"]
__all__ += ["Plan", "Results", "evaluate", "write_report", "write_summary"]


def __getattr__(name: str) -> Any:
    """Import a name when it is used: the command line takes settings from here without model code."""
    if name not in _HOME:
        raise AttributeError(f"module 'narrows.run' has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
