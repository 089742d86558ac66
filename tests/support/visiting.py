"""Visitors of the page without a browser: what its script sends, over plain HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from narrows.app.desk import Desk

LONG = 400.0  # seconds: a busy machine is slow


@contextmanager
def served(desk: Desk) -> Iterator[str]:
    """Serve the page from a thread of this process; gives its address."""
    from narrows.app.server import stoppable

    ready, told = threading.Event(), []

    def say(url: str) -> None:
        told.append(url)
        ready.set()

    run, stop = stoppable(desk, 0, say)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(LONG)
    try:
        yield told[0]
    finally:
        stop()
        thread.join(60)
        assert not thread.is_alive()


def body(asked: Any) -> dict[str, Any]:
    """A question as httpx sends it; half characters go as escapes."""
    return {"content": json.dumps(asked), "headers": {"content-type": "application/json"}, "timeout": LONG}


def messages(text: str) -> list[dict[str, Any]]:
    """The lines of an answer."""
    return [json.loads(line) for line in text.splitlines()]


def ask(address: str, question: str, **asked: Any) -> dict[str, Any]:
    """The last line of an answer: ``{"answer": ...}`` or ``{"error": ...}``."""
    return messages(httpx.post(f"{address}/api/{question}", **body(asked)).text)[-1]
