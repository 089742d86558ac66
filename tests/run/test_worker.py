"""The worker: one bad text costs its own row, and ids and labels of the user's data come out as they went in."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from explain_worker import METHOD
from narrows.data.parquet import read_rows
from narrows.errors import DataError
from narrows.models.hub.loading import LoadedModel
from narrows.run import ExplainSettings, explain_dataset, read_run, run_frame
from narrows.run.parts import part_file
from narrows.run.report import write_maps_page

SETTINGS = ExplainSettings(method=METHOD, prior="instance", batch_size=3)
SOUND = ["good film", "a film", "bad acting, not good", "it is good", "the film is bad", "good", "acting is bad"]
BREAKS = "a super film"  # the model computes NaN for it


@pytest.fixture
def classifier(make_classifier: Callable[..., tiny.Classifier]) -> LoadedModel:
    model, tokenizer = make_classifier("bert")
    with torch.no_grad():
        model.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids("super")] = torch.nan
    return LoadedModel(model, tokenizer, "tiny", None)


def rows_of(texts: Sequence[Any], out: Path, classifier: LoadedModel) -> list[dict[str, Any]]:
    explain_dataset(texts, out, SETTINGS, loaded=classifier)
    return list(read_rows(part_file(out, 0)))


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


@pytest.mark.parametrize("place", [0, 3, 7])
def test_a_bad_text_leaves_the_others_as_in_a_run_without_it(
    place: int, classifier: LoadedModel, tmp_path: Path
) -> None:
    with_it = rows_of([*SOUND[:place], BREAKS, *SOUND[place:]], tmp_path / "with", classifier)
    assert with_it[place]["text"] == BREAKS and "NaN" in with_it[place]["error"]
    assert [row["row"] for row in with_it] == list(range(8))
    others = [without(row, "row") for row in with_it if row["error"] is None]
    alone = [without(row, "row") for row in rows_of(SOUND, tmp_path / "without", classifier)]
    assert json.dumps(others) == json.dumps(alone)  # to the last bit


def test_texts_that_all_fail_are_all_named(classifier: LoadedModel, tmp_path: Path) -> None:
    rows = rows_of([BREAKS, "super", BREAKS], tmp_path / "out", classifier)
    assert [row["tokens"] for row in rows] == [None] * 3
    assert all("NaN" in row["error"] for row in rows)


def test_ids_and_labels_come_out_as_they_went_in(classifier: LoadedModel, tmp_path: Path) -> None:
    data = tmp_path / "reviews.csv"
    lines = [
        "id,text,label,stars",
        "007,good film,positive,5",
        "x,,negative,1",
        "007,bad film,,1",
        f",{BREAKS},neutral,3",
    ]
    data.write_text("\n".join(lines))
    explain_dataset(data, tmp_path / "out", SETTINGS, loaded=classifier)
    rows = list(read_rows(part_file(tmp_path / "out", 0)))
    known = [(row["row"], row["id"], row["gold"], row["error"] is None) for row in rows]
    assert known == [
        (0, "007", "positive", True),
        (1, "x", "negative", False),
        (2, "007", None, True),
        (3, None, "neutral", False),
    ]
    assert "stars" not in rows[0]
    assert [(one.id, one.gold) for one in read_run(tmp_path / "out")] == [("007", "positive"), ("007", None)]
    frame = run_frame(tmp_path / "out")
    assert frame["id"].tolist()[:3] == ["007", "x", "007"] and frame["error"].notna().tolist() == [0, 1, 0, 1]
    words = run_frame(tmp_path / "out", "word")
    assert words[words["text_number"] == 0]["gold"].unique().tolist() == ["positive"]
    page = write_maps_page(tmp_path / "out").read_text(encoding="utf-8")
    assert "&#34;id&#34;: &#34;007&#34;" in page and "&#34;gold&#34;: &#34;positive&#34;" in page


def test_a_frame_keeps_its_index(classifier: LoadedModel, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["good film", "bad film"], "label": [1, np.nan]}, index=pandas.Index([30, 10]))
    rows = rows_of(frame, tmp_path / "out", classifier)
    assert [(row["id"], row["gold"]) for row in rows] == [("30", "1"), ("10", None)]
    other = rows_of(frame.sort_index(), tmp_path / "other", classifier)
    assert [row["id"] for row in other] == ["10", "30"]


def test_scores_that_a_file_lacks_are_named_before_the_run(classifier: LoadedModel, tmp_path: Path) -> None:
    row = {"text": "good film", "tokens": ["good", "film"], "scores": [1, 2]}
    (tmp_path / "scores.jsonl").write_text(json.dumps(row))
    settings = ExplainSettings(method=f"file:{tmp_path / 'scores.jsonl'}", prior="instance")
    explain_dataset(["good film", " "], tmp_path / "out", settings, loaded=classifier)  # an empty text has its row
    with pytest.raises(DataError, match=r"2 of 3 texts have no scores: .*'a film'.*'bad film'"):
        explain_dataset(["good film", "a film", "bad film"], tmp_path / "other", settings, loaded=classifier)
    assert not list((tmp_path / "other").rglob("part-*"))
