"""``narrows report``: a page, figures and tables of what runs found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer()


@commands.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, or a folder of such folders.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write; default: into the folder, or report-REMOVAL in it.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Method whose best and worst maps are shown.")] = None,
    removal: Annotated[
        str | None, typer.Option(help="How tokens were removed; default: the first way of the run.")
    ] = None,
) -> None:
    """Write a page (report.html), figures (PNG and SVG) and tables of what runs found."""
    from narrows.run.report import is_dataset_run, write_maps_page, write_report

    if is_dataset_run(folder):
        page = write_maps_page(folder, out)
        typer.echo(f"narrows: wrote {page}", err=True)
        typer.echo(page)
        return
    page, *others = write_report(folder, out, method, removal)
    typer.echo(f"narrows: wrote {page} and {len(others)} figures and tables beside it", err=True)
    typer.echo(page)
