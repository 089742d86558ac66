"""The command line end to end: on a tiny saved classifier, and on the bundled sentiment model."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import tiny
from command import TEXTS, Runner, assert_one_line
from narrows import Attribution, Contrast, Explainer, __version__
from narrows.data.maps import read_maps
from narrows.data.schema import AttributionDict, TokenDict
from narrows.methods.registry import method_names, settings_by_name
from narrows.models.corpus import estimate_prior

METHOD = "information:samples=2:steps=3"


@pytest.fixture
def options(model: Path) -> list[object]:
    return ["--model", model, "--prior", model.parent / "prior.safetensors"]


@pytest.fixture
def informed(options: list[object]) -> list[object]:
    return [*options, "--method", METHOD]


def test_the_terminal_map_shows_words_unit_and_prediction(run: Runner, informed: list[object]) -> None:
    result = run("explain", "A very good film!", *informed)
    assert result.code == 0
    for part in ("A very good film!", "predicted", "bits", "information", "layer 3", "rank"):
        assert part in result.out
    assert result.err == ""


def test_by_default_tokens_give_evidence_at_several_layers(run: Runner, options: list[object]) -> None:
    result = run("explain", "A very good film!", *options)
    assert result.code == 0
    for part in ("evidence", "layers 1, 2", "3 steps", "bits"):
        assert part in result.out
    saved = json.loads(run("explain", "A very good film!", "--json", "--layer", "1-2", *options).out)
    assert (saved["layers"], saved["method"]["name"], saved["unit"]) == ([1, 2], "fast", "bits")
    assert min(token["score"] for token in saved["tokens"]) < 0


def test_json_is_one_object_of_the_documented_form_and_nothing_else(run: Runner, informed: list[object]) -> None:
    result = run("explain", "A very good film!", "--json", *informed)
    saved = json.loads(result.out)
    assert result.code == 0
    assert result.out.count("\n") == 1
    assert set(saved) == set(AttributionDict.__annotations__)
    assert saved["narrows_version"] == __version__
    assert set(saved["tokens"][0]) == set(TokenDict.__annotations__)
    assert [point["step"] for point in saved["trace"]] == [0, 1, 2, 3]
    assert sum(saved["probabilities"].values()) == pytest.approx(1.0)
    assert all(token["score"] >= 0 for token in saved["tokens"])
    assert sorted(token["rank"] for token in saved["tokens"] if not token["special"]) == [1, 2, 3, 4, 5]
    assert Attribution.from_dict(saved).to_dict() == saved


def test_a_single_text_is_checked_unless_that_is_not_wanted(run: Runner, options: list[object], tmp_path: Path) -> None:
    page = tmp_path / "map.html"
    shown = run("explain", "A very good film!", "--html", page, *options)
    assert (shown.code, "Without '" in shown.out, "Without &#39;" in page.read_text()) == (0, True, True)
    assert json.loads(run("explain", "A very good film!", "--json", *options).out)["check"]["unit_of"] == "word"
    assert json.loads(run("explain", "A very good film!", "--json", "--no-check", *options).out)["check"] is None
    assert_one_line(run("explain", "A film", "--check", "--layer", "all", *options), "leave out --unit-of and --check")


def test_texts_of_a_file_are_checked_if_that_is_wanted(run: Runner, options: list[object], tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("a good film\nbad acting\n")
    for name in ("maps.jsonl", "maps.parquet"):
        asked = ["explain", "--file", texts, "--out", tmp_path / name, *options]
        assert run(*asked).code == 0
        assert [found["check"] for found in read_maps(tmp_path / name)] == [None, None]
        assert run(*asked, "--check").code == 0
        assert [len(found["check"]["without"]) for found in read_maps(tmp_path / name)] == [3, 2]  # type: ignore[index]


def test_json_is_utf_8_whatever_the_console(run: Runner, options: list[object], model: Path) -> None:
    words = [sys.executable, "-m", "narrows", "explain", "bön film", "--json", "--method", "random", *options]
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert json.loads(done.stdout.decode("utf-8"))["text"] == "bön film"


def test_the_same_command_gives_the_same_bytes(run: Runner, options: list[object]) -> None:
    first, second, other = (
        run("explain", "not a bad film", "--json", *options, "--method", METHOD + seed).out
        for seed in ("", "", ":seed=1")
    )
    assert first == second
    assert other != first


def test_options_and_settings_reach_the_result(run: Runner, options: list[object]) -> None:
    method = "information_signed:granularity=feature:beta=0.25:steps=3:samples=2"
    asked = ["--layer", 1, "--target", "neutral", "--method", method]
    saved = json.loads(run("explain", "a good film", "--json", *asked, *options).out)
    assert (saved["layers"], saved["target"], saved["signed"]) == ([1], "neutral", True)
    expected = {"granularity": "feature", "beta": 0.25, "sign": True, "steps": 3, "samples": 2, "layer": 1}
    assert expected.items() <= saved["method"]["settings"].items()


@pytest.mark.parametrize("method", ["ig:steps=3", "lime:samples=8", "occlusion", "rollout", "random"])
def test_a_comparison_method_comes_by_the_same_door(run: Runner, options: list[object], method: str) -> None:
    shown = run("explain", "a good film", *options, "--method", method)
    assert (shown.code, shown.err) == (0, "")
    saved = json.loads(run("explain", "a good film", "--json", *options, "--method", method).out)
    assert saved["method"]["name"] == method.partition(":")[0]
    assert saved["method"]["unit"] == saved["unit"]
    assert saved["prior"] is None


def test_a_text_comes_from_stdin(run: Runner, options: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("bön film\n".encode())))
    assert json.loads(run("explain", "-", "--json", *options).out)["text"] == "bön film"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    assert_one_line(run("explain", "-", *options), "stdin", "UTF-8")


def test_a_contrast_is_explained_as_in_python(run: Runner, options: list[object], model: Path, tmp_path: Path) -> None:
    asked = ["--target", "positive", "--against", "0", *options]
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
    result = run("explain", TEXTS[0], "--target", "positive", "--against", "negative", *options)
    assert result.code == 0
    assert "positive rather than negative" in result.out


def test_a_pair_keeps_its_segments(run: Runner, options: list[object]) -> None:
    saved = json.loads(run("explain", "good film", "--pair", "bad act", "--json", *options).out)
    assert saved["text_pair"] == "bad act"
    assert {token["segment"] for token in saved["tokens"]} == {0, 1, None}


@pytest.mark.parametrize("method", [METHOD, "fast", "layer_ig:steps=2"])
def test_all_layers_come_as_one_object(run: Runner, options: list[object], method: str) -> None:
    options = [*options, "--method", method]
    saved = json.loads(run("explain", "a good film", "--layer", "all", "--json", *options).out)
    assert (set(saved), saved["text"]) == ({"text", "text_pair", "layers"}, "a good film")
    assert [layer["layers"] for layer in saved["layers"]] == [[0], [1], [2], [3]]
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
    run: Runner, informed: list[object], tmp_path: Path, suffix: str
) -> None:
    source, out = tmp_path / "texts.txt", tmp_path / f"maps{suffix}"
    source.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    result = run("explain", "--file", source, "--out", out, "--batch-size", 1, *informed)
    assert result.code == 0
    rows = list(read_maps(out))
    assert rows[0]["method"]["settings"]["steps"] == 3
    assert [row["text"] for row in rows] == TEXTS
    assert list(tmp_path.glob("*.partial")) == []
    alone = json.loads(run("explain", TEXTS[1], "--json", *informed).out)
    assert [token["score"] for token in rows[1]["tokens"]] == pytest.approx(
        [token["score"] for token in alone["tokens"]], rel=1e-4
    )


def test_rows_that_cannot_be_read_or_explained_are_errors_at_the_end(
    run: Runner, options: list[object], tmp_path: Path
) -> None:
    source, out = tmp_path / "texts.csv", tmp_path / "maps.jsonl"
    source.write_text(
        "text,label\ngood film,negative\n,neutral\nbad film,none such\na film,neutral\n", encoding="utf-8"
    )
    result = run("explain", "--file", source, "--out", out, "--target", "gold", *options)
    assert result.code == 2
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [(row["text"], row["gold"]) for row in rows if not row.get("error")] == [
        ("good film", "negative"),
        ("a film", "neutral"),
    ]
    assert [bool(row.get("error")) for row in rows] == [False, True, True, False]  # a row for each text, as in a run
    assert rows[2]["text"] == "bad film" and "no label 'none such'" in rows[2]["error"]
    errors = [line for line in result.err.splitlines() if line.startswith("narrows: error")]
    assert len(errors) == 2
    assert "texts.csv, line 3" in errors[0]
    assert "bad film" in errors[1] and "no label 'none such'" in errors[1]


def test_an_option_that_is_wrong_for_every_row_is_one_line(run: Runner, options: list[object], tmp_path: Path) -> None:
    source, out = tmp_path / "texts.txt", tmp_path / "maps.jsonl"
    source.write_text("good film\nbad film\n", encoding="utf-8")
    for wrong, part in ((["--target", "great"], "no label 'great'"), (["--layer", "9"], "layer 9 is out of range")):
        result = run("explain", "--file", source, "--out", out, *wrong, *options)
        assert (result.code, result.out) == (2, "")
        errors = [line for line in result.err.splitlines() if line.startswith("narrows: error")]
        assert len(errors) == 1 and part in errors[0]
        assert not out.exists()


def test_gold_labels_come_from_the_file(run: Runner, options: list[object], tmp_path: Path) -> None:
    source, out = tmp_path / "texts.csv", tmp_path / "maps.jsonl"
    source.write_text("text,label\ngood film,NEGATIVE\nbad film,neutral\n", encoding="utf-8")
    assert run("explain", "--file", source, "--out", out, "--target", "gold", *options).code == 0
    targets = [json.loads(line)["target"] for line in out.read_text(encoding="utf-8").splitlines()]
    assert targets == ["negative", "neutral"]


def test_work_that_is_stopped_leaves_no_output_but_keeps_what_was_done(
    run: Runner, options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "texts.txt", tmp_path / "maps.jsonl"
    source.write_text("good film\n" * 10, encoding="utf-8")
    each = Explainer.each

    def stop_after_six(self: Explainer, *arguments: Any) -> Any:
        yield from islice(each(self, *arguments), 6)
        raise KeyboardInterrupt

    monkeypatch.setattr(Explainer, "each", stop_after_six)
    result = run("explain", "--file", source, "--out", out, "--batch-size", 2, *options)
    assert result.code == 130
    assert "maps.jsonl.partial" in result.err
    assert not out.exists()
    assert len((tmp_path / "maps.jsonl.partial").read_text(encoding="utf-8").splitlines()) == 6


def test_calibrate_writes_a_file_that_explain_takes(run: Runner, model: Path, tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus.txt", tmp_path / "calibration.safetensors"
    corpus.write_text("\n".join(f"{text} {number}" for number in range(16) for text in TEXTS[:3]), encoding="utf-8")
    made = run("calibrate", "--model", model, "--data", corpus, "--out", out, "--limit", 32)
    assert made.code == 0, made.err
    assert "a prior from" in made.err
    for part in ("16 texts", "fast", "ig", "random", "above chance by", "a typical text: p("):
        assert part in made.out
    explained = run("explain", "good", "--model", model, "--prior", out, "--json")
    assert explained.code == 0
    saved = json.loads(explained.out)
    assert saved["prior"].startswith("corpus ")
    assert saved["record"]["calibration"]["texts"] == 16
    assert "of your own texts" in run("explain", "good", "--model", model, "--prior", out).out


def test_a_calibration_that_cannot_be_made_leaves_no_file(run: Runner, model: Path, tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus.txt", tmp_path / "calibration.safetensors"
    corpus.write_text("\n".join(TEXTS), encoding="utf-8")
    assert_one_line(run("calibrate", "--model", model, "--data", corpus, "--out", out), "at least 32 texts")
    assert list(tmp_path.iterdir()) == [corpus]


def test_no_prior_is_warned_of(run: Runner, model: Path) -> None:
    result = run("explain", "good", "--model", model, "--json")
    assert result.code == 0
    assert result.err.startswith("narrows: warning: no prior given")
    assert len(result.err.splitlines()) == 1
    assert run("explain", "good", "--model", model, "--json", "--method", "ig").err == ""


def test_a_long_text_is_cut_with_a_warning(run: Runner, options: list[object]) -> None:
    result = run("explain", "good " * 100, "--json", *options)
    assert result.code == 0
    assert json.loads(result.out)["truncated"] == 38
    assert "38 tokens were cut off" in result.err


COMMANDS = (
    *("explain", "methods", "run", "merge", "inspect", "serve", "calibrate", "evaluate", "sweep layers", "sweep beta"),
    *("report", "models", "finetune", "summarize"),
)
BAD_INPUT: dict[str, tuple[list[object], list[str]]] = {
    "empty text": (["   "], ["text is empty"]),
    "nothing to explain": ([], ["give one text"]),
    "both text and file": (["good", "--file", "x.txt", "--out", "y.jsonl"], ["give one text"]),
    "file without out": (["--file", "x.txt"], ["--file needs --out", "--html"]),
    "out without file": (["good", "--out", "x.jsonl"], ["--out goes with --file"]),
    "only errors of one text": (["good", "--only-errors"], ["--only-errors goes with --file"]),
    "empty pair": (["good", "--pair", ""], ["text_pair is empty"]),
    "layer too high": (["good", "--layer", "4"], ["layer 4 is out of range", "0 to 3"]),
    "negative layer": (["good", "--layer", "-1"], ["layer -1 is out of range", "0 to 3"]),
    "layer no number": (["good", "--layer", "last"], ["layer must be a whole number"]),
    "a layer for a method without": (["good", "--layer", "1", "--method", "lime"], ["lime has no layer"]),
    "all layers of a method without": (["good", "--layer", "all", "--method", "lime"], ["lime has no layer"]),
    "several layers for one": (["good", "--layer", "1,2", "--method", "layer_ig"], ["layer must be a whole number"]),
    "unknown label": (["good", "--target", "great"], ["no label 'great'", "negative (0), neutral (1), positive (2)"]),
    "unknown label against": (
        ["good", "--target", "positive", "--against", "great"],
        ["no label 'great'", "neutral (1)"],
    ),
    "a label against itself": (["good", "--target", "neutral", "--against", "Neutral"], ["neutral was given twice"]),
    "against what is predicted": (["good", "--against", "neutral"], ["--against goes with --target"]),
    "gold without label": (["good", "--target", "gold"], ["needs a label"]),
    "no such method": (["good", "--method", "limes"], ["no method 'limes'", "lime"]),
    "no such setting": (["good", "--method", "ig:stepz=2"], ["stepz", "steps, baseline"]),
    "beta no number": (["good", "--method", "paper:beta=big"], ["beta must be a number or 'auto'"]),
    "beta below zero": (["good", "--method", "paper:beta=-1"], ["beta must be a number of at least 0"]),
    "no steps": (["good", "--method", "ig:steps=0"], ["steps must be a whole number of at least 1"]),
    "unknown choice": (["good", "--method", "paper:granularity=word"], ["granularity", "'feature' or 'token'"]),
    "a file that is missing": (["good", "--method", "file"], ["method 'file' needs path"]),
    "no such prior": (["good", "--prior", "nowhere.safetensors"], ["no such prior", "nowhere.safetensors"]),
    "unwritable page": (["good", "--html", "/nowhere/page.html"], ["cannot write /nowhere/page.html"]),
    "a page that is a figure": (["good", "--html", "page.pdf"], [".html", "page.pdf"]),
    "unknown option": (["good", "--colour", "red"], ["--colour"]),
    "an option of old": (["good", "--preset", "best"], ["--preset"]),
    "no batch": (["good", "--batch-size", "0"], ["--batch-size"]),
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


@pytest.mark.parametrize("wrong", [["--method", "limes"], ["--layer", "x"], ["--prior", "nowhere.safetensors"]])
def test_what_is_wrong_is_said_before_a_model_is_loaded(run: Runner, wrong: list[str]) -> None:
    assert "no such model" not in run("explain", "good", "--model", "no-such-model", *wrong).err


def test_a_missing_model_gets_one_line(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert_one_line(
        run("explain", "good", "--model", "no-such-model"), "no such model: 'no-such-model'", "'narrows models'"
    )


def test_a_model_without_a_head_gets_one_line(run: Runner, tmp_path: Path) -> None:
    classifier, tokenizer = tiny.classifier("bert")
    classifier.bert.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert_one_line(run("explain", "good", "--model", tmp_path), "no trained head")


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
    for name in ("sentiment", "topic", "nli", "rte", "lm", "text-generation", "Apache-2.0"):
        assert name in result.out


def test_methods_are_listed_with_what_their_scores_are(run: Runner) -> None:
    result = run("methods")
    assert result.code == 0
    for name in method_names():
        assert name in result.out
    assert "As fast, with steps=12, iterations=4" in " ".join(result.out.split())
    for fact in ("bits", "nats of log p", "signed", "unsigned", "additive"):
        assert fact in result.out


@pytest.mark.parametrize("name", ["fast", "complete", "paper", "lime", "file", "rollout"])
def test_a_method_is_shown_with_its_settings(run: Runner, name: str) -> None:
    result = run("methods", name)
    assert result.code == 0
    shown = " ".join(result.out.split())
    for setting in settings_by_name(name).values():
        assert setting.name in shown
    assert {"complete": "0,1", "lime": "'attention'", "file": "must be given"}.get(name, name) in shown
    assert_one_line(run("methods", "limes"), "no method 'limes'", "kernel_shap")


def test_help_is_there_for_every_command_and_loads_no_torch() -> None:
    code = "import sys, narrows.cli; assert not {'torch', 'transformers', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Runner, command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.code == 0
    assert "Usage" in result.out


@pytest.mark.parametrize("name", ["[red]x.csv", "\x1b[31mred\u202e.csv"])
def test_names_are_shown_as_they_stand_and_drive_no_terminal(
    run: Runner, model: Path, tmp_path: Path, name: str
) -> None:
    texts = tmp_path / name
    texts.write_text("text,label\na good film,positive\nnot,negative\n", encoding="utf-8")
    out = tmp_path / "run"
    missing = run("explain", "--model", model, "--file", tmp_path / f"no{name}", "--out", tmp_path / "maps.jsonl")
    assert_one_line(missing, "no such file")
    done = run("evaluate", "--model", model, "--dataset", texts, "--methods", "random", "--out", out)
    assert done.code == 0, done.err
    for said in (missing.err, done.out, done.err):
        assert not set("\x1b\u202e") & set(said)
    assert name.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e") in done.out


def test_units_are_asked_for_by_name(run: Runner, options: list[object], tmp_path: Path) -> None:
    text = "A very good film! It is not bad."
    saved = json.loads(run("explain", text, "--unit-of", "sentence", "--json", *options).out)
    assert [unit["text"] for unit in saved["units"]] == ["A very good film!", "It is not bad."]
    assert sorted(unit["rank"] for unit in saved["units"]) == [1, 2]
    assert "strongest sentences" in run("explain", text, "--unit-of", "sentence", *options).out
    (tmp_path / "texts.txt").write_text(text + "\n", encoding="utf-8")
    files = ["--file", tmp_path / "texts.txt", "--out", tmp_path / "maps.parquet"]
    assert run("explain", *files, "--unit-of", "word", *options).code == 0
    (read,) = read_maps(tmp_path / "maps.parquet")
    assert [unit["text"] for unit in read["units"] or ()] == [word["word"] for word in read["words"]]
    assert_one_line(run("explain", text, "--unit-of", "message", *options), "messages of a chat")
    for other in (["--layer", "all"], ["--generate", 2], ["--response", "bad"]):
        assert_one_line(run("explain", text, "--unit-of", "word", *other, *options), "--unit-of")


def test_a_report_is_one_page_and_goes_with_one_map(run: Runner, options: list[object], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report = tmp_path / "report.pdf"
    result = run("explain", "a good film", *options, "--report", report)
    assert result.code == 0 and "report.pdf" in result.err
    assert report.read_bytes().startswith(b"%PDF")
    assert_one_line(run("explain", "a film", *options, "--report", tmp_path / "report.txt"), "must end in .pdf")
    assert_one_line(run("explain", "a film", *options, "--report", report, "--layer", "all"), "--report is of one map")
