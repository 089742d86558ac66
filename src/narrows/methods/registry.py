"""The methods by name, ``ig:steps=50:baseline=mask``: classes with ``names`` here, and what `register` adds."""

import inspect
import pkgutil
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from narrows.data.schema import MethodDict
from narrows.errors import InputError, shown
from narrows.methods.settings import (
    Setting,
    as_json,
    check_settings,
    is_required,
    parse_setting,
    settings_of,
    write_setting,
)

ASKED = "_asked_for_as"  # where a method notes its name
FIRST = ("fast", "best", "complete", "paper", "information", "information_signed", "released")  # in lists


class Described(Protocol):
    """What a method says of its scores; see `narrows.methods.method.Method`."""

    @property
    def label(self) -> str:
        """What tables and figures call it."""

    @property
    def quantity(self) -> str:
        """What a score is: ``evidence``, ``information`` or ``score``."""

    @property
    def unit(self) -> str:
        """``bits``, ``nats of log p``, ``probability``, ``weight`` or ``score``."""

    @property
    def signed(self) -> bool:
        """Whether a score below 0 speaks against the target."""

    @property
    def additive(self) -> bool:
        """Whether scores add up to the rise from a typical text to this one."""

    @property
    def caption(self) -> str:
        """One plain sentence that says what a score is."""

    @property
    def how(self) -> str:
        """The mechanics, in plain words; may be empty."""


_Entry = tuple[type[Any], dict[str, Any]]  # a class of methods, and what a name changes of its defaults
_ADDED: dict[str, _Entry] = {}


def register(method: type[Any]) -> type[Any]:
    """Make a class of methods known by its names and return it, so that it can be used as a decorator.

    Args:
        method: A frozen dataclass with ``names``, ``label``, ``unit``, ... and ``explain``: see `Method`.

    Raises:
        InputError: If a name is taken.

    Example:
        The class of `narrows.methods.method` is known as "length" from now on::

            @register
            @dataclass(frozen=True)
            class TokenLength: ...
    """
    for name, settings in method.names.items():
        if name in _known():
            raise InputError(f"there is a method {name!r} already")
        _ADDED[name] = (method, settings)
    return method


def method_names() -> tuple[str, ...]:
    """List the names of all methods, those of the bottleneck first."""
    return (*FIRST, *sorted(set(_known()) - set(FIRST)))


def added_names() -> tuple[str, ...]:
    """List the names of the methods that `register` added."""
    return tuple(_ADDED)


def find_method(method: str | Described) -> Any:
    """Find a method by its name and settings.

    Args:
        method: A name, with settings behind colons or commas, ``ig:steps=50``; or a method, returned as it is.

    Raises:
        InputError: If there is no such method or setting, or a value is out of its range.

    Example:
        >>> find_method("ig:steps=50").steps
        50
    """
    if not isinstance(method, str):
        if isinstance(method, type) or not hasattr(method, "explain"):
            raise InputError(f"a method is a name or an object, such as 'fast' or Evidence(), not {shown(method)}")
        check_settings(method)  # a dataclass says nothing of a value of another type
        return method
    name, _, rest = method.strip().partition(":")
    if name not in _known():
        raise InputError(f"no method {name!r}; there are {', '.join(method_names())}")
    kind, preset = _known()[name]
    known, given = settings_of(kind), {**preset}
    needed = [setting.name for setting in known.values() if is_required(setting) and setting.name not in given]
    if len(needed) == 1 and rest and not re.match(r"\w+=", rest):
        rest = f"{needed[0]}={rest}"  # file:PATH
    for part in re.split(r"[:,](?=\w+=)", rest) if rest else []:  # a path may hold a colon, layers have commas
        key, equals, value = part.partition("=")
        if not equals or key not in known:
            listed = ", ".join(known) or "none"
            raise InputError(f"method {method!r}: {part!r} is no setting=value of {name}; its settings: {listed}")
        given[key] = parse_setting(known[key], value)
    if missing := [key for key in needed if key not in given]:
        raise InputError(f"method {method!r} needs {', '.join(missing)}, as in {name}:{missing[0]}=...")
    found = _called(kind(**given), name)
    check_settings(found)
    return found


def changed(method: Any, settings: Mapping[str, Any]) -> Any:
    """Change settings of a method; it keeps the name by which it was asked for."""
    return _called(replace(method, **settings), getattr(method, ASKED, None))


def split_methods(text: str) -> list[str]:
    """Split a list of methods with commas; a comma within a setting's value, ``paper:layer=1,3``, does not split."""
    return [part.strip() for part in re.split(r",(?=\s*[a-z_]+\s*(?:[:,]|$))", text) if part.strip()]


def spec(method: Described) -> str:
    """Write a method as its name with the settings that make it again.

    The name is the one by which it was asked for; of an object that was made directly, that with the fewest settings.

    Example:
        >>> spec(find_method("best:steps=20"))
        'best:steps=20'
    """
    name, differing = _best_name(method)
    return ":".join([name, *(f"{key}={write_setting(value)}" for key, value in differing.items())])


def describe(method: Described) -> MethodDict:
    """Describe a method for the record: its name, all of its settings, and what its scores are."""
    name, differing = _best_name(method)
    known = settings_of(type(method))  # a label says itself what a setting without a default is
    said = {key: value for key, value in differing.items() if not is_required(known[key])}
    # A class with several names has one label, so the name is added: "evidence (best)".
    shown = method.label if len(getattr(method, "names", ())) < 2 else f"{method.label} ({name.replace('_', ' ')})"
    label = ", ".join([shown, *(f"{key} {write_setting(value)}" for key, value in said.items())])
    return {
        "name": name,
        "settings": as_json({key: getattr(method, key) for key in known}),
        "label": label,
        "quantity": method.quantity,
        "unit": method.unit,
        "signed": method.signed,
        "additive": method.additive,
        "caption": method.caption,
        "how": method.how,
    }


def settings_by_name(name: str) -> dict[str, Setting]:
    """List the settings of a method by its name, with the defaults that this name has."""
    kind, preset = _known()[name]
    return {key: replace(own, default=preset.get(key, own.default)) for key, own in settings_of(kind).items()}


def _best_name(method: Described) -> tuple[str, dict[str, Any]]:
    """Find the name that was asked for, else that from which the fewest settings differ, and what differs."""
    own = {key: getattr(method, key) for key in settings_of(type(method))}
    candidates = []
    names = [name for name, (kind, _) in _known().items() if kind is type(method)]
    for name in names if (asked := getattr(method, ASKED, None)) not in names else [asked]:
        usual = settings_by_name(name)
        candidates.append((name, {key: value for key, value in own.items() if value != usual[key].default}))
    return min(candidates, key=lambda found: len(found[1]), default=(method.label, {}))


def _called(method: Any, name: str | None) -> Any:
    """Note the name by which a method was asked for: no setting, so that equal methods stay equal."""
    with suppress(AttributeError):  # a class with slots takes no note, and goes by its shortest name
        object.__setattr__(method, ASKED, name)
    return method


def _known() -> dict[str, _Entry]:
    return {**_own(), **_ADDED}


@cache
def _own() -> dict[str, _Entry]:
    """Look through the modules of this package for classes with names."""
    found: dict[str, _Entry] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)], f"{__package__}."):
        for _, kind in inspect.getmembers(import_module(module.name), inspect.isclass):
            if kind.__module__ == module.name:
                found.update({name: (kind, own) for name, own in vars(kind).get("names", {}).items()})
    return found
