"""What the page can be asked: each question names all it needs, and its answer is kept for a while, not its visitor."""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any, get_args

from narrows.app.line import ProgressCallback
from narrows.app.request import PageRequest, page_methods
from narrows.app.shelf import Shelf
from narrows.data.schema import AttributionDict, SummaryDict
from narrows.data.units import saved_ranking
from narrows.errors import InputError
from narrows.evaluation.degradation import degrade, removal_counts
from narrows.evaluation.statistics import kendall_tau
from narrows.generation import GenerationAttribution
from narrows.methods.registry import find_method, settings_by_name
from narrows.models.heads.tasks import find_task
from narrows.models.hub.audit import audit_pdf
from narrows.models.variants import Asked, judge_variants, removable_units, resolve, without
from narrows.run.finished import read_manifest
from narrows.run.settings import BETAS
from narrows.run.summary import check_format, summarize_run
from narrows.viz import fragments
from narrows.viz.canvas import FigureFormat, figure_bytes
from narrows.viz.files import SUFFIXES, render_file
from narrows.viz.fragments import Removal
from narrows.viz.generation_figure import render_generation_file
from narrows.viz.series import plot_series
from narrows.viz.spans import same_tokens, tokens_of_words
from narrows.viz.strongest import summary_part
from narrows.viz.trace import plot_rate

WITH_BETA = "information"  # stands in for methods without a beta
KEPT = 64  # answers
Json = dict[str, Any]
Words = tuple[tuple[int, ...], ...]  # positions of the tokens of each word, in the order in which they were struck out


