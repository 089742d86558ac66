"""The page under attack: what comes in is bounded, nothing else goes out, and fifty visitors each get their own map."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from narrows.app.desk import QUESTIONS, Desk
from narrows.app.request import PageRequest

pytest.importorskip("uvicorn", reason="the page needs the extra app")
httpx = pytest.importorskip("httpx")

from narrows.app.gate import MAX_BODY  # noqa: E402
from narrows.app.line import DEFECT, WAITING, Line  # noqa: E402
from visiting import LONG, ask, body, messages, served  # noqa: E402

VISITORS = 50


@pytest.fixture(scope="module")
def address(desk: Desk) -> Iterator[str]:
    with served(desk) as url:
        yield url


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "/start.json", "/static/page.js", "/../server.py", "/%2e%2e/server.py", "/..%2fserver.py"),
        *("/page.js/", "//etc/passwd", "/file=/etc/passwd", "/api/explain", "/api/file/map.png", "/api/"),
        *("/docs", "/openapi.json", "/login", "/index.html", "/offer.json?x=/etc/passwd/../.."),
    ],
)
def test_nothing_but_the_page_is_read(address: str, path: str) -> None:
    answer = httpx.get(address + path, timeout=LONG)
    if path.startswith("/offer.json"):  # what stands after the ? is ignored
        assert set(answer.json()["runs"]) == {"reviews", "later"}
        return
    assert answer.status_code == 404
    assert len(answer.text) < 100
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    "path", ["/", "/page.js", "/api", "/api/", "/api/upload", "/api/_explain", "/api/file", "/offer.json"]
)
def test_nothing_but_questions_is_taken(address: str, path: str) -> None:
    sent = {"files": ("x.html", b"<script>alert(1)</script>", "text/html")}
    assert httpx.post(f"{address}{path}", files=sent, timeout=LONG).status_code == 404
    for method in ("PUT", "DELETE", "OPTIONS"):
        assert httpx.request(method, f"{address}/api/explain", json={}, timeout=LONG).status_code == 404


def test_what_the_page_itself_needs_is_answered(address: str) -> None:
    for path in ("/", "/page.css", "/maps.css", "/page.js", "/ask.js", "/generation.js", "/icon.svg", "/offer.json"):
        answer = httpx.get(address + path, timeout=LONG)
        assert (answer.status_code, "content-security-policy" in answer.headers) == (200, True), path
        assert httpx.head(address + path, timeout=LONG).headers["content-length"] == str(len(answer.content))
    assert "http" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},  # another server of this machine
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "elsewhere.example"},
        {"Host": "127.0.0.1.elsewhere.example:80"},
        {"Host": "elsewhere.example:127.0.0.1"},
    ],
)
def test_a_page_elsewhere_cannot_ask(address: str, headers: dict[str, str]) -> None:
    sent = body({"text": "good"})
    sent["headers"] |= headers
    answer = httpx.post(f"{address}/api/explain", **sent)
    assert answer.status_code in (400, 403)
    reads = httpx.get(f"{address}/offer.json", headers=headers, timeout=LONG)
    assert reads.status_code in (400, 403)
    assert "access-control-allow-origin" not in reads.headers
    own = httpx.get(f"{address}/offer.json", headers={"Origin": address, "Sec-Fetch-Site": "same-origin"}, timeout=LONG)
    assert own.status_code == 200


def test_bodies_are_bounded_in_size_depth_and_kind(address: str, model: str) -> None:
    def status(content: bytes | Iterator[bytes]) -> int:
        try:
            return int(httpx.post(f"{address}/api/explain", content=content, timeout=LONG).status_code)
        except httpx.TransportError:  # it was answered, and hung up on, while it was still talking
            return 413

    def chunks() -> Iterator[bytes]:  # without a length
        yield from (b'{"text": "' if place == 0 else b"a" * 10_000 for place in range(MAX_BODY // 10_000 + 9))

    assert status(b'"' + b"a" * MAX_BODY + b'"') == 413
    assert status(chunks()) == 413
    for depth in (20, 900, 100_000):
        assert status(f'{{"text": {"[" * depth}{"]" * depth}}}'.encode()) == 400
    for wrong in (b"", b"{", b"[]", b"\xff", b"null", b"{}", b'{"text": null}', b'{"text": "a", "model": "/etc"}'):
        assert status(wrong) == 400
    assert status(json.dumps({"text": "good film", "model": model}).encode()) == 200


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"text": "a" * 20_001}, "20,001 characters"),
        ({"text": "a" * 19_999, "text_pair": "bb"}, "20,001 characters"),
        ({"text": "good", "method": "fast:steps=1001"}, "may be at most 1,000"),
        ({"text": "good", "method": f"fast:steps={'9' * 5000}"}, "steps must be"),
        ({"text": "good", "method": "file:path=/etc/passwd"}, "no method"),
        ({"text": "good", "tokens": 65}, "between 0 and 64"),
        ({"text": "\ud800 good"}, "surrogate"),
    ],
)
@pytest.mark.parametrize("question", ["explain", "layers", "betas", "remove", "compare", "python", "file/map.png"])
def test_what_is_asked_is_bounded(address: str, model: str, question: str, asked: dict[str, Any], says: str) -> None:
    said = ask(address, question, **{"model": model, "other_method": "ig", **asked})["error"]
    assert says in said
    assert len(said) < 400


@pytest.mark.parametrize("name", ["sentiment", "/etc", "../..", "someone/model", "<script>alert(1)</script>"])
@pytest.mark.parametrize("question", ["explain", "model"])
def test_only_the_models_on_offer_are_loaded(address: str, question: str, name: str) -> None:
    assert "no model" in ask(address, question, text="good", model=name)["error"]


@pytest.mark.parametrize(
    "removed", [{"a": 1}, ["3"], [[]], [["<img src=x>"]], [[{"a": 1}]], [[9**99]], [[-1]], [[True]], [[1], [1]], 3, "1"]
)
def test_what_the_page_would_not_send_is_one_line(
    address: str, model: str, removed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    said = ask(address, "remove", text="a good film", model=model, removed=removed)["error"]
    assert "removed must be a list of words" in said or "only words of the text" in said
    assert not [record for record in caplog.records if record.name.startswith("narrows")]


@pytest.mark.parametrize("question", sorted(QUESTIONS))
def test_a_question_without_its_fields_is_one_line(
    address: str, question: str, caplog: pytest.LogCaptureFixture
) -> None:
    for asked in ({}, {"text": "a", "model": 3}, {"text": "a", "run": [], "other_method": {}}):
        assert "error" in ask(address, question, **asked)
    assert not [record for record in caplog.records if record.name.startswith("narrows")]


def test_a_fault_of_ours_is_one_line_and_a_traceback_in_the_log(
    address: str, model: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(QUESTIONS, "model", lambda *_: 1 / 0)
    assert ask(address, "model", model=model) == {"error": DEFECT}
    assert "ZeroDivisionError" in caplog.text


def test_fifty_visitors_each_get_their_own_map_in_the_order_of_coming(address: str, model: str) -> None:
    order: list[int] = []

    async def visit(client: Any, number: int) -> str:
        asked = body({"text": f"visitor {number} saw a good film", "model": model, "method": "saliency"})
        answer = await client.post(f"{address}/api/explain", **asked)
        order.append(number)
        return str(messages(answer.text)[-1]["answer"]["map"]["text"])

    async def all_at_once() -> list[str]:
        limits = httpx.Limits(max_connections=2 * VISITORS)
        async with httpx.AsyncClient(timeout=LONG, limits=limits) as client:
            waiting = []
            for number in range(VISITORS):
                waiting.append(asyncio.create_task(visit(client, number)))
                await asyncio.sleep(0.02)
            return await asyncio.gather(*waiting)

    assert asyncio.run(all_at_once()) == [f"visitor {number} saw a good film" for number in range(VISITORS)]
    # Places change by a few where two came in the same moment; nobody is passed over.
    assert max(abs(place - number) for place, number in enumerate(order)) < 10


async def leave_at_once(client: Any, address: str, begun: threading.Event, asked: dict[str, Any]) -> None:
    """Ask, wait until it is being computed, and close the page."""
    task = asyncio.create_task(client.post(f"{address}/api/layers", **body(asked)))
    await asyncio.to_thread(begun.wait, LONG)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_layers_of_a_visitor_who_left_are_not_computed_to_the_end(
    address: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def without_end(desk: Desk, request: PageRequest, report: Callable[[int, int], None]) -> Any:
        begun.set()
        try:
            for number in range(100_000):
                time.sleep(0.01)
                report(number, 100_000)
        finally:
            ended.set()

    monkeypatch.setattr(Desk, "layers", without_end)

    async def visit() -> None:
        async with httpx.AsyncClient(timeout=LONG) as client:
            await leave_at_once(client, address, begun, {"text": "a film", "model": model})
            answer = await client.post(f"{address}/api/explain", **body({"text": "a good film", "model": model}))
            assert messages(answer.text)[-1]["answer"]["map"]["text"] == "a good film"

    asyncio.run(visit())
    assert ended.is_set()


def test_who_left_while_waiting_is_not_computed_for_and_a_full_line_says_so() -> None:
    line, started, go_on = Line(), [], threading.Event()

    def work(name: str) -> Callable[[Any], str]:
        def run(_: Any) -> str:
            started.append(name)
            go_on.wait(LONG)
            return name

        return run

    async def listen(name: str) -> list[dict[str, Any]]:
        return [message async for message in line.run(work(name))]

    async def visit() -> None:
        first = asyncio.create_task(listen("first"))
        while not started:
            await asyncio.sleep(0.01)
        others = [asyncio.create_task(listen(str(number))) for number in range(WAITING - 1)]
        await asyncio.sleep(0.1)
        assert "visitors are waiting" in str((await asyncio.gather(listen("late"), return_exceptions=True))[0])
        for other in others[:-1]:
            other.cancel()
        await asyncio.gather(*others[:-1], return_exceptions=True)
        go_on.set()
        assert await first == [{"answer": "first"}]
        last = str(WAITING - 2)
        assert await others[-1] == [{"ahead": WAITING - 1}, {"answer": last}]
        assert started == ["first", last]
        line.close()

    asyncio.run(visit())
