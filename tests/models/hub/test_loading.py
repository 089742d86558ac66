"""Loading a classifier: from a folder that a user saved, and one clear line where that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from narrows.errors import ModelError
from narrows.models.hub.loading import load_classifier
from tiny import Classifier


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may wait for a network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def save(classifier: Classifier, folder: Path) -> Path:
    model, tokenizer = classifier
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_folder_that_a_user_saved_loads_with_the_same_logits(any_classifier: Classifier, tmp_path: Path) -> None:
    model, tokenizer = any_classifier
    loaded = load_classifier(str(save(any_classifier, tmp_path)), "cpu")
    assert type(loaded.model) is type(model)
    assert not loaded.model.training
    assert (loaded.name, loaded.prior) == (str(tmp_path), None)
    with torch.no_grad():
        inputs = tokenizer("a good film", return_tensors="pt")
        again = loaded.tokenizer("a good film", return_tensors="pt")
        assert torch.equal(inputs["input_ids"], again["input_ids"])
        torch.testing.assert_close(loaded.model(**inputs).logits, model(**inputs).logits)


def test_a_model_without_a_classification_head_is_refused(bert: Classifier, tmp_path: Path) -> None:
    model, tokenizer = bert
    save((model.base_model, tokenizer), tmp_path)
    with pytest.raises(ModelError, match=r"no trained classification head: its weights lack .*classifier"):
        load_classifier(str(tmp_path), "cpu")


@pytest.mark.parametrize("name", ["no/such-model", "./nowhere", "no such name", "/nowhere/at/all"])
def test_a_model_that_does_not_exist_is_one_clear_line(name: str) -> None:
    with pytest.raises(ModelError, match="no such model") as caught:
        load_classifier(name, "cpu")
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no classifier that can be loaded") as caught:
        load_classifier(str(tmp_path), "cpu")
    assert "\n" not in str(caught.value)


def test_a_folder_with_a_broken_configuration_is_one_clear_line(bert: Classifier, tmp_path: Path) -> None:
    save(bert, tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="holds no classifier that can be loaded"):
        load_classifier(str(tmp_path), "cpu")


def test_a_folder_with_cut_off_weights_is_one_clear_line(bert: Classifier, tmp_path: Path) -> None:
    weights = save(bert, tmp_path) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="holds no classifier that can be loaded") as caught:
        load_classifier(str(tmp_path), "cpu")
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_than_the_configuration_says_are_one_clear_line(
    bert: Classifier, tmp_path: Path
) -> None:
    save(bert, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    with pytest.raises(ModelError) as caught:
        load_classifier(str(tmp_path), "cpu")
    assert "\n" not in str(caught.value)


class Boom:
    """Does something when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("unpickled"),))  # type: ignore[return-value]


def test_a_folder_with_only_a_pickle_is_refused_and_the_pickle_not_opened(
    bert: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = bert
    save(bert, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({**model.state_dict(), "boom": Boom()}, tmp_path / "pytorch_model.bin")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="safetensors"):
        load_classifier(str(tmp_path), "cpu")
    assert not (tmp_path / "unpickled").exists()


def test_an_unknown_device_is_one_clear_line(bert: Classifier, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot use device 'quantum'"):
        load_classifier(str(save(bert, tmp_path)), "quantum")
