"""The options of a command, made from the dataclass of its settings, and what the shell offers after an option."""

import inspect
import typing
from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, fields
from typing import Any, ParamSpec, TypeVar

import typer

P = ParamSpec("P")
Settings = TypeVar("Settings")
Complete = Callable[[typer.Context, str], list[str]]


def _models(context: typer.Context, incomplete: str) -> list[str]:
    from narrows.models.hub import bundled
    from narrows.models.hub.fetched import FETCHED

    return _beginning(incomplete, [*bundled.names(), *(model.name for model in FETCHED)])


def _methods(context: typer.Context, incomplete: str) -> list[str]:
    """Offer methods; of a list with commas, for its last one."""
    from narrows.methods.catalogue import read_catalogue

    done, comma, last = incomplete.rpartition(",")
    return [f"{done}{comma}{name}" for name in _beginning(last, read_catalogue())]


def _datasets(context: typer.Context, incomplete: str) -> list[str]:
    from narrows.data.datasets import DATASETS

    return _beginning(incomplete, DATASETS)


def _targets(context: typer.Context, incomplete: str) -> list[str]:
    """Offer the labels of the demo model that is named before, and what stands for a label."""
    from narrows.models.hub import bundled

    model = str(context.params.get("model") or "sentiment")
    labels = bundled.find(model).card().labels if model in bundled.names() else ()
    return _beginning(incomplete, [*labels, "gold"])


def _beginning(start: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(start)]


BY_OPTION: dict[str, Complete] = {
    "model": _models,
    "method": _methods,
    "methods": _methods,
    "data": _datasets,
    "dataset": _datasets,
    "target": _targets,
    "against": _targets,
}


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
