"""The page: widgets, and what each of them sets going."""

from __future__ import annotations

import base64
import html
import logging
import mimetypes
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import gradio as gr

from narrows.app.controls import OWN_LAYERS, PREDICTED, Controls, layer_choices, place_controls, show_method
from narrows.app.request import page_methods
from narrows.app.samples import SAMPLES
from narrows.app.session import WITH_BETA, Report, Session, agreement
from narrows.app.shelf import Shelf
from narrows.errors import InputError, NarrowsError
from narrows.viz.fragments import (
    render_beside_part,
    render_heat_part,
    render_map_part,
    render_removal_part,
    render_series_part,
)
from narrows.viz.html import style_sheet

LOG = logging.getLogger("narrows.app")
WAITING = 64  # visitors in the queue; later ones see that it is full
HINT = '<p class="narrows-empty">{}</p>'
EMPTY = HINT.format("Type a text, or pick one, and press Explain.")
LATER = HINT.format("This is computed when the tab is opened.")
CHOOSE = HINT.format("Choose another method, or another label, and press Compare.")
HEAD = '<div class="narrows-head"><h1>Narrows</h1><p>how much each token contributed to a prediction</p></div>'
DEFECT = "Narrows itself failed; the reason is in the log of the server"

Outcome = tuple[Session | None, list[Any]]
"""The session, and the new values of the outputs."""


@dataclass(frozen=True)
class Input:
    """What a handler gets besides the session."""

    values: dict[Any, Any]  # from a widget to its value
    event: dict[str, Any]  # what the event says, for instance which token was clicked
    report: Report


Handler = Callable[[Session | None, Input], Outcome]


def build_page(shelf: Shelf) -> gr.Blocks:
    """Build the page of some models, to be served by `narrows.app.server`."""
    with gr.Blocks(title="Narrows", analytics_enabled=False) as page:
        gr.HTML(HEAD, apply_default_css=False)
        _Page(shelf, place_controls(shelf)).connect()
    page.queue(max_size=WAITING, default_concurrency_limit=1)
    return page


@cache
def head() -> str:
    """Return the style of the page, which Gradio puts into its head."""
    static = files("narrows.app") / "static"
    return f"<style>{style_sheet()}\n{(static / 'page.css').read_text(encoding='utf-8')}</style>"


