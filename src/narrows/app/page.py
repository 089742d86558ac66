"""The page: widgets, and what each of them sets going."""

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
from gradio.context import LocalContext
from gradio.utils import LRUCache

from narrows.app import request
from narrows.app.session import WITH_BETA, Report, Session, agreement
from narrows.app.shelf import Shelf
from narrows.errors import InputError, NarrowsError
from narrows.methods.registry import find_method, settings_by_name
from narrows.methods.settings import write_setting
from narrows.viz import fragments
from narrows.viz.html import style_sheet

LOG = logging.getLogger("narrows.app")
PREDICTED, OWN_LAYERS = "predicted", "the method's own"
WAITING = 64  # visitors in the queue; later ones see that it is full
SESSIONS = 2 * WAITING  # whose maps are kept; who was idle for longer explains anew
HINT = '<p class="narrows-empty">{}</p>'
EMPTY = HINT.format("Type a text, or pick one, and press Explain.")
LATER = HINT.format("This is computed when the tab is opened.")
CHOOSE = HINT.format("Choose another method, or another label, and press Compare.")
HEAD = '<div class="narrows-head"><h1>Narrows</h1><p>how much each token contributed to a prediction</p></div>'
DEFECT = "Narrows itself failed; the reason is in the log of the server"

Outcome = tuple[Session | None, list[Any]]  # the session, and the new values of the outputs


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
        _Page(shelf).connect()
    page.queue(max_size=WAITING, default_concurrency_limit=1)
    # What is kept of visitors: their maps, and results that they have not fetched. The oldest make room.
    page.state_session_capacity = SESSIONS
    page._queue.pending_messages_per_session = LRUCache(SESSIONS)
    return page


@cache
def head() -> str:
    """Return the style of the page, which Gradio puts into its head."""
    static = files("narrows.app") / "static"
    return f"<style>{style_sheet()}\n{(static / 'page.css').read_text(encoding='utf-8')}</style>"


