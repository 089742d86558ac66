"""The exceptions and warnings that users see: each is one line that says what is wrong, where, and what would be right.

Every class derives from `NarrowsError`, which the command line turns into exit code 2; anything else is a defect.
"""

import re
from importlib import import_module
from typing import Any


class NarrowsError(ValueError):
    """Base of everything that the user can put right."""

    def __init__(self, *said: Any) -> None:
        """Take a message; it becomes one line that acts on no terminal, whatever text or name it quotes."""
        super().__init__(*(_one_line(each) if isinstance(each, str) else each for each in said))


class InputError(NarrowsError):
    """A text, a row or an option cannot be used as given."""


class DataError(NarrowsError):
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


class MemoryLimitError(NarrowsError):
    """Memory does not suffice for a single text."""


class DependencyError(NarrowsError):
    """An optional package is missing; names the extra that installs it."""


def _one_line(message: str) -> str:
    line = re.sub(r"\s*[\r\n]+\s*", " ", message)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def need(module: str, message: str) -> Any:
    """Import an optional package, or raise a `DependencyError`."""
    try:
        return import_module(module)
    except ImportError as error:
        raise DependencyError(message) from error


class NarrowsWarning(UserWarning):
    """Something that the user should know and may want to change."""
