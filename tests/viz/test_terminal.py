from __future__ import annotations

import io
import re

import pytest
from rich.console import Console, RenderableType
from rich.segment import Segment

from narrows.data.schema import AttributionDict
from narrows.errors import InputError
from narrows.viz import caption
from narrows.viz.shade import shade
from narrows.viz.terminal import render_layers, render_map, render_maps
from saved_results import CASES, EVIDENCE, HOW, build, by, layers, review, signed, special, tokens_of


def printed(picture: RenderableType, width: int = 80, encoding: str = "utf-8") -> str:
    """What arrives in a pipe: no colour."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    console = Console(file=stream, width=width, color_system=None)
    console.print(picture)
    stream.seek(0)
    return stream.read()


def coloured(picture: RenderableType, width: int = 80, **settings: bool) -> list[Segment]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor", **settings)
    return list(console.render(picture))


def backgrounds(segments: list[Segment]) -> dict[str, str]:
    """The shade of each piece of text, the first time it appears."""
    found: dict[str, str] = {}
    for segment in segments:
        if segment.style and segment.style.bgcolor and segment.style.bgcolor.triplet:
            found.setdefault(segment.text, segment.style.bgcolor.triplet.hex)
    return found


def test_every_case_fits_the_width_and_says_its_unit(attribution: AttributionDict) -> None:
    for width in (20, 40, 100):
        output = printed(render_map(attribution), width)
        assert "bits" in output
        assert all(len(line) <= width for line in output.splitlines())


def test_the_strongest_token_has_the_strongest_shade_and_special_tokens_do_not_set_it() -> None:
    shades = backgrounds(coloured(render_map(CASES["review"](), theme="light")))
    assert shades["superb"] == shade(24, "light").background
    assert shades["[CLS]"] == shade(24, "light").background  # 31 bits, drawn at the end of the scale
    assert shades["thin"] == shade(round(24 * 3.1 / 9.8), "light").background
    assert "the" not in shades


def test_dark_and_light_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting, theme in (("15;0", "dark"), ("0;15", "light"), ("", "dark")):
        monkeypatch.setenv("COLORFGBG", setting)
        assert backgrounds(coloured(render_map(CASES["review"]())))["superb"] == shade(24, theme).background  # type: ignore[arg-type]


def test_orange_only_where_scores_are_signed(attribution: AttributionDict) -> None:
    oranges = {shade(level, "dark").background for level in range(-24, 0)}
    found = {
        segment.style.bgcolor.triplet.hex
        for segment in coloured(render_map(attribution, theme="dark"))
        if segment.style and segment.style.bgcolor and segment.style.bgcolor.triplet
    }
    assert bool(found & oranges) == (attribution["method"]["signed"] and not caption.explains_little(attribution))


def test_without_colour_bars_stand_under_the_tokens() -> None:
    lines = printed(render_map(CASES["review"]())).splitlines()
    at = lines.index("The plot is thin, but the acting is superb.")
    start = lines[at].index("superb")
    assert lines[at + 1][start : start + 6] == "██████"
    assert lines[at + 1][:4] == "    "


def test_bars_are_as_wide_as_wide_characters() -> None:
    text = "日本 x"
    lines = printed(render_map(build(text, tokens_of(text, [0.0, 1.0])))).splitlines()
    assert lines[lines.index(text) + 1] == "     █"


@pytest.mark.parametrize("settings", [{"no_color": True}, {}])
def test_no_color_turns_the_bars_on(settings: dict[str, bool]) -> None:
    text = "".join(segment.text for segment in coloured(render_map(CASES["review"]()), **settings))
    assert ("██████" in text) == bool(settings)


def test_prediction_target_and_numbers_are_there() -> None:
    output = printed(render_map(CASES["signed"]()))
    assert re.search(r"predicted +positive +p = 0.986", output)
    assert re.search(r"target +negative +p = 0.014, a typical text 0.41", output)
    assert "The scores miss the rise of 7.00 bits by 0.13 bits." in output
    assert re.search(r"superb +\+6\.80 +1 +40%", output)
    assert re.search(r"thin +-4\.10 +11 +24%", output)
    assert re.search(r"\[SEP\] +\+0\.10 +0\.6%", output)  # special tokens are counted where there are shares
    assert "Evidence (complete), layers 1, 3, 5" in output
    assert EVIDENCE["caption"] in output and f"How this was made: {EVIDENCE['how']}" in output
    assert "share" not in printed(render_map(review()))
    assert "[CLS] +1.00" in output
    assert "412 tokens were cut off" in printed(render_map(CASES["long"]()))


def test_a_pair_is_two_labelled_paragraphs() -> None:
    lines = printed(render_map(CASES["pair"]()), 100).splitlines()
    assert lines[lines.index("text") + 1] == CASES["pair"]()["text"]
    assert lines[lines.index("text_pair") + 1] == "Nobody is making music."


def test_hostile_text_is_shown_literally() -> None:
    for segments in (coloured(render_map(CASES["hostile"]())), coloured(render_layers([CASES["hostile"]()]))):
        text = "".join(segment.text for segment in segments if not segment.control)
        assert not set(text) & {"\x1b", "\x00", "\x07", "\r", "\u202e"}
    output = printed(render_map(CASES["hostile"]()), 200)
    assert "[red]not red[/red]" in output
    assert "\\x1b[31mANSI\\x1b[0m NUL\\x00" in output
    assert "\\u202eoverride\\u202c" in output
    assert "<img src=x onerror=alert(1)>[/]\\x07" in output


def test_a_stream_that_cannot_say_everything(attribution: AttributionDict) -> None:
    for encoding in ("ascii", "cp1252"):
        assert "bits" in printed(render_map(attribution), encoding=encoding)
    assert "8" * 6 in printed(render_map(CASES["review"]()), encoding="ascii")
    printed(render_layers(layers(3)), encoding="ascii")


def test_no_bits_at_all() -> None:
    assert "every token: 0 bits" in printed(render_map(CASES["silent"]()))
    assert "every token: 0 bits" in printed(render_map(build("x", [special("[CLS]", 1.0)])))


def test_layers_have_a_column_each_and_the_tokens_their_bits() -> None:
    output = printed(render_layers(layers(6)), 100)
    assert re.search(r"^layer +0 +1 +2 +3 +4 +5 *$", output, re.MULTILINE)
    assert re.search(r"^The +0 11 +.* 0\.90 8 +.* 2\.70 5 ", output, re.MULTILINE)
    assert re.search(r"^all tokens +\d", output, re.MULTILINE)
    assert "█ 9.00" in output  # not the 20 of [CLS]
    assert "layers 0 to 5" in output


def test_many_layers_are_stacked_within_the_width() -> None:
    output = printed(render_layers(layers(25)), 60)
    assert all(len(line) <= 60 for line in output.splitlines())
    assert re.findall(r"^layer +(\d+)", output, re.MULTILINE) == ["0", "4", "8", "12", "16", "20", "24"]


def test_layers_share_one_scale() -> None:
    segments = coloured(render_layers(layers(6), theme="light"))
    shaded = {segment.text.strip(): segment.style for segment in segments if segment.style}
    assert shaded["9.00"].bgcolor.triplet.hex == shade(24, "light").background  # type: ignore[union-attr]
    assert shaded["4.50"].bgcolor.triplet.hex == shade(12, "light").background  # type: ignore[union-attr]


def test_layers_need_one_text() -> None:
    with pytest.raises(InputError):
        render_layers([])


def test_labels_beyond_the_first_are_counted() -> None:
    probabilities = {f"label {number}": (20 - number) / 210 for number in range(20)}
    output = printed(render_map({**CASES["review"](), "probabilities": probabilities, "target": "label 19"}))
    assert re.search(r"target +label 19 +p = 0.005", output)
    assert "15 more labels are not shown" in output


def test_a_target_without_a_probability_is_named_all_the_same() -> None:
    output = printed(render_map({**CASES["review"](), "target": "positive rather than negative"}))
    assert re.search(r"^predicted +positive +p = 0.986$", output, re.MULTILINE)
    assert re.search(r"^target +positive rather than negative *$", output, re.MULTILINE)
    assert "not shown" not in output
    number = printed(render_map({**CASES["review"](), "probabilities": {}, "predicted": "0.53", "target": "0.53"}))
    assert re.search(r"^predicted, target +0.53 *$", number, re.MULTILINE)


def test_layers_say_how_they_were_made_and_what_the_numbers_are() -> None:
    output = printed(render_layers([by(layer, EVIDENCE) for layer in layers(3)]))
    assert EVIDENCE["caption"] in output and EVIDENCE["how"] in output
    assert HOW in printed(render_layers(layers(3)))
    assert "is its rank" in output


def test_a_map_that_explains_little_says_so_and_is_grey() -> None:
    assert "No token of this text has 0.1 bits of evidence" in printed(render_map(CASES["little"]()))
    assert "No token of this text" not in printed(render_map(signed()))
    shades = backgrounds(coloured(render_map(CASES["little"](), theme="light")))
    assert shades["superb"] == shade(24, "light", grey=True).background


def test_maps_below_each_other_share_one_scale() -> None:
    weak = build("weak", tokens_of("weak", [4.9]))
    shades = backgrounds(coloured(render_maps([review(), weak], theme="light")))
    assert shades["weak"] == shade(12, "light").background
    assert printed(render_maps([review(), weak])).count("█ 9.80") == 2
    assert backgrounds(coloured(render_map(weak, theme="light")))["weak"] == shade(24, "light").background
