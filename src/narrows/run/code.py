"""What a function or a class of the user's own does, written out: so that a run notices that it was changed."""

from collections.abc import Iterator
from functools import partial
from types import CodeType, FunctionType
from typing import Any

PLAIN = (str, bytes, int, float, complex, type(None), type(...))
HELD = (*PLAIN, list, tuple, dict, set, frozenset, partial)
FOREIGN = ("narrows", "builtins", "typing", "abc")  # packages whose classes are known by the version of narrows


def written(value: Any, known: set[Any] | None = None) -> Any:
    """Write plain values, and functions as their code with the values and functions of their module that they use."""
    # Of anything else (arrays, models, classes) only the type is written: a change within it is not noticed.
    known = set() if known is None else known
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, partial):
        return [written(part, known) for part in (value.func, value.args, value.keywords)]
    if isinstance(value, list | tuple):
        return [written(part, known) for part in value]
    if isinstance(value, dict):
        return [written(part, known) for part in value.items()]
    if isinstance(value, set | frozenset):
        return sorted(repr(written(part, known)) for part in value)
    if isinstance(value, CodeType):
        return [repr(value.co_code), value.co_names, written(value.co_consts, known)]
    function = getattr(value, "fget", None) or getattr(value, "__func__", value)
    if not isinstance(function, FunctionType):
        return type(value).__qualname__
    if function in known:
        return function.__qualname__
    known.add(function)
    used = (function.__globals__.get(name) for name in function.__code__.co_names)
    own = [one for one in used if isinstance(one, HELD) or getattr(one, "__module__", 0) == function.__module__]
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    parts = (function.__code__, function.__defaults__, function.__kwdefaults__, cells, own)
    return [written(part, known) for part in parts]


def own_code(thing: Any) -> Iterator[Any]:
    """Give the functions that an object holds, and those of its class, unless that is one of ours."""
    yield from (value for value in vars(thing).values() if callable(value))
    for kind in type(thing).__mro__:
        if kind.__module__.partition(".")[0] not in FOREIGN:
            own = vars(kind).items()
            yield from (value for name, value in own if not name.startswith("__") or name == "__post_init__")
