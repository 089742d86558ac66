"""Files of explained texts: what was written is read again, and work that stopped early stays readable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from narrows import Attribution
from narrows.data.maps import ROW_GROUP, check_format, map_writer, read_maps
from narrows.data.output import partial_path
from narrows.data.parquet import COLUMNS, read_rows, to_row
from narrows.data.schema import AttributionDict
from narrows.errors import DataError, DependencyError, InputError
from saved_maps import GOOD


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("count", [1, ROW_GROUP, ROW_GROUP + 3])
def test_every_map_is_read_again(suffix: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / f"maps{suffix}"
    saved = [{**GOOD, "truncated": number} for number in range(count)]
    with map_writer(path) as write:
        for number, one in enumerate(saved):
            write(one, number)  # type: ignore[arg-type]
    assert list(read_maps(path)) == saved


def test_a_file_of_maps_has_the_columns_of_a_run_and_keeps_the_label(tmp_path: Path) -> None:
    with map_writer(tmp_path / "maps.parquet") as write:
        write(GOOD, 0)
        write({**GOOD, "id": 12, "gold": None}, 3)
    first, second = read_rows(tmp_path / "maps.parquet")
    assert list(first) == list(COLUMNS)
    assert {name: value for name, value in first.items() if value is not None} == {
        **{name: value for name, value in to_row(GOOD, {"row": 0}).items() if value is not None}
    }
    assert (second["row"], second["id"], second["gold"]) == (3, "12", None)
    with map_writer(tmp_path / "maps.jsonl") as write:
        write(GOOD, 3)
    assert json.loads((tmp_path / "maps.jsonl").read_text()) == {**GOOD, "row": 3}


@pytest.mark.parametrize("name", sorted(AttributionDict.__annotations__))
def test_a_map_that_lacks_something_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    """As files of other versions may."""
    other = {key: value for key, value in GOOD.items() if key != name}
    (tmp_path / "maps.jsonl").write_text(json.dumps(other))
    with pytest.raises(DataError, match=f"maps.jsonl, line 1: not an explained text; it has no {name}$"):
        list(read_maps(tmp_path / "maps.jsonl"))
    with pytest.raises(InputError, match=f"no saved attribution: it has no {name}$"):
        Attribution.from_dict(other)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_maps_written_before_a_failure_stay_readable(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"maps{suffix}"
    with pytest.raises(KeyboardInterrupt), map_writer(path) as write:
        write(GOOD, 0)
        raise KeyboardInterrupt
    assert not path.exists()
    rest = partial_path(path).rename(tmp_path / f"rest{suffix}")
    assert list(read_maps(rest)) == [GOOD]


def test_what_is_no_map_is_refused_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "maps.jsonl"
    path.write_text(json.dumps(GOOD) + '\n{"text": "good"}\n')
    with pytest.raises(DataError, match=r"maps.jsonl, line 2: .*no additive, check, gold, id, layers, "):
        list(read_maps(path))
    with pytest.raises(InputError, match=r"must end in \.jsonl or \.parquet"):
        check_format(tmp_path / "maps.csv")


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DependencyError, match=r"narrows\[parquet\]"):
        check_format(tmp_path / "maps.parquet")