class _Page:
    """The widgets that show results, and what happens when one is used."""

    def __init__(self, shelf: Shelf, controls: Controls) -> None:
        self.shelf, self.controls = shelf, controls
        self.session = gr.State(None, time_to_live=3600)
        self.alert = _part("alert", "")
        with gr.Tabs() as self.tabs:
            with gr.Tab("Map", id="map"):
                self.map = _part("map")
            with gr.Tab("Layers", id="layers") as self.layers_tab:
                self.layers = _part("layers")
            with gr.Tab("Beta", id="betas") as self.betas_tab:
                self.betas = _part("betas")
            with gr.Tab("Compare", id="compare"):
                with gr.Row():
                    self.method = gr.Dropdown(page_methods(), value="ig", label="Other method", min_width=140)
                    self.other = gr.Dropdown([PREDICTED], value=PREDICTED, label="Other target label", min_width=140)
                self.compare_button = gr.Button("Compare")
                self.beside = _part("beside")
            with gr.Tab("Remove tokens", id="tokens") as self.tokens_tab:
                with gr.Row():
                    self.strongest = gr.Button("Remove the strongest")
                    self.restore = gr.Button("Put all back")
                script = (files("narrows.app") / "static" / "tokens.js").read_text(encoding="utf-8")
                self.tokens = gr.HTML(
                    "", html_template="", js_on_load=script, apply_default_css=False, elem_id="tokens"
                )
            with gr.Tab("Export", id="export") as self.export_tab:
                self.python = gr.Code(language="python", label="Python that makes this map again", interactive=False)
                self.downloads = _part("downloads")

    def connect(self) -> None:
        """Connect each widget with what it starts. All computations share one queue, for they share the models."""
        controls, bind = self.controls, self._bind
        new_map = [self.map, self.layers, self.betas, self.beside, self.tokens, self.other, self.tabs]
        asked = [controls.explain.click, controls.text.submit, controls.pair.submit]
        asked += [controls.layer.input, controls.target.input, *(box.submit for box in controls.settings)]
        for event in asked:
            bind(event, self._explain, new_map, controls.inputs)
        bind(self.layers_tab.select, self._show_layers, [self.layers])
        bind(self.betas_tab.select, self._show_betas, [self.betas])
        bind(self.compare_button.click, self._compare, [self.beside], {self.method, self.other})
        bind(self.tokens_tab.select, self._show_tokens, [self.tokens])
        bind(self.tokens.select, self._click, [self.tokens])
        bind(self.strongest.click, self._remove_strongest, [self.tokens])
        bind(self.restore.click, self._put_back, [self.tokens])
        bind(self.export_tab.select, self._export, [self.python, self.downloads])
        of_model = [controls.target, controls.layer]
        picked = [controls.text, controls.pair, controls.model, *of_model]
        sample = bind(controls.sample.input, self._pick, picked, {controls.sample})
        bind(sample.then, self._explain, new_map, controls.inputs)
        bind(controls.model.input, self._choose_model, of_model, {controls.model})
        method = bind(controls.method.input, self._choose_method, controls.of_method, {controls.method})
        bind(method.then, self._explain_again, new_map, controls.inputs)

    def _bind(self, event: Any, handler: Handler, outputs: Sequence[Any], inputs: Collection[Any] = frozenset()) -> Any:
        """Let an event run a handler; an error becomes one line on the page and leaves everything else as it was."""

        def run(values: dict[Any, Any], happened: gr.EventData, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
            def report(done: int, total: int) -> None:
                progress((done, total))

            try:
                session, shown = handler(values[self.session], Input(values, happened._data, report))
                return ["", session, *shown]
            except NarrowsError as error:
                message = str(error)
            except Exception:
                LOG.exception("the page failed")
                message = DEFECT
            alert = f'<p class="narrows-alert" role="alert">{html.escape(" ".join(message.split()))}</p>'
            return [alert, *[gr.skip() for _ in range(len(outputs) + 1)]]

        return event(
            run,
            {self.session, *inputs},
            [self.alert, self.session, *outputs],
            concurrency_id="model",
            concurrency_limit=1,
            api_visibility="private",
            show_progress_on=list(outputs),
            trigger_mode="always_last",
        )

    def _explain(self, _: Session | None, given: Input) -> Outcome:
        session = Session.start(self.controls.read(given.values), self.shelf)
        labels = gr.Dropdown(list(session.saved["probabilities"]), value=session.saved["target"])
        return session, [render_map_part(session.saved), LATER, LATER, CHOOSE, "", labels, gr.Tabs(selected="map")]

    def _explain_again(self, session: Session | None, given: Input) -> Outcome:
        """Explain by a method that was chosen; before there is a map, wait for the button."""
        return (session, [gr.skip()] * 7) if session is None else self._explain(session, given)

    def _show_layers(self, session: Session | None, given: Input) -> Outcome:
        session = _started(session).with_layers(self.shelf, given.report)
        return session, [render_heat_part(session.layers)]

    def _show_betas(self, session: Session | None, given: Input) -> Outcome:
        session = _started(session).with_betas(self.shelf, given.report)
        drawn = render_series_part(list(session.betas.values()), list(session.betas), "beta")
        if session.request.has("beta"):
            return session, [drawn]
        note = f"The method {session.request.name} has no beta, so these maps are of the method {WITH_BETA}."
        return session, [f'<p class="narrows-note">{html.escape(note)}</p>{drawn}']

    def _compare(self, session: Session | None, given: Input) -> Outcome:
        session = _started(session).compare(given.values[self.method], given.values[self.other], self.shelf)
        assert session.compared is not None
        maps = [session.saved, session.compared]
        return session, [render_beside_part(maps, agreement(*maps))]

    def _show_tokens(self, session: Session | None, _: Input) -> Outcome:
        return _removal(_started(session).click((), self.shelf))

    def _click(self, session: Session | None, given: Input) -> Outcome:
        tokens = tuple(int(position) for position in str(given.event["tokens"]).split())
        return _removal(_started(session).click(tokens, self.shelf))

    def _remove_strongest(self, session: Session | None, _: Input) -> Outcome:
        return _removal(_started(session).click_strongest(self.shelf))

    def _put_back(self, session: Session | None, _: Input) -> Outcome:
        return _removal(_started(session).put_back(self.shelf))

    def _export(self, session: Session | None, _: Input) -> Outcome:
        session = _started(session)
        return session, [session.python(), _links(session.files())]

    def _pick(self, session: Session | None, given: Input) -> Outcome:
        sample = SAMPLES[given.values[self.controls.sample]]
        return session, [sample.text, sample.text_pair, sample.model, *self._fit_model(sample.model)]

    def _choose_model(self, session: Session | None, given: Input) -> Outcome:
        return session, self._fit_model(given.values[self.controls.model])

    def _fit_model(self, model: str) -> list[Any]:
        """Offer the labels and layers of a model."""
        target = gr.Dropdown([PREDICTED, *self.shelf.labels(model)], value=PREDICTED)
        return [target, gr.Dropdown(layer_choices(self.shelf.blocks(model)), value=OWN_LAYERS)]

    def _choose_method(self, session: Session | None, given: Input) -> Outcome:
        return session, show_method(given.values[self.controls.method])


def _part(name: str, value: str = EMPTY) -> gr.HTML:
    return gr.HTML(value, apply_default_css=False, elem_id=name)


def _removal(session: Session) -> Outcome:
    assert session.removal is not None
    return session, [render_removal_part(session.saved, session.removal)]


def _links(found: Mapping[str, bytes]) -> str:
    """Return links that hold the files themselves, so that the server keeps none."""
    entries = []
    for name, content in found.items():
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        data = f"data:{kind};base64,{base64.b64encode(content).decode()}"
        size = f"{max(1, round(len(content) / 1024)):,} kB"
        entries.append(f'<li><a download="{name}" href="{data}">{name} <small>{size}</small></a></li>')
    return f'<ul class="narrows-files">{"".join(entries)}</ul>'


def _started(session: Session | None) -> Session:
    if session is None:
        raise InputError("there is no map yet: type a text, or pick one, and press Explain")
    return session
