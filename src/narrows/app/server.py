"""Serving the page for this machine only: no telemetry, nothing fetched from outside, and a policy that forbids it."""

import logging
import os
import socket
from collections.abc import Callable
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

from narrows.app.gate import gated
from narrows.app.page import build_page, head
from narrows.app.shelf import Shelf
from narrows.viz.shade import SURFACE

HOST = "127.0.0.1"
CONNECTIONS = 600  # more get "503"; a browser holds at most six for each page
# Gradio's scripts make functions out of strings and its widgets have inline styles; nothing may leave this machine.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
HEADERS += [(b"x-content-type-options", b"nosniff")]


def with_headers(app: Any) -> Any:
    """Wrap an application (ASGI) so that every answer forbids what is foreign, referrers and guessed types."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def send_with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        await app(scope, receive, send_with_headers)

    return answer


def make_app(shelf: Shelf) -> Any:
    """Make the web application (ASGI)."""
    app: Any = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    options: Any = {"path": "/", "server_name": HOST, "footer_links": [], "ssr_mode": False, "show_error": False}
    options["max_file_size"] = 1  # byte: nothing is uploaded to the page
    mounted = gr.mount_gradio_app(app, build_page(shelf), theme=_theme(), head=head(), **options)
    mounted.add_middleware(gated)
    # A page elsewhere whose name points to this machine gets no answer.
    mounted.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    mounted.add_middleware(with_headers)
    return mounted


def stoppable(shelf: Shelf, port: int, ready: Callable[[str], None]) -> tuple[Callable[[], None], Callable[[], None]]:
    """Make a function that serves, and one that stops it; port 0 = any free one; `ready` gets the address."""
    listener = _listen(port)
    try:
        # An open page holds its connection: the server does not wait for visitors to leave.
        limits: Any = {"timeout_graceful_shutdown": 1, "limit_concurrency": CONNECTIONS}
        config = uvicorn.Config(make_app(shelf), log_level="warning", access_log=False, proxy_headers=False, **limits)
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


def _theme() -> Any:
    """Make a plain theme with the fonts of the visitor's system."""
    sans = [gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")]
    mono = [gr.themes.Font("ui-monospace"), gr.themes.Font("monospace")]
    theme = gr.themes.Base(primary_hue="blue", neutral_hue="slate", radius_size="sm", font=sans, font_mono=mono)
    # The theme's own shades fall short of a contrast of 4.5 to 1; shades of tokens are mixed with the body.
    button = "button_primary_background_fill"
    colors = {"body_background_fill": SURFACE["light"], "body_background_fill_dark": SURFACE["dark"]}
    colors |= {f"{button}{mode}": "*primary_700" for mode in ("", "_dark")}
    colors |= {f"{button}_hover{mode}": "*primary_800" for mode in ("", "_dark")}
    for name in ("block_label_text_color", "block_title_text_color", "body_text_color_subdued"):
        colors |= {name: "*neutral_600", f"{name}_dark": "*neutral_300"}
    return theme.set(**colors)
