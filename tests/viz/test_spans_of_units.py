"""Maps of units: each shaded as one, listed by its kind, context beside them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from narrows.data.schema import AttributionDict
from narrows.data.units import find_units, unit_dicts
from narrows.viz import caption
from narrows.viz.figure import plot_text
from narrows.viz.html import render_page
from narrows.viz.latex import render_latex
from narrows.viz.shade import scales_of
from narrows.viz.spans import cut, unplaced
from narrows.viz.terminal import render_map
from saved_maps import METHOD, saved_map, special, token

TEXT = "It is thin.\nA superb act! Go."
PLACES = [(0, 0, 11), (0, 12, 25)]


def result(additive: bool = False) -> AttributionDict:
    words = [(found.start(), found.end()) for found in re.finditer(r"\w+|[^\w\s]", TEXT)]
    scores = [0.5, -1.0, -3.0, 0.0, 1.0, 4.0, -0.5, 0.25, 2.0, 0.125]
    ranks = [5, 6, 7, 8, 1, 2, 3, 4, 9, 10]
    tokens = [special("[CLS]")]
    for (start, end), score, rank in zip(words, scores, ranks, strict=True):
        tokens.append(token(TEXT[start:end], start, end, score, rank))
    units = unit_dicts(find_units((TEXT, None), tokens, PLACES))
    method = {**METHOD, "additive": additive}
    return saved_map(TEXT, None, tokens, units=units, method=method, record={"unit_of": "sentence"})


def test_a_unit_is_one_span_with_the_sum_and_context_stays_in_tokens() -> None:
    spans = cut(result(), 0)
    assert "".join(span.text for span in spans) == TEXT
    shaded = [(span.text, span.score, span.rank) for span in spans if span.tokens]
    assert shaded == [("It is thin.", -3.5, 2), ("A superb act!", 4.75, 1), ("Go", 2.0, None), (".", 0.125, None)]
    assert [span.text for span in unplaced(result())] == ["[CLS]"]
    assert scales_of([result()])[0].largest == 4.75


@given(cuts=st.lists(st.integers(0, len(TEXT)), max_size=8))
def test_whatever_the_units_the_spans_are_the_text_and_hold_each_token_once(cuts: list[int]) -> None:
    ends = sorted(cuts)
    places = [(0, one, other) for one, other in zip(ends[::2], ends[1::2], strict=False)]
    drawn = result()
    drawn["units"] = unit_dicts(find_units((TEXT, None), drawn["tokens"], places))
    spans = cut(drawn, 0)
    assert "".join(span.text for span in spans) == TEXT
    held = [place for span in (*spans, *unplaced(drawn)) for place in span.tokens]
    assert sorted(held) == list(range(len(drawn["tokens"])))


@pytest.mark.parametrize("additive", [False, True])
def test_the_strongest_are_units_and_shares_leave_nothing_out(additive: bool) -> None:
    rows = caption.strongest(result(additive), 5)
    assert [(row.word, row.score, row.rank) for row in rows[:2]] == [
        ("A superb act!", 4.75, 1),
        ("It is thin.", -3.5, 2),
    ]
    assert caption.kind(result()) == "sentence"
    if additive:
        assert (rows[2].word, rows[2].score) == ("outside of them", 2.125)
        assert sum(row.share or 0 for row in rows) == pytest.approx(1)
    else:
        assert len(rows) == 2


def test_every_picture_shows_units() -> None:
    page = render_page([result()])
    assert re.search(r'data-tip="It is thin\.: -3\.50 bits, rank 2 of 2">It is thin\.</span>', page)
    assert "Strongest sentences" in page and "Point at a sentence" in page
    with (console := Console(width=80, no_color=True)).capture() as captured:
        console.print(render_map(result()))
    drawn = captured.get()
    assert "strongest sentences" in drawn and "The score of a sentence is the sum over its tokens." in drawn
    latex = render_latex(result())
    boxes = re.findall(r"\\colorbox\[HTML\]\{(\w+)\}\{(?:\\color\{white\})?\\strut ([^}\\]+)\}", latex)
    shades = {word: shade for shade, word in boxes}
    assert shades["A"] == shades["superb"] == shades["act!"] != shades["It"] == shades["is"]  # lines can break


def test_a_figure_shades_the_white_space_within_a_unit() -> None:
    figure = plot_text([result()])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count(" ") == 4  # It is thin. A superb act!
    faces = [patch.get_facecolor() for patch in figure.axes[0].patches]
    assert len(set(faces[:5])) == 1  # three words and the two spaces between them
