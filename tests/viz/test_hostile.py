"""Whatever a record holds, in whichever field, is shown as it stands and acts on nothing."""

from __future__ import annotations

import io
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from narrows.attribution import Attribution
from narrows.attributions import Attributions
from narrows.data.schema import AttributionDict
from narrows.viz.files import render_file
from narrows.viz.fragments import render_beside_part, render_heat_part, render_parts, render_series_part
from narrows.viz.terminal import render_layers, render_map
from saved_results import CASES, HOSTILE

ATTACK = f"{HOSTILE} ' onmouseover='alert(2)\" onmouseover=\"alert(3) \x9b31m \\input{{/etc/passwd}} %"
INERT = {"script", "img", "iframe", "object", "link", "base", "form", "a"}


def hostile(value: Any) -> Any:
    """The same record with something hostile at the end of every string in it."""
    if isinstance(value, str):
        return value + ATTACK
    if isinstance(value, list):
        return [hostile(each) for each in value]
    if isinstance(value, dict):
        return {hostile(key) if "." not in str(key) else key: hostile(each) for key, each in value.items()}
    return value


@pytest.fixture
def attacked() -> AttributionDict:
    """The texts, the tokens, the labels and all that is said of the method and the model are hostile."""
    saved: Any = CASES["review"]()
    keep = {"record", "probabilities", "trace", "words"}
    changed = {key: value if key in keep else hostile_field(key, value) for key, value in saved.items()}
    return {**changed, "probabilities": {hostile(key): p for key, p in saved["probabilities"].items()}}  # type: ignore[return-value, typeddict-item]


def hostile_field(key: str, value: Any) -> Any:
    if key == "method":
        return {name: {**inner, "x": ATTACK} if name == "settings" else hostile(inner) for name, inner in value.items()}
    if key == "tokens":
        return [{name: hostile(inner) for name, inner in each.items()} for each in value]
    return hostile(value)


class Elements(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "a":
            assert all(str(value).startswith("#") for name, value in attrs if name == "href")


def test_html_holds_no_element_and_no_attribute_of_a_text(attacked: AttributionDict) -> None:
    own = Attribution.from_dict(attacked)
    second: Any = {**attacked, "layers": [2]}
    pages = [
        own.to_html(),
        own._repr_html_(),
        Attributions([own, own])._repr_html_(),
        render_file([attacked, second], ".html").decode(),
        "".join(render_parts(attacked).values()),
        render_heat_part([attacked, second]),
        render_beside_part([attacked, second], ATTACK),
        render_series_part([attacked, second], [ATTACK, "1"], ATTACK),
    ]
    for page in pages:
        found = Elements()
        found.feed(page)
        assert not found.names & (INERT - {"a"})
        assert not [name for name in found.attributes if name.startswith("on")]
        assert "{{ 7*7 }}" in page
        assert not set("\x1b\x9b\x00\u202e") & set(page)
    for page in (pages[0], pages[3]):
        assert "default-src 'none'" in page.replace("&#39;", "'")


def test_a_terminal_is_not_driven_and_markup_is_shown_as_it_stands(attacked: AttributionDict) -> None:
    second: Any = {**attacked, "layers": [2]}
    for drawn in (render_map(attacked), render_layers([attacked, second])):
        stream = io.StringIO()
        Console(file=stream, width=200, color_system=None).print(drawn)
        assert not set("\x1b\x9b\x00\u202e\r") & set(stream.getvalue())
        assert "[red]not red[/red]" in stream.getvalue()


def test_latex_sets_every_character_as_it_stands(attacked: AttributionDict) -> None:
    written = render_file([attacked], ".tex").decode()
    assert "\\input" not in written
    assert not set("\x1b\x9b\x00\u202e") & set(written)
    lines = [line.replace(r"\%", "") for line in written.splitlines()]
    assert all("%" not in line.lstrip("%") for line in lines)
    assert all("$" not in line.replace(r"\$", "") for line in lines)


def test_figures_hold_no_element_and_no_attribute_of_a_text(attacked: AttributionDict) -> None:
    pytest.importorskip("matplotlib")
    for element in ElementTree.fromstring(render_file([attacked], ".svg")).iter():
        assert element.tag.rpartition("}")[2] not in INERT
        assert not [name for name in element.attrib if name.startswith("on")]
