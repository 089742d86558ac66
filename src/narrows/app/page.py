"""The page: widgets, and what each of them sets going."""

from __future__ import annotations

import base64
import html
import logging
import math
import mimetypes
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from typing import Any

import gradio as gr

from narrows.app.compute import Report, agreement
from narrows.app.controls import FROM_PRESET, PREDICTED, Controls, layer_choices, method_choices, place_controls
from narrows.app.samples import SAMPLES
from narrows.app.session import Session
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
WAITING = 64  # visitors in the queue; who comes later is told so
EMPTY = '<p class="narrows-empty">Type a text, or pick one, and press Explain.</p>'
DEFECT = "something went wrong in Narrows itself; the log of the server says what"

Values = dict[Any, Any]
Outcome = tuple[Session | None, list[Any]]


@dataclass(frozen=True)
class Input:
    """What a handler is given besides the session.

    Attributes:
        values: From a widget to its value.
        event: What the event tells, for instance which token was clicked.
        report: Told how many parts of how many are done.
    """

    values: Values
    event: dict[str, Any]
    report: Report


Handler = Callable[[Session | None, Input], Outcome]


@dataclass(frozen=True)
class Views:
    """What shows results."""

    session: gr.State
    alert: gr.HTML
    tabs: gr.Tabs
    map: gr.HTML
    layers: gr.HTML
    betas: gr.HTML
    method: gr.Dropdown
    other_target: gr.Dropdown
    compare: gr.Button
    beside: gr.HTML
    tokens: gr.HTML
    strongest: gr.Button
    restore: gr.Button
    python: gr.Code
    downloads: gr.HTML


def build_page(shelf: Shelf) -> gr.Blocks:
    """Build the page.

    Args:
        shelf: The models on offer.

    Returns:
        The page, to be served by `narrows.app.server`.
    """
    with gr.Blocks(title="Narrows", analytics_enabled=False) as page:
        gr.HTML(
            '<div class="narrows-head"><h1>Narrows</h1><p>what each token had to tell, in bits</p></div>',
            apply_default_css=False,
        )
        controls = place_controls(shelf)
        views = _place_views()
        _connect(shelf, controls, views)
    page.queue(max_size=WAITING, default_concurrency_limit=1)
    return page


@cache
def head() -> str:
    """Return the style of the page, which Gradio puts into its head."""
    static = files("narrows.app") / "static"
    return f"<style>{style_sheet()}\n{(static / 'page.css').read_text(encoding='utf-8')}</style>"


def _part(name: str, value: str = EMPTY) -> gr.HTML:
    return gr.HTML(value, apply_default_css=False, elem_id=name)


def _place_views() -> Views:
    session = gr.State(None, time_to_live=3600)
    alert = _part("alert", "")
    with gr.Tabs() as tabs:
        with gr.Tab("Map", id="map"):
            map_view = _part("map")
        with gr.Tab("Layers", id="layers"):
            layers = _part("layers")
        with gr.Tab("Beta", id="betas"):
            betas = _part("betas")
        with gr.Tab("Compare", id="compare"):
            with gr.Row():
                method = gr.Dropdown(method_choices(), value="ig", label="Other method", min_width=140)
                other = gr.Dropdown([PREDICTED], value=PREDICTED, label="Other target label", min_width=140)
            compare = gr.Button("Compare")
            beside = _part("beside")
        with gr.Tab("Remove tokens", id="tokens"):
            with gr.Row():
                strongest = gr.Button("Remove the strongest")
                restore = gr.Button("Put all back")
            script = (files("narrows.app") / "static" / "tokens.js").read_text(encoding="utf-8")
            tokens = gr.HTML("", html_template="", js_on_load=script, apply_default_css=False, elem_id="tokens")
        with gr.Tab("Export", id="export"):
            python = gr.Code(language="python", label="Python that makes this map again", interactive=False)
            downloads = _part("downloads")
    return Views(
        session, alert, tabs, map_view, layers, betas, method, other, compare, beside, tokens, strongest, restore,
        python, downloads,
    )  # fmt: skip


def _connect(shelf: Shelf, controls: Controls, views: Views) -> None:
    """Say what each widget sets going. All computations share one queue, for they share the models."""
    bind = partial(_bind, views)
    asked = [controls.explain.click, controls.text.submit, controls.pair.submit]
    asked += [widget.input for widget in (controls.layer, controls.target, controls.readout)]
    asked += [widget.input for widget in (controls.granularity, controls.preset)]
    new_map = [views.map, views.layers, views.betas, views.beside, views.tokens, views.other_target, views.tabs]
    for event in asked:
        bind(event, partial(_explain, shelf, controls), new_map, controls.inputs)
    layers, betas, tokens, export = (views.tabs.children[place] for place in (1, 2, 4, 5))
    bind(layers.select, partial(_show_layers, shelf), [views.layers])
    bind(betas.select, partial(_show_betas, shelf), [views.betas])
    bind(tokens.select, partial(_click, shelf, ()), [views.tokens])
    bind(export.select, _export, [views.python, views.downloads])
    choice = {views.method, views.other_target}
    bind(views.compare.click, partial(_compare, shelf, views), [views.beside], choice)
    bind(views.strongest.click, partial(_remove_strongest, shelf), [views.tokens])
    bind(views.restore.click, partial(_put_back, shelf), [views.tokens])
    bind(views.tokens.select, partial(_click, shelf, None), [views.tokens])
    model_outputs = [controls.target, controls.layer]
    picked = [controls.text, controls.pair, controls.model, *model_outputs]
    sample = bind(controls.sample.input, partial(_pick, shelf, controls), picked, {controls.sample})
    bind(sample.then, partial(_explain, shelf, controls), new_map, controls.inputs)
    bind(controls.model.input, partial(_choose_model, shelf, controls), model_outputs, {controls.model})


