"""``narrows explain --file``: a page of maps, only the model's errors, stdin, and rows that fail."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from command import Runner, assert_one_line
from narrows.explainer import Explainer


@pytest.fixture
def options(model: Path) -> list[object]:
    return ["--model", model, "--prior", "instance", "--method", "random"]


@pytest.fixture
def labelled(model: Path, tmp_path: Path) -> Path:
    """Three texts: the label of the second is not what the model says; a row between them has no text."""
    explainer = Explainer.from_pretrained(model, "random", "instance")
    labels = [str(own) for own in explainer.model.config.id2label.values()]
    rows = ["name,review,stars"]
    for name, text in (("a1", "good film"), ("a2", "bad act"), ("a3", "a super film")):
        predicted = explainer(text).predicted
        other = next(own for own in labels if own != predicted)
        rows.append(f"{name},{text},{other if name == 'a2' else predicted.upper()}")
    path = tmp_path / "texts.csv"
    path.write_text("\n".join([*rows[:2], "a0,,neutral", *rows[2:]]) + "\n", encoding="utf-8")
    return path


COLUMNS = ["--text-column", "review", "--label-column", "stars", "--id-column", "name"]


def test_a_page_holds_only_the_errors_with_their_ids_and_labels(
    run: Runner, options: list[object], labelled: Path, tmp_path: Path
) -> None:
    page, out = tmp_path / "errors.html", tmp_path / "errors.jsonl"
    asked = ["explain", "--file", labelled, *COLUMNS, "--only-errors", "--html", page, "--out", out, *options]
    result = run(*asked)
    assert result.code == 2  # for the row without a text
    errors = [line for line in result.err.splitlines() if line.startswith("narrows: error")]
    assert len(errors) == 1 and "texts.csv, line 3: text is empty" in errors[0]
    html = page.read_text(encoding="utf-8")
    assert html.count('<section class="card"') == 1
    assert "id a2" in html and "bad" in html and "super" not in html
    assert re.search(r'<td class="quiet">gold', html)
    assert "the prediction is not the label in 1 of 3 texts" in html
    with labelled.open("a", encoding="utf-8") as file:
        file.write("a9,good,\n")  # without a label
    assert run(*asked).code == 2
    assert "the prediction is not the label in 1 of 3 texts" in page.read_text(encoding="utf-8")
    assert_one_line(run("explain", "--file", out, "--out", out, *options), "is the file of the texts")
    assert "1 row of texts.csv could not be read" in html
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [(row["row"], row["id"], row.get("error") is None) for row in rows] == [(1, "a0", False), (2, "a2", True)]


def test_a_page_of_a_list_has_one_scale(run: Runner, options: list[object], labelled: Path, tmp_path: Path) -> None:
    page = tmp_path / "all.html"
    run("explain", "--file", labelled, *COLUMNS, "--html", page, *options)
    html = page.read_text(encoding="utf-8")
    assert html.count('<section class="card"') == 3
    ends = re.findall(r'<p class="legend">.*</span> <span>([^<]+)</span></p>', html)
    assert len(ends) == 3 and len(set(ends)) == 1


def test_no_error_is_no_page(run: Runner, options: list[object], labelled: Path, tmp_path: Path) -> None:
    page, right = tmp_path / "errors.html", tmp_path / "right.csv"
    lines = labelled.read_text(encoding="utf-8").splitlines()
    right.write_text("\n".join([lines[0], lines[1], lines[4]]) + "\n", encoding="utf-8")
    result = run("explain", "--file", right, *COLUMNS, "--only-errors", "--html", page, *options)
    assert result.code == 0
    assert "no prediction differs from its label" in result.err
    assert not page.exists()


def test_a_label_that_the_model_lacks_is_an_error_of_its_row(
    run: Runner, options: list[object], tmp_path: Path
) -> None:
    source, page = tmp_path / "texts.csv", tmp_path / "errors.html"
    source.write_text("text,label\ngood film,none such\nbad act,0\nbad act,1\n", encoding="utf-8")
    result = run("explain", "--file", source, "--only-errors", "--html", page, *options)
    assert result.code == 2
    assert "row 1, 'good film': no label 'none such'" in result.err
    assert page.exists()  # of two different labels, one is wrong


def test_labels_are_needed_to_find_errors(run: Runner, options: list[object], tmp_path: Path) -> None:
    source = tmp_path / "texts.txt"
    source.write_text("good film\n", encoding="utf-8")
    asked = ["explain", "--file", source, "--only-errors", "--html", tmp_path / "errors.html", *options]
    assert_one_line(run(*asked), "--only-errors compares predictions with labels", "--label-column")


def test_a_dash_reads_texts_from_stdin(
    run: Runner, options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "maps.jsonl"
    given = "\ufeffgood film\r\n\nbad act\n".encode() + b"\xff\n"
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(given)))
    result = run("explain", "--file", "-", "--out", out, *options)
    assert result.code == 2
    assert "stdin, line 4: is not UTF-8" in result.err
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == ["good film", "bad act", None]
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"good film")))
    assert_one_line(run("explain", "--file", "-", "--out", out, "--id-column", "x", *options), "no columns to name")
