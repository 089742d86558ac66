"""The options of a command, made from the dataclass of its settings, so that each is written down once."""

import inspect
import typing
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any, ParamSpec, TypeVar

import typer

from narrows.cli.completing import BY_OPTION

P = ParamSpec("P")
Settings = TypeVar("Settings")


def takes_settings(settings: Callable[P, Settings]) -> Callable[[Callable[[Settings], None]], Callable[P, None]]:
    """Turn a function of a dataclass into a command; its fields are annotated with the type and help of an option."""
    hints = typing.get_type_hints(settings, include_extras=True)
    parameters = [_option(item, hints[item.name]) for item in fields(settings)]  # type: ignore[arg-type]

    def decorate(run: Callable[[Settings], None]) -> Callable[P, None]:
        def command(*arguments: P.args, **options: P.kwargs) -> None:
            given: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
            run(settings(*arguments, **given))

        command.__name__, command.__doc__ = run.__name__, run.__doc__
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorate


def _option(item: Field[Any], hint: Any) -> inspect.Parameter:
    """Make the parameter that typer reads an option from; an option that is given several times is a list to it."""
    kind, text = typing.get_args(hint)
    default = item.default
    if kind == tuple[str, ...]:
        kind, default = list[str], default if default is MISSING else list(default)
    given = ... if default is MISSING else default
    option = typer.Option(given, help=text, autocompletion=BY_OPTION.get(item.name))
    return inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind)
