"""The page in a real browser: what a visitor does, sees and must not be able to do."""

from __future__ import annotations

import gc
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import ARGUMENTS, LOWEST_CONTRAST, PATIENCE, find_chromium, watch
from narrows.app.shelf import Shelf
from visiting import served

pytest.importorskip("gradio", reason="the page needs the extra app")
playwright = pytest.importorskip("playwright.sync_api", reason="driving a browser needs playwright")
CHROMIUM = find_chromium()
# Not ours: Gradio leaves event loops open when it builds a page, and sets what pandas will take away.
pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")

MARKUP = "<script>alert(1)</script> <img src=x onerror=alert(2)> {{7*7}} ${alert(3)}"
HOSTILE = f"{MARKUP} \u05e9\u05dc\u05d5\u05dd \U0001f600 good\x00film"
TEXT = "a very good film, not bad acting"


@pytest.fixture(scope="module")
def address(shelf: Shelf) -> Iterator[str]:
    """Where the page is served, by a thread of this process."""
    with served(shelf) as found:
        gc.collect()  # what was left open, while it is forgiven
        yield found


@pytest.fixture(scope="module")
def chromium(address: str) -> Iterator[Any]:  # closed before the server, which waits for open pages
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS), timeout=PATIENCE)
        yield browser
        browser.close()


def open_page(chromium: Any, address: str, **options: Any) -> tuple[Any, list[str]]:
    """Open the page in a context of its own, and collect what it must not do."""
    page = chromium.new_context(accept_downloads=True, **options).new_page()
    page.set_default_timeout(PATIENCE)
    page.set_default_navigation_timeout(PATIENCE)
    seen = watch(page)
    page.goto(address)
    page.get_by_role("button", name="Explain").wait_for()
    return page, seen


def explain(page: Any, text: str) -> None:
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Explain").click()
    page.locator("#map .map").wait_for()


