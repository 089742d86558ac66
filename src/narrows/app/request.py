"""What a visitor of the page asks for: a text and a method, within bounds, and the Python lines for it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from narrows.data.example import Example
from narrows.errors import InputError
from narrows.methods.registry import find_method, method_names, settings_by_name, spec
from narrows.methods.settings import Setting, is_required, parse_setting, write_setting

MAX_CHARACTERS = 20_000  # of both texts together; far beyond what a model reads
MAX_TOKENS = 256  # longer texts are cut, and the map says so
DEFAULT_METHOD = "fast"
COSTLY = ("points", "steps", "samples", "draws")  # settings that multiply the passes through the model
MAX_PASSES = 1_000  # their largest product: about a minute on a laptop


@dataclass(frozen=True)
class Request:
    """A text, a model, a label (None = the predicted one), and a method; an `InputError` if they are out of bounds."""

    text: str
    text_pair: str | None = None
    model: str = "sentiment"
    target: str | None = None
    method: str = DEFAULT_METHOD

    def __post_init__(self) -> None:
        self.example()
        length = len(self.text) + len(self.text_pair or "")
        if length > MAX_CHARACTERS:
            raise InputError(f"the text has {length:,} characters; this page takes at most {MAX_CHARACTERS:,}")
        check_method(self.method)

    @property
    def name(self) -> str:
        """The method without its settings."""
        return self.method.partition(":")[0]

    def has(self, setting: str) -> bool:
        """Tell whether the method has a setting."""
        return setting in settings_by_name(self.name)

    def example(self) -> Example:
        """Give the text or the pair as the library takes it."""
        return Example(self.text, self.text_pair)

    def python(self, max_tokens: int | None = None, prior: str | None = None) -> str:
        """Write the lines that make the map again; None = the text was not cut, the prior is the model's own."""
        options = {"method": self.method, "prior": prior, "max_tokens": max_tokens}
        given = "".join(f", {name}={value!r}" for name, value in options.items() if value not in (None, DEFAULT_METHOD))
        item = repr(self.text)
        if self.text_pair is not None:
            item = f'{{"text": {self.text!r}, "text_pair": {self.text_pair!r}}}'
        target = "" if self.target is None else f", target={self.target!r}"
        layers = f"layers = explainer.across_layers(item{target})  # one map per layer\n" if self.has("layer") else ""
        return (
            f"from narrows import Explainer\n\nexplainer = Explainer.from_pretrained({self.model!r}{given})\n"
            f"item = {item}\nattribution = explainer(item{target})\n{layers}"
            'attribution.show()\nattribution.export("map.pdf")\n'
        )


def page_methods() -> list[str]:
    """List the methods of the page: those that need no file, for a visitor names no files of the server."""
    return [name for name in method_names() if not any(map(is_required, settings_by_name(name).values()))]


def page_settings(name: str) -> dict[str, Setting]:
    """List what a visitor may set in a box: not the layer, no files, no features; an `InputError` if not offered."""
    if name not in page_methods():
        raise InputError(f"no method {name!r:.40} on this page; there are {', '.join(page_methods())}")
    known = settings_by_name(name)
    return {key: own for key, own in known.items() if key not in ("layer", "features") and "text" not in own.type_text}


def write_method(name: str, typed: Mapping[str, str], layer: int | None) -> str:
    """Write a method as its shortest name with settings, of what a visitor typed; raises an `InputError`."""
    known = page_settings(name)
    given = {key: parse_setting(known[key], text) for key, text in typed.items() if text.strip()}
    if layer is not None and "layer" in settings_by_name(name):
        given["layer"] = layer
    return spec(find_method(":".join([name, *(f"{key}={write_setting(value)}" for key, value in given.items())])))


def check_method(text: str) -> None:
    """Raise an `InputError` if a method is not for visitors: it reads files, or keeps the server busy for too long."""
    name = text.partition(":")[0]
    allowed, method = {*page_settings(name), "layer"}, find_method(text)
    for key, own in settings_by_name(name).items():
        if key not in allowed and getattr(method, key) != own.default:
            raise InputError(f"{key} cannot be set on this page")
    costs: dict[str, Any] = {key: getattr(method, key) for key in COSTLY if hasattr(method, key)}
    passes = math.prod(max(1, cost) for cost in costs.values())
    if passes > MAX_PASSES:
        what = f"{' times '.join(costs)} is {passes:,}"
        raise InputError(f"too much for this page: {what}, and may be at most {MAX_PASSES:,}")


LONG = "The script is a mess and the pacing drags, but her performance is so warm that I left the cinema smiling."
NEWS = "The chip maker said its quarterly profit doubled as demand for memory in phones recovered."
NURSE = ("A tired nurse sleeps on a bench outside the hospital.", "The nurse is wide awake.")
BRIDGE = "The bridge, which was opened in 1932, carries eight lanes of traffic and two railway tracks."
SAMPLES = {  # texts to start with, one or more for each demo model
    "Review: thin plot, superb acting": Request("The plot is thin, but the acting is superb."),
    "Review: a mistake of the model": Request("You would have to be dead inside not to laugh at this."),
    "Review: a long one": Request(LONG),
    "News: which section?": Request(NEWS, model="topic"),
    "Pair: a contradiction": Request(*NURSE, model="nli"),
    "Pair: does it follow?": Request(BRIDGE, "Trains cross the bridge.", model="rte"),
}
