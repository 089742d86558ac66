"""What ``narrows methods`` shows, kept in catalogue.json, so that no model library is loaded to read it.

``python -m narrows.methods.catalogue`` writes the file anew from the methods; a test compares the two.
"""

import json
from functools import cache
from pathlib import Path
from typing import TypedDict

from narrows.errors import InputError
from narrows.methods.registry import added_names, find_method, method_names, settings_by_name
from narrows.methods.settings import is_required, write_setting

FILE = Path(__file__).with_name("catalogue.json")


class SettingLine(TypedDict):
    """One setting of a method, in words."""

    name: str
    values: str
    default: str
    help: str


class MethodLine(TypedDict):
    """One method by its name: what it is and what its scores are, and its settings."""

    line: str
    settings: list[SettingLine]


@cache
def read_catalogue() -> dict[str, MethodLine]:
    """Read what is known of each method, by its name, in the order of `method_names`."""
    found: dict[str, MethodLine] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def check_name(method: str) -> None:
    """Raise an InputError if there is no method of that name; settings may follow, which are not looked at."""
    name, known = method.strip().partition(":")[0], (*read_catalogue(), *added_names())
    if name not in known:
        raise InputError(f"no method {name!r}; there are {', '.join(known)}")


def make_catalogue() -> dict[str, MethodLine]:
    """Ask the methods themselves, which loads the model libraries."""
    return {name: {"line": _in_a_line(name), "settings": _settings(name)} for name in method_names()}


def _settings(name: str) -> list[SettingLine]:
    return [
        {
            "name": own.name,
            "values": own.type_text,
            "default": "must be given" if is_required(own) else write_setting(own.default),
            "help": own.help,
        }
        for own in settings_by_name(name).values()
    ]


def _in_a_line(name: str) -> str:
    """Say what a method is and what its scores are; of further names of one class, by what they differ."""
    settings = settings_by_name(name)
    if any(map(is_required, settings.values())):
        return f"needs {', '.join(settings)}; see narrows methods {name}"
    found = find_method(name)
    complete = [each for each in method_names() if not any(map(is_required, settings_by_name(each).values()))]
    first = next(each for each in complete if type(find_method(each)) is type(found))
    usual = settings_by_name(first)
    differs = [f"{key}={write_setting(own.default)}" for key, own in settings.items() if own != usual[key]]
    facts = [found.label, found.unit, "signed" if found.signed else "unsigned", *["additive"] * found.additive]
    return f"{', '.join(facts)}. {f'As {first}, with ' + ', '.join(differs) + '.' if differs else found.caption}"


if __name__ == "__main__":
    FILE.write_text(json.dumps(make_catalogue(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
