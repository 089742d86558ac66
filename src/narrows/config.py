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
Readout = Literal["evidence", "information", "signed"]
Preset = Literal["fast", "best", "complete", "paper"]

PAPER_DEPTH = 0.75  # after layer 9 of 12
# Relative depths at which a map is read, unless layers are named: docs/faithfulness.md.
DEPTHS: dict[Readout, tuple[float, ...]] = {
    "evidence": (1 / 6, 3 / 6, 5 / 6),
    "information": (PAPER_DEPTH,),
    "signed": (PAPER_DEPTH,),
}

# Settings of the optimisation, which ``evidence`` does without.
OPTIMIZED = ("granularity", "beta", "steps", "samples", "learning_rate")

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
    points: int
    rounds: int
    stretch: tuple[float, float]
    depths: tuple[float, ...] | None
    learning_rate: float
    initial_alpha: float
    max_tokens_per_batch: int | None
    features: bool


@dataclass(frozen=True)
class BottleneckConfig:
    """How a bottleneck is optimised and read out: the one place of defaults.

    Attributes:
        granularity: ``token``, one alpha per token, or ``feature``, one per token and feature (the paper's).
        beta: Weight of the information against the cross-entropy, or ``auto``: the paper's rule per text, with a floor.
        steps: Updates of alpha.
        samples: Noise copies per text and step.
        seed: Together with the text, seeds the noise.
        readout: ``evidence``, by how many bits each token raises log2 p(target) as the bottleneck opens;
            ``information``, the bits of each token that had to pass, the paper's; or ``signed``, the same with the
            direction of the token's evidence.
        points: On the straight path, per layer, shared out among the rounds; only ``evidence`` takes it. Steps,
            samples, beta and granularity belong to the other readouts, which optimise.
        rounds: How often evidence is read, from the second time on with the strongest tokens closed (`narrows.rounds`).
        stretch: The masks between which the path is followed; (0, 1) = the whole of it, whose evidence adds up to the
            rise of log2 p(target) from the prior's mean to the text.
        depths: Where the map is read, from 0, the embeddings, to 1, the last block; None = by the readout, `DEPTHS`.
        learning_rate: Of Adam.
        initial_alpha: 5 opens the mask to 0.9933.
        max_tokens_per_batch: Most tokens, noise copies and padding counted, that go through the model together; None =
            by the memory that is free. Halved whenever memory runs out. No map depends on it.
        features: Keep the map of every feature of a token too, `Attribution.features`.

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
    readout: Readout = "evidence"
    points: int = 5
    rounds: int = 1
    stretch: tuple[float, float] = (0.0, 1.0)
    depths: tuple[float, ...] | None = None
    learning_rate: float = 1.0
    initial_alpha: float = 5.0
    max_tokens_per_batch: int | None = None
    features: bool = False

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("granularity", self.granularity, get_args(Granularity)),
            ("readout", self.readout, get_args(Readout)),
        ):
            if value not in choices:
                raise InputError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
        for name in ("steps", "samples", "points", "rounds"):
            count = getattr(self, name)
            if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
                raise InputError(f"{name} must be at least 1, not {count!r}")
        if self.rounds > self.points:
            raise InputError(f"{self.rounds} rounds need as many points, there are {self.points}")
        if self.rounds > 1 and self.readout != "evidence":
            raise InputError(f"rounds belong to the readout evidence, not to {self.readout}")
        if self.beta != "auto" and not (_is_number(self.beta) and self.beta >= 0):
            raise InputError(f"beta must be 'auto' or a number of at least 0, not {self.beta!r}")
        if not (_is_number(self.learning_rate) and self.learning_rate > 0):
            raise InputError(f"learning_rate must be above 0, not {self.learning_rate!r}")
        if self.depths is not None and not (self.depths and all(_is_number(d) and 0 <= d <= 1 for d in self.depths)):
            raise InputError(f"depths must be numbers from 0 to 1, at least one, not {self.depths!r}")
        if not (
            isinstance(self.stretch, tuple | list)
            and len(self.stretch) == 2
            and all(map(_is_number, self.stretch))
            and 0 <= self.stretch[0] < self.stretch[1] <= 1
        ):
            raise InputError(f"stretch must be two rising numbers from 0 to 1, not {self.stretch!r}")
        if self.features and self.rounds > 1:
            raise InputError("features are read in one round: choose rounds=1")
        if not _is_number(self.initial_alpha):
            raise InputError(f"initial_alpha must be a finite number, not {self.initial_alpha!r}")

    @property
    def copies(self) -> int:
        """How often a text goes through the suffix at once."""
        return -(-self.points // self.rounds) if self.readout == "evidence" else self.samples

    def points_of_round(self, done: int) -> range:
        """Share the points out among the rounds.

        Args:
            done: Rounds before this one.

        Returns:
            Which of the points it takes, the first one is 0.

        Example:
            >>> [list(BottleneckConfig(points=5, rounds=3).points_of_round(done)) for done in range(3)]
            [[0], [1, 2], [3, 4]]
        """
        return range(self.points * done // self.rounds, self.points * (done + 1) // self.rounds)

    def layers(self, blocks: int) -> tuple[int, ...]:
        """Choose the layers at which the map is read.

        Args:
            blocks: That the model has.

        Returns:
            Layers, rising, each once.

        Example:
            >>> BottleneckConfig().layers(12), PRESETS["paper"].layers(12)
            ((2, 6, 10), (9,))
        """
        depths = DEPTHS[self.readout] if self.depths is None else self.depths
        return tuple(sorted({round(depth * blocks) for depth in depths}))


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


# Where on the path a prediction is made: docs/defaults.md.
MIDDLE = (0.2, 0.8)

PRESETS: dict[Preset, BottleneckConfig] = {
    "fast": BottleneckConfig(points=3, rounds=3, stretch=MIDDLE),
    "best": BottleneckConfig(points=12, rounds=4, stretch=MIDDLE),
    "complete": BottleneckConfig(points=50),
    "paper": BottleneckConfig(readout="information", granularity="feature", beta=1e-5, steps=10, samples=10),
}


def choose_config(preset: Preset, **settings: Unpack[Settings]) -> BottleneckConfig:
    """Start from a preset and change some settings.

    Args:
        preset: ``fast``, the default settings; ``best``, the most faithful maps; ``complete``, evidence along the whole
            path, which adds up but for the error of its points; or ``paper``, the paper's settings.
        **settings: Fields of `BottleneckConfig`. One of the optimisation, such as beta, asks for the readout
            ``information`` unless a readout is named. Unless a number of rounds is named, what cannot be read in
            rounds, another readout or the features, is read in one. If points or rounds are named, the other follows:
            there are no more rounds than points.

    Returns:
        The configuration.

    Raises:
        InputError: If there is no such preset or setting, or the readout has no use for it.

    Example:
        >>> choose_config("paper", steps=20).granularity
        'feature'
        >>> choose_config("fast").readout, choose_config("fast", beta=0.1).readout
        ('evidence', 'information')
    """
    if preset not in PRESETS:
        raise InputError(f"preset must be one of {', '.join(PRESETS)}, not {preset!r}")
    unknown = set(settings) - set(Settings.__annotations__)
    if unknown:
        raise InputError(f"no setting {', '.join(sorted(unknown))}: there are {', '.join(Settings.__annotations__)}")
    start = PRESETS[preset]
    optimized = [name for name in OPTIMIZED if name in settings]
    if optimized and settings.get("readout", start.readout) == "evidence":
        if "readout" in settings:
            raise InputError(f"the readout evidence optimises nothing: {', '.join(optimized)} belong to the others")
        start = replace(start, readout="information", rounds=1)
    points, rounds = settings.get("points", start.points), settings.get("rounds", start.rounds)
    if isinstance(points, int) and isinstance(rounds, int) and rounds > points >= 1:
        # Whichever of the two is named is meant; if both are, the configuration has something to say.
        start = replace(start, points=max(points, rounds), rounds=min(points, rounds))
    if settings.get("features") or settings.get("readout", start.readout) != "evidence":
        start = replace(start, rounds=1)
    return replace(start, **settings)
