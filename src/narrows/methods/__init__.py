"""Methods: one frozen dataclass per way to make a map, all behind one protocol."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narrows.methods.method import Batch, FunctionMethod, Method
    from narrows.methods.registry import describe, find_method, method_names, register, spec, split_methods

_HOME = {
    "Batch": "method",
    "FunctionMethod": "method",
    "Method": "method",
    "describe": "registry",
    "find_method": "registry",
    "method_names": "registry",
    "register": "registry",
    "spec": "registry",
    "split_methods": "registry",
}

__all__ = [
    "Batch",
    "FunctionMethod",
    "Method",
    "describe",
    "find_method",
    "method_names",
    "register",
    "spec",
    "split_methods",
]


def __getattr__(name: str) -> Any:
    """Import a name when it is used: the command line loads no model code before it must."""
    if name not in _HOME:
        raise AttributeError(f"module 'narrows.methods' has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
