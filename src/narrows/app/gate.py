"""The gate of the page: what may come in. Gradio offers more than this page needs: uploads, files, a proxy."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

MAX_BODY = 600_000  # bytes; two texts of the most characters, each written as \u escapes, and the settings
MAX_SENT = 10 * MAX_BODY  # what is still read of a longer one, and dropped: who sends might not read the answer
MAX_DEPTH = 16  # of the JSON of a body; the page itself sends 4
PATIENCE = 30.0  # seconds until a body must have arrived
# What a visitor's browser asks for, and nothing else; a session is a name of letters that the browser draws.
_READ = re.compile(
    r"/(config/?|theme\.css|favicon\.ico|robots\.txt|manifest\.json|pwa_icon(/\d{1,4})?|(assets|static|svelte)/[\w./-]+"
    r"|gradio_api/(info/?|app_id/?|startup-events|theme\.css|queue/(data|status)|heartbeat/[\w-]{1,64}))?"
)
_WRITTEN = re.compile(r"/gradio_api/(queue/join|cancel|reset)/?")
_SESSION = re.compile(r"[\w-]{1,64}")

App = Callable[..., Any]  # ASGI


def gated(app: App) -> App:
    """Wrap an application (ASGI) so that it sees only what the page itself sends, from the page itself, in bounds."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        if refused := _refuse(scope):
            await _read(receive, of_session=False)  # who still sends might lose the answer with the connection
            await _say(send, *refused)
        elif scope["method"] != "POST":
            await app(scope, receive, send)
        elif isinstance(body := await _read(receive, "join" in scope["path"]), tuple):
            await _say(send, *body)
        else:
            await app(scope, _replayed(body, receive), send)

    return answer


def _refuse(scope: Any) -> tuple[int, str] | None:
    """Tell status and reason if a request is not one of the page's own, None if it is."""
    headers = dict(scope["headers"])
    # A page elsewhere, or of another port of this machine, may send what a browser sends, but not hide where it is.
    origin, host = headers.get(b"origin"), headers.get(b"host", b"")
    if origin is not None and origin.partition(b"://")[2] != host:
        return 403, "only the page itself may ask"
    path, method = scope["path"], scope["method"]
    if path != "/" and headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
        return 403, "only the page itself may ask"  # but a link may lead to the page
    known = _READ if method in ("GET", "HEAD") else _WRITTEN if method == "POST" else None
    if known is None or not known.fullmatch(path) or ".." in path:
        return 404, "there is no such page"
    return None


async def _read(receive: Any, of_session: bool) -> bytes | tuple[int, str]:
    """Read the body of a request whole, which names its session if it is `of_session`; or tell status and reason."""
    body, size, more = bytearray(), 0, True
    try:
        while more and size <= MAX_SENT:
            message = await asyncio.wait_for(receive(), PATIENCE)
            part = message.get("body", b"")
            size, more = size + len(part), message.get("more_body", False)
            body += part if size <= MAX_BODY else b""
    except asyncio.TimeoutError:
        return 408, f"the request did not arrive within {PATIENCE:.0f} seconds"
    if size > MAX_BODY:
        return 413, f"more than {MAX_BODY:,} bytes"
    try:
        content = json.loads(bytes(body))
    except (ValueError, RecursionError):
        return 400, "the request is no JSON that can be read"
    if not isinstance(content, dict) or _depth(content) > MAX_DEPTH:
        return 400, "the request is not one of this page"
    session = content.get("session_hash")
    if of_session and not (isinstance(session, str) and _SESSION.fullmatch(session)):
        return 400, "the request names no session"
    return bytes(body)


def _depth(content: Any) -> int:
    """Count how deep containers lie in one another."""
    level, depth = [content], 0
    while level := [one for one in level if isinstance(one, (dict, list))]:
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
        depth += 1
    return depth


def _replayed(body: bytes, receive: Any) -> Any:
    """Give the body that was read once more, then what else comes: that the visitor has left."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Any:
        return waiting.pop() if waiting else await receive()

    return next_message


async def _say(send: Any, status: int, reason: str) -> None:
    """Answer in one line; the connection is closed, for the rest of a body may still be on its way."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})
