"""What a visitor of the page asks for: a text and how to explain it, within bounds, and the Python lines for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from narrows.config import PRESETS, Granularity, Preset, Readout, choose_config
from narrows.data.example import Example
from narrows.errors import InputError

MAX_CHARACTERS = 20_000  # of both texts together; far beyond what a model reads
MAX_TOKENS = 256  # longer texts are cut, and the map says so: a minute of a laptop's time
MAX_SEED = 2**31 - 1
DEFAULT_PRESET: Preset = next(iter(PRESETS))


@dataclass(frozen=True)
class Request:
    """A text, a model, and the settings of the bottleneck; None = as the model or the preset has it.

    Attributes:
        text: The text, or the first of a pair.
        text_pair: The second text, or None.
        model: By the name under which the page offers it.
        target: A label; None = the predicted one.
        layer: The bottleneck stands after this block; None = at the layers of the readout.
        preset: The settings to start from.
        granularity: Of the mask.
        readout: How a map is made of the mask.
        beta: Weight of the information.
        seed: Of the noise.

    Raises:
        InputError: If a text is empty or too long, or a setting is out of its range.

    Example:
        >>> Request("A gorgeous, witty film.", layer=3).settings()
        {'seed': 0}
    """

    text: str
    text_pair: str | None = None
    model: str = "sentiment"
    target: str | None = None
    layer: int | None = None
    preset: Preset = DEFAULT_PRESET
    granularity: Granularity | None = None
    readout: Readout | None = None
    beta: float | Literal["auto"] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self.example()
        length = len(self.text) + len(self.text_pair or "")
        if length > MAX_CHARACTERS:
            raise InputError(f"the text has {length:,} characters; this page takes at most {MAX_CHARACTERS:,}")
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"seed must be between 0 and {MAX_SEED}, not {self.seed}")
        choose_config(self.preset, **self.settings())

    def example(self) -> Example:
        """Give the text as the library takes it.

        Returns:
            The text or the pair.
        """
        return Example(self.text, self.text_pair)

    def settings(self) -> Any:
        """Give the settings that differ from the preset.

        Returns:
            Fields of `narrows.BottleneckConfig`.
        """
        given = {"granularity": self.granularity, "readout": self.readout, "beta": self.beta, "seed": self.seed}
        return {name: value for name, value in given.items() if value is not None}

    def python(self, max_tokens: int | None = None, prior: str | None = None) -> str:
        """Write the lines that make the map again outside of the page.

        Args:
            max_tokens: Where the text was cut; None = it was not.
            prior: Which one was used; None = the one that ships with the model.

        Returns:
            Python, which leaves the result in ``attribution`` and those of all layers in ``layers``.
        """
        options: dict[str, Any] = {"layer": self.layer, "prior": prior, "max_tokens": max_tokens}
        options |= {} if self.preset == DEFAULT_PRESET else {"preset": self.preset}
        options |= {name: value for name, value in self.settings().items() if (name, value) != ("seed", 0)}
        given = "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)
        item = repr(self.text)
        if self.text_pair is not None:
            item = f'{{"text": {self.text!r}, "text_pair": {self.text_pair!r}}}'
        target = "" if self.target is None else f", target={self.target!r}"
        lines = (
            "from narrows import Explainer",
            "",
            f"explainer = Explainer.from_pretrained({self.model!r}{given})",
            f"item = {item}",
            f"attribution = explainer(item{target})  # the map",
            f"layers = explainer.across_layers(item{target})  # tokens by layers",
            "attribution.show()",
            'attribution.export("map.pdf")',
        )
        return "\n".join(lines) + "\n"


def parse_beta(text: str) -> float | Literal["auto"] | None:
    """Read the weight of the information as a visitor types it.

    Args:
        text: Empty, ``auto`` or a number.

    Returns:
        What `Request` takes.

    Raises:
        InputError: If it is something else.

    Example:
        >>> parse_beta(""), parse_beta("auto"), parse_beta("1e-3")
        (None, 'auto', 0.001)
    """
    typed = text.strip().lower()
    if not typed:
        return None
    if typed == "auto":
        return "auto"
    try:
        return float(typed)
    except ValueError:
        raise InputError(f"beta must be 'auto' or a number, not {text.strip():.40}") from None


def choices(literal: Any) -> list[str]:
    """List the values of a Literal of `narrows.config`: what is added there is offered here.

    Args:
        literal: The type.

    Returns:
        Its values.
    """
    return list(get_args(literal))
