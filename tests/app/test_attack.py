"""The page under attack: what comes in is bounded, nothing else goes out, and fifty visitors each get their own map."""

from __future__ import annotations

import asyncio
import gc
import html
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from narrows.app.request import Request
from narrows.app.session import Session
from narrows.app.shelf import Shelf

pytest.importorskip("gradio", reason="the page needs the extra app")
httpx = pytest.importorskip("httpx", reason="comes with Gradio")

from narrows.app.gate import MAX_BODY  # noqa: E402
from narrows.app.page import SESSIONS, build_page  # noqa: E402
from visiting import LONG, Visitor, served, shown  # noqa: E402

# Not ours: Gradio leaves event loops open when it builds a page, and sets what pandas will take away.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]
VISITORS = 50


@pytest.fixture(scope="module")
def address(shelf: Shelf) -> Iterator[str]:
    with served(shelf) as url:
        gc.collect()  # what was left open, while it is forgiven
        yield url


@pytest.fixture(scope="module")
def config(address: str) -> dict[str, Any]:
    return dict(httpx.get(f"{address}/config", timeout=LONG).json())


@pytest.fixture
def visitor(address: str, config: dict[str, Any]) -> Visitor:
    return Visitor(address, config)


def ask(visitor: Visitor, body: dict[str, Any]) -> dict[str, Any]:
    """Send one request and wait for its result."""

    async def both() -> dict[str, Any]:
        async with httpx.AsyncClient(timeout=LONG) as client:
            answer = await visitor.join(client, body)
            assert answer.status_code == 200, answer.text
            return (await visitor.results(client))[-1]

    return asyncio.run(both())


def explain(visitor: Visitor, **typed: Any) -> dict[str, Any]:
    return visitor.body(visitor.find(value="Explain"), "click", typed)


@pytest.mark.parametrize(
    "path",
    [
        *("/gradio_api/file=/etc/passwd", "/gradio_api/file/etc/passwd", "/file=/etc/passwd"),
        *("/gradio_api/proxy=https://elsewhere.example/x", "/gradio_api/upload_progress?upload_id=1"),
        *("/assets/../../../etc/passwd", "/assets/%2e%2e/%2e%2e/routes.py", "/static/..%2f..%2froutes.py"),
        *("/monitoring", "/monitoring/summary", "/openapi.json", "/docs", "/gradio_api/openapi.json"),
        *("/gradio_api/deep_link?session_hash=x", "/gradio_api/dev/reload", "/login", "/logout"),
        *("/gradio_api/stream/a/b/1/playlist-file", "/gradio_api/custom_component/1/client/component/x.js"),
        *("/gradio_api/heartbeat/..%2f..%2fetc", "/assets//etc/passwd", "/svelte//etc/passwd"),
    ],
)
def test_nothing_but_the_page_is_read(address: str, path: str) -> None:
    answer = httpx.get(address + path, timeout=LONG)
    assert answer.status_code in (403, 404)
    assert len(answer.text) < 100
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["upload", "run/predict", "call/predict", "api/predict", "component_server", "process_recording", "vibe-edit"],
)
def test_nothing_but_the_events_of_the_page_is_taken(address: str, path: str) -> None:
    sent = {"files": ("x.html", b"<script>alert(1)</script>", "text/html")}
    assert httpx.post(f"{address}/gradio_api/{path}", files=sent, timeout=LONG).status_code == 404
    assert httpx.put(f"{address}/gradio_api/queue/join", json={}, timeout=LONG).status_code == 404


def test_what_the_page_itself_needs_is_answered(address: str) -> None:
    for path in ("/", "/config", "/theme.css", "/gradio_api/info", "/gradio_api/startup-events", "/gradio_api/app_id"):
        answer = httpx.get(address + path, timeout=LONG)
        assert (answer.status_code, "content-security-policy" in answer.headers) == (200, True), path


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},  # another server of this machine
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "elsewhere.example"},
    ],
)
def test_a_page_elsewhere_cannot_ask(address: str, visitor: Visitor, headers: dict[str, str]) -> None:
    answer = httpx.post(f"{visitor.api}/queue/join", json=explain(visitor, Text="good"), headers=headers, timeout=LONG)
    assert answer.status_code in (400, 403)
    reads = httpx.get(f"{address}/config", headers=headers, timeout=LONG)
    assert reads.status_code in (400, 403)
    assert "access-control-allow-origin" not in reads.headers
    own = httpx.get(f"{address}/config", headers={"Origin": address, "Sec-Fetch-Site": "same-origin"}, timeout=LONG)
    assert own.status_code == 200


def test_bodies_are_bounded_in_size_depth_and_kind(visitor: Visitor) -> None:
    def status(content: bytes | Iterator[bytes]) -> int:
        try:
            sent: Any = {"content": content, "headers": {"content-type": "application/json"}, "timeout": LONG}
            return int(httpx.post(f"{visitor.api}/queue/join", **sent).status_code)
        except httpx.TransportError:  # it was answered, and hung up on, while it was still talking
            return 413

    def chunks() -> Iterator[bytes]:  # without a length
        yield from (b'{"data": ["' if place == 0 else b"a" * 10_000 for place in range(MAX_BODY // 10_000 + 9))

    assert status(b'"' + b"a" * MAX_BODY + b'"') == 413
    assert status(chunks()) == 413
    for depth in (20, 900, 100_000):
        nested = f'{{"session_hash": "a", "data": {"[" * depth}{"]" * depth}}}'
        assert status(nested.encode()) == 400
    for wrong in (b"", b"{", b"[]", b"\xff", b"null", b'{"data": []}', b'{"session_hash": "../../x", "data": []}'):
        assert status(wrong) == 400
    assert status(json.dumps(explain(visitor, Text="good film")).encode()) == 200


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"Text": "a" * 20_001}, "20,001 characters"),
        ({"Text": "a" * 19_999, "Second text, for models of pairs": "bb"}, "20,001 characters"),
        ({"Text": "good", "points": "1001"}, "may be at most 1,000"),
        ({"Text": "good", "points": "9" * 5000}, "points must be"),
        ({"Text": "\ud800 good"}, "surrogate"),
    ],
)
def test_what_is_asked_is_bounded(visitor: Visitor, typed: dict[str, Any], says: str) -> None:
    alert, _ = shown(ask(visitor, explain(visitor, **typed)))
    assert says in html.unescape(alert)
    assert len(alert) < 400


