"""Pictures of responses: what they say, that they are inert, and, in a real browser, that pointing shades."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from browser import ARGUMENTS, LOWEST_CONTRAST, PATIENCE, find_chromium
from narrows.errors import InputError
from narrows.generation import GenerationAttribution
from narrows.viz.caption import number
from narrows.viz.generation import Picture, generation_values
from narrows.viz.generation_figure import MOST_COLUMNS
from narrows.viz.shade import LEVELS, Scale
from narrows.viz.terminal import render_generation
from saved_generations import CAPITAL, generation

ATTACKS = [
    "<script>alert(1)</script>",
    "' onmouseover='alert(2)",
    '"><img src=x onerror=alert(3)>',
    "</script>",
    "\x1b[31m",
]


class Elements(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def elements(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed(page)
    return parser.found


def printed(found: GenerationAttribution, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=100, **options)
    console.print(render_generation(found.picture))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@given(st.lists(st.sampled_from([*ATTACKS, "a", " b", "\n"]), min_size=1, max_size=6), st.data())
@settings(max_examples=25, deadline=None)
def test_whatever_is_written_stays_text(response: list[str], data: st.DataObject) -> None:
    prompt = data.draw(st.lists(st.sampled_from([*ATTACKS, " c", "d"]), min_size=1, max_size=4))
    if not "".join(response).strip():
        return
    found = generation(prompt, response)
    for page in (found.to_html(), found._repr_html_()):
        tags = elements(page)
        assert [tag for tag, _ in tags].count("script") == 1
        assert not {tag for tag, _ in tags} & {"img", "iframe", "object", "link", "base", "form"}
        assert not {name for _, own in tags for name in own if name.startswith("on") or name in ("style", "src")}
        assert "\x1b" not in page
    assert "\x1b" not in printed(found)


def test_the_policy_of_a_page_allows_its_own_script_alone() -> None:
    page = CAPITAL.to_html()
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    (policy,) = [own["content"] for tag, own in elements(page) if own.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert len(script) == 1 and f"script-src 'sha256-{digest}'" in (policy or "")
    assert "default-src 'none'" in (policy or "") and "http" not in script[0]


def test_the_page_holds_the_levels_of_each_output() -> None:
    """The levels that the script paints, against the scale by hand."""
    page = CAPITAL.to_html()
    (root,) = [own for _, own in elements(page) if "data-outputs" in own]
    outputs = json.loads(root["data-outputs"] or "")["outputs"]
    spans = [own for _, own in elements(page) if "data-span" in own]
    assert [own["data-output"] for own in spans if "data-output" in own] == [str(place) for place in range(6)]
    # Spans: the prompt, the response, then <s>, which has no place in the text.
    order = [*range(1, len(CAPITAL.tokens)), 0]
    assert len(spans) == len(order)
    for output, own, place in zip(outputs, CAPITAL.scores, [each.place for each in CAPITAL.outputs], strict=True):
        others = np.delete(own, place - 1)  # where it is read
        scale = Scale.of(others, signed=True)
        assert output["levels"] == [scale.level(own[token]) for token in order]
        assert max(map(abs, output["levels"])) == LEVELS
    assert outputs[1]["scores"][-2] == "" and outputs[1]["scores"][0]
    assert "likelier" in outputs[0]["said"] and "likelier" not in outputs[1]["said"]


def test_tokens_of_one_character_are_pointed_at_together() -> None:
    """Two tokens of one emoji make one span, whose scores are the sums of both outputs."""
    found = generation(["a"], ["\U0001f600", "b"])
    places = found.outputs[0].place
    offsets = (*found.offsets[:places], (0, 1), (0, 1))
    joined = GenerationAttribution.from_dict(
        {
            **found.to_dict(),
            "tokens": [
                {**token, "start": at and at[0], "end": at and at[1]}
                for token, at in zip(found.to_dict()["tokens"], offsets, strict=True)
            ],
        }
    )
    outputs = json.loads(generation_values(joined.picture)["outputs_json"])["outputs"]
    assert len(outputs) == 1
    summed = found.scores.sum(axis=0)
    together = [summed[1], summed[2] + summed[3], summed[0]]  # "a", the emoji, and <s>
    # The first is read at "a", the second at the first half of the emoji.
    compared = [found.scores[1, 1], found.scores[0, 2] + found.scores[0, 3] + found.scores[1, 3], summed[0]]
    assert outputs[0]["levels"] == [Scale.of(compared, True).level(score) for score in together]


def test_the_strongest_words_are_those_before_the_output() -> None:
    picture: Picture = CAPITAL.picture
    last = picture.outputs[-1]  # "happy", whose word begins with the output before it
    words = picture.strongest(last, count=20)
    assert {name for name, _ in words} == {"The", "capital", "of", "France", "is", "Paris", ",", "which", "\\n"}
    assert picture.read_at(last) == ("un", CAPITAL.scores[-1, -2])
    third = picture.strongest(picture.outputs[3], count=20)
    assert dict(third)["Paris"] == CAPITAL.scores[3, 6] and "which" not in dict(third)
    sizes = [abs(score) for _, score in words]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    "options", [{}, {"force_terminal": True, "color_system": "truecolor"}, {"legacy_windows": False}]
)
def test_the_terminal_lists_the_outputs(options: dict[str, Any]) -> None:
    shown = printed(CAPITAL, **options)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "The capital of France is" in plain and "Sum over 6 output tokens" in plain
    assert re.search(r"Paris +0\.500", plain) and "\\n" in plain


def test_a_figure_has_a_row_per_output_and_grey_where_nothing_is_seen(tmp_path: Path) -> None:
    ax = CAPITAL.plot()
    rows = [tick.get_text() for tick in ax.get_yticklabels()]
    assert len(rows) == 6 and rows[0].startswith("Paris (up to")
    columns = [tick.get_text() for tick in ax.get_xticklabels()]
    assert columns == ["The", "capital", "of", "France", "is", "Paris", ",", "which", "unhappy"]
    drawn: Any = ax.images[0].get_array()
    assert drawn.mask[0, 5:].all() and not drawn.mask[:, :5].any()
    row = CAPITAL.scores[1, 1:7]  # read at its last one
    assert np.allclose(drawn[1, :6], row / np.abs(row[:-1]).max())
    by_token = CAPITAL.plot(by="token")
    assert next(tick.get_text() for tick in by_token.get_xticklabels()) == "<s>"
    with pytest.raises(InputError, match="words or tokens"):
        CAPITAL.plot(by="letter")  # type: ignore[arg-type]
    for suffix in (".png", ".svg", ".pdf", ".html", ".json"):
        CAPITAL.export(tmp_path / f"map{suffix}")
        assert (tmp_path / f"map{suffix}").stat().st_size > 1000
    with pytest.raises(InputError, match=r"exports end in .*\.json"):
        CAPITAL.export(tmp_path / "map.tex")


def test_a_long_prompt_shows_its_strongest_words() -> None:
    found = generation([f" word{place}" for place in range(60)], [" a", " b"])
    ax = found.plot()
    assert len(ax.get_xticks()) == MOST_COLUMNS
    assert f"the {MOST_COLUMNS} strongest of 61 words" in ax.get_xlabel()


CHROMIUM = find_chromium()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pointing_and_the_keyboard_shade_what_came_before(scheme: Any, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    (tmp_path / "page.html").write_text(CAPITAL.to_html(), encoding="utf-8")
    with sync_playwright() as driver:
        program = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        page = program.new_page(color_scheme=scheme, viewport={"width": 360, "height": 700})
        page.set_default_timeout(PATIENCE)
        broken: list[str] = []
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto((tmp_path / "page.html").as_uri())
        said, first = page.locator(".said"), page.locator("[data-span]").first
        whole = said.inner_text(), first.get_attribute("class")
        outputs = page.locator("[data-output]")
        outputs.nth(2).hover()
        assert "which" in said.inner_text()
        assert outputs.nth(3).get_attribute("data-tip") == "\\n: comes later, for 'which'"
        outputs.nth(1).focus()
        assert said.inner_text().startswith("','")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        page.mouse.move(0, 0)
        assert "which" in said.inner_text() and outputs.nth(2).get_attribute("aria-pressed") == "true"
        score = CAPITAL.scores[2, 1]
        assert first.get_attribute("data-tip") == f"The: {number(score, signed=True)} bits, for 'which'"
        assert page.evaluate(LOWEST_CONTRAST)[0] >= 4.5
        page.keyboard.press("Escape")
        page.evaluate("document.activeElement.blur()")
        assert (said.inner_text(), first.get_attribute("class")) == whole
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        program.close()
    assert broken == []