def choose(page: Any, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def look(page: Any, tab: str, part: str) -> None:
    """Open a tab, again if a map that came in that moment has closed it."""
    for _ in range(9):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(2000)
        page.locator(part).wait_for(state="attached")
        if page.locator(part).is_visible():
            return


def shown(page: Any) -> str:
    """The text of the map."""
    return str(page.locator("#map .map .text").first.text_content())


@needs_chromium
def test_a_text_is_typed_explained_seen_at_another_layer_and_exported(
    chromium: Any, address: str, tmp_path: Path
) -> None:
    page, seen = open_page(chromium, address)
    explain(page, TEXT)
    assert shown(page) == TEXT
    page.locator("#map .t").first.hover()
    tip = page.locator("#map .t").first.get_attribute("data-tip")
    assert "bits" in tip
    assert "rank" in tip
    choose(page, "Layer", "layer 1")
    page.locator("#map").get_by_text("layer 1").first.wait_for()
    look(page, "Layers", "#layers table.heat")
    assert page.locator("#layers thead th").all_inner_texts() == ["layer", "0", "1", "2", "3"]
    page.get_by_role("tab", name="Compare").click()
    assert "press Compare" in page.locator("#beside").inner_text()
    page.get_by_role("button", name="Compare").click()
    page.locator("#beside .map").nth(1).wait_for()
    assert "Kendall's tau" in page.locator("#beside").inner_text()
    page.get_by_role("tab", name="Export").click()
    page.locator("a[download='reproduce.py']").wait_for()
    names = page.locator("#downloads a").evaluate_all("links => links.map((link) => link.download)")
    assert {"map.png", "map.svg", "map.html", "layers.pdf", "comparison.tex"} <= set(names)
    with page.expect_download(timeout=PATIENCE) as download:
        page.locator("a[download='map.json']").click()
    download.value.save_as(tmp_path / "map.json")
    saved = json.loads((tmp_path / "map.json").read_text(encoding="utf-8"))
    assert (saved["text"], saved["layers"]) == (TEXT, [1])
    assert seen == []


@needs_chromium
def test_a_method_is_chosen_with_its_settings(chromium: Any, address: str) -> None:
    page, seen = open_page(chromium, address)
    choose(page, "Method", "lime")  # before there is a map nothing is explained
    page.get_by_label("Layer", exact=True).wait_for(state="hidden")
    explain(page, TEXT)
    page.locator("#map").get_by_text("LIME").first.wait_for()
    page.get_by_role("tab", name="Layers").click()
    page.get_by_role("alert").get_by_text("lime looks at no layer").wait_for()
    choose(page, "Method", "information")
    page.locator("#map").get_by_text("information").first.wait_for()
    page.get_by_role("button", name="Settings of the method").click()
    assert page.get_by_role("textbox", name="steps").get_attribute("placeholder") == "10"
    page.get_by_role("textbox", name="steps").fill("many")
    page.get_by_role("button", name="Explain").click()
    page.get_by_role("alert").get_by_text("steps must be a whole number").wait_for()
    page.get_by_role("textbox", name="steps").fill("3")
    page.get_by_role("textbox", name="samples").fill("1000")
    page.get_by_role("textbox", name="samples").press("Enter")
    page.get_by_role("alert").get_by_text("too much for this page").wait_for()
    page.get_by_role("textbox", name="samples").fill("2")
    page.get_by_role("textbox", name="samples").press("Enter")
    page.get_by_role("alert").wait_for(state="detached")
    page.get_by_role("tab", name="Export").click()
    page.locator("#downloads a").first.wait_for()
    assert "information:steps=3:samples=2" in page.get_by_role("tabpanel").last.inner_text()
    assert seen == []


@needs_chromium
def test_betas_of_a_method_without_one_are_of_another_and_say_so(chromium: Any, address: str) -> None:
    page, seen = open_page(chromium, address)
    explain(page, TEXT)
    page.get_by_role("tab", name="Beta").click()
    page.locator("#betas section.row").nth(8).wait_for()
    assert "fast has no beta, so these maps are of the method information" in page.locator("#betas").inner_text()
    assert seen == []


@needs_chromium
def test_tokens_are_taken_away_by_keyboard_alone(chromium: Any, address: str) -> None:
    page, seen = open_page(chromium, address)
    page.get_by_label("Text", exact=True).focus()
    page.keyboard.insert_text(TEXT)
    page.keyboard.press("Shift+Enter")
    page.locator("#map .map").wait_for()
    tabs = page.get_by_role("tab", name="Map")
    tabs.focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == "Remove tokens":
            break
        page.keyboard.press("ArrowRight")
        if page.evaluate("document.activeElement.textContent.trim()") == "Remove tokens":
            break
    page.keyboard.press("Enter")
    tokens = page.locator("#tokens [data-tokens]")
    tokens.first.wait_for()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.tokens || ''"):
            break
    word = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    page.locator("#tokens .gone").wait_for()
    assert page.locator("#tokens .gone").inner_text() == word
    page.wait_for_function("document.activeElement.dataset.tokens !== undefined")
    assert page.locator("#tokens [aria-pressed=true]").count() == 1
    assert "1 of 9 tokens removed" in page.locator("#tokens").inner_text()
    page.keyboard.press(" ")
    page.locator("#tokens .gone").wait_for(state="detached")
    assert seen == []


@needs_chromium
def test_hostile_text_is_shown_as_text(chromium: Any, address: str) -> None:
    page, seen = open_page(chromium, address)
    explain(page, HOSTILE)
    assert shown(page) == HOSTILE.replace("\x00", "\\x00")
    for tab, part in (("Layers", "#layers table"), ("Remove tokens", "#tokens [data-tokens]")):
        page.get_by_role("tab", name=tab).click()
        page.locator(part).first.wait_for()
        assert page.locator(f"{part} script, {part} img").count() == 0
    page.get_by_label("Text", exact=True).fill("x " * 5000)
    page.get_by_role("button", name="Explain").click()
    page.get_by_text("tokens were cut off").wait_for()
    page.get_by_label("Text", exact=True).fill(" ")
    page.get_by_role("button", name="Explain").click()
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text() == "text is empty: there is nothing to explain"
    assert "Traceback" not in page.content()
    assert seen == []


@needs_chromium
def test_ten_visitors_are_served_and_none_sees_the_map_of_another(chromium: Any, address: str) -> None:
    texts = [f"visitor {number} saw a {'good' if number % 2 else 'bad'} film" for number in range(10)]
    visitors = [open_page(chromium, address) for _ in texts]
    for (page, _), text in zip(visitors, texts, strict=True):
        page.get_by_label("Text", exact=True).fill(text)
        page.get_by_role("button", name="Explain").click()
    for (page, seen), text in zip(visitors, texts, strict=True):
        page.locator("#map .map").wait_for()
        assert shown(page) == text
        assert seen == []
        page.context.close()


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(chromium: Any, address: str, scheme: str) -> None:
    page, seen = open_page(chromium, address, color_scheme=scheme, viewport={"width": 1180, "height": 900})
    explain(page, TEXT)
    page.get_by_role("tab", name="Remove tokens").click()
    page.locator("#tokens [data-tokens]").first.click()
    page.locator("#tokens .gone").wait_for()
    page.mouse.move(0, 0)
    lowest = [page.evaluate(LOWEST_CONTRAST)]
    page.get_by_role("tab", name="Map").click()
    page.set_viewport_size({"width": 420, "height": 900})
    page.locator("#map .map").wait_for()
    lowest.append(page.evaluate(LOWEST_CONTRAST))
    assert min(lowest)[0] >= 4.5, lowest
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than its window"
    assert seen == []


def test_a_page_elsewhere_cannot_ask_in_our_name(address: str) -> None:
    request = urllib.request.Request(address, headers={"Host": "elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request, timeout=300)
    with urllib.request.urlopen(address, timeout=300) as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
