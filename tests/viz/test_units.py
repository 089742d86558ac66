"""Maps of methods that know nothing of bits: no picture may say that they are some."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console, RenderableType

from narrows.data.schema import AttributionDict, MethodDict
from narrows.viz import caption
from narrows.viz.figure import plot_text
from narrows.viz.html import render_fragment, render_layers_page, render_page
from narrows.viz.latex import render_latex
from narrows.viz.series import plot_series
from narrows.viz.terminal import render_layers, render_map
from saved_results import CASES, IG, LIME, OWN, build, by, layers, tokens_of

every_other = pytest.mark.parametrize("method", (LIME, IG, OWN), ids=("lime", "ig", "own"))


def printed(picture: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(picture)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def said(page: str) -> str:
    return re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)


@every_other
def test_no_picture_says_bits(method: MethodDict, attribution: AttributionDict) -> None:
    other = by(attribution, method, trace=[], layers=None)
    pages = [render_page([other]), render_layers_page([other]), render_fragment(other)]
    pictures = [printed(render_map(other)), printed(render_layers([other])), render_latex(other), *map(said, pages)]
    for picture in pictures:
        assert not re.search(r"\bbits?\b", picture)
        assert method["unit"] in " ".join(picture.split())
        assert "The prediction needed" not in picture
        assert "layer 4" not in picture


@every_other
def test_no_figure_says_bits(method: MethodDict) -> None:
    pytest.importorskip("matplotlib").use("agg")
    one = plot_text([by(CASES["review"](), method)])
    several = plot_series([by(layer, method) for layer in layers(2)], ["0", "1"], "layer", "all")
    quantity = caption.quantity(by(CASES["review"](), method))
    assert f"{quantity}: 0" in [text.get_text() for text in one.axes[0].texts]
    assert several.axes[1].get_ylabel() == quantity


def test_numbers_and_their_units() -> None:
    small = build("one two", tokens_of("one two", [0.0031, -0.00002]), method={**LIME, "signed": True})
    page = render_page([small])
    assert 'data-tip="one: weight +0.0031, rank 1 of 2"' in page
    assert "-2.0e-5" in page
    assert "-0.0031 against" in page
    assert "+0.0031 for the target" in page
    exact = build("one two", tokens_of("one two", [0.5, -0.25]), method=IG)
    assert 'data-tip="two: -0.25 nats of log p, rank 2 of 2"' in render_page([exact])
    assert "score (nats of log p): -0.50 against" in printed(render_map(exact))


def test_two_scores_that_differ_are_told_apart_in_every_picture() -> None:
    sure = build("one two", tokens_of("one two", [0.0042, 0.0012]))
    for picture in (printed(render_map(sure)), render_page([sure]), printed(render_layers([sure]))):
        assert "0.0042" in picture and "0.0012" in picture and "<0.01" not in picture


def test_a_hostile_label_is_shown_literally() -> None:
    other = by(
        CASES["review"](),
        {**OWN, "label": "<script>\x1b[31m", "unit": "<i>\x1b", "caption": "<b>\x1b", "how": "<u>\x1b"},
    )
    assert not re.search("<script>|<i>|<u>", said(render_page([other])).replace('<i class="t', ""))
    assert "\x1b" not in printed(render_map(other)) + render_page([other])
