"""Maps of methods that know nothing of bits: no picture may say that they are some."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console, RenderableType

from narrows.data.schema import AttributionDict
from narrows.viz import caption
from narrows.viz.figure import plot_layers, plot_map
from narrows.viz.html import render_fragment, render_layers_page, render_page
from narrows.viz.terminal import render_layers, render_map
from saved_results import CASES, build, layers, tokens_of

OTHERS = ("lime", "ig:steps=50", "of my own")


def printed(picture: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(picture)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def said(page: str) -> str:
    return re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("method", "short", "label"),
    [
        ("narrows", "bits", "information (bits)"),
        ("narrows:layer=3", "bits", "information (bits)"),
        ("iba", "bits", "information (bits)"),
        ("iba_released:beta=1e-5", "bits", "information (bits)"),
        ("ig", "nats of log p", "score (nats of log p)"),
        ("layer_ig:layer=2", "nats of log p", "score (nats of log p)"),
        ("occlusion", "probability", "score (probability)"),
        ("lime", "weight", "weight"),
        ("file:path=a.jsonl", "score", "score"),
    ],
)
def test_units_of_methods(method: str, short: str, label: str) -> None:
    assert caption.short_unit(method) == short
    assert caption.unit(False, method) == label


@pytest.mark.parametrize("method", OTHERS)
def test_no_picture_says_bits(method: str, attribution: AttributionDict) -> None:
    other: AttributionDict = {**attribution, "method": method, "carried_bits": None, "trace": []}
    pages = [render_page([other]), render_layers_page([other]), render_fragment(other)]
    pictures = [printed(render_map(other)), printed(render_layers([other])), *map(said, pages)]
    for picture in pictures:
        assert not re.search(r"\bbits?\b", picture)
        assert caption.short_unit(method) in " ".join(picture.split())
        assert "The prediction needed" not in picture


@pytest.mark.parametrize("method", OTHERS)
def test_no_figure_says_bits(method: str) -> None:
    pytest.importorskip("matplotlib").use("agg")
    other: AttributionDict = {**CASES["review"](), "method": method}
    one, several = plot_map(other), plot_layers([{**layer, "method": method} for layer in layers(2)])
    assert one.get_xlabel() == several.figure.axes[1].get_ylabel() == caption.unit(False, method)
    assert one.get_title(loc="left") == f"target: positive, {caption.origin(method, 'layer 4')}"


def test_the_layer_is_named_only_where_there_is_one() -> None:
    lime, layer_ig = ({**CASES["review"](), "method": method} for method in ("lime", "layer_ig"))
    assert "layer 4" not in printed(render_map(lime))  # type: ignore[arg-type]
    assert "layer_ig, layer 4" in printed(render_map(layer_ig))  # type: ignore[arg-type]
    assert "How this was made: lime, narrows 0.1.0" in render_page([lime])  # type: ignore[list-item]


def test_numbers_and_their_units() -> None:
    small = build("one two", tokens_of("one two", [0.0031, -0.00002]), method="lime")
    page = render_page([small])
    assert 'data-tip="one: weight +0.0031, 99% of all, rank 1 of 2"' in page
    assert "-2e-05" in page
    assert "-0.0031 against" in page
    assert "+0.0031 for the target" in page
    exact = build("one two", tokens_of("one two", [0.5, -0.25]), method="ig")
    assert 'data-tip="two: -0.25 nats of log p, 33% of all, rank 2 of 2"' in render_page([exact])
    assert "+0.50 nats of log p for the target" in printed(render_map(exact))


def test_numbers_stay_as_short_as_a_cell() -> None:
    values = [sign * 10.0**power * digit for sign in (1, -1) for power in range(-8, 4) for digit in (1, 3.3, 9.96)]
    assert all(len(caption.number(value, signed=True, method="lime")) <= 7 for value in values)
    assert caption.number(float("nan"), method="lime") == "not finite"
    assert caption.number(0.0031) == "<0.01"


def test_methods_without_a_unit_say_that_they_cannot_be_compared() -> None:
    assert "cannot be compared" in caption.meaning(True, "lime")
    assert "cannot be compared" not in caption.meaning(True, "ig") + caption.meaning(True, "kernel_shap")
    assert caption.meaning(True) == caption.what_a_bit_is(True)


def test_a_hostile_name_of_a_method_is_shown_literally() -> None:
    other: AttributionDict = {**CASES["review"](), "method": "<script>\x1b[31m"}
    assert "<script>" not in render_page([other])
    assert "\x1b" not in printed(render_map(other)) + render_page([other])
