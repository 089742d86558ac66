from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import pytest

from narrows.data.schema import AttributionDict
from narrows.errors import DependencyError, InputError
from narrows.viz.canvas import figure_svg
from narrows.viz.series import plot_series
from saved_results import CAPTION, LIME, all_special, build, by, hostile, long, pair, review, signed, silent, tokens_of

pytest.importorskip("matplotlib")

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


WORDS = ["The", "plot", "is", "thin", ",", "but", "the", "acting", "is", "superb", "."]


def scaled(attribution: AttributionDict, factor: float) -> AttributionDict:
    tokens = [{**token, "score": factor * token["score"]} for token in attribution["tokens"]]
    return {**attribution, "tokens": tokens}  # type: ignore[typeddict-item]


def strips_of(figure: Figure) -> list[Axes]:
    return [ax for ax in figure.axes if ax.images]


def names_of(axis: Any) -> list[str]:
    return [tick.get_text() for tick in axis.get_ticklabels()]


def test_a_row_per_setting_and_a_column_per_token() -> None:
    first = review()
    figure = plot_series([first, scaled(first, 0.5)], ["1e-4", "1e-2"], "beta", "all")
    strip, bar = figure.axes
    scores = [token["score"] for token in first["tokens"]]
    assert strip.images[0].get_array().tolist() == [scores, [score / 2 for score in scores]]  # type: ignore[union-attr]
    assert strip.images[0].norm.vmax == 9.8  # not the 31 of [CLS]
    assert names_of(strip.xaxis) == ["[CLS]", *WORDS, "[SEP]"]
    assert names_of(strip.yaxis) == ["1e-4", "1e-2"]
    assert strip.get_ylabel() == "beta"
    assert bar.get_ylabel() == "information (bits)"
    assert strip.get_title(loc="left") == "target: positive"


def test_rows_of_their_own_scale_say_how_many_bits_the_colour_is() -> None:
    figure = plot_series([review(), scaled(review(), 0.001)], ["1e-4", "1e-2"], "beta")
    strip, bar = figure.axes
    above, below = strip.images[0].get_array().tolist()  # type: ignore[union-attr]
    assert above == pytest.approx(below)
    assert above[10] == 1.0  # superb
    assert names_of(strip.yaxis) == ["1e-4 (up to 9.80 bits)", "1e-2 (up to 0.0098 bits)"]
    assert bar.get_ylabel() == "information (bits),\nshare of the row's largest"


def test_a_long_text_goes_on_below_and_its_end_is_left_out() -> None:
    figure = plot_series([long()] * 2, ["a", "b"], "beta", "all")
    strips = strips_of(figure)
    assert len(strips) == 4
    joined = [cell for strip in strips for cell in strip.images[0].get_array()[0].tolist()]  # type: ignore[index]
    assert joined == [token["score"] for token in long()["tokens"][:96]]
    assert strips[0].get_title(loc="left") == "target: positive (the first 96 of 314 tokens)"
    assert figure.get_figwidth() <= 7.0
    assert figure.get_figheight() <= 9.0
    (only,) = strips_of(plot_series([long()], ["a"], "beta", "all", limit=5))
    assert len(names_of(only.xaxis)) == 5


def test_the_sentences_of_the_methods_stand_below() -> None:
    figure = plot_series([review(), by(review(), LIME)], ["a", "b"], "method")
    assert " ".join(figure.get_supxlabel().split()) == f"{CAPTION} {LIME['caption']}"


def test_cells_are_as_wide_in_the_last_strip() -> None:
    strips = strips_of(plot_series([pair()], ["a"], "beta"))
    assert [len(names_of(strip.xaxis)) for strip in strips] == [14, 13]
    assert {strip.get_xlim() for strip in strips} == {(-0.5, 13.5)}


def test_signed_scores_have_two_ends_and_other_methods_their_unit() -> None:
    strip, bar = plot_series([signed()], ["a"], "layer").axes
    assert strip.images[0].norm.vmin == -1.0
    assert bar.get_ylabel() == "evidence (bits),\nshare of the row's largest"
    lime = by(review(), LIME)
    strip, bar = plot_series([lime], ["a"], "method").axes
    assert names_of(strip.yaxis) == ["a (up to weight 9.80)"]
    assert bar.get_ylabel().startswith("weight")
    assert plot_series([lime, review()], ["a", "b"], "method", "all").axes[1].get_ylabel() == "score"


@pytest.mark.parametrize("case", [all_special, silent])
def test_texts_without_information_can_be_drawn(case: Any) -> None:
    assert "(up to 0 bits)" in names_of(strips_of(plot_series([case()], ["a"], "beta"))[0].yaxis)[0]


def test_hostile_texts_are_drawn_as_they_are() -> None:
    figure = plot_series([hostile()], ["<b>$x$" + "\x1b" * 90], "$\\frac{$", limit=30)
    assert "<b>" not in figure_svg(figure)
    assert all(
        "\x1b" not in name for strip in strips_of(figure) for name in names_of(strip.xaxis) + names_of(strip.yaxis)
    )


def test_broken_numbers_are_drawn_as_nothing() -> None:
    broken = build("one two", tokens_of("one two", [math.nan, 2.0]))
    strip = plot_series([broken], ["a"], "beta").axes[0]
    assert strip.images[0].get_array().tolist() == [[0.0, 1.0]]  # type: ignore[union-attr]


def test_the_same_figure_is_the_same_text() -> None:
    short = build("one two", tokens_of("one two", [1.0, 2.0]))
    figure = plot_series([short] * 2, ["1", "2"], "layer")
    assert figure_svg(figure) == figure_svg(figure) == figure_svg(plot_series([short] * 2, ["1", "2"], "layer"))


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(InputError, match="one name for each attribution, not 1 for 2"):
        plot_series([review()] * 2, ["a"], "beta")
    with pytest.raises(InputError, match="number 2 is of a different text"):
        plot_series([review(), pair()], ["a", "b"], "beta")
    with pytest.raises(InputError, match="got none"):
        plot_series([], [], "beta")
    with pytest.raises(InputError, match="got none"):
        plot_series([build("", [])], ["a"], "beta")
    with pytest.raises(InputError, match="at least 1, not 0"):
        plot_series([review()], ["a"], "beta", limit=0)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DependencyError, match=r"narrows\[plot\]"):
        plot_series([review()], ["a"], "beta")