class Desk:
    """Answers questions about texts and runs; a question is a `PageRequest`, and what is asked besides."""

    def __init__(self, shelf: Shelf, runs: Sequence[Path] = ()) -> None:
        """Take the models and the folders of runs that may be asked about; a `DataError` if one is none."""
        for folder in runs:
            read_manifest(folder)
        self.shelf, self.runs = shelf, {folder.resolve().name: folder for folder in runs}
        if len(self.runs) < len(runs):
            raise InputError("two folders of runs have the same name: the page could not tell them apart")
        self._kept: OrderedDict[Any, Any] = OrderedDict()

    def answer(self, question: str, given: Mapping[str, Any], report: ProgressCallback) -> Json:
        """Answer a question of `QUESTIONS`; raises a `NarrowsError` that says what is wrong with it."""
        return QUESTIONS[question](self, given, report)

    def _keep(self, key: Any, make: Callable[[], Any]) -> Any:
        """Make an answer, or find it among the latest."""
        if key not in self._kept:
            self._kept[key] = make()
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def map(self, request: PageRequest) -> AttributionDict:
        """Explain a text, and check the map on it."""

        def make() -> AttributionDict:
            with self.shelf.explainer(request) as explainer:
                return explainer(request.item(), request.goal(), check=True).to_dict()

        return self._keep(("map", request), make)  # type: ignore[no-any-return]

    def layers(self, request: PageRequest, report: ProgressCallback) -> list[AttributionDict]:
        """Explain a text at every layer, whatever the layer of the request."""
        if not request.has("layer"):
            raise InputError(f"the method {request.name} looks at no layer")

        def make() -> list[AttributionDict]:
            with self.shelf.explainer(request) as explainer:
                first = 1 if getattr(explainer.method, "prior", None) == "residual" else 0  # about a block's input
                done: list[AttributionDict] = []
                for layer in range(first, explainer.blocks + 1):
                    done += explainer.across_layers(request.item(), request.goal(), [layer]).to_dicts()
                    report(len(done), explainer.blocks + 1 - first)
                return done

        return self._keep(("layers", request), make)  # type: ignore[no-any-return]

    def betas(self, request: PageRequest, report: ProgressCallback) -> dict[str, AttributionDict]:
        """Explain a text with several betas (the paper's figure 5), with `WITH_BETA` if the method has none."""

        def make() -> dict[str, AttributionDict]:
            method = request.method if request.has("beta") else _at_same_layer(request, WITH_BETA)
            done: dict[str, AttributionDict] = {}
            for beta in BETAS.split(","):
                with self.shelf.explainer(replace(request, method=f"{method}:beta={beta}")) as explainer:
                    done[beta] = explainer(request.item(), request.goal()).to_dict()
                report(len(done), len(BETAS.split(",")))
            return done

        return self._keep(("betas", request), make)  # type: ignore[no-any-return]

    def other(self, request: PageRequest, method: str, target: str | None) -> AttributionDict:
        """Explain a text by another method, or for another label; None = what the map is of."""
        wanted = request.method if method == request.name else _at_same_layer(request, method)
        other = replace(request, method=wanted)
        return self.map(replace(other, target=target, against=None) if target else other)

    def generation(self, request: PageRequest) -> GenerationAttribution:
        """Let a language model answer, or take the response that is given, and explain it token by token."""

        def make() -> GenerationAttribution:
            with self.shelf.explainer(request) as explainer:
                return explainer.generate(request.item(), request.tokens or 1, request.response)

        return self._keep(("generation", request), make)  # type: ignore[no-any-return]

    def removal(self, request: PageRequest, words: Words) -> Removal:
        """Take words out of a text and ask the model again: the degradation test by hand, and as the map has it."""
        saved, flat = self.map(request), tuple(chain.from_iterable(words))
        with self.shelf.lend(request.model) as own:
            model, tokenizer, task = own.model, own.tokenizer, find_task(own.model, own.tokenizer)
            read = self.shelf.reader(own).ask(request.item(), request.goal())
            if read.rivals:
                raise InputError("words cannot be struck out of two continuations that are held against each other")
            (question,) = read.questions
            (whole,) = resolve(model, tokenizer, task, [question])
            asked: Asked = question, whole.goal
            free = set(chain.from_iterable(removable_units(task, *asked)))
            if len(set(flat)) < len(flat) or not free >= set(flat):
                raise InputError("only words of the text can be removed, each once, and not what is asked about")

            def curves() -> tuple[list[float], list[float]]:
                found = degrade(model, tokenizer, [question], [saved_ranking(saved)], [whole.goal])
                return found.morf[0].tolist(), found.lerf[0].tolist()

            morf, lerf = self._keep(("curves", request), curves)
            gone = [tuple(chain.from_iterable(words[:end])) for end in range(len(words) + 1)]
            variants = [without(task, tokenizer, asked, own, "delete") for own in gone]
            p, decided = judge_variants(model, tokenizer, task, variants).T.tolist()
            (now,) = resolve(model, tokenizer, task, [variants[-1].question])
        counts = removal_counts(len(free))
        by_hand = tuple(zip(map(len, gone), p, strict=True))
        points = (tuple(zip(counts, each, strict=True)) for each in (morf, lerf))
        flips = decided[-1] != decided[0]
        return Removal(flat, len(words), p[-1], now.predicted, flips, len(free), by_hand, *points)

    def python(self, request: PageRequest) -> str:
        """Write the lines that make a map or a response again."""
        found = self.generation(request).to_dict() if _writes(request) else self.map(request)
        read = len(found["tokens"]) if found["truncated"] else None
        return request.python(read, "instance" if found["prior"] == "instance" else None)

    def summary(self, given: Mapping[str, Any], report: ProgressCallback) -> SummaryDict:
        """Sum up a run, or how it differs from another."""
        names = [_text(given, "run"), *([_text(given, "other")] if given.get("other") else [])]
        for name in names:
            if name not in self.runs:
                raise InputError(f"no run {name!r:.60} on this page; there are {', '.join(self.runs) or 'none'}")
        folder, against = self.runs[names[0]], self.runs[names[1]] if len(names) > 1 else None

        def tell(done: float, total: float) -> None:
            report(int(done), int(total))

        def make() -> SummaryDict:
            return summarize_run(folder, against, report=tell).to_dict()

        return self._keep(("summary", *names), make)  # type: ignore[no-any-return]

    def file(self, name: str, given: Mapping[str, Any], report: ProgressCallback) -> bytes:
        """Draw what is seen as a file, named by what it is of and its format: ``layers.pdf``."""
        what, _, end = name.partition(".")
        if what == "summary":
            return check_format(name)(self.summary(given, report)).encode()
        request = PageRequest.of(given)
        if name == "reproduce.py":
            return self.python(request).encode()
        if name == "report.pdf" and not _writes(request):
            words = _words(given)
            removal = self.removal(request, words) if words else None
            with self.shelf.lend(request.model) as own:
                said = None if removal is None else fragments.removal_sentence(self.map(request), removal)
                return audit_pdf(self.map(request), own.model, said)
        suffix = f".{end}"
        if what == "generation" and suffix in (".png", ".svg", ".pdf", ".html", ".json"):
            return render_generation_file(self.generation(request).picture, suffix)
        if what in ("beta", "rate") and end in get_args(FigureFormat):
            series = self.betas(request, report)
            maps = list(series.values())
            figure = plot_series(maps, list(series), "beta") if what == "beta" else plot_rate({"beta": maps})
            return figure_bytes(figure, end)  # type: ignore[arg-type]
        if what not in ("map", "layers", "comparison") or suffix not in SUFFIXES:
            raise InputError(f"no file {name!r:.60} on this page")
        seen: dict[str, Callable[[], Sequence[AttributionDict]]] = {
            "map": lambda: [self.map(request)],
            "layers": lambda: self.layers(request, report),
            "comparison": lambda: [self.map(request), self.other(request, *_other(given))],
        }
        return render_file(seen[what](), suffix)


