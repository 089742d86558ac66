"""Whether what somebody saved has the form of `narrows.data.schema`: files travel, and are changed on the way."""

from collections.abc import Iterable, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

_PLAIN: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "text"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
    NoneType: ((NoneType,), "nothing"),
}

_hints = cache(get_type_hints)


def misfit(value: Any, kind: Any, where: str) -> str | None:
    """Tell in one line what in a value is not of a type of the schema, None if all is."""
    if kind is Any:
        return None
    if kind in _PLAIN:
        kinds, name = _PLAIN[kind]
        fits = isinstance(value, kinds) and (kind is bool or not isinstance(value, bool))
        return None if fits else f"{where} is {value!r:.40}, not {name}"
    if is_typeddict(kind):
        return _misfit_of_object(value, kind, where)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        wrong = [misfit(value, part, where) for part in inner]
        return None if None in wrong else wrong[0]
    if not isinstance(value, (list, tuple) if origin is list else Mapping):
        return f"{where} is {value!r:.40}, not {'a list' if origin is list else 'an object'}"
    items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, Mapping) else enumerate(value)
    return next((said for key, item in items if (said := misfit(item, inner[-1], f"{where}[{key!r:.40}]"))), None)


def _misfit_of_object(value: Any, kind: Any, where: str) -> str | None:
    if not isinstance(value, Mapping):
        return f"{where} is {value!r:.40}, not an object"
    hints = _hints(kind)
    if missing := [name for name in sorted(hints) if name in kind.__required_keys__ and name not in value]:
        return f"{where} has no {', '.join(missing)}"
    known = ((name, inner) for name, inner in hints.items() if name in value)
    return next((wrong for name, inner in known if (wrong := misfit(value[name], inner, f"{where}.{name}"))), None)
