"""``narrows evaluate``, ``sweep`` and ``report`` end to end, on a tiny saved classifier."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import families
from command import Runner, assert_one_line

HOSTILE = "<script>alert('good')</script> film"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    rows = [("a very good film", "positive"), ("bad acting", "negative"), (HOSTILE, "neutral"), ("the film", "neutral")]
    path = tmp_path / "texts.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


@pytest.fixture
def options(model: Path, texts: Path, tmp_path: Path) -> list[object]:
    prior = model.parent / "prior.safetensors"
    return ["--dataset", texts, "--model", model, "--prior", prior, "--rows-per-part", 3, "--out", tmp_path / "out"]


def test_evaluate_leaves_a_summary_and_prints_a_table(run: Runner, options: list[object], tmp_path: Path) -> None:
    result = run(
        "evaluate", *options, "--methods", "information:samples=2,ig:steps=3,random", "--removal", "delete,mask"
    )
    assert result.code == 0
    assert "samples 2" in result.out
    assert "IG, steps 3" in result.out
    assert "summary.json" in result.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert list(summary["methods"]) == ["information:samples=2", "ig:steps=3", "random"]
    assert summary["instances"] == 4
    assert 4 < summary["methods"]["ig:steps=3"]["forward_equivalents"] < 6  # of the last block only the head's part
    assert list(summary["other_removals"]) == ["mask"]


def test_a_second_run_adds_methods_and_does_nothing_twice(run: Runner, options: list[object], tmp_path: Path) -> None:
    assert run("evaluate", *options, "--methods", "random").code == 0
    part = next((tmp_path / "out" / "maps" / "random").rglob("part-*0.parquet"))
    before = part.stat().st_mtime_ns
    assert run("evaluate", *options, "--methods", "random,occlusion").code == 0
    assert part.stat().st_mtime_ns == before
    assert list(json.loads((tmp_path / "out" / "summary.json").read_text())["methods"]) == ["random", "occlusion"]


def test_each_way_of_removing_tokens_has_its_table(run: Runner, options: list[object], tmp_path: Path) -> None:
    result = run("evaluate", *options, "--methods", "recency", "--removal", "delete,replace", "--keep-read")
    assert result.code == 0
    assert all(way in result.out for way in ("delete-keep-read", "replace-keep-read"))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["removal"], list(summary["other_removals"])) == ("delete-keep-read", ["replace-keep-read"])
    assert run("report", tmp_path / "out", "--removal", "replace-keep-read").code == 0


def test_scores_of_another_tool_are_evaluated_alike(
    run: Runner, options: list[object], texts: Path, tmp_path: Path
) -> None:
    scores = tmp_path / "other.jsonl"
    with texts.open(newline="") as file:
        rows = [row["text"] for row in csv.DictReader(file)]
    lines = [{"text": text, "tokens": text.split(), "scores": list(range(len(text.split())))} for text in rows]
    scores.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run("evaluate", *options, "--methods", "random", "--scores", scores).code == 0
    methods = json.loads((tmp_path / "out" / "summary.json").read_text())["methods"]
    found = methods[f"file:path={scores}"]
    assert (found["label"], found["seconds"], found["forward_equivalents"]) == ("file other.jsonl", None, None)
    again = run("evaluate", *options, "--methods", "random", "--scores", f"word length={scores}")
    assert again.code == 0
    assert "word length" in again.out and "unknown" in again.out


def test_report_is_a_page_with_figures_and_tables(run: Runner, options: list[object], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("evaluate", *options, "--methods", "complete:steps=4,occlusion,random")
    result = run("report", out)
    assert result.code == 0
    assert result.out.strip() == str(out / "report.html")
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;" in page
    assert "occlusion" in page
    names = {path.name for path in (out / "figures").iterdir()}
    assert {"degradation.png", "degradation.svg", "comparison.png", "cost.svg", "rate.png"} <= names
    assert "<polyline" in page  # the rate curves of the method that has them
    assert (out / "drop_11.md").read_text().count("|") > 4
    assert (out / "drop_11.tex").read_text().startswith("\\begin{tabular}")
    assert len((out / "drop_11.csv").read_text().splitlines()) == 4


def test_a_report_of_another_removal_has_a_folder_of_its_own(
    run: Runner, options: list[object], tmp_path: Path
) -> None:
    assert run("evaluate", *options, "--methods", "random,occlusion", "--removal", "delete,mask").code == 0
    result = run("report", tmp_path / "out", "--removal", "mask")
    page = tmp_path / "out" / "report-mask" / "report.html"
    assert (result.code, result.out.strip()) == (0, str(page))
    assert "tokens removed by: mask" in page.read_text(encoding="utf-8")
    assert_one_line(run("report", tmp_path / "out", "--removal", "attention"), "removed by delete, mask")


def test_sweeps_go_over_layers_and_betas(run: Runner, options: list[object], tmp_path: Path) -> None:
    method = ["--method", "paper:samples=2:steps=2"]
    for command, values, name in (("layers", ["--layers", "0-2"], "layer"), ("beta", ["--betas", "1e-5,1"], "beta")):
        out = tmp_path / name
        assert run("sweep", command, *options[:-1], out, *method, *values).code == 0
        assert run("report", out).code == 0
        figures = {f"{name}_{kind}.png" for kind in ("curves", "line", "rate")}
        assert {path.name for path in (out / "figures").glob("*.png")} == figures
    assert list(json.loads((tmp_path / "layer" / "summary.json").read_text())["methods"]) == [
        f"paper:steps=2:samples=2:layer={layer}" for layer in (0, 1, 2)
    ]


def test_a_sweep_without_layers_goes_over_all(run: Runner, options: list[object], tmp_path: Path) -> None:
    assert run("sweep", "layers", *options, "--method", "update_norm").code == 0
    methods = json.loads((tmp_path / "out" / "summary.json").read_text())["methods"]
    assert list(methods) == ["update_norm:layer=1", "update_norm:layer=2", "update_norm:layer=3"]


@pytest.mark.parametrize("family", ["T5", "BART"])
def test_a_sweep_goes_over_the_blocks_of_both_stacks(run: Runner, family: str, tmp_path: Path) -> None:
    row = next(row for row in families.FAMILIES if row.name == family)
    model, tokenizer = families.classifier(row)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "texts.csv").write_text("text\ngood film\n")
    data = ["--dataset", tmp_path / "texts.csv", "--target", "predicted", "--prior", "instance"]
    done = run(
        "sweep", "layers", "--model", tmp_path / "model", *data, "--out", tmp_path / "o", "--method", "update_norm"
    )
    assert done.code == 0, done.err
    methods = json.loads((tmp_path / "o" / "summary.json").read_text())["methods"]
    assert list(methods) == [f"update_norm:layer={layer}" for layer in range(1, row.blocks + 1)]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--methods", "limes"], ["no method 'limes'", "lime"]),
        (["--methods", "ig:stepz=2"], ["stepz", "steps, baseline"]),
        (["--removal", "burn"], ["delete, mask, attention", "'burn'"]),
        (["--removal", ","], ["at least one way to remove"]),
        (["--limit", "0"], ["limit must be at least 1"]),
        (["--seed", "-1"], ["seed must be at least 0, not -1"]),
        (["--methods", "random:seed=-1"], ["seed must be a whole number of at least 0"]),
        (["--target", "joyful"], ["no label 'joyful'", "negative (0)"]),
        (["--labels", "a,b"], ["2 names of labels for the 3 classes"]),
        (["--scores", "missing.jsonl"], ["missing.jsonl"]),
        (["--prior", "missing.safetensors"], ["no such prior: missing.safetensors"]),
        (["--methods", "file"], ["method 'file' needs path"]),
        (["--methods", ","], ["no method"]),
        (["--methods", "fast:interval=1,0"], ["interval must be two rising numbers"]),
    ],
)
def test_a_wrong_option_is_one_line(run: Runner, options: list[object], words: list[str], parts: list[str]) -> None:
    assert_one_line(run("evaluate", *options, *words), *parts)


@pytest.mark.parametrize(
    "words", [["layers", "--method", "lime"], ["beta", "--method", "ig"], ["layers", "--layers", "x"]]
)
def test_a_sweep_of_what_a_method_has_not_is_said_before_a_model_is_loaded(
    run: Runner, options: list[object], words: list[str]
) -> None:
    result = run("sweep", *words, *options, "--model", "no-such-model")
    assert result.code == 2
    assert "no such model" not in result.err


def test_no_data_set_of_that_name(run: Runner, model: Path, tmp_path: Path) -> None:
    result = run("evaluate", "--dataset", "imbd", "--model", model, "--out", tmp_path / "out")
    assert_one_line(result, "no data set 'imbd'", "imdb")


def test_report_of_something_else(run: Runner, tmp_path: Path) -> None:
    assert_one_line(run("report", tmp_path), str(tmp_path))
    assert_one_line(run("report", tmp_path / "missing"), str(tmp_path / "missing"))