@pytest.mark.parametrize("name", ["sentiment", "/etc", "../..", "someone/model", "<script>alert(1)</script>"])
def test_only_the_models_on_offer_are_loaded(visitor: Visitor, name: str) -> None:
    message = ask(visitor, explain(visitor, Text="good", Model=name))
    assert not message["success"] or "no model" in html.unescape(shown(message)[0])


@pytest.mark.parametrize(
    "event", [None, {}, {"tokens": "<img src=x>"}, {"tokens": {"a": 1}}, {"tokens": "9" * 9999}, {"tokens": "-1"}]
)
def test_an_event_that_the_page_would_not_send_is_one_line(
    visitor: Visitor, event: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ask(visitor, explain(visitor, Text="a good film"))
    alert, _ = shown(ask(visitor, visitor.body(visitor.find(elem_id="tokens"), "select", data=event)))
    assert "only tokens of the text can be removed" in alert
    assert not caplog.records


def test_fifty_visitors_each_get_their_own_map_in_the_order_of_coming(address: str, config: dict[str, Any]) -> None:
    order: list[int] = []

    async def visit(client: Any, number: int) -> str:
        visitor = Visitor(address, config)
        answer = await visitor.join(client, explain(visitor, Text=f"visitor {number} saw a good film"))
        assert answer.status_code == 200, answer.text
        (message,) = await visitor.results(client)
        order.append(number)
        return shown(message)[1]

    async def all_at_once() -> list[str]:
        limits = httpx.Limits(max_connections=2 * VISITORS)
        async with httpx.AsyncClient(timeout=LONG, limits=limits) as client:
            waiting = []
            for number in range(VISITORS):
                waiting.append(asyncio.create_task(visit(client, number)))
                await asyncio.sleep(0.02)
            return await asyncio.gather(*waiting)

    for number, drawn in enumerate(asyncio.run(all_at_once())):
        text = re.sub(r"<[^>]*>", "", drawn)
        assert re.findall(r"visitor (\d+) saw a good film", text) == [str(number)]
    # Places change by a few where two came in the same moment; nobody is passed over.
    assert max(abs(place - number) for place, number in enumerate(order)) < 10


async def leave_at_once(visitor: Visitor, client: Any, *bodies: dict[str, Any]) -> None:
    """Ask, wait until the first is being computed, and close the page."""
    for body in bodies:
        await visitor.join(client, body)
    async with client.stream("GET", f"{visitor.api}/queue/data", params={"session_hash": visitor.session}) as stream:
        async for line in stream.aiter_lines():
            if "process_starts" in line:
                return


def test_what_a_visitor_who_left_still_waited_for_is_not_computed(
    address: str, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go_on, start = [], threading.Event(), Session.start

    def slowly(request: Request, shelf: Shelf) -> Session:
        started.append(request.text)
        go_on.wait(LONG)
        return start(request, shelf)

    monkeypatch.setattr("narrows.app.page.Session.start", slowly)
    one, other = Visitor(address, config), Visitor(address, config)

    async def visit() -> None:
        async with httpx.AsyncClient(timeout=LONG) as client:
            await leave_at_once(one, client, *(explain(one, Text=f"film {number}") for number in range(5)))
            await other.join(client, explain(other, Text="a good film"))
            while (await client.get(f"{one.api}/queue/status")).json()["queue_size"] > 1:
                await asyncio.sleep(0.02)
            go_on.set()
            assert "good" in shown((await other.results(client))[0])[1]

    asyncio.run(visit())
    assert started == ["film 0", "a good film"]


def test_layers_of_a_visitor_who_left_are_not_computed_to_the_end(
    address: str, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def without_end(self: Session, shelf: Shelf, report: Callable[[int, int], None]) -> Session:
        try:
            for number in range(100_000):
                time.sleep(0.01)
                report(number, 100_000)
        finally:
            ended.set()
        return self

    monkeypatch.setattr("narrows.app.page.Session.with_layers", without_end)
    one, other = Visitor(address, config), Visitor(address, config)
    ask(one, explain(one, Text="a film"))
    tab = next(id_ for id_, widget in one.widgets.items() if widget["props"].get("label") == "Layers")

    async def visit() -> None:
        async with httpx.AsyncClient(timeout=LONG) as client:
            await leave_at_once(one, client, one.body(tab, "select"))
            await other.join(client, explain(other, Text="a good film"))
            assert "good" in shown((await other.results(client))[0])[1]

    asyncio.run(visit())
    assert ended.is_set()


def test_what_is_kept_of_visitors_is_bounded(shelf: Shelf) -> None:
    page = build_page(shelf)
    held = page._queue.pending_messages_per_session
    for number in range(3 * SESSIONS):
        held[str(number)] = number
    assert len(held) == page.state_session_capacity == SESSIONS > VISITORS
    del page, held
    gc.collect()
