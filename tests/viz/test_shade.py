from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.viz.shade import LEVELS, SURFACE, Scale, Theme, contrast, is_signed, scales_of, shade
from saved_results import CASES, LIME, build, by, method_of, tokens_of

THEMES: tuple[Theme, ...] = ("light", "dark")
ALL_LEVELS = range(-LEVELS, LEVELS + 1)


def channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("level", ALL_LEVELS)
def test_text_is_readable_on_every_shade(level: int, theme: Theme) -> None:
    colours = shade(level, theme)
    assert contrast(colours.foreground, colours.background) >= 4.5


def test_contrast_of_known_colours() -> None:
    assert contrast("#ffffff", "#ffffff") == 1
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # the textbook's example of "just too weak"


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_stronger_level_stands_out_more_from_the_surface(theme: Theme, sign: int) -> None:
    distances = [contrast(shade(sign * level, theme).background, SURFACE[theme]) for level in range(LEVELS + 1)]
    assert distances[0] == 1
    assert all(weaker < stronger for weaker, stronger in pairwise(distances))
    assert distances[-1] >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_for_is_blue_and_against_is_orange(theme: Theme) -> None:
    for level in range(4, LEVELS + 1):
        red, _, blue = channels(shade(level, theme).background)
        assert blue > red
        red, green, blue = channels(shade(-level, theme).background)
        assert red > green > blue


def test_scale_ends_at_the_largest_magnitude() -> None:
    scale = Scale.of([1.0, -4.0, 2.0], signed=True)
    assert [scale.level(score) for score in (-4.0, 0.0, 2.0, 9.0)] == [-LEVELS, 0, LEVELS // 2, LEVELS]


def test_scale_of_nothing_and_of_zeros_is_all_surface() -> None:
    for scores in ([], [0.0, 0.0]):
        assert Scale.of(scores, signed=False).level(0.0) == 0
        assert Scale.of(scores, signed=True).level(3.0) == 0


@given(st.lists(st.floats()), st.floats(), st.booleans())
def test_every_float_has_a_level(scores: list[float], score: float, signed: bool) -> None:
    scale = Scale.of(scores, signed)
    assert math.isfinite(scale.largest)
    assert scale.level(score) in scale.levels()


@pytest.mark.parametrize("name", CASES)
def test_only_signed_scores_make_a_diverging_scale(name: str) -> None:
    assert is_signed([CASES[name]()]) == (name in ("signed", "little"))


def test_a_signed_method_without_a_negative_score_and_the_reverse() -> None:
    review = CASES["review"]()
    assert is_signed([by(review, method_of(signed=True))])
    review["tokens"][3]["score"] = -0.1
    assert is_signed([CASES["pair"](), review])


def test_maps_of_one_unit_share_a_scale_and_others_do_not() -> None:
    review, weak = CASES["review"](), build("weak", tokens_of("weak", [0.01]))
    lime = by(review, LIME)
    assert [scale.largest for scale in scales_of([weak, lime, review])] == [9.8, 9.8, 9.8]
    assert [scale.largest for scale in scales_of([weak, lime])] == [0.01, 9.8]
    assert [scale.largest for scale in scales_of([weak, review], shared=False)] == [0.01, 9.8]


@pytest.mark.parametrize("theme", THEMES)
def test_a_map_that_explains_little_is_grey_and_as_readable(theme: Theme) -> None:
    (scale,) = scales_of([CASES["little"]()])
    assert scale.grey and not scales_of([CASES["signed"]()])[0].grey
    for level in scale.levels():
        colours, blue = scale.shade(level, theme), shade(abs(level), theme)
        assert level == 0 or len(set(channels(colours.background))) == 1
        assert contrast(colours.foreground, colours.background) >= 4.5
        assert contrast(colours.background, blue.background) < 1.1


def test_the_ends_of_a_scale() -> None:
    assert Scale(9.8, signed=False).ends() == ("0", "9.80")
    assert Scale(0.0031, signed=True).ends() == ("-0.0031 against", "+0.0031 for the target")
