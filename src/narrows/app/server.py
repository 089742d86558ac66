"""Serving the page for this machine only: its files, and one address for each question, in JSON, line by line.

The application is plain ASGI: some files, some questions, and nothing that would have to be switched off.
"""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from narrows.app import gate, request
from narrows.app.desk import QUESTIONS, WITH_BETA, Desk, shown
from narrows.app.line import Line, ProgressCallback
from narrows.errors import DependencyError, InputError
from narrows.methods.registry import find_method, settings_by_name
from narrows.methods.settings import write_setting
from narrows.viz.html import script, style_sheet

try:
    import uvicorn
except ImportError as error:
    raise DependencyError('the page needs uvicorn: pip install "narrows[app]"') from error

HOST = "127.0.0.1"
CONNECTIONS = 600  # more get "503"; a browser holds at most six for each page
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
HEADERS += [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
STATIC = {
    "index.html": "text/html",
    "page.css": "text/css",
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(("page.js", "ask.js", "state.js", "result.js"), "text/javascript"),
}
START = "start.json"  # a saved map, which is shown before a model is loaded
API = "/api/"
File = tuple[str, bytes]  # its type, its content


def make_app(desk: Desk) -> Any:
    """Make the web application (ASGI); raises a `ModelError` if a model is not there."""
    pages, line = _files(desk), Line()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _live(line, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        path, method = scope["path"], scope["method"]
        question = path.removeprefix(API) if path.startswith(API) else None
        if refused := gate.refuse(scope):
            await gate.read(receive)  # who still sends might lose the answer with the connection
            await _say(send, *refused)
        elif method in ("GET", "HEAD") and path in pages:
            kind, content = pages[path]
            await _send(send, 200, kind, content if method == "GET" else b"", len(content))
        elif method != "POST" or question is None or not (question in QUESTIONS or question.startswith("file/")):
            await gate.read(receive)
            await _say(send, 404, "there is no such page")
        elif isinstance(given := await gate.read(receive), tuple):
            await _say(send, *given)
        else:
            await _answer(desk, line, (question, given), receive, send)

    return answer


async def _answer(desk: Desk, line: Line, asked: tuple[str, Mapping[str, Any]], receive: Any, send: Any) -> None:
    """Answer a question as lines of JSON, the last of which is the answer; a file as it is, if all goes well."""
    question, given = asked

    def work(report: ProgressCallback) -> Any:
        if question.startswith("file/"):
            return desk.file(question.removeprefix("file/"), given, report)
        return desk.answer(question, given, report)

    gone = asyncio.ensure_future(_gone(receive))
    talk = asyncio.ensure_future(_talk(line.run(work), send, question.startswith("file/")))
    try:
        await asyncio.wait((gone, talk), return_when=asyncio.FIRST_COMPLETED)
        if talk.done():
            talk.result()
    finally:
        for task in (gone, talk):
            task.cancel()
        await asyncio.gather(gone, talk, return_exceptions=True)


async def _talk(messages: AsyncIterator[dict[str, Any]], send: Any, quiet: bool) -> None:
    """Send messages as they come, or only the last one. The status waits for the first that is sent."""
    begun = False
    try:
        async for message in messages:
            if isinstance(content := message.get("answer"), bytes):
                await _send(send, 200, "application/octet-stream", content, len(content))
                return
            if not begun and message.keys() & {"error", "answer"}:
                line = json.dumps(message).encode() + b"\n"
                await _send(send, 400 if "error" in message else 200, "application/x-ndjson", line, len(line))
                return
            if quiet:
                continue
            if not begun:
                headers = [(b"content-type", b"application/x-ndjson"), *HEADERS]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                begun = True
            line = json.dumps(message).encode() + b"\n"
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except InputError as error:  # the line is full
        await _say(send, 503, str(error))
    finally:
        await messages.aclose()  # type: ignore[attr-defined]


async def _gone(receive: Any) -> None:
    """Wait until the visitor has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _files(desk: Desk) -> dict[str, File]:
    """List all that can be read, by path."""
    static = files("narrows.app") / "static"
    found = {f"/{name}": (kind, (static / name).read_bytes()) for name, kind in STATIC.items()}
    found["/"] = found.pop("/index.html")
    found["/favicon.ico"] = found["/icon.svg"]
    found["/maps.css"] = "text/css", style_sheet().encode()
    found["/generation.js"] = "text/javascript", script().encode()
    saved = json.loads((static / START).read_text(encoding="utf-8"))
    start = {"request": {"text": saved["text"], "model": saved["model"]}, **shown(saved)}
    offer = {
        "models": [asdict(one) for one in desk.shelf.offers()],
        "methods": [_describe(name) for name in request.page_methods()],
        "samples": {name: one.to_dict() for name, one in request.SAMPLES.items() if one.model in desk.shelf.names},
        "runs": list(desk.runs),
        "limits": {"characters": request.MAX_CHARACTERS, "tokens": request.MAX_NEW_TOKENS},
        "with_beta": WITH_BETA,
        "start": start,
    }
    found["/offer.json"] = "application/json", json.dumps(offer).encode()
    return {path: (f"{kind}; charset=utf-8", content) for path, (kind, content) in found.items()}


def _describe(name: str) -> dict[str, Any]:
    """Describe a method and its settings, made from its fields."""
    method = find_method(name)
    boxes = [
        {
            "name": key,
            "help": f"{own.help} {own.type_text.replace(' | ', ' or ').capitalize()}.",
            "usual": write_setting(own.default),
        }
        for key, own in request.page_settings(name).items()
    ]
    layer = "layer" in settings_by_name(name)
    return {"name": name, "label": method.label, "caption": method.caption, "layer": layer, "settings": boxes}


async def _live(line: Line, receive: Any, send: Any) -> None:
    """Start and stop with the server."""
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    line.close()
    await send({"type": "lifespan.shutdown.complete"})


async def _send(send: Any, status: int, kind: str, content: bytes, length: int) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(length).encode()), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _say(send: Any, status: int, reason: str) -> None:
    """Refuse in one line; the connection is closed, for the rest of a body may still be on its way."""
    line = json.dumps({"error": reason}).encode() + b"\n"
    headers = [(b"content-type", b"application/x-ndjson"), (b"connection", b"close"), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": line})


def stoppable(desk: Desk, port: int, ready: Callable[[str], None]) -> tuple[Callable[[], None], Callable[[], None]]:
    """Make a function that serves, and one that stops it; port 0 = any free one; `ready` gets the address."""
    listener = _listen(port)
    try:
        # An open page holds its connection: the server does not wait for visitors to leave.
        limits: Any = {"timeout_graceful_shutdown": 1, "limit_concurrency": CONNECTIONS}
        config = uvicorn.Config(make_app(desk), log_level="warning", access_log=False, proxy_headers=False, **limits)
        server = uvicorn.Server(config)
    except BaseException:
        listener.close()
        raise

    def while_serving(_: logging.LogRecord) -> bool:
        return not server.should_exit  # pages that are still open are no error

    def run() -> None:
        log = logging.getLogger("uvicorn.error")
        with listener:
            listener.listen()
            ready(f"http://{HOST}:{listener.getsockname()[1]}")
            log.addFilter(while_serving)
            try:
                server.run(sockets=[listener])
            finally:
                log.removeFilter(while_serving)

    def stop() -> None:
        server.should_exit = True

    return run, stop


def _listen(port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise InputError(f"port must be between 0 and 65535, not {port}")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise InputError(f"cannot serve on port {port}: {error.strerror}; choose another with --port") from error
    return listener