def _bind(
    views: Views, event: Any, handler: Handler, outputs: Sequence[Any], inputs: Collection[Any] = frozenset()
) -> Any:
    """Let an event run a handler; what goes wrong becomes one line on the page and leaves everything else as it was."""

    def run(values: Values, happened: gr.EventData, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
        def report(done: int, total: int) -> None:
            progress((done, total))

        try:
            session, shown = handler(values[views.session], Input(values, happened._data, report))
            return ["", session, *shown]
        except NarrowsError as error:
            told = str(error)
        except Exception:
            LOG.exception("the page failed")
            told = DEFECT
        return [_alert(told), *[gr.skip() for _ in range(len(outputs) + 1)]]

    return event(
        run,
        {views.session, *inputs},
        [views.alert, views.session, *outputs],
        concurrency_id="model",
        concurrency_limit=1,
        api_visibility="private",
        show_progress_on=list(outputs),
        trigger_mode="always_last",
    )


def _alert(message: str) -> str:
    return f'<p class="narrows-alert" role="alert">{html.escape(" ".join(message.split()))}</p>'


def _explain(shelf: Shelf, controls: Controls, _: Session | None, given: Input) -> Outcome:
    session = Session.start(controls.read(given.values), shelf)
    labels = gr.Dropdown(list(session.saved["probabilities"]), value=session.saved["target"])
    return session, [render_map_part(session.saved), *[EMPTY] * 3, "", labels, gr.Tabs(selected="map")]


def _show_layers(shelf: Shelf, session: Session | None, given: Input) -> Outcome:
    session = _started(session).with_layers(shelf, given.report)
    return session, [render_heat_part(session.layers)]


def _show_betas(shelf: Shelf, session: Session | None, given: Input) -> Outcome:
    session = _started(session).with_betas(shelf, given.report)
    return session, [render_series_part(list(session.betas.values()), list(session.betas), "beta")]


def _compare(shelf: Shelf, views: Views, session: Session | None, given: Input) -> Outcome:
    session = _started(session).compare(given.values[views.method], given.values[views.other_target], shelf)
    assert session.compared is not None
    tau = agreement(session.saved, session.compared)
    note = (
        None if math.isnan(tau) else f"Agreement in the order of the tokens: Kendall's tau {tau:+.2f} (1 = the same)."
    )
    return session, [render_beside_part([session.saved, session.compared], note)]


def _click(shelf: Shelf, tokens: tuple[int, ...] | None, session: Session | None, given: Input) -> Outcome:
    """Take away the tokens that were clicked; given none, only show the text."""
    if tokens is None:
        tokens = tuple(int(position) for position in str(given.event["tokens"]).split())
    return _removal(_started(session).click(tokens, shelf))


def _remove_strongest(shelf: Shelf, session: Session | None, _: Input) -> Outcome:
    return _removal(_started(session).click_strongest(shelf))


def _put_back(shelf: Shelf, session: Session | None, _: Input) -> Outcome:
    return _removal(_started(session).put_back(shelf))


def _removal(session: Session) -> Outcome:
    assert session.removal is not None
    return session, [render_removal_part(session.saved, session.removal)]


def _export(session: Session | None, _: Input) -> Outcome:
    session = _started(session)
    return session, [session.python(), _links(session.files())]


def _links(found: Mapping[str, bytes]) -> str:
    """Return links that hold the files themselves, so that none has to lie on the server."""
    entries = []
    for name, content in found.items():
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        data = f"data:{kind};base64,{base64.b64encode(content).decode()}"
        size = f"{max(1, round(len(content) / 1024)):,} kB"
        entries.append(f'<li><a download="{name}" href="{data}">{name} <small>{size}</small></a></li>')
    return f'<ul class="narrows-files">{"".join(entries)}</ul>'


def _pick(shelf: Shelf, controls: Controls, session: Session | None, given: Input) -> Outcome:
    sample = SAMPLES[given.values[controls.sample]]
    shown = [sample.text, sample.text_pair, sample.model, *_fit_model(shelf, sample.model)]
    return session, shown


def _choose_model(shelf: Shelf, controls: Controls, session: Session | None, given: Input) -> Outcome:
    return session, _fit_model(shelf, given.values[controls.model])


def _fit_model(shelf: Shelf, model: str) -> list[Any]:
    """Let the widgets offer the labels and layers of a model."""
    target = gr.Dropdown([PREDICTED, *shelf.labels(model)], value=PREDICTED)
    return [target, gr.Dropdown(layer_choices(shelf.blocks(model)), value=FROM_PRESET)]


def _started(session: Session | None) -> Session:
    if session is None:
        raise InputError("there is no map yet: type a text, or pick one, and press Explain")
    return session
