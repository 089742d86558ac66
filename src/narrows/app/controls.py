"""The widgets that a request is read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from narrows.app.compute import METHOD_NAMES
from narrows.app.request import DEFAULT_PRESET, MAX_CHARACTERS, MAX_SEED, Request, choices, parse_beta
from narrows.app.samples import SAMPLES
from narrows.app.shelf import Shelf
from narrows.config import Granularity, Preset, Readout
from narrows.errors import InputError
from narrows.viz import caption

PREDICTED = "predicted label"
FROM_PRESET = "as the preset"


@dataclass(frozen=True)
class Controls:
    """The widgets, as they stand on the page."""

    sample: gr.Dropdown
    text: gr.Textbox
    pair: gr.Textbox
    model: gr.Dropdown
    target: gr.Dropdown
    layer: gr.Dropdown
    readout: gr.Radio
    granularity: gr.Radio
    preset: gr.Radio
    beta: gr.Textbox
    seed: gr.Number
    explain: gr.Button

    @property
    def inputs(self) -> set[Any]:
        """The widgets that make a request."""
        settings = {self.readout, self.granularity, self.preset, self.beta, self.seed}
        return {self.text, self.pair, self.model, self.target, self.layer} | settings

    def read(self, values: Mapping[Any, Any]) -> Request:
        """Make a request of what stands in the widgets.

        Args:
            values: From a widget to its value.

        Returns:
            The request.

        Raises:
            InputError: If something cannot be used as it stands.
        """
        target = values[self.target]
        layer, seed = _chosen(values[self.layer]), values[self.seed]
        if not isinstance(seed, (int, float)) or int(seed) != seed:
            raise InputError("seed must be a whole number")
        return Request(
            text=values[self.text] or "",
            text_pair=values[self.pair] or None,
            model=values[self.model],
            target=None if target == PREDICTED else target,
            layer=None if layer is None else int(layer),
            preset=values[self.preset],
            granularity=_chosen(values[self.granularity]),
            readout=_chosen(values[self.readout]),
            beta=parse_beta(values[self.beta] or ""),
            seed=int(seed),
        )


def place_controls(shelf: Shelf) -> Controls:
    """Put the widgets of a request on the page that is being built.

    Args:
        shelf: The models on offer.

    Returns:
        The widgets.
    """
    first = shelf.names[0]
    samples = [(f"{sample.name} ({sample.model})", place) for place, sample in enumerate(SAMPLES)]
    offered = [entry for entry in samples if SAMPLES[entry[1]].model in shelf.names]
    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            sample = gr.Dropdown(offered, value=None, label="Pick a text", visible=bool(offered))
            text = gr.Textbox(label="Text", lines=3, max_lines=8, max_length=MAX_CHARACTERS, autofocus=True)
            pair = gr.Textbox(label="Second text, for models of pairs", lines=1, max_lines=4, max_length=MAX_CHARACTERS)
        with gr.Column(scale=2, min_width=300):
            with gr.Row():
                model = gr.Dropdown(list(shelf.names), value=first, label="Model", min_width=120)
                target = gr.Dropdown(
                    [PREDICTED, *shelf.labels(first)], value=PREDICTED, label="Target label", min_width=150
                )
            layer = gr.Dropdown(layer_choices(shelf.blocks(first)), value=FROM_PRESET, label="Layer")
            readout = gr.Radio([FROM_PRESET, *choices(Readout)], value=FROM_PRESET, label="Readout")
            with gr.Accordion("More settings", open=False):
                preset = gr.Radio(choices(Preset), value=DEFAULT_PRESET, label="Preset")
                granularity = gr.Radio(
                    [FROM_PRESET, *choices(Granularity)],
                    value=FROM_PRESET,
                    label="Granularity, of a mask that is optimised",
                )
                with gr.Row():
                    beta = gr.Textbox(
                        label="Beta",
                        placeholder="auto, or a number",
                        max_length=20,
                        min_width=120,
                    )
                    seed = gr.Number(value=0, precision=0, minimum=0, maximum=MAX_SEED, label="Seed", min_width=120)
            explain = gr.Button("Explain", variant="primary")
    return Controls(sample, text, pair, model, target, layer, readout, granularity, preset, beta, seed, explain)


def layer_choices(blocks: int) -> list[tuple[str, str]]:
    """List the layers of a model, by name and by number.

    Args:
        blocks: That it has.

    Returns:
        Those of the preset first, then each from the embeddings to the last block.
    """
    return [(FROM_PRESET, FROM_PRESET), *((caption.place(layer), str(layer)) for layer in range(blocks + 1))]


def method_choices() -> list[str]:
    """List the methods that a map can be compared with."""
    return list(METHOD_NAMES)


def _chosen(value: str) -> Any:
    return None if value == FROM_PRESET else value
