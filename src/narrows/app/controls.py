"""The widgets that a request is read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from narrows.app.request import DEFAULT_METHOD, MAX_CHARACTERS, Request, page_methods, page_settings, write_method
from narrows.app.samples import SAMPLES
from narrows.app.shelf import Shelf
from narrows.methods.registry import find_method, settings_by_name
from narrows.methods.settings import write_setting

PREDICTED = "predicted"
OWN_LAYERS = "the method's own"


@dataclass(frozen=True)
class Controls:
    """The widgets, as they stand on the page; `settings` are boxes that take the settings of the method in turn."""

    sample: gr.Dropdown
    text: gr.Textbox
    pair: gr.Textbox
    model: gr.Dropdown
    target: gr.Dropdown
    method: gr.Dropdown
    layer: gr.Dropdown
    more: gr.Accordion
    settings: tuple[gr.Textbox, ...]
    explain: gr.Button

    @property
    def inputs(self) -> set[Any]:
        """The widgets that make a request."""
        return {self.text, self.pair, self.model, self.target, self.method, self.layer, *self.settings}

    @property
    def of_method(self) -> list[Any]:
        """The widgets that change with the method, in the order of `show_method`."""
        return [self.method, self.layer, self.more, *self.settings]

    def read(self, values: Mapping[Any, Any]) -> Request:
        """Make a request of what is in the widgets; raises an `InputError`."""
        target, layer, name = values[self.target], values[self.layer], str(values[self.method])
        known = page_settings(name) if name in page_methods() else {}
        typed = {key: str(values[box] or "") for key, box in zip(known, self.settings, strict=False)}
        return Request(
            text=values[self.text] or "",
            text_pair=values[self.pair] or None,
            model=values[self.model],
            target=None if target == PREDICTED else target,
            method=write_method(name, typed, None if layer == OWN_LAYERS else int(layer)),
        )


def place_controls(shelf: Shelf) -> Controls:
    """Put the widgets of a request on the page that is being built."""
    first = shelf.names[0]
    samples = [(f"{sample.name} ({sample.model})", place) for place, sample in enumerate(SAMPLES)]
    offered = [entry for entry in samples if SAMPLES[entry[1]].model in shelf.names]
    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            sample = gr.Dropdown(offered, value=None, label="Pick a text", visible=bool(offered))
            text = gr.Textbox(label="Text", lines=3, max_lines=8, max_length=MAX_CHARACTERS, autofocus=True)
            pair = gr.Textbox(label="Second text, for models of pairs", lines=1, max_lines=4, max_length=MAX_CHARACTERS)
            explain = gr.Button("Explain", variant="primary")
        with gr.Column(scale=2, min_width=300):
            with gr.Row():
                model = gr.Dropdown(list(shelf.names), value=first, label="Model", min_width=120)
                labels = [PREDICTED, *shelf.labels(first)]
                target = gr.Dropdown(labels, value=PREDICTED, label="Target label", min_width=150)
            about = find_method(DEFAULT_METHOD).caption
            method = gr.Dropdown(page_methods(), value=DEFAULT_METHOD, label="Method", info=about)
            layer = gr.Dropdown(layer_choices(shelf.blocks(first)), value=OWN_LAYERS, label="Layer")
    with gr.Accordion("Settings of the method", open=False) as more, gr.Row():
        settings = tuple(gr.Textbox(max_lines=1, max_length=40, min_width=240, **box) for box in _boxes(DEFAULT_METHOD))
    return Controls(sample, text, pair, model, target, method, layer, more, settings, explain)


def show_method(name: str) -> list[Any]:
    """Fit the widgets `Controls.of_method` to a method; its settings are its defaults again."""
    has_layer, has_settings = "layer" in settings_by_name(name), bool(page_settings(name))
    boxes = [gr.Textbox(**box) for box in _boxes(name)]
    layer = gr.Dropdown(visible=has_layer, value=OWN_LAYERS)
    return [gr.Dropdown(info=find_method(name).caption), layer, gr.Accordion(visible=has_settings), *boxes]


def layer_choices(blocks: int) -> list[tuple[str, str]]:
    """List the layers of a model by name and by number, after the method's own choice."""
    names = ["layer 0, the embeddings", *(f"layer {layer}" for layer in range(1, blocks + 1))]
    return [(OWN_LAYERS, OWN_LAYERS), *((name, str(layer)) for layer, name in enumerate(names))]


def _boxes(name: str) -> list[dict[str, Any]]:
    """Describe one box per setting, made from the fields of the method; the boxes that are left over are hidden."""
    boxes = [
        {
            "label": key,
            "info": f"{own.help} {own.type_text.replace(' | ', ' or ').capitalize()}.",
            "placeholder": write_setting(own.default),
            "value": "",
            "visible": True,
        }
        for key, own in page_settings(name).items()
    ]
    most = max(len(page_settings(each)) for each in page_methods())
    return boxes + [{"label": "", "value": "", "visible": False}] * (most - len(boxes))
