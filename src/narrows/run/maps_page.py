"""A page of the maps of a run over a data set: those of its texts with the most and with the least bits."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path

from narrows.data.output import written_whole
from narrows.data.schema import AttributionDict
from narrows.errors import DataError
from narrows.run.parts import COLUMNS, part_file, present_parts, read_rows, to_attribution
from narrows.run.store import MANIFEST, read_json
from narrows.viz.html import render_page

SHOWN = 10  # texts of either kind
PAGE = "report.html"


def is_dataset_run(folder: Path) -> bool:
    """Tell whether a folder is that of a run over a data set.

    Args:
        folder: The folder.

    Returns:
        True if its manifest is of ``narrows run``, not of an evaluation.
    """
    return (folder / MANIFEST).is_file() and "shard" in read_json(folder / MANIFEST)


def write_maps_page(folder: Path, out: Path | None = None) -> Path:
    """Write a page of the texts with the most bits, then of those with the least.

    The run is read a few rows at a time: its bits first, then the texts that are shown.

    Args:
        folder: Of the run.
        out: Where to; None = into the folder.

    Returns:
        The page.

    Raises:
        DataError: If no text of the run was explained, or a part is damaged.
    """
    place = folder if out is None else out
    maps = extreme_maps(folder, SHOWN)
    if not maps:
        raise DataError(f"{folder} holds no text that was explained: look at it with narrows inspect {folder}")
    place.mkdir(parents=True, exist_ok=True)
    with written_whole(place / PAGE) as partial:
        page = render_page(maps, f"Narrows: the texts of {folder.name} with the most and the least bits")
        partial.write_text(page, encoding="utf-8")
    return place / PAGE


def extreme_maps(folder: Path, count: int) -> list[AttributionDict]:
    """Read the texts with the most and the least bits.

    Args:
        folder: Of the run.
        count: How many of either kind.

    Returns:
        Their maps in the saved form, most bits first.
    """
    chosen = sorted(
        {*heapq.nlargest(count, _bits(folder)), *heapq.nsmallest(count, _bits(folder))},
        reverse=True,
    )
    wanted = {-number for _, number, _ in chosen}
    found = {
        row["id"]: to_attribution(row).to_dict()
        for part in sorted({part for _, _, part in chosen})
        for row in read_rows(part_file(folder, part), tuple(COLUMNS))
        if row["id"] in wanted
    }
    return [found[-number] for _, number, _ in chosen]


def _bits(folder: Path) -> Iterator[tuple[float, int, int]]:
    """Give bits, number (below 0, so that of equals the first comes first) and part of every text."""
    for part in present_parts(folder):
        for row in read_rows(part_file(folder, part), ("id", "total_bits")):
            if row["total_bits"] is not None:
                yield row["total_bits"], -row["id"], part
