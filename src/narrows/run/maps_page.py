"""A page of a run over a data set: its texts with the largest and with the smallest scores."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from narrows.data.output import read_json, written_whole
from narrows.data.parquet import COLUMNS, from_row, read_rows
from narrows.data.schema import AttributionDict
from narrows.errors import DataError
from narrows.run.parts import part_file, present_parts
from narrows.run.store import MANIFEST
from narrows.viz.html import render_page

SHOWN = 10  # texts of either kind
PAGE = "report.html"


def is_dataset_run(folder: Path) -> bool:
    """Tell whether a folder is of ``narrows run``, or of one method of an evaluation."""
    return (folder / MANIFEST).is_file() and "shard" in read_json(folder / MANIFEST)


def write_maps_page(folder: Path, out: Path | None = None) -> Path:
    """Write a page of the texts whose absolute scores sum to the most, then of those with the least.

    Args:
        folder: Of the run, which is read a few rows at a time.
        out: Where to write; None = into the folder.

    Returns:
        The page.

    Raises:
        DataError: If no text of the run was explained, or a part is damaged.
    """
    place = folder if out is None else out
    maps = extreme_maps(folder, SHOWN)
    if not maps:
        raise DataError(f"{folder} has no explained text: see narrows inspect {folder}")
    place.mkdir(parents=True, exist_ok=True)
    with written_whole(place / PAGE) as partial:
        title = f"Narrows: the texts of {folder.name} with the largest and the smallest scores"
        partial.write_text(render_page(maps, title), encoding="utf-8")
    return place / PAGE


def extreme_maps(folder: Path, count: int) -> list[AttributionDict]:
    """Read so many texts with the largest summed absolute scores, and as many with the smallest; largest first."""
    ends = {*heapq.nlargest(count, _sizes(folder)), *heapq.nsmallest(count, _sizes(folder))}
    chosen = sorted(ends, reverse=True)
    wanted = {-number for _, number, _ in chosen}
    found = {
        row["id"]: from_row(row)
        for part in sorted({part for _, _, part in chosen})
        for row in read_rows(part_file(folder, part), tuple(COLUMNS))
        if row["id"] in wanted
    }
    return [found[-number] for _, number, _ in chosen]


def _sizes(folder: Path) -> Iterator[tuple[float, int, int]]:
    """Give size, number (negative, so that of equals the first comes first) and part of every explained text."""
    for part in present_parts(folder):
        for row in read_rows(part_file(folder, part), ("id", "scores")):
            if row["scores"] is not None:
                yield float(np.abs(row["scores"]).sum()), -row["id"], part
