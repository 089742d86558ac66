from __future__ import annotations

import json

import pytest

from narrows.errors import InputError
from narrows.viz.files import SUFFIXES, are_layers, render_file
from saved_results import build, by, layers, pair, review, signed, tokens_of

pytest.importorskip("matplotlib")

STARTS = {
    ".png": b"\x89PNG",
    ".svg": b"<?xml",
    ".pdf": b"%PDF",
    ".html": b"<!doctype html>",
    ".tex": b"%",
    ".json": b"{",
}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_what_its_name_says_and_the_same_every_time(suffix: str) -> None:
    content = render_file([review()], suffix)
    assert content.startswith(STARTS[suffix])
    assert content == render_file([review()], suffix)


def test_json_is_the_saved_form() -> None:
    assert json.loads(render_file([review()], ".json")) == review()
    assert json.loads(render_file([review(), pair()], ".json")) == [review(), pair()]


def test_layers_become_one_picture_and_other_results_stand_below_each_other() -> None:
    assert are_layers(layers())
    assert not are_layers([review()])
    assert not are_layers([review(), signed()])
    assert not are_layers([review(), pair()])
    assert not are_layers(
        [by(layer, {**layer["method"], "label": "x", "name": f"a{layer['layers']}"}) for layer in layers()]
    )
    assert b"Heat map, tokens by layers" in render_file(layers(), ".html")
    assert b"Heat map" not in render_file([review(), pair()], ".html")


def test_the_letters_of_a_pdf_are_no_type_3_font() -> None:
    assert b"/Type3" not in render_file([review()], ".pdf")


def test_what_cannot_be_written_is_told() -> None:
    with pytest.raises(InputError, match=r"exports end in \.png, \.svg, \.pdf, .*, not '\.gif'"):
        render_file([review()], ".gif")
    with pytest.raises(InputError, match="nothing to export"):
        render_file([], ".png")


def test_results_of_one_file_share_one_scale() -> None:
    weak = build("weak", tokens_of("weak", [4.9]))
    assert render_file([review(), weak], ".tex").count(b"9.80") == 2
    assert render_file([weak], ".tex").count(b"9.80") == 0
