"""Serving the page on this machine alone: no telemetry, nothing fetched from outside, and a browser that is told so."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from narrows.errors import DependencyError, InputError

# Gradio reads them when it is imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

try:
    import fastapi
    import gradio as gr
    import uvicorn
    from starlette.middleware.trustedhost import TrustedHostMiddleware
except ImportError as error:
    raise DependencyError('the page needs Gradio: pip install "narrows[app]"') from error

from narrows.app.page import build_page, head
from narrows.app.shelf import Shelf
from narrows.viz.shade import SURFACE

HOST = "127.0.0.1"
# Gradio's scripts make functions out of strings and its widgets have inline styles; nothing may leave this machine.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)

Message = MutableMapping[str, Any]
Application = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any]


class SecurityHeaders:
    """Sends the page's Content-Security-Policy, and forbids referrers and guessed types, with every answer."""

    def __init__(self, app: Application) -> None:
        """Stand before an application.

        Args:
            app: What answers.
        """
        self.app = app

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Let the application answer, with the headers added."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    (b"content-security-policy", POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        await self.app(scope, receive, send_with_headers)


def make_app(shelf: Shelf) -> Any:
    """Make the web application.

    Args:
        shelf: The models on offer.

    Returns:
        An ASGI application.
    """
    app: Any = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    mounted = gr.mount_gradio_app(
        app,
        build_page(shelf),
        path="/",
        server_name=HOST,
        theme=_theme(),
        head=head(),
        footer_links=[],
        ssr_mode=False,
        max_file_size=1,  # bytes: nothing is uploaded to the page
        show_error=False,
    )
    # A page elsewhere whose name is made to point to this machine must not be answered.
    mounted.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    mounted.add_middleware(SecurityHeaders)
    return mounted


def stoppable(shelf: Shelf, port: int, ready: Callable[[str], None]) -> tuple[Callable[[], None], Callable[[], None]]:
    """Make the server and the means to stop it.

    Args:
        shelf: The models on offer.
        port: Where, on this machine alone; 0 = any that is free.
        ready: Told the address when it answers.

    Returns:
        A function that serves until it is stopped, and one that stops it.

    Raises:
        InputError: If the port is taken or out of range.
    """
    listener = _listen(port)
    try:
        # An open page holds its connection: the server is not to wait for its visitors to leave.
        config = uvicorn.Config(make_app(shelf), log_level="warning", access_log=False, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
    except BaseException:
        listener.close()
        raise

    def while_serving(_: logging.LogRecord) -> bool:
        return not server.should_exit  # that open pages were left is no error

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


def serve(shelf: Shelf, port: int, ready: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C.

    Args:
        shelf: The models on offer.
        port: Where, on this machine alone; 0 = any that is free.
        ready: Told the address when it answers.

    Raises:
        InputError: If the port is taken or out of range.
    """
    run, _ = stoppable(shelf, port, ready)
    run()


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


def _theme() -> Any:
    """Make a plain theme with the fonts of the visitor's system."""
    sans = [gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")]
    mono = [gr.themes.Font("ui-monospace"), gr.themes.Font("monospace")]
    theme = gr.themes.Base(primary_hue="blue", neutral_hue="slate", radius_size="sm", font=sans, font_mono=mono)
    # The theme's own shades fall short of a contrast of 4.5 to 1.
    return theme.set(
        body_background_fill=SURFACE["light"],  # what shades are mixed with
        body_background_fill_dark=SURFACE["dark"],
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_600",
        block_title_text_color_dark="*neutral_300",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
    )
