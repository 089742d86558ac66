"""The methods by name, with their options as text: ``ig``, ``ig:steps=50:baseline=mask``, ``narrows:layer=3``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from narrows.config import Settings
from narrows.errors import InputError
from narrows.methods.attention import rollout
from narrows.methods.controls import random_scores, update_norm
from narrows.methods.foreign import from_file
from narrows.methods.gradients import (
    gradient_shap,
    gradient_x_input,
    integrated_gradients,
    layer_integrated_gradients,
    saliency,
)
from narrows.methods.iba import iba, iba_released, narrows
from narrows.methods.lime import lime
from narrows.methods.method import Method
from narrows.methods.perturbation import kernel_shap, occlusion

METHODS: Mapping[str, Callable[..., Method]] = {
    "random": random_scores,
    "narrows": narrows,
    "iba": iba,
    "iba_released": iba_released,
    "ig": integrated_gradients,
    "layer_ig": layer_integrated_gradients,
    "gradient_x_input": gradient_x_input,
    "saliency": saliency,
    "gradient_shap": gradient_shap,
    "lime": lime,
    "kernel_shap": kernel_shap,
    "occlusion": occlusion,
    "rollout": rollout,
    "update_norm": update_norm,
    "file": from_file,
}

PATHS = ("path", "prior")  # options that are text even where they look like a number


@dataclass(frozen=True)
class Spec:
    """A method with its options.

    Attributes:
        name: One of `METHODS`.
        options: What differs from its defaults.
    """

    name: str
    options: Mapping[str, str | int | float]

    def __str__(self) -> str:
        return ":".join((self.name, *(f"{key}={value}" for key, value in self.options.items())))

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read a method with its options from text.

        Args:
            text: For instance ``ig:steps=50``.

        Returns:
            The method.

        Raises:
            InputError: If there is no such method or option.

        Example:
            >>> Spec.parse("ig:steps=50").options
            {'steps': 50}
        """
        name, _, rest = text.strip().partition(":")
        parts = re.split(r":(?=\w+=)", rest) if rest else []  # a path may hold a colon
        if name not in METHODS:
            raise InputError(f"no method {name!r}; there are {', '.join(METHODS)}")
        known = option_names(name)
        options = {}
        for part in parts:
            key, equals, value = part.partition("=")
            if not equals or key not in known:
                listed = ", ".join(known) or "none"
                raise InputError(f"method {text!r}: {part!r} is no option=value of {name}; its options: {listed}")
            options[key] = value if key in PATHS else _number_or_text(value)
        needed = inspect.signature(METHODS[name]).parameters.values()
        missing = [
            p.name for p in needed if p.default is p.empty and p.kind is not p.VAR_KEYWORD and p.name not in options
        ]
        if missing:
            raise InputError(f"method {text!r} needs {', '.join(missing)}, as in {name}:{missing[0]}=...")
        return cls(name, options)

    def make(self, seed: int) -> Method:
        """Make the method.

        Args:
            seed: Of what it draws, unless its options name another.

        Returns:
            The method.

        Raises:
            InputError: If an option has a value that it cannot have.
        """
        options: dict[str, Any] = dict(self.options)
        if "seed" in option_names(self.name):
            options.setdefault("seed", seed)
        return METHODS[self.name](**options)


def option_names(name: str) -> tuple[str, ...]:
    """List the options of a method.

    Args:
        name: One of `METHODS`.

    Returns:
        Their names.

    Example:
        >>> option_names("ig")
        ('steps', 'baseline')
    """
    names: list[str] = []
    for parameter in inspect.signature(METHODS[name]).parameters.values():
        names += Settings.__annotations__ if parameter.kind is parameter.VAR_KEYWORD else [parameter.name]
    return tuple(names)


def _number_or_text(value: str) -> str | int | float:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