class _Page:
    """The widgets, and what happens when one is used."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self._place_request()
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
                    methods = request.page_methods()
                    self.other_method = gr.Dropdown(methods, value="ig", label="Other method", min_width=140)
                    self.other = gr.Dropdown([PREDICTED], value=PREDICTED, label="Other target label", min_width=140)
                self.compare_button = gr.Button("Compare")
                self.beside = _part("beside")
            with gr.Tab("Remove tokens", id="tokens") as self.tokens_tab:
                with gr.Row():
                    self.strongest = gr.Button("Remove the strongest")
                    self.restore = gr.Button("Put all back")
                script = (files("narrows.app") / "static" / "tokens.js").read_text(encoding="utf-8")
                bare: Any = {"html_template": "", "apply_default_css": False}
                self.tokens = gr.HTML("", js_on_load=script, elem_id="tokens", **bare)
            with gr.Tab("Export", id="export") as self.export_tab:
                self.python = gr.Code(language="python", label="Python that makes this map again", interactive=False)
                self.downloads = _part("downloads")

    def _place_request(self) -> None:
        """Place the widgets of a request; `settings` are boxes that take the settings of the method in turn."""
        names = self.shelf.names
        samples = [(f"{name} ({one.model})", name) for name, one in request.SAMPLES.items() if one.model in names]
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                self.sample = gr.Dropdown(samples, value=None, label="Pick a text", visible=bool(samples))
                bounds = {"max_length": request.MAX_CHARACTERS}
                self.text = gr.Textbox(label="Text", lines=3, max_lines=8, autofocus=True, **bounds)
                self.pair = gr.Textbox(label="Second text, for models of pairs", lines=1, max_lines=4, **bounds)
                self.explain = gr.Button("Explain", variant="primary")
            with gr.Column(scale=2, min_width=300):
                with gr.Row():
                    self.model = gr.Dropdown(list(names), value=names[0], label="Model", min_width=120)
                    self.target = gr.Dropdown(**self._targets(names[0]), label="Target", min_width=150)
                usual, methods = request.DEFAULT_METHOD, request.page_methods()
                about = find_method(usual).caption
                self.method = gr.Dropdown(methods, value=usual, label="Method", info=about)
                self.layer = gr.Dropdown(self._layers(names[0]), value=OWN_LAYERS, label="Layer")
        with gr.Accordion("Settings of the method", open=False) as self.more, gr.Row():
            self.settings = [gr.Textbox(max_lines=1, max_length=40, min_width=240, **box) for box in _boxes(usual)]

    def _read(self, values: Mapping[Any, Any]) -> request.Request:
        """Make a request of what is in the widgets; raises an `InputError`."""
        target, layer, name = values[self.target], values[self.layer], str(values[self.method])
        boxes = zip(request.page_settings(name), self.settings, strict=False)
        typed = {key: str(values[box] or "") for key, box in boxes}
        method = request.write_method(name, typed, None if layer == OWN_LAYERS else int(layer))
        texts, target = (values[self.text] or "", values[self.pair] or None), None if target == PREDICTED else target
        return request.Request(*texts, values[self.model], target, method)

    def connect(self) -> None:
        """Connect each widget with what it starts. All computations share one queue, for they share the models."""
        bind, model, of_model = self._bind, self.model, [self.target, self.layer]
        new_map = [self.map, self.layers, self.betas, self.beside, self.tokens, self.other, self.tabs]
        inputs = {self.text, self.pair, model, *of_model, self.method, *self.settings}
        asked = [self.explain.click, self.text.submit, self.pair.submit, self.layer.input, self.target.input]
        for event in [*asked, *(box.submit for box in self.settings)]:
            bind(event, self._explain, new_map, inputs)
        bind(self.layers_tab.select, self._show_layers, [self.layers])
        bind(self.betas_tab.select, self._show_betas, [self.betas])
        bind(self.compare_button.click, self._compare, [self.beside], {self.other_method, self.other})
        self._bind_removal(self.tokens_tab.select, lambda session, _: session.click((), self.shelf))
        self._bind_removal(self.tokens.select, lambda session, given: session.click(_clicked(given), self.shelf))
        self._bind_removal(self.strongest.click, lambda session, _: session.click_strongest(self.shelf))
        self._bind_removal(self.restore.click, lambda session, _: session.put_back(self.shelf))
        bind(self.export_tab.select, self._export, [self.python, self.downloads])
        sample = bind(self.sample.input, self._pick, [self.text, self.pair, model, *of_model], {self.sample})
        bind(sample.then, self._explain, new_map, inputs)
        bind(model.input, lambda session, given: (session, self._fit_model(given.values[model])), of_model, {model})
        of_method = [self.method, self.layer, self.more, *self.settings]
        method = bind(self.method.input, self._choose_method, of_method, {self.method})
        bind(method.then, self._explain_again, new_map, inputs)

    def _bind(self, event: Any, handler: Handler, outputs: Sequence[Any], inputs: Collection[Any] = frozenset()) -> Any:
        """Let an event run a handler; an error becomes one line on the page and leaves everything else as it was."""

        def run(values: dict[Any, Any], happened: gr.EventData, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
            try:
                given = Input(values, happened._data, _reporting(progress))
                session, shown = handler(values[self.session], given)
                return ["", session, *shown]
            except NarrowsError as error:
                message = str(error)
            except Exception:
                LOG.exception("the page failed")
                message = DEFECT
            alert = f'<p class="narrows-alert" role="alert">{html.escape(" ".join(message.split()))}</p>'
            return [alert, *[gr.skip() for _ in range(len(outputs) + 1)]]

        queued: Any = {"concurrency_id": "model", "concurrency_limit": 1, "trigger_mode": "always_last"}
        queued |= {"api_visibility": "private", "show_progress_on": list(outputs)}
        return event(run, {self.session, *inputs}, [self.alert, self.session, *outputs], **queued)

    def _explain(self, _: Session | None, given: Input) -> Outcome:
        session = Session.start(self._read(given.values), self.shelf)
        offered = {**self._targets(session.request.model), "choices": list(session.saved["probabilities"])}
        labels = gr.Dropdown(**{**offered, "value": session.saved["target"]})
        drawn = fragments.render_map_part(session.saved)
        return session, [drawn, LATER, LATER, CHOOSE, "", labels, gr.Tabs(selected="map")]

    def _explain_again(self, session: Session | None, given: Input) -> Outcome:
        """Explain by a method that was chosen; before there is a map, wait for the button."""
        return (session, [gr.skip()] * 7) if session is None else self._explain(session, given)

    def _show_layers(self, session: Session | None, given: Input) -> Outcome:
        session = _started(session).with_layers(self.shelf, given.report)
        return session, [fragments.render_heat_part(session.layers)]

    def _show_betas(self, session: Session | None, given: Input) -> Outcome:
        session = _started(session).with_betas(self.shelf, given.report)
        drawn = fragments.render_series_part(list(session.betas.values()), list(session.betas), "beta")
        if session.request.has("beta"):
            return session, [drawn]
        note = f"The method {session.request.name} has no beta, so these maps are of the method {WITH_BETA}."
        return session, [f'<p class="narrows-note">{html.escape(note)}</p>{drawn}']

    def _compare(self, session: Session | None, given: Input) -> Outcome:
        session = _started(session).compare(given.values[self.other_method], given.values[self.other], self.shelf)
        assert session.compared is not None
        maps = [session.saved, session.compared]
        return session, [fragments.render_beside_part(maps, agreement(*maps))]

    def _bind_removal(self, event: Any, change: Callable[[Session, Input], Session]) -> None:
        """Let an event change which tokens are taken away."""

        def handle(session: Session | None, given: Input) -> Outcome:
            session = change(_started(session), given)
            assert session.removal is not None
            return session, [fragments.render_removal_part(session.saved, session.removal)]

        self._bind(event, handle, [self.tokens])

    def _export(self, session: Session | None, _: Input) -> Outcome:
        session = _started(session)
        return session, [session.python(), _links(session.files())]

    def _pick(self, session: Session | None, given: Input) -> Outcome:
        sample = request.SAMPLES[given.values[self.sample]]
        return session, [sample.text, sample.text_pair or "", sample.model, *self._fit_model(sample.model)]

    def _fit_model(self, model: str) -> list[Any]:
        """Offer the labels and layers of a model."""
        return [gr.Dropdown(**self._targets(model)), gr.Dropdown(self._layers(model), value=OWN_LAYERS)]

    def _targets(self, model: str) -> dict[str, Any]:
        """Offer the labels of a classifier; of another model a continuation, a filling or an answer is typed."""
        labels = self.shelf.labels(model)
        return {"choices": [PREDICTED, *labels], "value": PREDICTED, "allow_custom_value": not labels}

    def _layers(self, model: str) -> list[tuple[str, str]]:
        """List the layers of a model by name and by number, after the method's own choice."""
        names = ["layer 0, the embeddings", *(f"layer {layer}" for layer in range(1, self.shelf.blocks(model) + 1))]
        return [(OWN_LAYERS, OWN_LAYERS), *((name, str(layer)) for layer, name in enumerate(names))]

    def _choose_method(self, session: Session | None, given: Input) -> Outcome:
        """Fit the widgets to a method; its settings are its defaults again."""
        name = str(given.values[self.method])
        layer = gr.Dropdown(visible="layer" in settings_by_name(name), value=OWN_LAYERS)
        more, boxes = (
            gr.Accordion(visible=bool(request.page_settings(name))),
            [gr.Textbox(**box) for box in _boxes(name)],
        )
        return session, [gr.Dropdown(info=find_method(name).caption), layer, more, *boxes]


