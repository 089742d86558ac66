"""What a visitor asks for: a text, what to explain of it, and a method, within bounds, and the Python lines for it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_type_hints

from narrows.data.checking import misfit
from narrows.data.example import Example, Item
from narrows.errors import InputError
from narrows.methods.registry import find_method, method_names, settings_by_name, spec
from narrows.methods.settings import Setting, is_required
from narrows.models.heads.target import Contrast, Target

MAX_CHARACTERS = 20_000  # of all texts together; far beyond what a model reads
MAX_TOKENS = 256  # longer texts are cut, and the map says so
MAX_NEW_TOKENS = 64  # of a response
DEFAULT_METHOD = "fast"
COSTLY = ("steps", "samples", "draws")  # settings that multiply the passes through the model
MAX_PASSES = 1_000  # their largest product: about a minute on a laptop


@dataclass(frozen=True)
class PageRequest:
    """What to explain; an `InputError` if it is out of bounds."""

    text: str  # the text, or the prompt of a language model
    text_pair: str | None = None  # the second text of a pair; of a chat the message of the system
    model: str = "sentiment"  # a model on offer
    target: str | None = None  # a label or continuation; None = the predicted one
    against: str | None = None  # explain the target rather than this
    method: str = DEFAULT_METHOD  # name and settings, as everywhere
    chat: bool = False  # whether the text is the message of a user, for the template of a chat
    tokens: int = 0  # explain so many tokens of a response that the model writes; 0 = a map of the text
    response: str | None = None  # a response to explain in place of what the model writes

    def __post_init__(self) -> None:
        Example(self.text, self.text_pair)
        length = sum(len(given or "") for given in (self.text, self.text_pair, self.response))
        if length > MAX_CHARACTERS:
            raise InputError(f"the text has {length:,} characters; this page takes at most {MAX_CHARACTERS:,}")
        if not 0 <= self.tokens <= MAX_NEW_TOKENS:
            raise InputError(f"tokens must be between 0 and {MAX_NEW_TOKENS}, not {self.tokens}")
        if self.against is not None and self.target is None:
            raise InputError("against goes with a target: name the label to explain")
        for said in (self.target, self.against, self.response):
            if said is not None:
                Example(f"-{said}")  # no half of a character
        check_method(self.method, self.tokens if self.response is None else 1 + len(self.response) // 4)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "PageRequest":
        """Read a request from the fields of a JSON object, without those that are of no request."""
        hints = get_type_hints(cls)
        known = {own.name: given[own.name] for own in fields(cls) if own.name in given}
        if "text" not in known:
            raise InputError("there is no text: there is nothing to explain")
        for name, value in known.items():
            if wrong := misfit(value, hints[name], name):
                raise InputError(wrong)
        check_method(method := known.get("method") or DEFAULT_METHOD)
        empty = ("text_pair", "target", "against", "response")  # boxes in which nothing is typed
        known |= {"method": spec(find_method(method)), **{name: known.get(name) or None for name in empty}}
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """Give what is not as usual."""
        usual = {own.name: own.default for own in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != usual[name] or name == "model"}

    @property
    def name(self) -> str:
        """The method without its settings."""
        return self.method.partition(":")[0]

    def has(self, setting: str) -> bool:
        """Tell whether the method has a setting."""
        return setting in settings_by_name(self.name)

    def item(self) -> Item:
        """Give the text, the pair or the chat as the library takes it."""
        if not self.chat:
            return Example(self.text, self.text_pair)
        system = [] if self.text_pair is None else [{"role": "system", "content": self.text_pair}]
        return [*system, {"role": "user", "content": self.text}]

    def goal(self) -> Target:
        """Give what to explain as the library takes it."""
        both = self.target is not None and self.against is not None
        return Contrast(self.target or "", self.against or "") if both else self.target

    def python(self, max_tokens: int | None = None, prior: str | None = None) -> str:
        """Write the lines that make the map again; None = the text was not cut, the prior is the model's own."""
        options = {"method": self.method, "prior": prior, "max_tokens": max_tokens}
        given = "".join(f", {name}={value!r}" for name, value in options.items() if value not in (None, DEFAULT_METHOD))
        item: Any = self.item()
        if isinstance(item, Example):
            item = item.text if item.text_pair is None else {"text": item.text, "text_pair": item.text_pair}
        contrast = f"Contrast({self.target!r}, {self.against!r})"
        target = "" if self.target is None else f", target={self.target!r}" if not self.against else f", {contrast}"
        if self.tokens or self.response is not None:
            what = f"max_new_tokens={self.tokens}" if self.response is None else f"response={self.response!r}"
            call, layers = f"explainer.generate(item, {what})", ""
        else:
            call, layers = f"explainer(item{target})", ""
            if self.has("layer"):
                layers = f"layers = explainer.across_layers(item{target})  # one map per layer\n"
        return (
            f"from narrows import {'Contrast, ' if self.against else ''}Explainer\n\n"
            f"explainer = Explainer.from_pretrained({self.model!r}{given})\nitem = {item!r}\n"
            f'attribution = {call}\n{layers}attribution.show()\nattribution.export("map.pdf")\n'
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


def check_method(text: str, tokens: int = 0) -> None:
    """Raise an `InputError` if a method is not for visitors: it reads files, or keeps the server busy for too long."""
    # `tokens` of a response are explained one by one.
    name = text.partition(":")[0]
    allowed, method = {*page_settings(name), "layer"}, find_method(text)
    for key, own in settings_by_name(name).items():
        if key not in allowed and getattr(method, key) != own.default:
            raise InputError(f"{key} cannot be set on this page")
    costs: dict[str, Any] = {key: getattr(method, key) for key in COSTLY if hasattr(method, key)}
    costs |= {"tokens": tokens} if tokens else {}
    passes = math.prod(max(1, cost) for cost in costs.values())
    if passes > MAX_PASSES:
        what = f"{' times '.join(costs)} is {passes:,}"
        raise InputError(f"too much for this page: {what}, and may be at most {MAX_PASSES:,}")


LONG = "The script is a mess and the pacing drags, but her performance is so warm that I left the cinema smiling."
NEWS = "The chip maker said its quarterly profit doubled as demand for memory in phones recovered."
NURSE = ("A tired nurse sleeps on a bench outside the hospital.", "The nurse is wide awake.")
BRIDGE = "The bridge, which was opened in 1932, carries eight lanes of traffic and two railway tracks."
CAPITALS = "The capital of France is Paris. The capital of Italy is"
SAMPLES = {  # texts to start with, one or more for each demo model
    "Thin plot, superb acting": PageRequest("The plot is thin, but the acting is superb."),
    "A mistake of the model": PageRequest("You would have to be dead inside not to laugh at this."),
    "A long review": PageRequest(LONG),
    "News": PageRequest(NEWS, model="topic"),
    "A contradiction": PageRequest(*NURSE, model="nli"),
    "Does it follow?": PageRequest(BRIDGE, "Trains cross the bridge.", model="rte"),
    "Capitals": PageRequest(CAPITALS, model="lm", tokens=6),
    "A question in a chat": PageRequest("What is the capital of Italy?", model="lm", chat=True, tokens=12),
}
