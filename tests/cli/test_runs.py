"""``narrows run``, ``narrows merge`` and ``narrows inspect``."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from command import Runner, assert_one_line
from narrows.run import read_run
from narrows.run.dataset import LOG
from narrows.run.parts import part_file, present_parts
from narrows.run.report import extreme_maps
from narrows.run.store import LOCK, MANIFEST


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    lines = ["good", "the film is not good", "", "a super bad film", "it is a very good film", "bad acting", "a film"]
    path = tmp_path / "texts.csv"
    path.write_text("text,label\n" + "".join(f'"{line}",positive\n' for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def options(model: Path, texts: Path) -> list[Any]:
    return ["run", "--model", model, "--prior", "instance", "--data", texts, "--rows-per-part", "2"]


def files_of(out: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    measured = (LOCK, LOG)  # and costs/: seconds are never the same twice
    return {name: content for name, content in found.items() if name not in measured and not name.startswith("costs/")}


def test_a_run_is_made_inspected_and_resumed(run: Runner, options: list[Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = run(*options, "--out", out)
    assert (first.code, first.out) == (0, "")
    assert "1 text could not be explained" in first.err
    assert f"narrows: wrote {out}: 7 texts" in first.err
    manifest = json.loads((out / MANIFEST).read_text())
    assert manifest["source"]["name"] == "texts.csv"
    assert manifest["result"]["rows"] == 7
    before = files_of(out)
    part_file(out, 1).unlink()
    looked = run("inspect", out)
    assert looked.code == 0
    for part in ("not complete", "missing parts  1: 1", "5 of 7 from texts.csv", "none", "median"):
        assert part in looked.out, looked.out
    assert run(*options, "--out", out).code == 0
    assert files_of(out) == before
    looked = run("inspect", out)
    assert "state          complete" in looked.out
    assert "1 x " in looked.out and "text is empty" in looked.out


EVALUATE = ["evaluate", "--methods", "random", "--target", "predicted", "--dataset"]


@pytest.mark.parametrize(("name", "words"), [("source", ["run", "--data"]), ("dataset", EVALUATE)])
def test_texts_come_from_stdin_and_an_interrupted_run_resumes_from_the_same(
    run: Runner, model: Path, words: list[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def given(texts: bytes) -> None:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(texts)))

    asked = [*words, "-", "--model", model, "--prior", "instance", "--out", tmp_path / "out"]
    for _ in range(2):
        given(b"good film\r\n\nbad act\n")
        assert run(*asked).code == 0
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert "stdin" in (manifest[name], manifest[name]["name"] if name == "source" else "")
    given(b"another\n")
    assert_one_line(run(*asked), "another folder")
    given(b"good film\n")
    assert_one_line(run(*asked, "--text-column", "x"), "stdin", "no columns to name")
    given(b"good film\n")
    assert_one_line(run(*asked, "--split", "dev"), "stdin is read as it is", "--split")


def test_a_run_in_which_no_text_could_be_explained_is_an_error(run: Runner, model: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("a good film\nbad acting\n")
    asked = [
        "run",
        "--model",
        model,
        "--prior",
        "instance",
        "--data",
        tmp_path / "texts.txt",
        "--out",
        tmp_path / "out",
    ]
    failed = run(*asked, "--unit-of", "message")
    assert failed.code == 2
    assert "narrows: error: no text could be explained; narrows inspect" in failed.err


def test_a_run_is_checked_if_that_is_wanted(run: Runner, options: list[Any], tmp_path: Path) -> None:
    assert run(*options, "--check", "--out", tmp_path / "out").code == 0
    found = list(read_run(tmp_path / "out"))
    assert found
    for one in found:
        assert one.check is not None
        assert len(one.check.without) == len(one.words())
    refused = run(*options, "--out", tmp_path / "out")
    assert_one_line(refused, "check")


def test_columns_have_the_names_that_the_user_gives_them(run: Runner, model: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "reviews.csv", tmp_path / "maps.jsonl"
    data.write_text("key,text,review,stars\n" + "".join(f"k{n},other,a good film {n},positive\n" for n in range(40)))
    named = ["--text-column", "review", "--label-column", "stars", "--id-column", "key"]
    assert run("explain", "--file", data, "--out", out, "--model", model, "--method", "random", *named).code == 0
    first = json.loads(out.read_text().splitlines()[0])
    assert (first["text"], first["gold"], first["id"]) == ("a good film 0", "positive", "k0")
    asked = ["--model", model, "--prior", "instance", "--out"]
    assert run("run", "--data", data, *asked, tmp_path / "run", *named).code == 0
    found = next(read_run(tmp_path / "run"))
    assert (found.text, found.gold, found.id) == ("a good film 0", "positive", "k0")
    evaluated = run("evaluate", "--dataset", data, "--methods", "random", *asked, tmp_path / "evaluated", *named)
    assert evaluated.code == 0, evaluated.err
    made = ["calibrate", "--model", model, "--data", data, "--out", tmp_path / "c.safetensors", "--limit", 32]
    assert run(*made, "--text-column", "review").code == 0
    assert_one_line(run(*made, "--text-column", "reviews"), "no column 'reviews' among key, text, review, stars")
    assert_one_line(run("explain", "a film", "--model", model, *named), "names of columns go with --file")
    learned = run("explain", "a film", "--json", "--model", model, "--calibrate-with", data, *named)
    assert json.loads(learned.out)["record"]["calibration"]["texts"] == 20


def test_a_run_calibrates_once_into_its_folder(run: Runner, model: Path, texts: Path, tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus.txt", tmp_path / "out"
    corpus.write_text("".join(f"a good film {number}\nbad acting {number}\n" for number in range(20)))
    asked = ["run", "--model", model, "--data", texts, "--out", out, "--calibrate-with", corpus]
    assert run(*asked).code == 0
    (made,) = out.glob("calibration-*.safetensors")
    first = made.read_bytes()
    assert all(one.record["calibration"]["texts"] == 20 for one in read_run(out))
    part_file(out, 0).unlink()
    assert run(*asked).code == 0
    assert made.read_bytes() == first
    corpus.write_text("".join(f"bad film {number}\nsuper acting {number}\n" for number in range(20)))
    refused = run(*asked)
    assert refused.code == 2 and "prior was" in refused.err  # other texts make another prior
    assert_one_line(run(*asked, "--prior", "instance"), "leave out --prior")
    explained = run("explain", "a good film", "--json", "--model", model, "--calibrate-with", corpus)
    assert json.loads(explained.out)["record"]["calibration"]["texts"] == 20
    refused = run("explain", "a film", "--model", model, "--calibrate-with", corpus, "--prior", "instance")
    assert_one_line(refused, "leave out --prior")


def test_a_map_does_not_hang_on_the_texts_around_it(run: Runner, model: Path, tmp_path: Path) -> None:
    data = tmp_path / "texts.txt"
    data.write_text("".join(f"a good film {number}\n" for number in range(32)))
    explained = run("explain", "--file", data, "--out", tmp_path / "maps.jsonl", "--model", model)
    assert "--calibrate-with" in explained.err  # as many would do: said, not done
    found = json.loads((tmp_path / "maps.jsonl").read_text().splitlines()[3])
    alone = json.loads(run("explain", "a good film 3", "--json", "--model", model).out)
    assert found["prior"] == alone["prior"] == "instance"
    scores = [[each["score"] for each in own["tokens"]] for own in (found, alone)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-3)


def test_shards_are_merged_to_the_same_bytes(run: Runner, options: list[Any], tmp_path: Path) -> None:
    whole, merged = tmp_path / "whole", tmp_path / "merged"
    shards = [tmp_path / f"shard{index}" for index in (1, 2, 3)]
    assert run(*options, "--out", whole).code == 0
    for index, shard in enumerate(shards, start=1):
        assert run(*options, "--out", shard, "--shard", f"{index}/3").code == 0
    assert [len(present_parts(shard)) for shard in shards] == [2, 1, 1]
    assert_one_line(run("merge", *shards[:2], "--out", merged), "3/3")
    assert_one_line(run("merge", *shards, shards[1], "--out", merged), "both", "2/3")
    assert run("merge", *reversed(shards), "--out", merged).code == 0
    assert files_of(merged) == files_of(whole)
    assert len(list(read_run(merged))) == 6
    other = tmp_path / "other"
    assert run(*options, "--out", other, "--shard", "3/3", "--method", "best").code == 0
    assert_one_line(run("merge", *shards[:2], other, "--out", merged), "method")
    assert_one_line(run(*options, "--out", shards[0], "--shard", "2/3"), "shard was")
    part_file(shards[0], 0).write_bytes(b"PAR1")
    assert_one_line(run("merge", *shards, "--out", tmp_path / "new"), "part-0000000.parquet is damaged")


def test_strict_and_other_settings_are_one_line(run: Runner, options: list[Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    stopped = run(*options, "--out", out, "--strict")
    assert stopped.code == 2
    assert stopped.err.splitlines()[-1].startswith("narrows: error: text 2: ")
    assert "Traceback" not in stopped.err
    assert run(*options, "--out", out).code == 0
    assert_one_line(run(*options, "--out", out, "--target", "gold"), "target was")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--shard", "3/2"], ["1/8", "'3/2'"]),
        (["--rows-per-part", "0"], ["rows_per_part must be at least 1"]),
        (["--method", "limes"], ["no method 'limes'"]),
        (["--method", "paper:beta=much"], ["beta must be a number or 'auto'"]),
        (["--method", "paper:layer=x"], ["layer must be a whole number"]),
        (["--preset", "best"], ["--preset"]),
        (["--gpus-per-worker", "1"], ["--engine ray"]),
        (["--target", "joyful"], ["no label 'joyful'"]),
        (["--data", "missing.csv"], ["missing.csv", "no such file"]),
        (["--data", "imbd"], ["no data set 'imbd'", "imdb"]),
        (["--engine", "spark"], ["spark"]),
        (["--seed", "-1"], ["seed must be at least 0, not -1"]),
        (["--max-tokens", "-1"], ["max_tokens must be at least 1"]),
        (["--gpus-per-worker", "nan", "--engine", "ray"], ["gpus_per_worker must be at least 0, not nan"]),
        (["--split", "test"], ["texts.csv is read as it is", "--split"]),
        (["--data-dir", "."], ["texts.csv is read as it is", "--data-dir"]),
        (["--prior", "missing.safetensors"], ["no such prior: missing.safetensors"]),
    ],
)
def test_a_wrong_option_is_one_line(
    run: Runner, options: list[Any], words: list[str], parts: list[str], tmp_path: Path
) -> None:
    assert_one_line(run(*options, "--out", tmp_path / "out", *words), *parts)


def test_without_ray_one_line_says_how_to_install_it(
    run: Runner, options: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    told = run(*options, "--out", tmp_path / "out", "--engine", "ray")
    assert_one_line(told, 'pip install "narrows[ray]"')


def test_ctrl_c_says_how_to_resume(
    run: Runner, options: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("narrows.run.dataset.write_json", interrupt)
    stopped = run(*options, "--out", tmp_path / "out")
    assert stopped.code == 130
    assert "the same command resumes it" in stopped.err
    assert len(present_parts(tmp_path / "out")) == 4


def test_a_folder_of_something_else(run: Runner, tmp_path: Path) -> None:
    assert_one_line(run("inspect", tmp_path), "is this the folder of a run?")
    (tmp_path / MANIFEST).write_text("{}")
    assert_one_line(run("inspect", tmp_path), "not of narrows run")
    assert_one_line(run("merge", tmp_path, "--out", tmp_path / "out"), "not of narrows run")
    (tmp_path / MANIFEST).write_text('{"shard": "1/1", "versions": {}}')
    assert_one_line(run("inspect", tmp_path), f"{MANIFEST} is damaged: config.rows_per_part is missing")
    (tmp_path / MANIFEST).write_text('{"dataset": "sst2", "split": "dev", "instances": "x"}')
    (tmp_path / "methods.json").write_text('{"methods": [], "removals": []}')
    assert_one_line(run("report", tmp_path), f"{MANIFEST} is damaged: instances is 'x'")
    (tmp_path / MANIFEST).write_text("[" * 100_000)
    assert_one_line(run("inspect", tmp_path), f"{MANIFEST} is damaged")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "part-x.parquet").write_bytes(b"")
    assert present_parts(tmp_path) == []


def test_the_evaluation_takes_a_run_as_scores(run: Runner, options: list[Any], model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert run(*options, "--out", folder).code == 0
    texts = tmp_path / "good.csv"
    texts.write_text("text,label\nthe film is not good,positive\nbad acting,negative\n")
    words = ["--dataset", texts, "--model", model, "--methods", "random", "--scores", folder, "--target", "predicted"]
    assert run("evaluate", *words, "--out", tmp_path / "evaluation").code == 0
    summary = json.loads((tmp_path / "evaluation" / "summary.json").read_text())
    reported = run("report", folder)
    assert (reported.code, reported.out) == (0, f"{folder / 'report.html'}\n")
    page = (folder / "report.html").read_text()
    assert "acting" in page
    maps = extreme_maps(folder, 2)
    expected = sorted(read_run(folder), key=lambda one: -np.abs(one.scores).sum())
    assert [one["text"] for one in maps] == [one.text for one in [*expected[:2], *expected[-2:]]]
    assert list(summary["methods"]) == ["random", f"file:path={folder}"]
    texts.write_text("text,label\nanother text,positive\n")
    assert_one_line(run("evaluate", *words, "--out", tmp_path / "other"), "no row for 'another text'")
