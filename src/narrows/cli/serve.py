"""``narrows serve``: the web page."""

from __future__ import annotations

from typing import Annotated

import typer

from narrows.cli.terminal import DeviceOption

commands = typer.Typer()


@commands.command()
def serve(
    port: Annotated[int, typer.Option(help="Where to serve, for this machine only; 0 = any free port.")] = 7860,
    model: Annotated[
        list[str] | None, typer.Option(help="A model to offer, as often as you like; default: the demo models.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Longer texts are cut.")] = 256,
    device: DeviceOption = None,
) -> None:
    """Serve a page that explains predictions in the browser."""
    from narrows.app.server import serve as run
    from narrows.app.shelf import Shelf
    from narrows.models.hub import bundled

    offered = model or sorted(bundled.names(), key=lambda name: name != "sentiment")
    shelf = Shelf(offered, device, max_tokens)
    run(shelf, port, lambda address: typer.echo(f"narrows: the page is at {address}; Ctrl-C stops it", err=True))
