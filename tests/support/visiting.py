"""Visitors of the page without a browser: what Gradio's client sends, over plain HTTP."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from narrows.app.shelf import Shelf

LONG = 400.0  # seconds: a busy machine is slow


@contextmanager
def served(shelf: Shelf) -> Iterator[str]:
    """Serve the page from a thread of this process; gives its address."""
    from narrows.app.server import stoppable

    ready, told = threading.Event(), []

    def say(url: str) -> None:
        told.append(url)
        ready.set()

    run, stop = stoppable(shelf, 0, say)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(LONG)
    try:
        yield told[0]
    finally:
        stop()
        thread.join(60)
        assert not thread.is_alive()


class Visitor:
    """One session: what it asks for by the name of the widget, and what it gets."""

    def __init__(self, address: str, config: dict[str, Any]) -> None:
        self.api = f"{address}/gradio_api"
        self.session = uuid.uuid4().hex[:12]
        self.widgets = {one["id"]: one for one in config["components"]}
        self.events = config["dependencies"]

    def find(self, **props: str) -> int:
        """The id of a widget by its properties."""
        (name, value), *_ = props.items()
        found = (id_ for id_, one in self.widgets.items() if one["props"].get(name) == value)
        return int(next(found))

    def body(self, widget: int, event: str, typed: dict[str, Any] | None = None, data: Any = None) -> dict[str, Any]:
        """What the page sends for an event of a widget; `typed` are values by label."""
        known = next(one for one in self.events if [widget, event] in [list(target) for target in one["targets"]])
        values = []
        for id_ in known["inputs"]:
            props = self.widgets[id_]["props"]
            value = None if self.widgets[id_]["type"] == "state" else props.get("value")
            values.append((typed or {}).get(props.get("label"), value))
        return {
            "data": values,
            "event_data": data,
            "fn_index": known["id"],
            "trigger_id": widget,
            "session_hash": self.session,
        }

    async def join(self, client: httpx.AsyncClient, body: dict[str, Any]) -> httpx.Response:
        headers = {"content-type": "application/json"}  # half characters go as escapes
        return await client.post(f"{self.api}/queue/join", content=json.dumps(body), headers=headers)

    async def results(self, client: httpx.AsyncClient) -> list[dict[str, Any]]:
        """Wait for what was asked for: the messages that say that something is done."""
        done = []
        async with client.stream("GET", f"{self.api}/queue/data", params={"session_hash": self.session}) as stream:
            async for line in stream.aiter_lines():
                message = json.loads(line[6:]) if line.startswith("data: ") else {}
                if message.get("msg") == "process_completed":
                    done.append(message)
                if message.get("msg") in ("close_stream", "unexpected_error"):
                    break
        return done


def shown(message: dict[str, Any]) -> tuple[str, str]:
    """The alert and the first part of the page that a result fills."""
    values = message["output"]["data"]
    return str(values[0] if isinstance(values[0], str) else ""), str(values[2])
