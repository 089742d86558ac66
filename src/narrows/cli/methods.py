"""``narrows methods``: how maps can be made, and the settings of each way."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

commands = typer.Typer()


@commands.command()
def methods(name: Annotated[str | None, typer.Argument(help="Show the settings of this method.")] = None) -> None:
    """List the methods, or the settings of one; --method NAME:setting=value uses them."""
    from narrows.methods.registry import find_method, method_names

    if name is None:
        listed = Table.grid("", "", padding=(0, 2))
        for each in method_names():
            listed.add_row(each, escape(_in_a_line(each)))
        Console().print(listed)
        return
    if name not in method_names():
        find_method(name)  # says which names there are
    Console().print(_settings(name))


def _in_a_line(name: str) -> str:
    """Say what a method is and what its scores are; of further names of one class, by what they differ."""
    from narrows.methods.registry import find_method, method_names, settings_by_name
    from narrows.methods.settings import is_required, write_setting

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


def _settings(name: str) -> Table:
    from narrows.methods.registry import settings_by_name
    from narrows.methods.settings import is_required, write_setting

    table = Table("setting", "values", "default", "", title=escape(f"{name}: {_in_a_line(name)}"), title_justify="left")
    for own in settings_by_name(name).values():
        default = "must be given" if is_required(own) else write_setting(own.default)
        table.add_row(own.name, escape(own.type_text), default, escape(own.help))
    return table
