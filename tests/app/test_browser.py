"""The page in a real browser: what a visitor does, sees and must not be able to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import ARGUMENTS, LOWEST_CONTRAST, PATIENCE, find_chromium, watch
from narrows.app.desk import Desk
from narrows.run import summarize_run

pytest.importorskip("uvicorn", reason="the page needs the extra app")
pytest.importorskip("httpx")
playwright = pytest.importorskip("playwright.sync_api", reason="driving a browser needs playwright")

from visiting import served  # noqa: E402

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium"),
]

MARKUP = "<script>alert(1)</script> <img src=x onerror=alert(2)> {{7*7}} ${alert(3)}"
HOSTILE = f"{MARKUP} \u05e9\u05dc\u05d5\u05dd \U0001f600 good\x07film"
UNNAMED = """[...document.querySelectorAll('button, input, select, textarea, svg[role], [role=button]')]
  .filter((one) => !(one.ariaLabel || one.textContent.trim() || one.labels?.length)).map((one) => one.outerHTML)"""
TEXT = "a very good film, not bad acting"


@pytest.fixture(scope="module")
def address(desk: Desk) -> Iterator[str]:
    """Where the page is served, by a thread of this process."""
    with served(desk) as found:
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
    page.on("console", lambda message: seen.append(message.text) if "Content Security" in message.text else None)
    page.goto(address)
    page.locator("#map .text, #generation .text, #summary table").first.wait_for()
    return page, seen


def explain(page: Any, text: str) -> None:
    page.get_by_label("Text", exact=True).fill(text)
    page.keyboard.press("Enter")
    settle(page)


def combo(page: Any, name: str) -> Any:
    return page.get_by_role("combobox", name=name, exact=True).first


def settle(page: Any) -> None:
    """Wait until all that was started is there."""
    page.wait_for_timeout(50)
    page.locator("#result:not([aria-busy])").wait_for()
    page.locator("#status:empty").wait_for(state="attached")


def shown(page: Any) -> str:
    """The text of the map."""
    return str(page.locator("#map .map .text").first.text_content())


def test_the_page_begins_with_a_map_before_any_model_is_loaded(chromium: Any, address: str, start: Path) -> None:
    page, seen = open_page(chromium, address)
    saved = json.loads(start.read_text(encoding="utf-8"))
    assert shown(page) == saved["text"]
    assert "An example of the demo model sentiment" in page.locator("#example").inner_text()
    assert "decides for" in page.locator("#check").inner_text()
    assert seen == []


def test_a_text_is_explained_on_enter_and_exported(chromium: Any, address: str, tmp_path: Path) -> None:
    page, seen = open_page(chromium, address)
    box = page.get_by_label("Text", exact=True)
    box.fill("a good")
    box.press("Shift+Enter")
    assert box.input_value() == "a good\n"
    explain(page, TEXT)
    assert shown(page) == TEXT
    tip = page.locator("#map [data-at]").first.get_attribute("aria-label")
    assert "bits" in tip and "rank" in tip
    assert page.locator("#layers thead th").all_inner_texts() == ["layer", "0", "1", "2", "3"]
    assert page.locator("#removal svg text").all_text_contents().count("tokens removed") == 1
    combo(page, "Layer").select_option("1")
    settle(page)
    page.get_by_text("Compare with another method or label").click()
    page.locator("#beside .map").nth(1).wait_for()
    settle(page)
    assert "Kendall's tau" in page.locator("#beside").inner_text()
    names = page.locator("#files button").evaluate_all("all => all.map((one) => one.name)")
    assert {"report.pdf", "map.png", "map.tex", "layers.pdf", "comparison.svg"} <= set(names)
    assert "fast:layer=1" in page.locator("#python").inner_text()
    for name, check in (("map.json", b'"layers": [1]'), ("report.pdf", b"%PDF")):
        with page.expect_download(timeout=PATIENCE) as download:
            page.locator(f"#files button[name='{name}']").click()
        download.value.save_as(tmp_path / name)
        assert check in (tmp_path / name).read_bytes()
    assert seen == []


def test_labels_are_clicked_and_the_address_holds_it_all(chromium: Any, address: str) -> None:
    page, seen = open_page(chromium, address)
    explain(page, TEXT)
    bars = page.locator("#labels .pick")
    names = bars.evaluate_all("all => all.map((one) => one.dataset.target)")
    other = page.locator("#labels .pick[aria-pressed=false]").first
    label = other.get_attribute("data-target")
    other.click()
    settle(page)
    assert f"Explained: {label}" in page.locator("#decision").inner_text()
    against = page.locator("#labels .against:visible").first
    rival = against.get_attribute("data-against")
    against.click()
    settle(page)
    assert f"{label} rather than {rival}" in page.locator("#decision").inner_text()
    page.locator("#map [data-word]").nth(2).click()
    page.locator("#removal .now").wait_for()
    settle(page)
    sentence = page.locator("#removal .now").inner_text()
    again, also = open_page(chromium, page.url)
    again.locator("#removal .now").wait_for()
    assert again.locator("#removal .now").inner_text() == sentence
    assert f"{label} rather than {rival}" in again.locator("#decision").inner_text()
    assert again.locator("#map .gone").count() == page.locator("#map .gone").count() == 1
    assert set(names) >= {label, rival}
    page.go_back()
    settle(page)
    assert f"Explained: {label}" in page.locator("#decision").inner_text()
    assert seen == also == []


def form(page: Any) -> list[str]:
    """What the form says: the text, the model, the method, its layer and its steps, and which label is explained."""
    boxes = [page.locator(f"#{name}") for name in ("text", "model", "method", "layer")]
    steps = page.locator("#boxes input[name=steps]").all()
    picked = page.locator("#labels .pick[aria-pressed=true]").get_attribute("data-target")
    return [*(box.input_value() for box in [*boxes, *steps]), picked, page.locator("#decision").inner_text()]


def test_a_copied_link_opens_what_was_seen(chromium: Any, address: str, model: str) -> None:
    page, seen = open_page(chromium, address, permissions=["clipboard-read", "clipboard-write"])
    explain(page, TEXT)
    combo(page, "Method").select_option("information")
    settle(page)
    page.get_by_text("Settings of the method").click()
    page.get_by_role("textbox", name="steps").fill("3")
    combo(page, "Layer").select_option("2")
    settle(page)
    label = page.locator("#labels .pick[aria-pressed=false]").first.get_attribute("data-target")
    page.locator(f"#labels .pick[data-target='{label}']").click()
    settle(page)
    assert form(page)[:-1] == [TEXT, model, "information", "2", "3", label]
    page.get_by_role("button", name="Copy the link").click()
    page.get_by_text("The link is copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    again, also = open_page(chromium, link)
    settle(again)
    assert form(again) == form(page)
    assert shown(again) == TEXT
    assert seen == also == []


def test_back_returns_to_what_was_seen_before(chromium: Any, address: str) -> None:
    page, seen = open_page(chromium, address)
    settle(page)
    start = shown(page)
    explain(page, TEXT)
    before = form(page)
    combo(page, "Method").select_option("ig")
    settle(page)
    explain(page, "a bad film")
    page.get_by_text("Data set", exact=True).click()
    page.get_by_role("button", name="Sum up").click()
    page.locator("#summary table").first.wait_for()
    settle(page)
    page.go_back()
    page.locator("#map .text").first.wait_for()
    settle(page)
    assert (shown(page), form(page)[2], page.locator("#summary").is_hidden()) == ("a bad film", "ig", True)
    page.go_back()
    settle(page)
    assert form(page)[0] == TEXT and form(page)[2] == "ig"
    page.go_back()
    settle(page)
    assert (shown(page), form(page)) == (TEXT, before)
    page.go_forward()
    settle(page)
    assert form(page)[2] == "ig"
    for _ in range(2):
        page.go_back()
        settle(page)
    assert shown(page) == start
    assert page.locator("#example").is_visible()
    page.get_by_label("Text", exact=True).fill("not a good film")
    page.keyboard.press("Enter")
    page.go_back()  # before the answer is there
    settle(page)
    page.wait_for_timeout(500)
    assert (shown(page), page.locator("#example").is_visible()) == (start, True)
    assert seen == []


def test_pointing_links_token_layers_and_table(chromium: Any, address: str) -> None:
    page, seen = open_page(chromium, address)
    explain(page, TEXT)
    token = page.locator("#map [data-at='3']")
    for target in (token, page.locator("#layers tr[data-at='3']"), page.locator("#words tr[data-at='3']")):
        target.hover()
        linked = page.locator(".linked").evaluate_all("all => all.map((one) => one.closest('section').id || 'layers')")
        assert sorted(linked) == ["layers", "map", "words"]
    assert seen == []


def test_words_are_struck_out_by_keyboard_alone(chromium: Any, address: str) -> None:
    page, seen = open_page(chromium, address)
    page.keyboard.insert_text(TEXT)  # the box has the focus
    page.keyboard.press("Enter")
    settle(page)
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.word || ''"):
            break
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    word = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    page.locator("#removal .now").wait_for()
    assert (word, page.locator("#map .gone").inner_text()) == ("good", "good")
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    assert page.locator("#removal .now").inner_text().startswith("Without this word the decision")
    page.keyboard.press(" ")
    page.locator("#map .gone").wait_for(state="detached")
    page.get_by_role("button", name="Strike out the strongest").click()
    page.locator("#map .gone").first.wait_for()
    page.get_by_role("button", name="Put all back").click()
    page.locator("#map .gone").wait_for(state="detached")
    assert seen == []


def test_a_method_is_chosen_with_its_settings(chromium: Any, address: str) -> None:
    page, seen = open_page(chromium, address)
    explain(page, TEXT)
    combo(page, "Method").select_option("lime")
    settle(page)
    assert "LIME" in page.locator("#how").text_content()
    assert page.locator("#layer").is_hidden()
    assert "looks at no layer" in page.locator("#layers").inner_text()
    combo(page, "Method").select_option("information")
    settle(page)
    page.get_by_text("Settings of the method").click()
    steps = page.get_by_role("textbox", name="steps")
    assert steps.get_attribute("placeholder") == "10"
    for typed, says in (("many", "steps must be a whole number"), ("1001", "too much for this page")):
        steps.fill(typed)
        steps.press("Enter")
        page.get_by_role("alert").get_by_text(says).wait_for()
    steps.fill("3")
    steps.press("Enter")
    settle(page)
    assert page.locator("#alert").inner_text() == ""
    assert "information:steps=3" in page.locator("#python").inner_text()
    page.get_by_text("How this was made").click()
    assert "cross-entropy (nats)" in page.locator("#how svg text").all_text_contents()
    page.get_by_text("nine weights of the information").click()
    page.locator("#series section.row").nth(8).wait_for()
    settle(page)
    assert page.locator("#series .chart text").count() > 5
    assert seen == []


def test_a_language_model_writes_and_an_output_is_clicked(chromium: Any, address: str) -> None:
    page, seen = open_page(chromium, address)
    page.get_by_text("Language model", exact=True).click()
    page.get_by_label("Prompt", exact=True).fill("it is not")
    page.get_by_label("A response of your own").fill(" bad film")
    page.get_by_role("button", name="Explain", exact=True).click()
    output = page.locator("#generation [data-output]")
    output.first.wait_for()
    settle(page)
    output.nth(1).click()
    assert page.locator("#generation .narrows-generation").get_attribute("data-shown") is not None
    page.wait_for_url(re.compile("output="))
    again, also = open_page(chromium, page.url)
    again.locator("#generation [aria-pressed=true]").wait_for()
    assert again.locator("#generation [aria-pressed=true]").inner_text() == output.nth(1).inner_text()
    page.get_by_text("Chat", exact=True).click()
    page.get_by_label("A response of your own").fill("")
    page.get_by_label("Tokens to write").fill("2")
    page.get_by_label("Message", exact=True).press("Enter")
    settle(page)
    assert "user it is not is" in page.locator("#generation .prompt").inner_text()
    page.get_by_text("Next token", exact=True).click()
    page.get_by_role("button", name="Explain", exact=True).click()
    page.locator("#labels .pick").first.wait_for()
    settle(page)
    assert page.locator("#labels .pick").count() >= 5
    assert seen == also == []


def test_a_run_is_summed_up_and_exported(chromium: Any, address: str, tmp_path: Path, desk: Desk) -> None:
    page, seen = open_page(chromium, address)
    page.get_by_text("Data set", exact=True).click()
    combo(page, "Run").select_option("reviews")
    page.get_by_role("button", name="Sum up").click()
    page.locator("#summary table").first.wait_for()
    assert "good" in page.locator("#summary").inner_text()
    names = page.locator("#files button").evaluate_all("all => all.map((one) => one.name)")
    assert names == ["summary.html", "summary.csv", "summary.json"]
    summary = summarize_run(desk.runs["reviews"])
    for name in names:
        with page.expect_download(timeout=PATIENCE) as download:
            page.locator(f"#files button[name='{name}']").click()
        download.value.save_as(tmp_path / name)
        summary.save(tmp_path / f"own-{name}")
        assert (tmp_path / name).read_bytes() == (tmp_path / f"own-{name}").read_bytes()
    settle(page)
    page.goto((tmp_path / "summary.html").as_uri())
    assert page.locator("table.strongest tbody tr").count() == len(summary.entries)
    assert page.evaluate(UNNAMED) == []
    assert [one for one in seen if not one.startswith("file:")] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_summary_can_be_read_at_every_width(chromium: Any, address: str, scheme: str) -> None:
    page, seen = open_page(chromium, f"{address}/#run=reviews", color_scheme=scheme)
    settle(page)
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 900})
        for closed in page.locator("#summary details:not([open]) summary").all()[:1]:
            closed.click()
        assert page.evaluate(LOWEST_CONTRAST)[0] >= 4.5
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"wider than its window of {width}"
    assert page.evaluate(UNNAMED) == []
    assert page.locator("#summary thead th:empty").count() == 0
    assert seen == []


def test_hostile_text_is_shown_as_text(chromium: Any, address: str) -> None:
    page, seen = open_page(chromium, address)
    explain(page, HOSTILE)
    assert shown(page) == HOSTILE.replace("\x07", "\\x07")
    assert page.locator("#result script, #result img").count() == 0
    box = page.get_by_label("Text", exact=True)
    box.fill("x " * 5000)
    box.press("Enter")
    page.get_by_text("tokens were cut off").wait_for()
    box.fill(" ")
    box.press("Enter")
    alert = page.get_by_role("alert").get_by_text("text is empty: there is nothing to explain")
    alert.wait_for()
    assert "Traceback" not in page.content()
    page.goto(f"{address}/#text=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&removed=[[%22%3Cimg%3E%22]]&open=%3Cb%3E")
    page.reload()
    page.get_by_role("alert").get_by_text("no model").wait_for()
    assert seen == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_and_every_control_has_a_name(chromium: Any, address: str, scheme: str) -> None:
    page, seen = open_page(chromium, address, color_scheme=scheme, viewport={"width": 1180, "height": 900})
    explain(page, TEXT)
    page.locator("#map [data-word]").nth(2).click()
    page.locator("#removal .now").wait_for()
    lowest = []
    for width in (1180, 360):
        page.set_viewport_size({"width": width, "height": 900})
        page.mouse.move(0, 0)
        page.get_by_text("How this was made").click()
        lowest.append(page.evaluate(LOWEST_CONTRAST))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"wider than its window of {width}"
    assert min(lowest)[0] >= 4.5, lowest
    assert page.evaluate(UNNAMED) == []
    assert seen == []
