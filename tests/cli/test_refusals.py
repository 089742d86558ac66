"""What every command refuses before it loads a model, and what a console cannot show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from command import TEXTS, Runner, assert_one_line
from narrows.data.maps import read_maps

SHELL = [sys.executable, "-m", "narrows"]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.csv"
    path.write_text("text,label\n" + "".join(f'"{text}",positive\n' for text in TEXTS), encoding="utf-8")
    return path


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("narrows.explainer.load_model", load)  # first: it takes the name from the other
    monkeypatch.setattr("narrows.models.hub.loading.load_model", load)


@pytest.fixture
def broken_model(tmp_path: Path) -> Path:
    """The tiny classifier, which computes NaN for one word."""
    classifier, tokenizer = tiny.classifier("bert")
    with torch.no_grad():
        classifier.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids("super")] = torch.nan
    classifier.save_pretrained(tmp_path / "broken")
    tokenizer.save_pretrained(tmp_path / "broken")
    return tmp_path / "broken"


RUN = ["run", "--data", "TEXTS", "--out", "OUT"]
EVALUATE = ["evaluate", "--dataset", "TEXTS", "--out", "OUT"]


def filled(words: list[str], texts: Path) -> list[str]:
    return [word.replace("TEXTS", str(texts)).replace("OUT", str(texts.parent / "out")) for word in words]


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("pyarrow", RUN),
        ("filelock", RUN),
        ("pyarrow", EVALUATE),
        ("filelock", EVALUATE),
        ("pyarrow", ["explain", "--file", "TEXTS", "--out", "OUT.parquet"]),
        ("pyarrow", ["explain", "--file", "OUT.parquet", "--out", "OUT.jsonl"]),
        ("captum.attr", [*RUN, "--method", "ig"]),
        ("captum.attr", [*EVALUATE, "--methods", "random,gradient_shap"]),
        ("captum.attr", ["explain", "good", "--method", "layer_ig"]),
        ("lime.lime_text", ["explain", "good", "--method", "lime"]),
        ("lime.lime_text", [*EVALUATE, "--methods", "random,lime"]),
        ("ray", [*RUN, "--engine", "ray"]),
        ("ray.data", [*RUN, "--engine", "ray"]),
        ("datasets", ["run", "--data", "owner/name", "--out", "OUT"]),
        ("datasets", ["evaluate", "--dataset", "rte", "--out", "OUT"]),
    ],
)
@pytest.mark.usefixtures("no_model")
def test_a_missing_package_is_said_before_a_model_is_loaded(
    run: Runner, texts: Path, monkeypatch: pytest.MonkeyPatch, package: str, words: list[str]
) -> None:
    (texts.parent / "out.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, package, None)
    assert_one_line(run(*filled(words, texts)), "pip install")
    assert not (texts.parent / "out").exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["explain", "good", "--html", "OUT.pdf"], [".html", "out.pdf"]),
        (["explain", "--file", "TEXTS", "--out", "OUT.csv"], [".jsonl or .parquet"]),
        (["run", "--data", "TEXTS", "--out", "OUT.parquet"], ["a folder", ".parquet"]),
        (["evaluate", "--dataset", "TEXTS", "--out", "OUT.json"], ["a folder", ".json"]),
        (["sweep", "layers", "--dataset", "TEXTS", "--out", "OUT.html"], ["a folder", ".html"]),
        (["finetune", "--dataset", "TEXTS", "--out", "OUT.safetensors"], ["a folder", ".safetensors"]),
        (["calibrate", "--data", "TEXTS", "--out", "OUT.pdf"], [".safetensors", "out.pdf"]),
        (["calibrate", "--data", "TEXTS", "--out", "OUT.safetensors", "--seed", "-1"], ["--seed"]),
        (["calibrate", "--data", "TEXTS", "--out", "OUT.safetensors", "--limit", "0"], ["--limit"]),
        (["explain", "good", "--method", "paper:seed=-1"], ["seed must be a whole number of at least 0"]),
        (["explain", "good", "--method", "fast:seed=x"], ["seed must be a whole number"]),
        (["explain", "good", "--method", "random:seed=9223372036854775808"], ["seed must be at most 9,223,372,"]),
        (["explain", "good", "--method", "lime:seed=-1"], ["seed must be a whole number of at least 0"]),
        (["explain", "good", "--method", "gradient_shap:seed=-1"], ["seed must be a whole number of at least 0"]),
        (["explain", "good", "--method", "ig:steps=99999999999"], ["steps must be at most 1,000,000"]),
        (["explain", "good", "--method", "complete:draws=99999999998"], ["draws"]),
        (["explain", "good", "--method", "paper:features=maybe"], ["features must be true or false"]),
        (["explain", "good", "--method", "paper:layer=1-99999999999"], ["layer must be"]),
        (["explain", "good", "--batch-size", "-3"], ["--batch-size"]),
    ],
)
@pytest.mark.usefixtures("no_model")
def test_a_wrong_name_or_number_is_said_before_a_model_is_loaded(
    run: Runner, texts: Path, words: list[str], parts: list[str]
) -> None:
    assert_one_line(run(*filled(words, texts)), *parts)
    assert [path.name for path in texts.parent.iterdir()] == ["texts.csv"]


def test_ids_and_labels_come_out_of_a_file(run: Runner, model: Path, tmp_path: Path) -> None:
    data = tmp_path / "texts.csv"
    data.write_text("idx,text,label\n007,good film,positive\nx,,negative\n007,bad film,\n")
    for suffix in (".jsonl", ".parquet"):
        out = tmp_path / f"maps{suffix}"
        done = run("explain", "--file", data, "--out", out, "--model", model, "--method", "random")
        assert done.code == 2  # one text is empty
        assert [(row["id"], row["gold"]) for row in read_maps(out)] == [("007", "positive"), ("007", None)]
    lines = [json.loads(line) for line in (tmp_path / "maps.jsonl").read_text().splitlines()]
    assert [(line["row"], line["id"], line["gold"]) for line in lines if line.get("error")] == [(1, "x", "negative")]
    assert [line["row"] for line in lines] == [0, 1, 2]


@pytest.mark.parametrize("place", [0, 2, 5])
def test_a_bad_text_of_a_file_leaves_the_others_as_they_are_without_it(
    run: Runner, broken_model: Path, tmp_path: Path, place: int
) -> None:
    sound = ["good film", "a film", "bad acting", "it is good", "the film is bad"]
    lines = {"with": [*sound[:place], "a super film", *sound[place:]], "without": sound}
    found = {}
    for name, own in lines.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(own))
        how = ["--model", broken_model, "--prior", "instance", "--batch-size", 1, "--method", "paper:steps=2:samples=2"]
        done = run("explain", "--file", tmp_path / f"{name}.txt", "--out", tmp_path / f"{name}.jsonl", *how)
        assert done.code == (2 if name == "with" else 0)
        found[name] = list(read_maps(tmp_path / f"{name}.jsonl"))
    assert found["with"] == found["without"]  # to the last bit


def shell(*words: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*SHELL, *map(str, words)], capture_output=True, check=False, env={**os.environ, **environment}
    )


def test_a_console_that_is_not_utf_8(model: Path) -> None:
    """The argument comes as bytes that the console's encoding lacks; what cannot be shown is written as an escape."""
    plain = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    options = ["--model", model, "--prior", "instance"]
    done = shell("explain", "bön film", "--json", "--method", "random", *options, **plain)
    assert json.loads(done.stdout.decode())["text"] == "bön film"
    done = shell("explain", "bön film \U0001f600", "--layer", "all", "--method", "layer_ig:steps=2", *options, **plain)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\xf6" in done.stdout and b"\\U0001f600" in done.stdout


def test_output_that_is_lost_is_no_traceback(model: Path) -> None:
    options = f"--model {model} --method random"
    command = f"{' '.join(SHELL)} explain 'good film' {options}"
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    for more, said, code in (
        ("--json > /dev/full", b"narrows: error: cannot write the output: No space left on device\n", 2),
        ("| true", b"", 0),
    ):
        done = subprocess.run(["bash", "-c", f"{command} {more}"], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (code, said)
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(SHELL)} explain - {options} <&-"], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, b"narrows: error: stdin is closed: there is no text to read\n")
