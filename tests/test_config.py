"""The settings of the bottleneck: what is refused, and how."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.config import PRESETS, BottleneckConfig, choose_config
from narrows.errors import InputError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"steps": 2.5}, "steps must be at least 1"),
        ({"samples": -1}, "samples must be at least 1"),
        ({"samples": True}, "samples must be at least 1"),
        ({"beta": -1e-9}, "beta must be 'auto' or a number"),
        ({"beta": math.nan}, "beta must be 'auto' or a number"),
        ({"beta": math.inf}, "beta must be 'auto' or a number"),
        ({"beta": "high"}, "beta must be 'auto' or a number"),
        ({"granularity": "word"}, "granularity must be one of feature, token"),
        ({"readout": "sign"}, "readout must be one of evidence, information, signed"),
        ({"learning_rate": 0}, "learning_rate must be above 0"),
        ({"learning_rate": math.nan}, "learning_rate must be above 0"),
        ({"initial_alpha": math.nan}, "initial_alpha"),
        ({"initial_alpha": math.inf}, "initial_alpha"),
    ],
)
def test_a_setting_out_of_range_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BottleneckConfig(**settings)


def test_the_paper_preset_is_the_papers() -> None:
    paper = PRESETS["paper"]
    assert (paper.granularity, paper.beta, paper.steps, paper.samples) == ("feature", 1e-5, 10, 10)
    assert (paper.learning_rate, paper.initial_alpha, paper.readout) == (1.0, 5.0, "information")


def test_unknown_presets_and_settings_are_named() -> None:
    with pytest.raises(InputError, match=r"preset must be one of fast, .*paper, not 'slow'"):
        choose_config("slow")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no setting step: there are granularity"):
        choose_config("fast", step=3)  # type: ignore[call-arg]


def test_settings_given_replace_those_of_the_preset() -> None:
    config = choose_config("paper", steps=3, beta="auto")
    assert (config.granularity, config.steps, config.beta) == ("feature", 3, "auto")


@pytest.mark.parametrize("stretch", [(0.8, 0.2), (0.5, 0.5), (-0.1, 0.5), (0.5, 1.1), (0.5,), (0.1, float("nan"))])
def test_a_stretch_is_two_rising_numbers(stretch: Any) -> None:
    with pytest.raises(InputError, match="stretch must be two rising numbers from 0 to 1"):
        BottleneckConfig(stretch=stretch)


def test_what_cannot_be_read_in_rounds_is_read_in_one() -> None:
    assert choose_config("best", features=True).rounds == 1
    assert choose_config("best", readout="signed").rounds == 1
    assert choose_config("fast").rounds > 1
    with pytest.raises(InputError, match="features are read in one round"):
        choose_config("best", features=True, rounds=3)
    assert choose_config("fast", features=True).points == choose_config("fast").points


def test_every_round_has_a_point() -> None:
    with pytest.raises(InputError, match="4 rounds need as many points, there are 3"):
        BottleneckConfig(points=3, rounds=4)
    assert choose_config("fast", rounds=5).points == 5  # as many as rounds, where no number is named
    assert choose_config("best", rounds=5).points == 12
    assert choose_config("best", points=2).rounds == 2  # no more than points, where no number is named
    with pytest.raises(InputError, match="5 rounds need as many points, there are 2"):
        choose_config("fast", points=2, rounds=5)


@given(rounds=st.integers(1, 12), more=st.integers(0, 20))
def test_the_rounds_share_the_points_out(rounds: int, more: int) -> None:
    config = BottleneckConfig(points=rounds + more, rounds=rounds)
    shares = [config.points_of_round(done) for done in range(rounds)]
    assert [point for share in shares for point in share] == list(range(rounds + more))
    assert config.copies == max(map(len, shares)) and min(map(len, shares)) >= config.copies - 1
