"""The exceptions and warnings that users see: each is one line that says what is wrong, where, and what would be right.

Every class derives from `NarrowsError`, which the command line turns into exit code 2; anything else is a defect. Some
are also what Python itself raises in such a case, so that ``except OSError`` or ``except ImportError`` catches them.
"""

import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from numbers import Integral
from types import MappingProxyType
from typing import Any, TypeVar

T = TypeVar("T")


class NarrowsError(ValueError):
    """Base of everything that the user can put right.

    Attributes:
        place: Which of several texts it is about, such as ``texts[3]``; empty for one that was explained by itself.
        row: What is known of that text, for files of results: text, text_pair, id, gold.
    """

    place: str = ""
    row: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, *said: Any) -> None:
        """Take a message; it becomes one line that acts on no terminal, whatever text or name it quotes."""
        super().__init__(*(_one_line(each) if isinstance(each, str) else each for each in said))

    def __str__(self) -> str:
        return f"{self.place}: {super().__str__()}" if self.place else super().__str__()


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


def _one_line(message: str) -> str:
    line = re.sub(r"\s*[\r\n]+\s*", " ", message)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


# What need not be wrong with the next text too; every other error is one of the model, the method or the prior.
OF_ONE_TEXT = (InputError, DataError, TargetError, NumericsError, MemoryLimitError)


def forget(error: NarrowsError) -> NarrowsError:
    """Return an error without the frames that it holds, and so the tensors in them: it is kept in place of a result."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def need(module: str, message: str) -> Any:
    """Import an optional package, or raise a `DependencyError`."""
    try:
        return import_module(module)
    except ImportError as error:
        raise DependencyError(message) from error


def strict(results: Iterable[T | NarrowsError]) -> Iterator[T]:
    """Pass results on, and raise the first error that stands in the place of one."""
    for result in results:
        if isinstance(result, NarrowsError):
            raise result
        yield result


def placed(results: Iterable[T | NarrowsError]) -> Iterator[T | NarrowsError]:
    """Let each error name its text, unless it names the line of a file or the like."""
    for position, result in enumerate(results):
        if isinstance(result, NarrowsError):
            result.place = result.place or f"texts[{position}]"
        yield result


def warned(results: Iterable[T]) -> Iterator[T]:
    """Warn of each error of a stream."""
    for result in results:
        if isinstance(result, NarrowsError):
            warn(f"not explained: {result}")
        yield result


def count(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """Return a whole number of Python's or numpy's, or raise an `InputError` if it is none, or out of bounds."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise InputError(f"{name} must be a whole number of at least {least}, not {shown(value)}")
    if most is not None and int(value) > most:
        raise InputError(f"{name} must be at most {most:,}, not {shown(value)}")
    return int(value)


def one_of(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise an `InputError` unless a value is one of some choices."""
    if value not in (listed := list(choices)):
        raise InputError(f"{name} must be one of {', '.join(listed)}, not {shown(value)}")


def first_line(error: BaseException) -> str:
    """Return the first line of what an error of another library says, or its class if it says nothing."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__


def shown(value: Any) -> str:
    """Write any value in one short line, for a message; the text of a model or a table has many."""
    return " ".join(repr(value).split())[:60]


class NarrowsWarning(UserWarning):
    """Something that the user should know and may want to change."""


def warn(message: str) -> None:
    """Give a `NarrowsWarning` that points at the user's line: the first one outside of this package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("narrows."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, NarrowsWarning, stacklevel=level)
