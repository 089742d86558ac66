"""The model card: what is written can be read, by programs and by people."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import tiny_base
from narrows.errors import InputError, ModelError
from narrows.models.hub.card import Accuracy, ModelCard, TrainingData

CARD = replace(
    tiny_base.card(("World", "Sci/Tech")),
    trained_on=(TrainingData("mnli", "train", 19636, 12), TrainingData("snli", "train", 29620, 0)),
    accuracy=(Accuracy("mnli_matched", "dev", 4900, 0.7465), Accuracy("mnli_mismatched", "dev", 1000, 0.5)),
    device="Größter Rechner",
    settings={"modules": ".*(query|key)", "dataset": ["mnli", "snli"], "limit": None, "rank": 24},
)


def test_a_card_survives_saving(tmp_path: Path) -> None:
    CARD.save(tmp_path)
    assert ModelCard.load(tmp_path) == CARD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "card.json"]


def test_the_file_has_the_fields_that_finished_adapters_have(tmp_path: Path) -> None:
    CARD.save(tmp_path)
    record = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    assert list(record) == [
        *("name", "base", "base_sha256", "labels", "trained_on", "accuracy", "seed", "command", "settings"),
        *("versions", "device", "seconds", "parameters"),
    ]
    assert list(record["trained_on"][0]) == ["dataset", "split", "rows", "dropped"]
    assert list(record["accuracy"][0]) == ["dataset", "split", "n", "accuracy"]


def test_people_find_the_same_in_the_readme(tmp_path: Path) -> None:
    CARD.save(tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    for line in (
        "Classes: World, Sci/Tech.",
        "| mnli_matched | dev | 4,900 | 0.7465 |",
        "| mnli_mismatched | dev | 1,000 | 0.5000 |",
        "| mnli | train | 19,636 | 12 |",
        "    narrows finetune --dataset sst2 --out tiny",
        "Größter Rechner",
        "python 3.11, torch 2.13",
        "| dataset | mnli, snli |",
        "| limit |  |",
    ):
        assert line in text
    assert r"| modules | .*(query\|key) |" in text  # a bare bar would open another cell


def test_a_folder_without_a_card_is_no_adapter(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no card\.json, so this is no adapter made by narrows finetune"):
        ModelCard.load(tmp_path)


@pytest.mark.parametrize("change", ["not JSON", "[]", "missing", "unknown", "bytes"])
def test_a_damaged_card_is_one_clear_line(change: str, tmp_path: Path) -> None:
    CARD.save(tmp_path)
    path = tmp_path / "card.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    if change == "missing":
        del record["labels"]
    damaged = {"missing": json.dumps(record), "unknown": json.dumps(record | {"colour": "red"})}
    path.write_bytes(b"\xff\xfe" if change == "bytes" else damaged.get(change, change).encode())
    with pytest.raises(ModelError, match="not a model card") as caught:
        ModelCard.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_card_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        CARD.save(tmp_path / "nowhere")
