from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from narrows.data.schema import AttributionDict
from narrows.viz.latex import escape_latex, render_latex
from narrows.viz.shade import Scale, shade
from saved_results import CAPTION, build, little, pair, review, signed, silent, tokens_of

COMMANDS = re.compile(
    r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater)\{\}|\\[&%$#_{}]|\{\[\}|\{\}"
)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_nothing_in_a_text_acts_on_latex(text: str) -> None:
    left = COMMANDS.sub("", escape_latex(text))
    assert not set(left) & set("\\&%$#_{}~^\n")
    assert "--" not in left or "-{}-" in escape_latex(text)


def test_a_ligature_is_two_characters() -> None:
    assert escape_latex("a--b ``c''") == "a-{}-b `{}`c'{}'"


def test_groups_are_closed(attribution: AttributionDict) -> None:
    bare = re.sub(r"\\[{}]", "", render_latex(attribution))
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0


def test_stripped_of_its_commands_it_is_the_text() -> None:
    lines = render_latex(review()).splitlines()
    body = next(line for line in lines if line.startswith("The"))
    plain = re.sub(r"\\colorbox\[HTML\]\{\w+\}\{(?:\\color\{white\})?\\strut ([^}]*)\}\\allowbreak\{\}", r"\1", body)
    assert plain == r"The plot is thin, but the acting is superb.\par"


def test_shades_unit_and_sign() -> None:
    assert r"\colorbox[HTML]{0B4A93}{\color{white}\strut superb}" in render_latex(review())
    assert "information (bits): 0 " in render_latex(review())
    assert "evidence (bits): -6.80 against" in render_latex(signed())
    assert "The scores miss the rise of 7.00 bits by 0.13 bits." in render_latex(signed())
    assert CAPTION in render_latex(review())
    assert "every token has 0 bits" in render_latex(silent())
    assert len([line for line in render_latex(pair()).splitlines() if line.endswith(r"\par")]) == 2


def test_only_a_target_that_has_a_probability_gets_one() -> None:
    assert r"\textbf{positive} (p = 0.986)\par" in render_latex(review())
    assert r"\textbf{positive rather than negative}\par" in render_latex(
        {**review(), "target": "positive rather than negative"}
    )


def test_a_label_is_escaped() -> None:
    saved = build("a b", tokens_of("a b", [1.0, 2.0]), target="50%_x", probabilities={"50%_x": 0.5})
    assert r"\textbf{50\%\_x}" in render_latex(saved)


def test_a_map_that_explains_little_is_grey_and_words_are_not_torn() -> None:
    written = render_latex(little())
    assert "No token of this text has 0.1 bits of evidence" in written
    assert shade(24, grey=True).background[1:].upper() in written
    assert r"\setlength{\fboxsep}{0pt}" in written


def test_a_scale_can_be_shared() -> None:
    assert "19.6" in render_latex(review(), Scale(19.6, signed=False))
