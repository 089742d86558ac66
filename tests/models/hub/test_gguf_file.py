"""GGUF files: read as ordinary models, whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import tiny_gguf
from narrows.errors import DependencyError, ModelError
from narrows.explainer import Explainer
from narrows.models.hub.loading import load_model


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may wait for a network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_a_gguf_file_is_an_ordinary_model_of_its_dequantised_weights(tmp_path: Path) -> None:
    expected = tiny_gguf.save(tmp_path / "tiny.gguf")
    before = torch.random.get_rng_state()
    loaded = load_model(str(tmp_path / "tiny.gguf"), "cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    model, tokenizer = loaded.model, loaded.tokenizer
    assert (type(model).__name__, model.dtype, model.training) == ("LlamaForCausalLM", torch.float32, False)
    inputs = tokenizer("a good film", return_tensors="pt")
    assert [tiny_gguf.TOKENS[token] for token in inputs["input_ids"][0][:3]] == ["a", "Ġgood", "Ġ"]
    with torch.no_grad():
        got = model(**inputs).logits
        torch.testing.assert_close(got, expected(input_ids=inputs["input_ids"]).logits)
        assert got.std() > 0.1
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert tokenizer.chat_template
    model.save_pretrained(tmp_path / "saved")  # which transformers refuses for the model as it reads it
    tokenizer.save_pretrained(tmp_path / "saved")
    again = load_model(str(tmp_path / "saved"), "cpu")
    with torch.no_grad():
        assert torch.equal(again.model(**inputs).logits, got)
    assert again.tokenizer("a good film")["input_ids"] == inputs["input_ids"][0].tolist()


def test_it_is_explained_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_gguf.save(tmp_path / "tiny.gguf")
    monkeypatch.chdir(tmp_path)
    found = Explainer.from_pretrained("tiny.gguf", "random", "instance", device="cpu")("a good film", " good")
    assert (found.target, found.model) == (" good", "tiny.gguf")
    assert found.record["target_tokens"] == [{"text": " good", "ids": [tiny_gguf.TOKENS.index("Ġgood")]}]


@pytest.mark.parametrize("lacking", ["gguf", "accelerate"])
def test_a_missing_package_is_named_with_the_extra(
    lacking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_gguf.save(tmp_path / "tiny.gguf")
    monkeypatch.setitem(sys.modules, lacking, None)
    with pytest.raises(DependencyError, match=rf"need {lacking}: pip install \"narrows\[lm\]\""):
        load_model(str(tmp_path / "tiny.gguf"), "cpu")


def test_what_is_no_whole_gguf_file_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    tiny_gguf.save(path, drop="blk.1.ffn_up.weight")
    with pytest.raises(ModelError, match=r"not all of its blocks: its weights lack .*layers\.1\.mlp\.up_proj"):
        load_model(str(path), "cpu")
    whole = tmp_path / "whole.gguf"
    tiny_gguf.save(whole)
    for content in (b"GGUF", whole.read_bytes()[:3000], whole.read_bytes()[:-1000], b"no such format" * 100):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"tiny\.gguf holds no model that can be loaded") as caught:
            load_model(str(path), "cpu")
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="no such model"):
        load_model(str(tmp_path / "nowhere.gguf"), "cpu")
    with pytest.raises(ModelError, match="no such model"):
        load_model("owner/name/nowhere.gguf", "cpu")


def test_a_gguf_file_has_no_classifier(tmp_path: Path) -> None:
    tiny_gguf.save(tmp_path / "tiny.gguf")
    with pytest.raises(ModelError, match=r"no trained head for text-classification.*lack score\.weight"):
        load_model(str(tmp_path / "tiny.gguf"), "cpu", "text-classification")
