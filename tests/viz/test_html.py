from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import StrictUndefined, UndefinedError

from narrows.data.schema import AttributionDict, TraceDict
from narrows.errors import InputError
from narrows.viz import caption, html
from narrows.viz.shade import shade
from narrows.viz.spans import segments, visible
from saved_results import CAPTION, CASES, HOW, LIME, build, by, layers, special, tokens_of

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Reader(HTMLParser):
    """Reads a page back: its elements, their attributes, and the text of the maps."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.maps: list[str] = []
        self.shades: dict[str, str] = {}
        self._in_map = False
        self._class = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)
        self._class = attributes.get("class") or ""
        if tag == "p" and self._class == "text":
            self._in_map = True
            self.maps.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"
        self._class = ""
        if tag == "p":
            self._in_map = False

    def handle_data(self, data: str) -> None:
        if self._in_map:
            self.maps[-1] += data
        if self._class.startswith("t "):
            self.shades.setdefault(data, self._class.split()[1])


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def pages(attribution: AttributionDict) -> list[str]:
    return [html.render_page([attribution]), html.render_layers_page([attribution]), html.render_fragment(attribution)]


def test_stripped_of_its_tags_a_map_is_the_text(attribution: AttributionDict) -> None:
    expected = [visible(text) for text in segments(attribution)]
    assert read(html.render_page([attribution])).maps == expected
    assert read(html.render_fragment(attribution)).maps == expected


@given(st.text(max_size=40), st.lists(st.floats(-9, 9), min_size=1, max_size=5))
def test_any_text_survives(text: str, scores: list[float]) -> None:
    page = html.render_fragment(build(text, tokens_of(text, scores)))
    assert read(page).maps == [visible(text)]


def test_the_only_elements_are_ours(attribution: AttributionDict) -> None:
    known = {"html", "head", "meta", "title", "style", "body", "main", "section", "h1", "h2", "p", "span", "div"}
    known |= {"table", "thead", "tbody", "tfoot", "tr", "th", "td", "svg", "rect", "line", "polyline", "a", "i"}
    known |= {"sup", "bdi", "figure", "figcaption", "details", "summary", "pre", "text"}
    for page in pages(attribution):
        for tag, attributes in read(page).elements:
            assert tag in known
            assert not any(name.startswith("on") or name in {"style", "src", "srcdoc"} for name in attributes)
            assert (attributes.get("href") or "#").startswith("#")
        assert not set(page) & {"\x00", "\x1b", "\r", "\u202e", "\x07"}


def test_quotes_do_not_leave_an_attribute() -> None:
    text = "x\" autofocus onfocus='alert(1)"
    tokens = tokens_of(text, [1.0])
    tokens[0].update(start=0, end=len(text))
    reader = read(html.render_page([build(text, tokens[:1])]))
    assert {"t p24"} == {a["class"] for _, a in reader.elements if "data-tip" in a}
    assert all("onfocus" not in attributes for _, attributes in reader.elements)


def test_nothing_is_fetched(attribution: AttributionDict) -> None:
    plain = {**attribution, "text": "plain", "text_pair": None, "tokens": tokens_of("plain", [1.0]), "words": []}
    for page in pages(plain):  # type: ignore[arg-type]
        own = re.sub(r"sha256-[A-Za-z0-9+/=]+", "", page)  # the hash of the style sheet may have // in it
        assert not re.search(r"(https?:)?//|url\(|@import|<link|<script|<img|<iframe", own)


def test_the_policy_forbids_all_but_the_style_sheet() -> None:
    for page in (html.render_page([CASES["hostile"]()]), html.render_layers_page(layers(2))):
        reader = read(page)
        policy = next(a["content"] for tag, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy")
        style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
        assert policy is not None
        assert style is not None
        digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
        assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        assert "<" not in style.group(1)


def test_language_charset_and_title() -> None:
    page = html.render_page([CASES["review"]()], title="</title><script>")
    assert page.startswith("<!doctype html>")
    assert '<html lang="en">' in page
    assert '<meta charset="utf-8">' in page
    assert "<title>&lt;/title&gt;&lt;script&gt;</title>" in page


def test_shades_of_levels_and_the_scale_without_special_tokens() -> None:
    shades = read(html.render_page([CASES["review"]()])).shades
    assert shades["superb"] == "p24"
    assert shades["thin"] == f"p{round(24 * 3.1 / 9.8)}"
    assert shades["[CLS]"] == "p24"
    assert shades["the"] == "p0"


def test_style_has_both_themes_of_every_level() -> None:
    page = html.render_page([CASES["review"]()])
    for level in range(-24, 25):
        light, dark = shade(level, "light"), shade(level, "dark")
        name = f"m{-level}" if level < 0 else f"p{level}"
        rule = re.search(rf"\.narrows \.{name} {{(.*)}}", page)
        assert rule is not None
        assert f"background: {light.background};" in rule.group(1)
        assert f"background: light-dark({light.background}, {dark.background})" in rule.group(1)
        assert f"color: light-dark({light.foreground}, {dark.foreground})" in rule.group(1)


def test_diverging_only_when_signed(attribution: AttributionDict) -> None:
    signed, little = attribution["method"]["signed"], caption.explains_little(attribution)
    for page in pages(attribution):
        used = {name for _, attributes in read(page).elements for name in (attributes.get("class") or "").split()}
        assert bool({f"m{level}" for level in range(1, 25)} & used) == (signed and not little)
        assert bool({f"g{level}" for level in range(1, 25)} & used) == little
        assert (" against</span>" in page) == signed


def test_unit_meaning_and_numbers_are_there() -> None:
    review = CASES["review"]()
    page = html.render_page([review])
    assert "information (bits):" in page
    assert f"<p>{review['method']['caption']}</p>" in page
    assert review["method"]["how"] in page
    assert "The prediction needed 49.7 bits of the 1,804 bits that layer 4 carries (2.8%)." in page
    assert 'data-tip="superb: 9.80 bits, rank 1 of 11"' in page
    assert "412 tokens were cut off" in html.render_page([CASES["long"]()])
    assert "cut off" not in page


def test_probabilities_are_numbers_and_bars() -> None:
    page = html.render_page([CASES["review"]()])
    reader = read(page)
    assert '<td class="number">0.986</td>' in page
    assert [a["width"] for tag, a in reader.elements if tag == "rect" and a["class"] == "filled"] == ["98.6", "1.4"]


def test_a_target_without_a_probability_is_named_without_a_bar() -> None:
    page = html.render_page([{**CASES["review"](), "target": "positive rather than negative"}])
    assert re.search(r'class="chosen">positive rather than negative</th><td class="number"></td><td></td>', page)
    assert len([a for tag, a in read(page).elements if tag == "rect" and a["class"] == "filled"]) == 2
    assert "not shown" not in page


def test_tokens_can_be_reached_by_keyboard(attribution: AttributionDict) -> None:
    for tag, attributes in read(html.render_page([attribution])).elements:
        if "data-tip" in attributes:
            assert (tag, attributes["tabindex"]) == ("span", "0")


def test_the_trace_is_drawn_from_its_first_to_its_last_step() -> None:
    reader = read(html.render_page([CASES["review"]()]))
    curves = [a["points"] for tag, a in reader.elements if tag == "polyline"]
    assert len(curves) == 3
    points = [tuple(map(float, point.split(","))) for point in (curves[1] or "").split()]
    assert len(points) == 11
    assert points[0] == (0.0, 0.0)  # all that the layer carries: the top
    assert points[-1][0] == 320.0
    assert points[-1][1] > 115  # nearly closed
    assert "polyline" not in html.render_page([CASES["silent"]()])


def test_the_rate_curve_has_the_bits_on_a_logarithmic_axis_and_p_from_0_to_1() -> None:
    bits_and_nats = [(1000.0, 0.0), (1.0, 0.6931471805599453), (10.0, 0.6931471805599453), (0.0, 3.0)]
    trace = [
        {"step": step, "cross_entropy": nats, "information": bits} for step, (bits, nats) in enumerate(bits_and_nats)
    ]
    page = html.render_page([build("one", tokens_of("one", [1.0]), trace=trace)])
    curve = [a["points"] for tag, a in read(page).elements if tag == "polyline"][2]
    assert curve == "0.0,65.0 106.7,65.0 320.0,0.0"  # what lets no bit pass has no place on such an axis
    assert "0.500 at 1.00 bits to 1.000 at 1,000 bits" in page
    ticks = re.findall(r'<text class="tick middle" x="[^>]*>([^<]*)</text>', page.split("<polyline")[2])
    assert ticks == ["1", "10", "100", "1,000", "information that passes (bits), logarithmic"]


def test_the_rate_curves_of_all_layers_share_an_axis() -> None:
    def steps(*bits: float) -> list[TraceDict]:
        return [{"step": step, "cross_entropy": 0.0, "information": each} for step, each in enumerate(bits)]

    traces = [steps(1.0, 10.0, 10.0), steps(10.0, 10.0, 100.0), steps(5.0, 50.0)]
    results = [layer | {"trace": trace} for layer, trace in zip(layers(3), traces, strict=True)]
    curves = [a["points"] for tag, a in read(html.render_layers_page(results)).elements if tag == "polyline"]
    assert curves == ["0.0,0.0 160.0,0.0 160.0,0.0", "160.0,0.0 160.0,0.0 320.0,0.0"]  # two points make no curve


def test_two_steps_are_not_drawn_as_curves() -> None:
    trace = [{"step": step, "cross_entropy": 0.1 * step, "information": 10.0 - step} for step in range(2)]
    assert "polyline" not in html.render_page([build("one", tokens_of("one", [1.0]), trace=trace)])


def test_settings_are_there_for_reproduction() -> None:
    assert "&#34;steps&#34;: 10" in html.render_page([CASES["review"]()])


def test_layers_page_has_a_cell_for_each_token_and_layer() -> None:
    results = layers(6)
    reader = read(html.render_layers_page(results))
    cells = [
        a["class"] or "" for tag, a in reader.elements if tag == "td" and (a.get("class") or "").startswith("numb")
    ]
    shaded = [name.split()[-1] for name in cells if " t " in name]
    assert len(shaded) == 6 * 13
    expected = [
        f"p{min(24, round(24 * layer['tokens'][row]['score'] / 9.0))}" for row in range(13) for layer in results
    ]
    assert shaded == expected


def test_the_style_of_a_fragment_stays_within_it() -> None:
    page = html.render_fragment(CASES["review"]())
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    for selectors in re.findall(r"([^{};]+)\{", style.group(1)):
        if selectors.strip().startswith("@media"):
            continue
        for selector in selectors.split(","):
            assert ".narrows" in selector, f"{selector} reaches beyond the fragment"
    assert not re.search(r"<(html|body|head|meta|title)", page)


def test_a_hole_in_a_template_is_an_error() -> None:
    environment = html._environment()
    assert environment.undefined is StrictUndefined
    assert environment.autoescape is True
    with pytest.raises(UndefinedError):
        environment.get_template("page.html.j2").render(title="", policy="", style="")


def test_broken_numbers_are_said_and_not_drawn() -> None:
    tokens = tokens_of("one two", [float("nan"), 1.0])
    page = html.render_page([build("one two", [*tokens, special("[SEP]", float("inf"))])])
    assert read(page).shades["two"] == "p24"
    assert "not finite bits" in page


def test_nothing_to_draw() -> None:
    for call in (html.render_page, html.render_layers_page):
        with pytest.raises(InputError, match="at least one"):
            call([])


def test_one_style_sheet_however_many_results() -> None:
    page = html.render_page([make() for make in CASES.values()])
    assert page.count("<style>") == 1
    assert len(read(page).maps) == len(CASES) + 1  # the pair has two


def test_pages_of_layers_say_what_the_numbers_are_and_their_ranks() -> None:
    page = html.render_layers_page(layers(3))
    assert CAPTION in page and HOW in page
    assert page.count("<sup>1</sup>") == 3
    assert '<th scope="row">all tokens</th>' in page and '<th scope="row">open mask</th>' in page
    assert ">all tokens<" not in html.render_layers_page([by(layer, LIME) for layer in layers(3)])


def test_evidence_has_its_rise_its_shares_and_the_typical_text() -> None:
    page = html.render_page([CASES["signed"]()])
    assert "The scores miss the rise of 7.00 bits by 0.13 bits." in page
    assert "target; a typical text 0.41" in page
    rows = re.findall(r'<bdi class="([^"]*)">([^<]*)</bdi></th>(.*)</tr>', page)
    cells = {word: (name, re.findall(r">([^<]*)</td>", rest)) for name, word, rest in rows}
    assert cells["superb"] == ("t p24", ["+6.80", "1", "40%"])
    assert cells["[CLS]"] == ("quiet", ["+1.00", "", "5.9%"])
    assert ">share<" not in html.render_page([CASES["review"]()])


def test_a_map_that_explains_little_says_so() -> None:
    assert 'class="note">No token of this text has 0.1 bits' in html.render_page([CASES["little"]()])
    assert "already" not in html.render_page([CASES["signed"]()])


def test_maps_of_one_page_share_one_scale() -> None:
    weak = build("weak", tokens_of("weak", [4.9]))
    assert read(html.render_page([weak])).shades["weak"] == "p24"
    page = html.render_page([CASES["review"](), weak])
    assert read(page).shades["weak"] == "p12"
    assert page.count("<span>9.80</span>") == 2  # every map states its scale


def test_a_token_has_no_padding_that_tears_its_word() -> None:
    rule = re.search(r"\.narrows \.t {(.*?)}", html.style_sheet())
    assert rule is not None and "padding: 0.125em 0;" in rule.group(1) and "margin" not in rule.group(1)
