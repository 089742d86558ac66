"""The settings of a bottleneck, and presets of them: the one place of defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Literal, TypedDict, get_args

from narrows.errors import InputError

if TYPE_CHECKING:
    from typing_extensions import Unpack

Granularity = Literal["feature", "token"]
Readout = Literal["information", "signed"]
Preset = Literal["fast", "paper"]

AUTO_BETA_RATIO = 10.0  # the paper's rule: beta = 10 * cross-entropy / information at the first step

AUTO_BETA_FLOOR = 0.1  # the largest at which predictions were measured to survive: docs/defaults.md


class Settings(TypedDict, total=False):
    """The fields of `BottleneckConfig`, for callers that set only some of them."""

    granularity: Granularity
    beta: float | Literal["auto"]
    steps: int
    samples: int
    seed: int
    readout: Readout
    learning_rate: float
    initial_alpha: float


@dataclass(frozen=True)
class BottleneckConfig:
    """How a bottleneck is optimised and read out: the one place of defaults.

    Attributes:
        granularity: ``token``, one alpha per token, or ``feature``, one per token and feature (the paper's).
        beta: Weight of the information against the cross-entropy, or ``auto``: the paper's rule per text, with a floor.
        steps: Updates of alpha.
        samples: Noise copies per text and step.
        seed: Together with the text, seeds the noise.
        readout: ``information``, bits, or ``signed``, bits that carry the direction of the token's evidence.
        learning_rate: Of Adam.
        initial_alpha: 5 opens the mask to 0.9933.

    Raises:
        InputError: If a value is out of its range.

    Example:
        >>> BottleneckConfig(steps=0)
        Traceback (most recent call last):
        narrows.errors.InputError: steps must be at least 1, not 0
    """

    granularity: Granularity = "token"
    beta: float | Literal["auto"] = "auto"
    steps: int = 10
    samples: int = 10
    seed: int = 0
    readout: Readout = "information"
    learning_rate: float = 1.0
    initial_alpha: float = 5.0

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("granularity", self.granularity, get_args(Granularity)),
            ("readout", self.readout, get_args(Readout)),
        ):
            if value not in choices:
                raise InputError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
        for name, count in (("steps", self.steps), ("samples", self.samples)):
            if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
                raise InputError(f"{name} must be at least 1, not {count!r}")
        if self.beta != "auto" and not (_is_number(self.beta) and self.beta >= 0):
            raise InputError(f"beta must be 'auto' or a number of at least 0, not {self.beta!r}")
        if not (_is_number(self.learning_rate) and self.learning_rate > 0):
            raise InputError(f"learning_rate must be above 0, not {self.learning_rate!r}")
        if not _is_number(self.initial_alpha):
            raise InputError(f"initial_alpha must be a finite number, not {self.initial_alpha!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


PRESETS: dict[Preset, BottleneckConfig] = {
    "fast": BottleneckConfig(),
    "paper": BottleneckConfig(granularity="feature", beta=1e-5, steps=10, samples=10),
}


def choose_config(preset: Preset, **settings: Unpack[Settings]) -> BottleneckConfig:
    """Start from a preset and change some settings.

    Args:
        preset: ``fast``, the default settings, or ``paper``, those of the paper.
        **settings: Fields of `BottleneckConfig`.

    Returns:
        The configuration.

    Raises:
        InputError: If there is no such preset or setting.

    Example:
        >>> choose_config("paper", steps=20).granularity
        'feature'
    """
    if preset not in PRESETS:
        raise InputError(f"preset must be one of {', '.join(PRESETS)}, not {preset!r}")
    unknown = set(settings) - set(Settings.__annotations__)
    if unknown:
        raise InputError(f"no setting {', '.join(sorted(unknown))}: there are {', '.join(Settings.__annotations__)}")
    return replace(PRESETS[preset], **settings)
