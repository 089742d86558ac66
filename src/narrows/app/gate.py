"""The gate of the page: what may come in; everything else is refused before anything looks at it."""

import asyncio
import json
from typing import Any

HOSTS = ("127.0.0.1", "localhost")
MAX_BODY = 600_000  # bytes; texts of the most characters, each written as \u escapes, and the settings
MAX_SENT = 10 * MAX_BODY  # what is still read of a longer one, and dropped: who sends might not read the answer
MAX_DEPTH = 16  # of the JSON of a body; the page itself sends 3
PATIENCE = 30.0  # seconds until a body must have arrived


def refuse(scope: Any) -> tuple[int, str] | None:
    """Tell status and reason if a request is not from the page itself, None if it is."""
    headers = dict(scope["headers"])
    origin, host = headers.get(b"origin"), headers.get(b"host", b"")
    if host.decode("latin-1").rpartition(":")[0] not in HOSTS and host.decode("latin-1") not in HOSTS:
        return 400, "the page answers as 127.0.0.1 and localhost only"  # another name may point to this machine
    # A page elsewhere, or of another port of this machine, may send what a browser sends, but not hide where it is.
    if origin is not None and origin.partition(b"://")[2] != host:
        return 403, "only the page itself may ask"
    if scope["path"] != "/" and headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
        return 403, "only the page itself may ask"  # but a link may lead to the page
    return None


async def read(receive: Any) -> dict[str, Any] | tuple[int, str]:
    """Read the JSON object that a request holds, or tell status and reason."""
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
    return content


def _depth(content: Any) -> int:
    """Count how deep containers lie in one another."""
    level, depth = [content], 0
    while level := [one for one in level if isinstance(one, (dict, list))]:
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
        depth += 1
    return depth
