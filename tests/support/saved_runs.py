"""Folders of runs whose maps are made up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from narrows.data.parquet import attribution_schema, to_row, write_rows
from narrows.run.parts import part_file
from narrows.run.store import MANIFEST
from saved_maps import METHOD, saved_map, token

Text = tuple[str, Sequence[float], str, str | None]  # text, a score for each word, target, gold


def make_run(
    folder: Path, texts: Sequence[Text], unit: str = "bits", first: int = 0, labels: Sequence[str] = ()
) -> Path:
    """The folder of a run over these texts; the model predicts the target."""
    rows = []
    for number, (text, scores, target, gold) in enumerate(texts, start=first):
        places, at = [], 0
        for place, word in enumerate(text.split(" ")):
            places.append(token(word, at, at + len(word), scores[place], place + 1))
            at += len(word) + 1
        saved = saved_map(text, None, places, target=target, predicted=target, gold=gold, unit=unit)
        saved["probabilities"] = dict.fromkeys(labels, 1 / max(1, len(labels))) or saved["probabilities"]
        rows.append(to_row(saved, {"row": number}))
    part = part_file(folder, 0)
    part.parent.mkdir(parents=True)
    write_rows(part, rows, attribution_schema())
    manifest = {
        "shard": "1/1",
        "versions": {},
        "config": {"rows_per_part": 512},
        "prior": None,
        "method": {"spec": METHOD["name"]},
        "model": {"name": "made up", "sha256": ""},
        "source": {"rows": len(rows), "name": "made up"},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder
