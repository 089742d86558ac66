"""Files appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from narrows.data.output import check_writable, partial_path, read_json, write_json, written_whole
from narrows.errors import DataError, InputError


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


def test_what_was_written_may_be_kept_and_nothing_is_not(tmp_path: Path) -> None:
    for content in ("half", ""):
        with pytest.raises(KeyboardInterrupt), written_whole(tmp_path / "maps.jsonl", keep_partial=True) as partial:
            partial.write_text(content)
            raise KeyboardInterrupt
        assert partial_path(tmp_path / "maps.jsonl").exists() == bool(content)


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, done, real = tmp_path / "part.parquet", [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append(path.exists()), real(handle)))
    with written_whole(path, durable=True) as partial:
        partial.write_text("whole")
    assert done == [False, True]  # the file, then the folder with its new name


def test_two_may_write_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    with written_whole(path, shared=True) as one, written_whole(path, shared=True) as other:
        assert one != other
        assert one.name.startswith(".")
        one.write_text("same")
        other.write_text("same")
    assert path.read_text() == "same"
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_written_whole_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "run" / "manifest.json"
    write_json(path, {"texts": "caf\u00e9"})
    assert read_json(path) == {"texts": "caf\u00e9"}
    assert "caf\u00e9" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("content", [None, b"{", b"[]", b"\xff"])
def test_a_missing_or_damaged_json_file_is_one_line(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(DataError, match=r"manifest\.json") as caught:
        read_json(tmp_path / "manifest.json")
    assert "\n" not in str(caught.value)