def agreement(one: AttributionDict, other: AttributionDict) -> str | None:
    """Say how two maps of one text agree: in the order of the tokens, and in their signs; None if one has no order."""
    if not same_tokens(one, other):  # as of continuations of different lengths
        return None
    pairs = [both for both in zip(one["tokens"], other["tokens"], strict=True) if both[0]["rank"] is not None]
    if any(len({both[place]["score"] for both in pairs}) < 2 for place in (0, 1)):
        return None
    tau = kendall_tau(*([-(both[place]["rank"] or 0) for both in pairs] for place in (0, 1)))
    order = f"Order of the tokens: Kendall's tau {tau:+.2f} (1 = the same order, -1 = the reverse)."
    if not (one["signed"] and other["signed"]):
        return order
    same = sum(math.copysign(1, own["score"]) == math.copysign(1, others["score"]) for own, others in pairs)
    return f"{order} Sign: the same for {same} of {len(pairs)} tokens."


def shown(saved: AttributionDict) -> Json:
    """Give a map as the page shows it: its record, its parts, and its words, the first to be struck out first."""
    of_token = {place: own for own in tokens_of_words(saved) for place in own}
    order = list(dict.fromkeys(of_token.get(place, (place,)) for place in saved_ranking(saved)))
    return {"map": saved, "parts": fragments.render_parts(saved), "order": order}


def _explain(desk: Desk, given: Mapping[str, Any], _: ProgressCallback) -> Json:
    request = PageRequest.of(given)
    if _writes(request):
        found = desk.generation(request)
        drawn = fragments.render_generation_part(found.picture)
        return {"request": request.to_dict(), "generation": found.to_dict(), "html": drawn}
    return {"request": request.to_dict(), **shown(desk.map(request))}


def _layers(desk: Desk, given: Mapping[str, Any], report: ProgressCallback) -> Json:
    maps = desk.layers(PageRequest.of(given), report)
    return {"maps": maps, "html": fragments.render_heat_part(maps)}


def _betas(desk: Desk, given: Mapping[str, Any], report: ProgressCallback) -> Json:
    request = PageRequest.of(given)
    maps = desk.betas(request, report)
    note = f"The method {request.name} has no beta, so these maps are of the method {WITH_BETA}."
    drawn = fragments.render_series_part(list(maps.values()), list(maps), "beta")
    return {"maps": maps, "note": None if request.has("beta") else note, "html": drawn}


def _compare(desk: Desk, given: Mapping[str, Any], _: ProgressCallback) -> Json:
    request = PageRequest.of(given)
    maps = [desk.map(request), desk.other(request, *_other(given))]
    return {"maps": maps, "html": fragments.render_beside_part(maps, agreement(*maps))}


def _remove(desk: Desk, given: Mapping[str, Any], _: ProgressCallback) -> Json:
    request = PageRequest.of(given)
    removal = desk.removal(request, _words(given))
    return {**asdict(removal), "html": fragments.render_removal_part(desk.map(request), removal)}


def _model(desk: Desk, given: Mapping[str, Any], _: ProgressCallback) -> Json:
    return {"blocks": desk.shelf.blocks(_text(given, "model"))}


def _python(desk: Desk, given: Mapping[str, Any], _: ProgressCallback) -> Json:
    return {"python": desk.python(PageRequest.of(given))}


def _summary(desk: Desk, given: Mapping[str, Any], report: ProgressCallback) -> Json:
    saved = desk.summary(given, report)
    return {"summary": saved, "html": summary_part(saved)}


# What the page can be asked, by the name in its address.
QUESTIONS: dict[str, Callable[[Desk, Mapping[str, Any], ProgressCallback], Json]] = {
    "explain": _explain,
    "layers": _layers,
    "betas": _betas,
    "compare": _compare,
    "remove": _remove,
    "model": _model,
    "python": _python,
    "summary": _summary,
}


def _writes(request: PageRequest) -> bool:
    return request.tokens > 0 or request.response is not None


def _text(given: Mapping[str, Any], name: str) -> str:
    if not isinstance(value := given.get(name), str):
        raise InputError(f"{name} must be text, not {value!r:.40}")
    return value


def _other(given: Mapping[str, Any]) -> tuple[str, str | None]:
    """Read what a map is to be compared with: another method, another label."""
    return _text(given, "other_method"), _text(given, "other_target") if given.get("other_target") else None


def _words(given: Mapping[str, Any]) -> Words:
    """Read which words are struck out: a list of lists of positions."""
    words = given.get("removed") or []
    try:
        found = tuple(tuple(word) for word in words)
    except TypeError:
        found = (("",),)
    if not all(type(place) is int for word in found for place in word) or not all(found):
        raise InputError("removed must be a list of words, each a list of positions of its tokens")
    return found


def _at_same_layer(request: PageRequest, name: str) -> str:
    """Give another method the layer of the request, if both have one."""
    layer = getattr(find_method(request.method), "layer", None)
    takes = name in page_methods() and "layer" in settings_by_name(name)
    return f"{name}:layer={layer}" if takes and isinstance(layer, int) else name
