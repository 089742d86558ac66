"""Files appear whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet
import pytest

from narrows.data.maps import ROW_GROUP, check_format, map_writer
from narrows.data.output import check_writable, partial_path, written_whole
from narrows.data.schema import AttributionDict
from narrows.errors import DependencyError, InputError

MAP: AttributionDict = {
    "text": "good",
    "text_pair": None,
    "tokens": [{"token": "good", "start": 0, "end": 4, "segment": 0, "special": False, "bits": 1.5, "score": -1.5}],
    "words": [{"word": "good", "start": 0, "end": 4, "segment": 0, "bits": 1.5, "score": -1.5}],
    "target": "positive",
    "predicted": "positive",
    "probabilities": {"negative": 0.25, "positive": 0.75},
    "layer": 2,
    "layers": [2],
    "total_bits": 1.5,
    "carried_bits": 9.0,
    "truncated": 0,
    "method": "narrows",
    "config": {"beta": 0.5, "prior": "instance"},
    "trace": [{"step": 0, "cross_entropy": 0.5, "information": 9.0}],
    "narrows_version": "0",
}


def test_a_file_is_there_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    with written_whole(path) as partial:
        partial.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), written_whole(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["", "missing/page.html"])
def test_what_cannot_be_written_is_told_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot write"):
        check_writable(tmp_path / name)


def test_a_full_disk_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*: No space left"), written_whole(tmp_path / "page.html"):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("count", [1, ROW_GROUP, ROW_GROUP + 3])
def test_parquet_holds_every_map(tmp_path: Path, count: int) -> None:
    path = tmp_path / "maps.parquet"
    with map_writer(path) as write:
        for number in range(count):
            write({**MAP, "text": f"good {number}"})
    rows = pyarrow.parquet.read_table(path).to_pylist()
    assert [row["text"] for row in rows] == [f"good {number}" for number in range(count)]
    assert rows[0]["tokens"] == MAP["tokens"]
    assert rows[0]["words"] == MAP["words"]
    assert rows[0]["trace"] == MAP["trace"]
    assert dict(rows[0]["probabilities"]) == MAP["probabilities"]
    assert json.loads(rows[0]["config"]) == MAP["config"]
    assert set(rows[0]) == set(MAP)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_maps_written_before_a_failure_stay_readable(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"maps{suffix}"
    with pytest.raises(KeyboardInterrupt), map_writer(path) as write:
        write(MAP)
        raise KeyboardInterrupt
    assert not path.exists()
    rest = partial_path(path)
    rows = pyarrow.parquet.read_table(rest).to_pylist() if suffix == ".parquet" else rest.read_text().splitlines()
    assert len(rows) == 1


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must end in \.jsonl or \.parquet"):
        check_format(tmp_path / "maps.csv")


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DependencyError, match=r"narrows\[parquet\]"):
        check_format(tmp_path / "maps.parquet")
