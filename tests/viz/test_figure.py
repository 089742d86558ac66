from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes

from narrows.data.schema import AttributionDict
from narrows.errors import DependencyError, InputError
from narrows.viz.figure import plot_map, plot_pages, plot_text
from narrows.viz.files import render_file
from narrows.viz.shade import Scale, shade
from saved_results import CAPTION, CASES, build, hostile, little, long, pair, review, signed, silent, tokens_of

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def _headless() -> Iterator[None]:
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


def said(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def words_on(attribution: AttributionDict) -> str:
    """The text of a figure without heading and legend, its white space gone."""
    texts = [text for text in plot_text([attribution]).axes[0].texts if text.get_fontsize() == 8.0]
    return "".join(text.get_text() for text in texts if text.get_fontweight() != "bold").replace(" ", "")


def colours_on(ax: Axes) -> set[str]:
    return {matplotlib.colors.to_hex(patch.get_facecolor()) for patch in ax.patches}


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_every_case_can_be_saved(attribution: AttributionDict, kind: str, start: bytes) -> None:
    plot_map(attribution).figure.savefig(target := io.BytesIO(), format=kind)
    assert target.getvalue().startswith(start)


def test_the_whole_text_is_drawn_in_its_order() -> None:
    assert words_on(review()) == "Theplotisthin,buttheactingissuperb."
    saved = pair()
    assert words_on(saved) == f"{saved['text']}{saved['text_pair']}".replace(" ", "")


@settings(max_examples=25)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=300))
def test_no_letter_is_lost_by_wrapping(text: str) -> None:
    saved = build(text, tokens_of(text, [1.0] * len(text)))
    assert words_on(saved) == text


def test_nothing_leaves_the_page_and_no_two_lines_meet(attribution: AttributionDict) -> None:
    for figure in (plot_text([attribution, attribution]), plot_map(attribution).figure):
        width, height = (72 * inches for inches in figure.get_size_inches())
        lines: dict[float, tuple[float, float]] = {}
        for text in figure.axes[0].texts:
            box = text.get_window_extent()
            points = 72 / figure.dpi
            assert box.x0 * points >= -0.5
            assert box.x1 * points <= width + 1, text.get_text()
            assert -1 <= box.y0 * points <= box.y1 * points <= height + 1
            lines[text.get_position()[1]] = (text.get_fontsize(), text.get_position()[1])
        rows = sorted(lines.values(), key=lambda row: row[1])
        assert all(later - earlier >= 0.95 * size for (_, earlier), (size, later) in pairwise(rows))


def test_the_strongest_token_is_on_the_strongest_shade_and_a_minus_diverges() -> None:
    assert shade(24).background in colours_on(plot_text([review()]).axes[0])
    legend = said(plot_text([signed()]).axes[0])
    assert {"evidence (bits): -6.80", "+6.80"} <= set(legend)
    plain = said(plot_map(review()))
    assert {"information (bits): 0", "9.80"} <= set(plain)  # not the 31 of [CLS]


def test_the_sentence_of_the_method_stands_below() -> None:
    assert CAPTION in " ".join(said(plot_text([review(), review()]).axes[0]))
    assert " ".join(said(plot_text([review(), review()]).axes[0])).count(CAPTION) == 1
    assert "The scores miss the rise of 7.00 bits by 0.13 bits." in " ".join(said(plot_map(signed())))


def test_a_map_that_explains_little_says_so_and_is_grey() -> None:
    for ax in (plot_map(little()), plot_text([little()]).axes[0]):
        assert "No token of this text has 0.1 bits of evidence" in " ".join(said(ax))
        assert shade(24, grey=True).background in colours_on(ax)


def test_several_results_share_one_scale_unless_asked_otherwise() -> None:
    weak = build("weak", tokens_of("weak", [4.9]))
    assert said(plot_text([review(), weak]).axes[0]).count("9.80") == 2
    assert {"9.80", "4.90"} <= set(said(plot_text([review(), weak], shared=False).axes[0]))
    texts = said(plot_text([review(), silent()], ["ours", "theirs"], shared=False).axes[0])
    assert {"ours", "theirs", "9.80", "information (bits): 0 bits everywhere"} <= set(texts)
    assert "19.6" in said(plot_map(weak, scale=Scale(19.6, signed=False)))


def test_given_axes_are_drawn_on_and_a_text_that_does_not_fit_is_cut() -> None:
    from matplotlib import pyplot

    _, (left, right) = pyplot.subplots(1, 2)
    assert plot_map(review(), ax=left) is left
    assert plot_map(long(), ax=right) is right
    assert len(pyplot.get_fignums()) == 1
    assert any("Only the first " in text for text in said(right))
    assert not any("Only the first " in text for text in said(left))


def test_hostile_text_is_drawn_as_text() -> None:
    drawn = words_on(hostile())
    assert "<script>" in drawn
    assert "\x1b" not in drawn
    assert "\u202e" not in drawn
    attribution = {**hostile(), "target": "$\\frac$"}
    plot_map(attribution).figure.savefig(io.BytesIO())  # type: ignore[arg-type]


def test_a_long_text_is_as_wide_as_a_page() -> None:
    assert plot_text([long()]).get_figwidth() == 7.0
    assert plot_text([review()]).get_figwidth() == 3.3


def test_a_long_text_breaks_over_pages_that_can_be_printed() -> None:
    saved = [long(), long(), pair(), long()]
    whole, pages = plot_text(saved).axes[0], plot_pages(saved)
    assert len(pages) > 1
    assert [text for page in pages for text in said(page.axes[0])] == said(whole)  # every line, once, in its order
    assert sum(len(page.axes[0].patches) for page in pages) == len(whole.patches)
    for page in pages:
        assert page.get_figheight() <= 9.0
        height = 72 * page.get_figheight()
        assert all(8 <= text.get_position()[1] <= height - 2 for text in page.axes[0].texts)
        boxes = [patch.get_bbox() for patch in page.axes[0].patches]
        assert all(box.y0 >= 0 and box.y1 <= height for box in boxes)
    content = render_file(saved, ".pdf")
    assert content.count(b"/Type /Page ") == len(pages)
    assert len(plot_pages([review()])) == 1


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(InputError, match="at least one attribution"):
        plot_text([])
    with pytest.raises(InputError, match="one name for each, not 1 for 2"):
        plot_text([review(), review()], ["a"])


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for call in (lambda: plot_map(CASES["review"]()), lambda: plot_text([review()])):
        with pytest.raises(DependencyError, match=r"narrows\[plot\]"):
            call()


def test_matplotlib_is_not_loaded_until_a_figure_is_asked_for() -> None:
    code = (
        "import sys, narrows.viz.files, narrows.viz.fragments, narrows.viz.terminal; print('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