def _boxes(name: str) -> list[dict[str, Any]]:
    """Describe one box per setting, made from the fields of the method; the boxes that are left over are hidden."""
    boxes: list[dict[str, Any]] = []
    for key, own in request.page_settings(name).items():
        info = f"{own.help} {own.type_text.replace(' | ', ' or ').capitalize()}."
        usual = write_setting(own.default)
        boxes.append({"label": key, "info": info, "placeholder": usual, "value": "", "visible": True})
    most = max(len(request.page_settings(each)) for each in request.page_methods())
    return boxes + [{"label": "", "value": "", "visible": False}] * (most - len(boxes))


def _clicked(given: Input) -> tuple[int, ...]:
    places = str((given.event or {}).get("tokens")).split()
    if not all(place.isdecimal() and len(place) < 9 for place in places):
        raise InputError("only tokens of the text can be removed, each once")
    return tuple(map(int, places))


def _part(name: str, value: str = EMPTY) -> gr.HTML:
    return gr.HTML(value, apply_default_css=False, elem_id=name)


def _links(found: Mapping[str, bytes]) -> str:
    """Return links that hold the files themselves, so that the server keeps none."""
    entries = []
    for name, content in found.items():
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        data = f"data:{kind};base64,{base64.b64encode(content).decode()}"
        size = f"{max(1, round(len(content) / 1024)):,} kB"
        entries.append(f'<li><a download="{name}" href="{data}">{name} <small>{size}</small></a></li>')
    return f'<ul class="narrows-files">{"".join(entries)}</ul>'


def _reporting(progress: gr.Progress) -> Report:
    """Make a report of what is done, which ends the computation for a visitor who has left: others are waiting."""
    blocks, event = LocalContext.blocks.get(None), LocalContext.event_id.get(None)

    def report(done: int, total: int) -> None:
        asked = blocks and blocks._queue.event_ids_to_events.get(event)
        if asked and not asked.alive:
            raise InputError("the visitor has left")
        progress((done, total))

    return report


def _started(session: Session | None) -> Session:
    if session is None:
        raise InputError("there is no map yet: type a text, or pick one, and press Explain")
    return session
