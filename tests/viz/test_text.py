from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from narrows.viz.shade import shade
from narrows.viz.text import heading, plot_text
from saved_results import build, hostile, long, pair, review, signed, silent, tokens_of

pytest.importorskip("matplotlib")


def words_on(attribution: AttributionDict) -> str:
    """The text of a figure without heading and legend, its white space gone."""
    texts = [text for text in plot_text([attribution]).axes[0].texts if text.get_fontsize() == 8.0]
    return "".join(text.get_text() for text in texts[1:]).replace(" ", "")


def test_the_whole_text_is_drawn_in_its_order() -> None:
    assert words_on(review()) == "Theplotisthin,buttheactingissuperb."
    saved = pair()
    assert words_on(saved) == f"{saved['text']}{saved['text_pair']}".replace(" ", "")


@settings(max_examples=25)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=300))
def test_no_letter_is_lost_by_wrapping(text: str) -> None:
    saved = build(text, tokens_of(text, [1.0] * len(text)))
    assert words_on(saved) == text


def test_nothing_leaves_the_page(attribution: AttributionDict) -> None:
    figure = plot_text([attribution])
    width, height = (72 * inches for inches in figure.get_size_inches())
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        points = 72 / figure.dpi
        assert box.x0 * points >= -0.5
        assert box.x1 * points <= width + 1, text.get_text()
        assert -1 <= box.y0 * points <= box.y1 * points <= height + 1


def test_the_strongest_token_is_on_the_strongest_shade_and_a_minus_diverges() -> None:
    colours = [patch.get_facecolor() for patch in plot_text([review()]).axes[0].patches]
    from matplotlib.colors import to_hex

    assert shade(24).background in {to_hex(colour) for colour in colours}
    legend = [text.get_text() for text in plot_text([signed()]).axes[0].texts]
    assert "signed information (bits): -6.80" in legend
    assert "+6.80" in legend
    plain = [text.get_text() for text in plot_text([review()]).axes[0].texts]
    assert "information (bits): 0" in plain
    assert "9.80" in plain  # not the 31 of [CLS]


def test_several_results_have_names_and_scales_of_their_own() -> None:
    texts = [text.get_text() for text in plot_text([review(), silent()], ["ours", "theirs"]).axes[0].texts]
    assert {"ours", "theirs", "9.80", "information (bits): 0 bits everywhere"} <= set(texts)


def test_the_heading_tells_target_probability_and_origin() -> None:
    assert heading(review()) == "positive (p = 0.986), narrows, layer 4"


def test_the_heading_of_a_contrast_has_no_probability() -> None:
    assert heading({**review(), "target": "negative rather than positive"}) == (
        "negative rather than positive, narrows, layer 4"
    )


def test_hostile_text_is_drawn_as_text() -> None:
    drawn = words_on(hostile())
    assert "<script>" in drawn
    assert "\x1b" not in drawn
    assert "\u202e" not in drawn


def test_a_long_text_is_as_wide_as_a_page() -> None:
    assert plot_text([long()]).get_figwidth() == 7.0
    assert plot_text([review()]).get_figwidth() == 3.3


def test_what_cannot_be_drawn_is_told() -> None:
    with pytest.raises(InputError, match="at least one attribution"):
        plot_text([])
    with pytest.raises(InputError, match="one name for each, not 1 for 2"):
        plot_text([review(), review()], ["a"])
