"""The exceptions and warnings that users see: each is one line that says what is wrong, where, and what would be right.

Every class derives from `NarrowsError`, which the command line turns into exit code 2; anything else is a defect. Some
are also what Python itself raises in such a case, so that ``except OSError`` or ``except ImportError`` catches them.
"""

from importlib import import_module
from numbers import Integral
from typing import Any


class NarrowsError(ValueError):
    """Base of everything that the user can put right."""


class InputError(NarrowsError):
    """A text, a row or an option cannot be used as given."""


class DataError(NarrowsError, OSError):
    """A file of texts, or a row in it, cannot be read; names the file and the line."""


class TargetError(NarrowsError):
    """A label is not one of the model's; lists those that are."""


class LayerError(NarrowsError):
    """A layer is out of range, or the model's blocks cannot be told from its structure."""


class ModelError(NarrowsError):
    """A model cannot be found, loaded or explained."""


class PriorError(NarrowsError):
    """A prior cannot be read, or was estimated on another model."""


class NumericsError(NarrowsError):
    """A model computed NaN or infinity where a finite number is needed."""


class MemoryLimitError(NarrowsError, MemoryError):
    """Memory does not suffice for a single text."""


class DependencyError(NarrowsError, ImportError):
    """An optional package is missing; names the extra that installs it."""


def need(module: str, message: str) -> Any:
    """Import an optional package, or raise a `DependencyError`."""
    try:
        return import_module(module)
    except ImportError as error:
        raise DependencyError(message) from error


def count(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number of Python's or numpy's, or raise an `InputError` if it is none or too small."""
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least:
        return int(value)
    raise InputError(f"{name} must be a whole number of at least {least}, not {shown(value)}")


def shown(value: Any) -> str:
    """Write any value in one short line, for a message; the text of a model or a table has many."""
    return " ".join(repr(value).split())[:60]


class NarrowsWarning(UserWarning):
    """Something that the user should know and may want to change."""
