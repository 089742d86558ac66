"""What one visitor looks at: the map on screen and what was computed for it; immutable, replaced as a whole."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

from narrows.app.request import Request, page_methods
from narrows.app.shelf import Shelf
from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from narrows.evaluation.degradation import degrade, removal_counts
from narrows.evaluation.statistics import kendall_tau
from narrows.methods.registry import find_method, settings_by_name
from narrows.models.heads.goals import OneOf
from narrows.models.heads.task import Question
from narrows.models.predict import predict
from narrows.models.text.encoding import encode
from narrows.models.text.removal import remove
from narrows.run.settings import BETAS
from narrows.viz.canvas import FigureFormat, figure_bytes
from narrows.viz.files import SUFFIXES, render_file
from narrows.viz.fragments import Removal
from narrows.viz.series import plot_series
from narrows.viz.spans import content
from narrows.viz.trace import plot_rate

WITH_BETA = "information"  # stands in for methods without a beta
Report = Callable[[int, int], None]  # takes how many parts of how many are done


@dataclass(frozen=True)
class Session:
    """One explained text; what has a default is empty or None until asked for."""

    request: Request
    saved: AttributionDict  # the map
    layers: Sequence[AttributionDict] = ()  # one per layer
    betas: Mapping[str, AttributionDict] = field(default_factory=dict)  # one per beta
    compared: AttributionDict | None = None  # the map beside it
    clicks: tuple[tuple[int, ...], ...] = ()  # positions of tokens taken away by hand, those of one click together
    removal: Removal | None = None  # what that did

    @classmethod
    def start(cls, request: Request, shelf: Shelf) -> "Session":
        """Explain a text."""
        return cls(request, _explain(request, shelf))

    def with_layers(self, shelf: Shelf, report: Report) -> "Session":
        """Explain the text at every layer, whatever the layer of the request, unless that is done."""
        if self.layers:
            return self
        if not self.request.has("layer"):
            raise InputError(f"the method {self.request.name} looks at no layer: choose another method")
        with shelf.explainer(self.request) as explainer:
            first = 1 if getattr(explainer.method, "prior", None) == "residual" else 0  # it is about a block's input
            done: list[AttributionDict] = []
            for layer in range(first, explainer.blocks + 1):
                done += explainer.across_layers(self.request.example(), self.request.target, [layer]).to_dicts()
                report(len(done), explainer.blocks + 1 - first)
        return replace(self, layers=done)

    def with_betas(self, shelf: Shelf, report: Report) -> "Session":
        """Explain the text with several betas (the paper's figure 5), unless that is done; `WITH_BETA` if need be."""
        if self.betas:
            return self
        method = self.request.method if self.request.has("beta") else self._at_same_layer(WITH_BETA)
        betas = BETAS.split(",")
        done: dict[str, AttributionDict] = {}
        for beta in betas:
            done[beta] = _explain(replace(self.request, method=f"{method}:beta={beta}"), shelf)
            report(len(done), len(betas))
        return replace(self, betas=done)

    def compare(self, method: str, target: str | None, shelf: Shelf) -> "Session":
        """Put a map of another method or label (None = the same) beside this one."""
        other = self.request.method if method == self.request.name else self._at_same_layer(method)
        asked = replace(self.request, method=other, target=target or self.saved["target"])
        return replace(self, compared=_explain(asked, shelf))

    def _at_same_layer(self, name: str) -> str:
        """Give another method the layer of the request, if both have one."""
        layer = getattr(find_method(self.request.method), "layer", None)
        takes = name in page_methods() and "layer" in settings_by_name(name)
        return f"{name}:layer={layer}" if takes and isinstance(layer, int) else name

    def click(self, tokens: tuple[int, ...], shelf: Shelf) -> "Session":
        """Take tokens away, or put them back if they are gone; none = only look."""
        clicks = tuple(click for click in self.clicks if click != tokens)
        if len(clicks) == len(self.clicks) and tokens:
            clicks = (*clicks, tokens)
        return replace(self, clicks=clicks, removal=self._take_away(clicks, shelf))

    def click_strongest(self, shelf: Shelf) -> "Session":
        """Take away what is next in the ranking of the map, if something is left."""
        gone = {position for click in self.clicks for position in click}
        pieces = {position: span.tokens for span in content(self.saved) for position in span.tokens}
        left = (pieces[place] for place in _ranking(self.saved) if place not in gone and place in pieces)
        return self.click(next(left, ()), shelf)

    def put_back(self, shelf: Shelf) -> "Session":
        """Put all tokens back."""
        return replace(self, clicks=()).click((), shelf)

    def _take_away(self, clicks: Sequence[tuple[int, ...]], shelf: Shelf) -> Removal:
        """Take tokens out of the text and predict again: the degradation test by hand, and as the map has it."""
        saved, before = self.saved, self.removal
        removable = {place for place, token in enumerate(saved["tokens"]) if not token["special"]}
        flat = tuple(position for click in clicks for position in click)
        if len(set(flat)) < len(flat) or not removable >= set(flat):
            raise InputError("only tokens of the text can be removed, each once")
        labels = list(saved["probabilities"])
        with shelf.lend(self.request.model) as own:
            encoding = encode(own.tokenizer, self.request.example(), len(saved["tokens"]))
            known = {} if before is None else {before.removed[:count]: p for count, p in before.by_hand}
            prefixes = [flat[: sum(map(len, clicks[:end]))] for end in range(len(clicks) + 1)]
            wanted = [prefix for prefix in prefixes if prefix not in known or prefix == flat]
            p = predict(own.model, own.tokenizer, [remove(encoding, gone, "delete", own.tokenizer) for gone in wanted])
            target = labels.index(saved["target"])
            known |= {prefix: float(row[target]) for prefix, row in zip(wanted, p, strict=True)}
            if before is None:
                question, goal = Question(self.request.example(), encoding, None), OneOf(target)
                curves = degrade(own.model, own.tokenizer, [question], [_ranking(saved)], [goal])
                counts = removal_counts(len(removable))
                morf, lerf = (tuple(zip(counts, each[0].tolist(), strict=True)) for each in (curves.morf, curves.lerf))
            else:
                morf, lerf = before.morf, before.lerf
        by_hand = tuple((len(prefix), known[prefix]) for prefix in prefixes)
        return Removal(flat, dict(zip(labels, p[-1].tolist(), strict=True)), by_hand, morf, lerf)

    def python(self) -> str:
        """Write the lines that make this map again."""
        read = len(self.saved["tokens"]) if self.saved["truncated"] else None
        return self.request.python(read, "instance" if self.saved["prior"] == "instance" else None)

    def files(self) -> dict[str, bytes]:
        """Draw everything that is there as files: from a name to its content."""
        pictures: dict[str, Sequence[AttributionDict]] = {"map": [self.saved]}
        if self.layers:
            pictures["layers"] = self.layers
        if self.compared is not None:
            pictures["comparison"] = [self.saved, self.compared]
        found = {f"{name}{end}": render_file(saved, end) for name, saved in pictures.items() for end in SUFFIXES}
        if self.betas:
            series = list(self.betas.values())
            figures = {"beta": plot_series(series, list(self.betas), "beta"), "rate": plot_rate({"beta": series})}
            for name, figure in figures.items():
                found |= {f"{name}.{kind}": figure_bytes(figure, kind) for kind in get_args(FigureFormat)}
            found["beta.json"] = render_file(series, ".json")
        return {**found, "reproduce.py": self.python().encode()}


def agreement(one: AttributionDict, other: AttributionDict) -> str | None:
    """Say how two maps of one text agree: in the order of the tokens, and in their signs; None if one has no order."""
    pairs = [both for both in zip(one["tokens"], other["tokens"], strict=True) if both[0]["rank"] is not None]
    if any(len({both[place]["score"] for both in pairs}) < 2 for place in (0, 1)):
        return None
    tau = kendall_tau(*([-(both[place]["rank"] or 0) for both in pairs] for place in (0, 1)))
    order = f"Order of the tokens: Kendall's tau {tau:+.2f} (1 = the same order, -1 = the reverse)."
    if not (one["signed"] and other["signed"]):
        return order
    same = sum(math.copysign(1, own["score"]) == math.copysign(1, others["score"]) for own, others in pairs)
    return f"{order} Sign: the same for {same} of {len(pairs)} tokens."


def _explain(request: Request, shelf: Shelf) -> AttributionDict:
    with shelf.explainer(request) as explainer:
        return explainer(request.example(), request.target).to_dict()


def _ranking(saved: AttributionDict) -> list[int]:
    """List the positions of the content tokens, the first to be removed first."""
    ranked = [(token["rank"], place) for place, token in enumerate(saved["tokens"]) if token["rank"] is not None]
    return [place for _, place in sorted(ranked)]
