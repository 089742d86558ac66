"""Summaries of long runs: time and memory of ``narrows summarize`` as the number of texts grows.

    python benchmarks/summaries.py --out out/summaries --rows 100000 300000 1000000

The texts are made up, and no model is needed. Their words are drawn as in natural text (Zipf), each with a score of
its own. One text in twenty has only words that no other text has. The planted word is in every 200th text and has by
far the strongest score; the late word, as strong as the planted one, is only in the last third of the longest run. A
shorter run is the beginning of the longest one. Each run is summarized by a process of its own, and a row of a table
(Markdown) says how long that took, how much memory it held at most, and which words lead.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
from pyarrow import parquet

from narrows.data.parquet import FORMAT, attribution_schema
from narrows.run.parts import part_file
from narrows.run.store import MANIFEST

PER_PART = 10_000
WORDS = 20  # of a text
VOCABULARY = 50_000
LABELS = ("negative", "positive")
PLANTED, EVERY, STRENGTH = "planted", 200, 6.0  # the word, in one of how many texts, its score in bits
LATE = "late"
RARE = 20  # one of how many texts has words of its own
RIGHT = 0.8  # share of texts whose label is the gold one
MIB = 2**20


def make_part(out: Path, part: int, late_from: int) -> None:
    """Write a part of the run, the same whenever it is made."""
    path = part_file(out, part)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        parquet.write_table(make_table(part, late_from), partial, **FORMAT)
        partial.rename(path)


def make_table(part: int, late_from: int) -> Any:
    """Make the rows of a part: the columns that a summary reads, and what every row has; the others are null."""
    draw, rows = np.random.default_rng([0, part]), part * PER_PART + np.arange(PER_PART)
    share = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
    numbers = np.searchsorted(share, draw.random((PER_PART, WORDS)) * share[-1])
    scores = np.random.default_rng(1).normal(0, 0.5, VOCABULARY)[numbers] + draw.normal(0, 1, numbers.shape)
    words = np.char.add("w", numbers.astype("U6")).astype(object)
    words[rows % RARE == 0] = [[f"r{row}x{place}" for place in range(WORDS)] for row in rows[rows % RARE == 0]]
    for word, has in ((PLANTED, rows % EVERY == 1), (LATE, (rows % EVERY == 3) & (rows >= late_from))):
        words[has, WORDS // 2] = word
        scores[has, WORDS // 2] = STRENGTH + draw.normal(size=has.sum())
    lengths = np.vectorize(len, otypes=[np.int32])(words)
    ends = (np.cumsum(lengths + 1, axis=1) - 1).astype(np.int32)
    labels = np.array(LABELS)
    gold = np.where(draw.random(PER_PART) < RIGHT, rows % 2, 1 - rows % 2)
    columns = {
        **{"row": rows, "text": [" ".join(own) for own in words], "gold": labels[gold], "labels": [LABELS] * PER_PART},
        **{"target": labels[rows % 2], "predicted": labels[rows % 2]},
        **{"tokens": words, "starts": ends - lengths, "ends": ends, "scores": scores},
        "ranks": 1 + np.argsort(np.argsort(-scores)),
        **{"segments": np.zeros(words.shape, np.int32), "special": np.zeros(words.shape, bool)},
        **{"unit": ["bits"] * PER_PART, "signed": [True] * PER_PART, "additive": [True] * PER_PART},
    }
    starts = np.arange(0, PER_PART * WORDS + 1, WORDS, dtype=np.int32)

    def column(field: Any) -> Any:
        values = columns.get(field.name)
        if isinstance(values, np.ndarray) and values.ndim == 2:
            return arrow.ListArray.from_arrays(starts, arrow.array(values.ravel(), field.type.value_type))
        return arrow.nulls(PER_PART, field.type) if values is None else arrow.array(values, field.type)

    schema = attribution_schema()
    return arrow.Table.from_arrays([column(field) for field in schema], schema=schema)


def make_run(longest: Path, rows: int) -> Path:
    """Make the folder of a run that is the beginning of the longest."""
    folder = longest.parent / f"{rows}"
    for part in range(rows // PER_PART):
        path = part_file(folder, part)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            os.link(part_file(longest, part), path)
    manifest = {
        **{"shard": "1/1", "versions": {}, "config": {"rows_per_part": PER_PART}, "prior": None},
        **{"method": {"spec": "made up"}, "model": {"name": "made up", "sha256": ""}},
        "source": {"rows": rows, "name": "made up"},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def measure(folder: Path) -> str:
    """Summarize a run in a process of its own; give the row of the table."""
    out = folder.with_suffix(".json")
    command = (sys.executable, "-m", "narrows", "summarize", str(folder), "--out", str(out))
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begun
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    entries = json.loads(out.read_text(encoding="utf-8"))["entries"]
    first = [next(own["words"] for own in entries if own["target"] == label) for label in LABELS]
    size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    used = usage.ru_utime + usage.ru_stime
    figures = (size / MIB, seconds, used, usage.ru_maxrss / 1024)
    cells = (f"{int(folder.name):,}", *(f"{own:,.0f}" for own in figures))
    return f"| {' | '.join(cells)} | {', '.join(first)} |"


def main() -> None:
    """Make the runs that are not there yet, and measure them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    given = parser.parse_args()
    if any(rows < PER_PART or rows % PER_PART for rows in given.rows):
        parser.error(f"--rows takes multiples of {PER_PART:,}")
    rows = sorted(given.rows)
    longest = given.out / f"{rows[-1]}"
    for part in range(rows[-1] // PER_PART):
        make_part(longest, part, rows[-1] * 2 // 3)
    print("| rows | MiB of Parquet | seconds | of the processor | MiB of memory at most | first words |", flush=True)
    print("|---|---|---|---|---|---|", flush=True)
    for own in rows:
        print(measure(make_run(longest, own)), flush=True)


if __name__ == "__main__":
    main()
