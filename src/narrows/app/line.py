"""The line of visitors: one computation at a time, in the order of coming, and none for who has left."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from narrows.errors import InputError, NarrowsError

LOG = logging.getLogger("narrows.app")
WAITING = 64  # later ones are refused: the line is full
DEFECT = "Narrows itself failed; the reason is in the log of the server"

ProgressCallback = Callable[[int, int], None]  # how many parts of how many are done


class Line:
    """Runs work for visitors in one thread, and tells each how far it is."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "narrows")
        self._here: list[object] = []  # who waits, and who is served

    async def run(self, work: Callable[[ProgressCallback], Any]) -> AsyncIterator[dict[str, Any]]:
        """Tell place in the line, then progress, then the result, or one line that says what is wrong."""
        # A visitor who stops listening leaves the line; what runs for him stops at its next report. A full line is an
        # `InputError`.
        if len(self._here) >= WAITING:
            raise InputError(f"{WAITING} visitors are waiting already: try again later")
        told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        loop, left, ticket = asyncio.get_running_loop(), threading.Event(), object()

        def tell(message: dict[str, Any]) -> None:
            if not left.is_set():
                loop.call_soon_threadsafe(told.put_nowait, message)

        def report(done: int, total: int) -> None:
            if left.is_set():
                raise InputError("the visitor has left")
            tell({"done": done, "of": total})

        self._here.append(ticket)
        try:
            if ahead := len(self._here) - 1:
                yield {"ahead": ahead}
            self._thread.submit(_compute, work, report, tell, left)
            while True:
                message = await told.get()
                yield message
                if not message.keys() & {"done", "ahead"}:
                    return
        finally:
            left.set()
            self._here.remove(ticket)

    def close(self) -> None:
        """Compute nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _compute(
    work: Callable[[ProgressCallback], Any],
    report: ProgressCallback,
    tell: Callable[[Any], None],
    left: threading.Event,
) -> None:
    if left.is_set():
        return
    try:
        tell({"answer": work(report)})
    except NarrowsError as error:
        tell({"error": " ".join(str(error).split())})
    except Exception:
        LOG.exception("the page failed")
        tell({"error": DEFECT})
