"""Settings of methods, for commands, page and records: fields with a help text and a type, by which they are read."""

import math
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from itertools import chain
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from narrows.data.example import plain
from narrows.errors import InputError, shown

YES, NO = ("true", "yes", "1", "on"), ("false", "no", "0", "off")
LONGEST_RANGE = 10_000  # numbers that a range such as 0-6 may stand for: more than any model has layers
NAMED = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "none"}


@dataclass(frozen=True)
class Setting:
    """One setting of a method: a field, its type, its default and its help text."""

    name: str
    kind: Any
    default: Any  # `dataclasses.MISSING` if it must be given
    help: str

    @property
    def type_text(self) -> str:
        """Its type as users read it: ``whole number``, ``pad | mask``, ..."""
        return " | ".join(_names(self.kind))


def settings_of(method: type[Any]) -> dict[str, Setting]:
    """List the settings of a class of methods by name, in the order of its fields."""
    hints = typing.get_type_hints(method, include_extras=True)
    found = {}
    for item in fields(method):
        kind, *notes = get_args(hints[item.name]) if hasattr(hints[item.name], "__metadata__") else (hints[item.name],)
        found[item.name] = Setting(item.name, kind, item.default, str(notes[0]) if notes else "")
    return found


def parse_setting(setting: Setting, text: str) -> Any:
    """Read the value of a setting from text, ``1,3-5`` as (1, 3, 4, 5), or raise an `InputError`."""
    for kind in _alternatives(setting.kind):
        try:
            return _parse(kind, text.strip())
        except ValueError:
            continue
    raise InputError(f"{setting.name} must be {' or '.join(_names(setting.kind))}, not {text!r:.60}")


def check_settings(method: Any) -> None:
    """Raise an `InputError` if a setting of a method is of another type: ``features="False"`` would be true."""
    for setting in settings_of(type(method)).values():
        value = getattr(method, setting.name)
        if not any(_fits(kind, value) for kind in _alternatives(setting.kind)):
            raise InputError(f"{setting.name} must be {' or '.join(_names(setting.kind))}, not {shown(value)}")


def write_setting(value: Any) -> str:
    """Write a value so that `parse_setting` reads it again: ``1,3,5``, ``5,`` for a tuple of one, ``0.2``, ``mask``."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ",".join(map(write_setting, value)) + ("," if len(value) == 1 else "")
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give settings as JSON has them: tuples are lists, functions their names."""
    listed = {name: [*map(plain, v)] if isinstance(v, tuple) else plain(v) for name, v in values.items()}
    return {name: getattr(value, "__qualname__", value) for name, value in listed.items()}


def is_required(setting: Setting) -> bool:
    """Tell whether a setting has no default."""
    return setting.default is MISSING


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """Split a union, what reads everything last."""
    parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return tuple(sorted(parts, key=lambda part: part is str))


def _parse(kind: Any, text: str) -> Any:
    """Read one type, or raise a `ValueError`."""
    if kind is NoneType:
        return None if text.lower() == "none" else _wrong()
    if get_origin(kind) is Literal:
        return text if text in get_args(kind) else _wrong()
    if get_origin(kind) is tuple:
        return _parse_tuple(get_args(kind), text)
    if kind is bool:
        return True if text.lower() in YES else False if text.lower() in NO else _wrong()
    return kind(text)


def _parse_tuple(members: tuple[Any, ...], text: str) -> tuple[Any, ...]:
    """Read values with commas; of whole numbers of any count also ranges such as 0-6."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if members[-1] is Ellipsis:
        if members[0] is not int:
            return tuple(_parse(members[0], part) for part in parts)
        cut = [part.partition("-") for part in parts]
        ranges = [range(int(first), int(last if dash else first) + 1) for first, dash, last in cut]
        counted = [own.stop - own.start for own in ranges]
        return tuple(chain(*ranges)) if ranges and min(counted) > 0 and sum(counted) <= LONGEST_RANGE else _wrong()
    return tuple(_parse(member, part) for member, part in zip(members, parts, strict=True))  # or a ValueError


def _fits(kind: Any, value: Any) -> bool:
    """Tell whether a value is of one type; numbers of numpy are too, and a list is as good as a tuple of its length."""
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if get_origin(kind) is tuple:
        members = get_args(kind)
        if members[-1] is Ellipsis:
            return isinstance(value, tuple) and all(_fits(members[0], each) for each in value)
        same = isinstance(value, (tuple, list)) and len(value) == len(members)
        return same and all(map(_fits, members, value))
    if kind in (int, float):
        number = isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
        return number and math.isfinite(value)
    return isinstance(value, kind) if isinstance(kind, type) else True


def _names(kind: Any) -> list[str]:
    """Name a type, or each of a union, as users read it."""
    names = []
    for part in _alternatives(kind):
        if get_origin(part) is Literal:
            names += [f"'{choice}'" for choice in get_args(part)]
        elif get_origin(part) is tuple:
            members = get_args(part)
            names.append("several with commas" if members[-1] is Ellipsis else f"{len(members)} numbers with a comma")
        else:
            names.append(NAMED.get(part, getattr(part, "__name__", str(part))))
    return names


def _wrong() -> Any:
    raise ValueError
