"""The examples run from beginning to end, as a reader runs them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
from transformers import GPT2Config, GPT2LMHeadModel

import families
import tiny
from narrows import Explainer

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_there_is_something_to_run() -> None:
    names = {"sentiment_mistake.py", "nli_across_layers.py", "generation.py", "context_sentences.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == names


@pytest.mark.parametrize(
    ("name", "says", "pictures"),
    [
        ("sentiment_mistake.py", "The map blames", {"mistakes.html", "mistake.svg"}),
        ("nli_across_layers.py", "the strongest word is", {"layers.svg", "layers.html"}),
    ],
)
def test_an_example_runs(
    name: str,
    says: str,
    pictures: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [name, str(tmp_path)])
    monkeypatch.setenv("COLUMNS", "100")
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert says in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == pictures


def test_the_example_of_a_generation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a tiny model: that of the example is 100 MB."""
    vocabulary = len(families.tokenizer("pieces"))
    model = families.of_task("Llama", "ForCausalLM", vocab_size=vocabulary, max_position_embeddings=200)
    model[1].model_max_length = 200
    monkeypatch.setattr(Explainer, "from_pretrained", lambda name: Explainer(*model, "fast", "instance"))
    monkeypatch.setattr(sys, "argv", ["generation.py", "tiny", str(tmp_path)])
    runpy.run_path(str(EXAMPLES / "generation.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert "rests most on" in said and "rather than Rome" in said
    assert {path.name for path in tmp_path.iterdir()} == {f"generation.{end}" for end in ("html", "svg", "json")}


def test_the_example_of_a_language_model_runs_with_a_tiny_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = tiny.byte_tokenizer(roberta=False)
    tokenizer.model_max_length = 512
    sizes = {"n_positions": 512, "n_embd": 16, "n_layer": 2, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **sizes)).eval()
    tiny_one = Explainer(model, tokenizer, "fast:layer=1", "instance")
    asked: list[str] = []
    monkeypatch.setattr(Explainer, "from_pretrained", lambda name, method: asked.append(name) or tiny_one)
    monkeypatch.setattr(sys, "argv", ["context_sentences.py", "some/model", str(tmp_path)])
    runpy.run_path(str(EXAMPLES / "context_sentences.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert asked == ["some/model"]
    assert "bits  The keeper of the lighthouse was called Martha." in said
    assert "bits  Hotels. There are two small hotels near the harbour." in said
    assert "Question" not in said
    pictures = {"sentences.html", "sentences.svg", "documents.html", "documents.svg"}
    assert {path.name for path in tmp_path.iterdir()} == pictures
