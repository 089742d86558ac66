"""``narrows explain --generate`` and ``--response``, on a tiny language model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import families
from command import Runner, assert_one_line
from narrows import Explainer, GenerationAttribution
from narrows.cli import explain


@pytest.fixture(autouse=True)
def language_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = families.of_task("Llama", "ForCausalLM", vocab_size=len(families.tokenizer("pieces")))
    monkeypatch.setattr(explain, "_load_explainer", lambda *_: Explainer(model, tokenizer, "fast", "instance"))


def test_what_the_model_writes_is_explained(run: Runner, tmp_path: Path) -> None:
    page = tmp_path / "page.htm"
    result = run("explain", "it is not", "--generate", 3, "--html", page)
    assert result.code == 0 and "Sum over" in result.out and "output" in result.out
    assert "data-outputs" in page.read_text(encoding="utf-8") and "page.htm" in result.err
    found = GenerationAttribution.from_dict(json.loads(run("explain", "it is not", "--generate", 3, "--json").out))
    assert len(found) <= 3 and found.method["settings"]["iterations"] == 1


def test_a_given_response_is_explained(run: Runner) -> None:
    found = json.loads(run("explain", "it is not", "--response", " bad", "--json").out)
    assert (found["text"], found["response"]) == ("it is not", " bad")
    assert [len(output["scores"]) for output in found["outputs"]] == [len(found["tokens"])] * len(found["outputs"])


@pytest.mark.parametrize(
    "options",
    [("--generate", 2, "--response", "a"), ("--generate", 2, "--target", "a"), ("--response", "a", "--layer", "all")],
)
def test_options_that_do_not_go_together(run: Runner, options: tuple[object, ...]) -> None:
    result = run("explain", "it is", *options)
    assert_one_line(result, "--generate or --response goes with one text")


def test_a_number_that_is_none(run: Runner) -> None:
    assert_one_line(run("explain", "it is", "--generate", 0), "max_new_tokens")
