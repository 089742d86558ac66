"""Heads of every kind on the command line: what is explained by default, and what can be asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import families
from command import Run, Runner, assert_one_line
from narrows.bottleneck.prior import Prior
from narrows.run.settings import ExplainSettings


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Save a tiny model with a head in a folder, once."""
    root = tmp_path_factory.mktemp("heads")

    def save(stem: str, head: str, **sizes: Any) -> Path:
        folder = root / f"{stem}{head}"
        if not folder.exists():
            for part in families.of_task(stem, head, **sizes):
                part.save_pretrained(folder)
        return folder

    return save


@pytest.fixture
def explain(run: Runner) -> Any:
    def command(model: Path, *words: object) -> Run:
        return run("explain", *words, "--model", model, "--method", "random", "--prior", "instance")

    return command


def found(result: Run) -> Any:
    assert result.code == 0, result.err
    return json.loads(result.out)


def test_a_causal_model_predicts_the_next_token_or_explains_what_is_named(explain: Any, saved: Any) -> None:
    model = saved("GPT2", "LMHeadModel")
    own = found(explain(model, "a film", "--json"))
    assert own["target"] == own["predicted"] == next(iter(own["probabilities"]))
    ((named),) = own["record"]["target_tokens"]
    assert named["text"] == own["target"]
    assert len(named["ids"]) == 1
    continued = found(explain(model, "a film", "--json", "--target", " bad"))
    _, tokenizer = families.of_task("GPT2", "LMHeadModel")
    assert continued["target"] == " bad"
    assert continued["record"]["target_tokens"] == [{"text": " bad", "ids": tokenizer(" bad")["input_ids"]}]
    rather = found(explain(model, "a film", "--json", "--target", "b", "--against", "c"))
    assert [side["ids"] for side in rather["record"]["target_tokens"]] == [
        tokenizer(each)["input_ids"] for each in "bc"
    ]


def test_a_target_of_tokens_is_shown_as_text_and_id(explain: Any, saved: Any, tmp_path: Path) -> None:
    model, page = saved("GPT2", "LMHeadModel"), tmp_path / "map.html"
    _, tokenizer = families.of_task("GPT2", "LMHeadModel")
    one, other = (tokenizer(each)["input_ids"][0] for each in " b")
    result = explain(model, "a film", "--target", " ", "--html", page)
    assert f"' ' (id {one})" in result.out
    assert f"&#39; &#39; (id {one})" in page.read_text(encoding="utf-8")
    result = explain(model, "a film", "--target", " b")
    assert f"' b' (ids {one}, {other})" in result.out
    result = explain(model, "a film", "--target", "b", "--against", " ")
    assert f"'b' (id {other}) rather than ' ' (id {one})" in result.out


def test_a_masked_model_fills_the_blank(explain: Any, saved: Any) -> None:
    model = saved("Bert", "ForMaskedLM")
    own = found(explain(model, "a [MASK] film", "--json"))
    assert own["target"] == own["predicted"]
    good = found(explain(model, "a [MASK] film", "--json", "--target", "good"))
    assert (good["target"], good["record"]["target_tokens"][0]["text"]) == ("good", "good")
    assert_one_line(explain(model, "a good film"), "no blank to fill", "[MASK]")


def test_a_question_is_answered_from_the_second_text(explain: Any, saved: Any) -> None:
    model = saved("Bert", "ForQuestionAnswering", **families.TWO_ENDS)
    asked = ("is it bad", "--pair", "a good film, not bad")
    own = found(explain(model, *asked, "--json"))
    assert own["target"] == own["predicted"]
    assert own["target"] in own["text_pair"]
    assert found(explain(model, *asked, "--json", "--target", "film"))["target"] == "film"
    assert "target_tokens" not in own["record"]
    assert_one_line(explain(model, "is it bad"), "needs a second text")


@pytest.mark.parametrize("word", ["film", "2"])
def test_a_tagger_is_asked_for_a_word(word: str, explain: Any, saved: Any) -> None:
    model = saved("Bert", "ForTokenClassification")
    own = found(explain(model, "a good film, not bad", "--json", "--word", word))
    assert own["target"] == f"{own['predicted']} of 'film'"
    tag = found(explain(model, "a good film", "--json", "--word", word, "--target", "neutral"))
    assert tag["target"] == "neutral of 'film'"
    rather = found(explain(model, "a film", "--json", "--word", "film", "--target", "neutral", "--against", "positive"))
    assert rather["target"] == "neutral rather than positive of 'film'"
    assert_one_line(explain(model, "a good film"), "choose one word", "'good'")


def test_a_number_that_stands_in_the_text_is_a_word(explain: Any, saved: Any) -> None:
    model = saved("Bert", "ForTokenClassification")
    assert found(explain(model, "a film of 2 acts", "--json", "--word", "2"))["target"].endswith(" of '2'")
    assert found(explain(model, "a film of 2 acts", "--json", "--word", "1"))["target"].endswith(" of 'film'")


def test_a_word_is_for_one_text(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("a film\n")
    result = run("explain", "--file", tmp_path / "texts.txt", "--out", tmp_path / "maps.jsonl", "--word", "film")
    assert_one_line(result, "--word")


def test_the_task_is_named_where_the_checkpoint_does_not_tell(explain: Any, run: Runner, saved: Any) -> None:
    model = saved("Roberta", "ForMaskedLM")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "architectures": None}))
    assert_one_line(explain(model, "a<mask> film"), "no trained head for text-classification")
    assert found(explain(model, "a<mask> film", "--json", "--task", "fill-mask"))["record"]["target_tokens"]
    assert_one_line(explain(model, "a film", "--task", "tagging"), "'tagging'", "'fill-mask'")
    for command in ("calibrate", "run", "evaluate", "serve"):
        assert "--task" in run(command, "--help").out
    assert ExplainSettings().task is None


def test_a_calibration_of_a_language_model_and_a_run_with_it(run: Runner, saved: Any, tmp_path: Path) -> None:
    model = saved("GPT2", "LMHeadModel")
    (tmp_path / "texts.txt").write_text("a film\nbad acting\nit is good\n")
    (tmp_path / "corpus.txt").write_text("".join(f"it is good {number}\n" for number in range(40)))
    data, prior, out = tmp_path / "texts.txt", tmp_path / "prior.safetensors", tmp_path / "out"
    calibrated = run("calibrate", "--model", model, "--data", tmp_path / "corpus.txt", "--out", prior, "--limit", 32)
    assert calibrated.code == 0, calibrated.err
    measured = Prior.load(prior).calibration
    assert measured is not None and measured.typical is None
    assert "a typical text" not in calibrated.out
    given = ("--model", model, "--prior", prior, "--method", "fast:layer=1")
    result = run("run", "--data", data, "--out", out, *given)
    assert result.code == 0, result.err
    assert "3 texts" in result.err
    assert json.loads((out / "manifest.json").read_text())["result"]["errors"] == 0
