"""Methods: one frozen dataclass per way to make a map, all behind one protocol."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narrows.methods.method import Batch, FunctionMethod, Method
    from narrows.methods.registry import describe, find_method, method_names, register, spec, split_methods

__all__ = ["Batch", "FunctionMethod", "Method"]
__all__ += ["describe", "find_method", "method_names", "register", "spec", "split_methods"]


def __getattr__(name: str) -> Any:
    """Import a name when it is used: the command line loads no model code before it must."""
    if name not in __all__:
        raise AttributeError(f"module 'narrows.methods' has no attribute {name!r}")
    module = "method" if name in ("Batch", "FunctionMethod", "Method") else "registry"
    return getattr(import_module(f"{__name__}.{module}"), name)
