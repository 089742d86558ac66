"""The command line end to end: on a tiny saved classifier, and on the bundled sentiment model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

import tiny
from command import TEXTS, Runner, assert_one_line
from narrows import Attribution, Contrast, Explainer, __version__
from narrows.models.corpus import estimate_prior


@pytest.fixture
def options(model: Path) -> list[object]:
    return ["--model", model, "--prior", model.parent / "prior.safetensors", "--samples", 2, "--steps", 3]


def test_the_terminal_map_shows_words_bits_and_prediction(run: Runner, options: list[object]) -> None:
    result = run("explain", "A very good film!", *options)
    assert result.code == 0
    assert "A very good film!" in result.out
    for part in ("predicted", "bits", "The prediction needed", "layer 2 carries", "One bit is"):
        assert part in result.out
    assert result.err == ""


def test_by_default_tokens_give_evidence_at_several_layers(run: Runner, options: list[object]) -> None:
    result = run("explain", "A very good film!", *options[:4])
    assert result.code == 0
    for part in ("layers 0, 2", "Measured at 3 points", "bits for the target", "log2 p(target)"):
        assert part in result.out
    saved = json.loads(run("explain", "A very good film!", "--json", "--layer", "1-2", *options[:4]).out)
    assert (saved["layers"], saved["config"]["readout"]) == ([1, 2], "evidence")
    assert min(token["score"] for token in saved["tokens"]) < 0


def test_json_is_one_object_of_the_documented_form_and_nothing_else(run: Runner, options: list[object]) -> None:
    result = run("explain", "A very good film!", "--json", *options)
    saved = json.loads(result.out)
    assert result.code == 0
    assert result.out.count("\n") == 1
    assert {"text", "text_pair", "tokens", "target", "predicted", "probabilities", "layer", "total_bits"} <= set(saved)
    assert {"method", "config", "trace", "narrows_version"} <= set(saved)
    assert saved["narrows_version"] == __version__
    assert set(saved["tokens"][0]) == {"token", "start", "end", "segment", "special", "bits", "score"}
    assert [set(point) for point in saved["trace"]] == [{"step", "cross_entropy", "information"}] * 4
    assert sum(saved["probabilities"].values()) == pytest.approx(1.0)
    assert saved["total_bits"] == pytest.approx(sum(token["bits"] for token in saved["tokens"]))
    assert all(token["bits"] >= 0 for token in saved["tokens"])
    assert Attribution.from_dict(saved).to_dict() == saved


def test_the_same_command_gives_the_same_bytes(run: Runner, options: list[object]) -> None:
    first, second = (run("explain", "not a bad film", "--json", *options).out for _ in range(2))
    assert first == second
    assert run("explain", "not a bad film", "--json", "--seed", 1, *options).out != first


def test_options_reach_the_result(run: Runner, options: list[object]) -> None:
    asked = ["--layer", 1, "--target", "neutral", "--granularity", "feature", "--beta", "0.25", "--readout", "signed"]
    saved = json.loads(run("explain", "a good film", "--json", *asked, *options).out)
    assert (saved["layer"], saved["target"]) == (1, "neutral")
    assert saved["config"]["granularity"] == "feature"
    assert saved["config"]["beta"] == 0.25
    assert saved["config"]["readout"] == "signed"
    assert saved["config"]["steps"] == 3


def test_a_contrast_is_explained_as_in_python(run: Runner, options: list[object], model: Path, tmp_path: Path) -> None:
    asked = ["--target", "positive", "--against", "0", "--readout", "evidence", *options[:4]]
    saved = json.loads(run("explain", TEXTS[0], "--json", *asked).out)
    assert saved["target"] == "positive rather than negative"
    explainer = Explainer.from_pretrained(str(model), prior=model.parent / "prior.safetensors")
    expected = explainer(TEXTS[0], Contrast("positive", "negative"))
    assert [token["score"] for token in saved["tokens"]] == pytest.approx(expected.scores.tolist(), abs=1e-5)
    assert expected.scores.tolist() != pytest.approx(explainer(TEXTS[0], "positive").scores.tolist(), abs=1e-3)
    layers = json.loads(run("explain", TEXTS[0], "--json", "--layer", "all", *asked).out)["layers"]
    assert {layer["target"] for layer in layers} == {"positive rather than negative"}
    source, out = tmp_path / "texts.txt", tmp_path / "maps.jsonl"
    source.write_text("\n".join(TEXTS), encoding="utf-8")
    assert run("explain", "--file", source, "--out", out, *asked).code == 0
    first, *others = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert {row["target"] for row in others} == {"positive rather than negative"}
    assert [token["score"] for token in first["tokens"]] == pytest.approx(expected.scores.tolist(), abs=1e-4)


def test_a_contrast_is_shown(run: Runner, options: list[object]) -> None:
    result = run("explain", TEXTS[0], "--target", "positive", "--against", "negative", *options[:4])
    assert result.code == 0
    assert "positive rather than negative" in result.out


def test_a_pair_keeps_its_segments(run: Runner, options: list[object]) -> None:
    saved = json.loads(run("explain", "good film", "--pair", "bad act", "--json", *options).out)
    assert saved["text_pair"] == "bad act"
    assert {token["segment"] for token in saved["tokens"]} == {0, 1, None}


def test_all_layers_come_as_one_object(run: Runner, options: list[object]) -> None:
    saved = json.loads(run("explain", "a good film", "--layer", "all", "--json", *options).out)
    assert [layer["layer"] for layer in saved["layers"]] == [0, 1, 2, 3]
    shown = run("explain", "a good film", "--layer", "all", *options)
    assert shown.code == 0
    assert "layers 0 to 3" in shown.out


def test_the_page_escapes_the_text(run: Runner, options: list[object], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = run("explain", "good <script>alert(1)</script> film", "--html", page, *options)
    assert result.code == 0
    html = page.read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;" in html


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_file_of_texts_becomes_a_file_of_maps_in_its_order(
    run: Runner, options: list[object], tmp_path: Path, suffix: str
) -> None:
    source, out = tmp_path / "texts.txt", tmp_path / f"maps{suffix}"
    source.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    result = run("explain", "--file", source, "--out", out, "--batch-size", 2, *options)
    assert result.code == 0
    if suffix == ".parquet":
        rows = pyarrow.parquet.read_table(out).to_pylist()
        assert json.loads(rows[0]["config"])["steps"] == 3
    else:
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == TEXTS
    assert list(tmp_path.glob("*.partial")) == []
    alone = json.loads(run("explain", TEXTS[1], "--json", *options).out)
    assert rows[1]["total_bits"] == pytest.approx(alone["total_bits"], rel=1e-4)


def test_malformed_rows_are_told_and_the_others_are_kept(run: Runner, options: list[object], tmp_path: Path) -> None:
    source, out = tmp_path / "texts.jsonl", tmp_path / "maps.jsonl"
    source.write_text('{"text": "good film"}\n{"text": \n[]\n{"text": "bad film"}\n', encoding="utf-8")
    result = run("explain", "--file", source, "--out", out, *options)
    assert result.code == 2
    assert len(out.read_text(encoding="utf-8").splitlines()) == 2
    told = [line for line in result.err.splitlines() if line.startswith("narrows: error")]
    assert len(told) == 2
    assert f"{source}, line 2" in told[0]
    assert f"{source}, line 3" in told[1]


def test_gold_labels_come_from_the_file(run: Runner, options: list[object], tmp_path: Path) -> None:
    source, out = tmp_path / "texts.csv", tmp_path / "maps.jsonl"
    source.write_text("text,label\ngood film,NEGATIVE\nbad film,neutral\n", encoding="utf-8")
    assert run("explain", "--file", source, "--out", out, "--target", "gold", *options).code == 0
    targets = [json.loads(line)["target"] for line in out.read_text(encoding="utf-8").splitlines()]
    assert targets == ["negative", "neutral"]


def test_work_that_breaks_off_leaves_no_output_but_keeps_what_was_done(
    run: Runner, options: list[object], tmp_path: Path
) -> None:
    source, out = tmp_path / "texts.csv", tmp_path / "maps.jsonl"
    rows = ["good film,negative"] * 40 + ["bad film,no such label"]
    source.write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    result = run("explain", "--file", source, "--out", out, "--target", "gold", "--batch-size", 2, *options)
    assert result.code == 2
    assert "no label 'no such label'" in result.err
    assert not out.exists()
    assert len((tmp_path / "maps.jsonl.partial").read_text(encoding="utf-8").splitlines()) == 40


def test_prior_writes_a_file_that_explain_takes(run: Runner, model: Path, tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus.txt", tmp_path / "prior.safetensors"
    corpus.write_text("\n".join(TEXTS), encoding="utf-8")
    made = run("prior", "--model", model, "--data", corpus, "--out", out)
    assert made.code == 0
    assert "4 layers of 16 features" in made.err
    explained = run("explain", "good", "--model", model, "--prior", out, "--steps", 1, "--samples", 1, "--json")
    assert explained.code == 0
    assert json.loads(explained.out)["config"]["prior"].startswith("corpus ")


def test_a_prior_that_cannot_be_made_leaves_no_file(run: Runner, model: Path, tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus.txt", tmp_path / "prior.safetensors"
    corpus.write_text("\n \n", encoding="utf-8")
    assert run("prior", "--model", model, "--data", corpus, "--out", out).code == 2
    assert list(tmp_path.iterdir()) == [corpus]


def test_no_prior_is_warned_of(run: Runner, model: Path) -> None:
    result = run("explain", "good", "--model", model, "--steps", 1, "--samples", 1, "--json")
    assert result.code == 0
    assert result.err.startswith("narrows: warning: no prior given")
    assert len(result.err.splitlines()) == 1


def test_a_long_text_is_cut_with_a_warning(run: Runner, options: list[object]) -> None:
    result = run("explain", "good " * 100, "--json", *options)
    assert result.code == 0
    assert json.loads(result.out)["truncated"] == 38
    assert "38 tokens were cut off" in result.err


BAD_INPUT: dict[str, tuple[list[object], list[str]]] = {
    "empty text": (["   "], ["text is empty"]),
    "nothing to explain": ([], ["give one text"]),
    "both text and file": (["good", "--file", "x.txt", "--out", "y.jsonl"], ["give one text"]),
    "file without out": (["--file", "x.txt"], ["--file and --out go together"]),
    "empty pair": (["good", "--pair", ""], ["text_pair is empty"]),
    "layer too high": (["good", "--layer", "4"], ["layer 4 is out of range", "0 to 3"]),
    "negative layer": (["good", "--layer", "-1"], ["layer -1 is out of range", "0 to 3"]),
    "layer no number": (["good", "--layer", "last"], ["layers must be numbers such as 1,3,5 or 0-6"]),
    "unknown label": (["good", "--target", "great"], ["no label 'great'", "negative (0), neutral (1), positive (2)"]),
    "unknown label against": (
        ["good", "--target", "positive", "--against", "great"],
        ["no label 'great'", "neutral (1)"],
    ),
    "a label against itself": (["good", "--target", "neutral", "--against", "Neutral"], ["neutral was given twice"]),
    "against what is predicted": (["good", "--against", "neutral"], ["--against goes with --target"]),
    "gold without label": (["good", "--target", "gold"], ["needs a label"]),
    "beta no number": (["good", "--beta", "big"], ["--beta must be 'auto' or a number"]),
    "beta below zero": (["good", "--beta", "-1"], ["beta must be 'auto' or a number of at least 0"]),
    "no steps": (["good", "--steps", "0"], ["steps must be at least 1"]),
    "no such prior": (["good", "--prior", "nowhere.safetensors"], ["no such prior", "nowhere.safetensors"]),
    "unwritable page": (["good", "--html", "/nowhere/page.html"], ["cannot write /nowhere/page.html"]),
    "unknown choice": (["good", "--granularity", "word"], ["--granularity", "'feature', 'token'"]),
    "unknown option": (["good", "--colour", "red"], ["--colour"]),
    "no such file": (["--file", "nowhere.csv", "--out", "maps.jsonl"], ["nowhere.csv"]),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_gets_one_line_and_exit_code_2(
    run: Runner, options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, parts = BAD_INPUT[name]
    assert_one_line(run("explain", *options, *arguments), *parts)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_model_gets_one_line(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert_one_line(run("explain", "good", "--model", "no-such-model"), "no such model: 'no-such-model'", "sentiment")


def test_a_model_without_a_head_gets_one_line(run: Runner, tmp_path: Path) -> None:
    classifier, tokenizer = tiny.classifier("bert")
    classifier.bert.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert_one_line(run("explain", "good", "--model", tmp_path), "no trained classification head")


def test_a_prior_of_another_model_gets_one_line(run: Runner, options: list[object], tmp_path: Path) -> None:
    classifier, tokenizer = tiny.classifier("bert", seed=5)
    estimate_prior(classifier, tokenizer, TEXTS).save(tmp_path / "other.safetensors")
    result = run("explain", "good", *options, "--prior", tmp_path / "other.safetensors")
    assert_one_line(result, "the prior belongs to another model")


def test_a_broken_model_gets_one_line(run: Runner, model: Path, tmp_path: Path) -> None:
    classifier, tokenizer = tiny.classifier("bert")
    classifier.bert.encoder.layer[1].output.dense.weight.data.fill_(float("nan"))
    classifier.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    result = run("explain", "good", "--model", tmp_path, "--prior", "instance")
    assert_one_line(result, "activations after layer 2 hold NaN or infinity", "'good'")


def test_models_lists_the_demo_models(run: Runner) -> None:
    result = run("models")
    assert result.code == 0
    for name in ("sentiment", "topic", "nli", "rte"):
        assert name in result.out


def test_help_is_there_for_every_command_and_loads_no_torch() -> None:
    code = "import sys, narrows.cli; assert not {'torch', 'transformers', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", ["explain", "prior", "models", "finetune"])
def test_every_command_has_help(run: Runner, command: str) -> None:
    result = run(command, "--help")
    assert result.code == 0
    assert "Usage" in result.out
