"""Loading a model: from a folder that a user saved, with its own head, and one clear line where that cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import tiny
from narrows.errors import InputError, ModelError
from narrows.explainer import Explainer
from narrows.models.hub.loading import load_model
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
    loaded = load_model(str(save(any_classifier, tmp_path)), "cpu")
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
    with pytest.raises(ModelError, match="no trained head: it is a BertModel"):
        load_model(str(tmp_path), "cpu")
    edit_config(tmp_path, architectures=None)
    with pytest.raises(ModelError, match=r"no trained head for text-classification.* its weights lack .*classifier"):
        load_model(str(tmp_path), "cpu")


def edit_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


LLAMA = {"vocab_size": 120, "num_key_value_heads": 1, "pad_token_id": 0, **tiny.ENCODER}
BERT = {"vocab_size": 120, **tiny.ENCODER}
T5 = {"vocab_size": 120, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
HEADS = [
    # The first two have a head of the same name and shape as a classifier's, which it would be loaded into.
    (transformers.LlamaForTokenClassification, transformers.LlamaConfig(**LLAMA, num_labels=3)),
    (transformers.Qwen2ForTokenClassification, transformers.Qwen2Config(**LLAMA, num_labels=3)),
    (transformers.LlamaForCausalLM, transformers.LlamaConfig(**LLAMA)),
    (transformers.LlamaForCausalLM, transformers.LlamaConfig(**LLAMA, tie_word_embeddings=True)),
    (transformers.GPT2LMHeadModel, transformers.GPT2Config(vocab_size=120, n_layer=2, n_embd=16, n_head=2)),
    (transformers.BertForTokenClassification, transformers.BertConfig(**BERT, num_labels=3)),
    (transformers.BertForQuestionAnswering, transformers.BertConfig(**BERT)),
    (transformers.BertForMaskedLM, transformers.BertConfig(**BERT)),
    (transformers.T5ForTokenClassification, transformers.T5Config(**T5, num_labels=3)),
    (transformers.T5ForQuestionAnswering, transformers.T5Config(**T5)),
]


@pytest.mark.parametrize(("kind", "config"), HEADS, ids=[kind.__name__ for kind, _ in HEADS])
def test_a_checkpoint_is_loaded_with_the_head_that_it_has(
    kind: Any, config: Any, bert: Classifier, tmp_path: Path
) -> None:
    model = kind(config).eval()
    loaded = load_model(str(save((model, bert[1]), tmp_path)), "cpu")
    assert type(loaded.model) is kind
    assert not loaded.model.training
    weights = loaded.model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    Explainer(loaded.model, loaded.tokenizer, "random", "instance")  # it has a task


REFUSED = [
    (transformers.BertForMultipleChoice, transformers.BertConfig(**BERT)),
    (transformers.BertForPreTraining, transformers.BertConfig(**BERT)),
    (transformers.T5ForConditionalGeneration, transformers.T5Config(**T5)),
]


@pytest.mark.parametrize(("kind", "config"), REFUSED, ids=[kind.__name__ for kind, _ in REFUSED])
def test_a_head_that_cannot_be_explained_is_refused_before_its_weights_are_read(
    kind: Any, config: Any, bert: Classifier, tmp_path: Path
) -> None:
    (save((kind(config), bert[1]), tmp_path) / "model.safetensors").unlink()
    with pytest.raises(
        ModelError, match=f"the output of {kind.__name__} cannot be explained; .*language models"
    ) as caught:
        load_model(str(tmp_path), "cpu")
    assert "\n" not in str(caught.value)


def test_the_task_counts_where_the_checkpoint_does_not_tell(bert: Classifier, tmp_path: Path) -> None:
    save((transformers.BertForMaskedLM(transformers.BertConfig(**BERT)), bert[1]), tmp_path)
    with pytest.raises(ModelError, match="a BertForMaskedLM, so it is for fill-mask, not for question-answering"):
        load_model(str(tmp_path), "cpu", "question-answering")
    edit_config(tmp_path, architectures=None)
    assert type(load_model(str(tmp_path), "cpu", "fill-mask").model) is transformers.BertForMaskedLM
    with pytest.raises(ModelError, match=r"no trained head for token-classification.*lack classifier"):
        load_model(str(tmp_path), "cpu", "token-classification")
    edit_config(tmp_path, architectures=["OurForMaskedLM"])  # the name of a class of the user's own may tell
    assert type(load_model(str(tmp_path), "cpu").model) is transformers.BertForMaskedLM
    with pytest.raises(InputError, match=r"task must be one of text-classification, .*not 'tagging'"):
        load_model(str(tmp_path), "cpu", "tagging")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="sentiment is for text-classification, not for fill-mask"):
        load_model("sentiment", "cpu", "fill-mask")


def test_a_head_of_pretraining_can_be_read_for_a_task_that_is_named(bert: Classifier, tmp_path: Path) -> None:
    model = transformers.BertForPreTraining(transformers.BertConfig(**BERT)).eval()
    loaded: Any = load_model(str(save((model, bert[1]), tmp_path)), "cpu", "fill-mask").model
    assert torch.equal(loaded.cls.predictions.bias, model.cls.predictions.bias)


@pytest.mark.parametrize(
    ("saved", "loaded"),
    [(torch.float32, torch.float32), (torch.bfloat16, torch.bfloat16), (torch.float16, torch.float32)],
)
def test_weights_stay_as_they_were_saved_unless_they_are_float16(
    saved: torch.dtype, loaded: torch.dtype, bert: Classifier, tmp_path: Path
) -> None:
    model, tokenizer = bert
    found = load_model(str(save((model.to(saved), tokenizer), tmp_path)), "cpu").model
    assert {value.dtype for value in found.parameters()} == {loaded}
    assert torch.equal(next(found.parameters()), next(model.parameters()).to(loaded))


def test_a_regression_is_loaded_with_its_head(bert: Classifier, tmp_path: Path) -> None:
    config = transformers.BertConfig(**BERT, num_labels=1, problem_type="regression")
    model = transformers.BertForSequenceClassification(config)
    loaded: Any = load_model(str(save((model, bert[1]), tmp_path)), "cpu").model
    assert torch.equal(loaded.classifier.weight, model.classifier.weight)
    assert loaded.config.problem_type == "regression"


def test_weights_that_the_loaded_class_has_no_place_for_are_missed(bert: Classifier, tmp_path: Path) -> None:
    save(bert, tmp_path)
    edit_config(tmp_path, num_hidden_layers=2)
    with pytest.raises(ModelError, match=r"lacks some of the weights .*encoder\.layer\.2.*mend config\.json"):
        load_model(str(tmp_path), "cpu")

    class WithGate(transformers.BertForSequenceClassification):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.gate = torch.nn.Linear(2, 2)
            self.post_init()

    save((WithGate(bert[0].config), bert[1]), tmp_path / "own")
    with pytest.raises(ModelError, match=r"lacks some .*gate\.weight.*its class WithGate"):
        load_model(str(tmp_path / "own"), "cpu")


@pytest.mark.parametrize("changes", [{"num_hidden_layers": 4}, {"vocab_size": 50}, {"id2label": {"0": "a", "1": "b"}}])
def test_a_configuration_that_does_not_fit_the_weights_is_one_clear_line(
    changes: dict[str, Any], bert: Classifier, tmp_path: Path
) -> None:
    save(bert, tmp_path)
    edit_config(tmp_path, **changes)
    with pytest.raises(ModelError, match=r"weights lack|other sizes than its config\.json") as caught:
        load_model(str(tmp_path), "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("base", ["as trained", "gone"])
def test_an_adapter_of_another_tool_is_refused_with_the_way_named(base: str, bert: Classifier, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    with pytest.raises(ModelError, match=r"peft\.AutoPeftModelForSequenceClassification"):
        load_model(str(tmp_path), "cpu")


@pytest.mark.parametrize("name", ["no/such-model", "./nowhere", "no such name", "/nowhere/at/all"])
def test_a_model_that_does_not_exist_is_one_clear_line(name: str) -> None:
    with pytest.raises(ModelError, match="no such model") as caught:
        load_model(name, "cpu")
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no model that can be loaded") as caught:
        load_model(str(tmp_path), "cpu")
    assert "\n" not in str(caught.value)


def test_a_folder_with_a_broken_configuration_is_one_clear_line(bert: Classifier, tmp_path: Path) -> None:
    save(bert, tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="holds no model that can be loaded"):
        load_model(str(tmp_path), "cpu")


def test_a_folder_with_cut_off_weights_is_one_clear_line(bert: Classifier, tmp_path: Path) -> None:
    weights = save(bert, tmp_path) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="holds no model that can be loaded") as caught:
        load_model(str(tmp_path), "cpu")
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_than_the_configuration_says_are_one_clear_line(
    bert: Classifier, tmp_path: Path
) -> None:
    save(bert, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    with pytest.raises(ModelError) as caught:
        load_model(str(tmp_path), "cpu")
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
        load_model(str(tmp_path), "cpu")
    assert not (tmp_path / "unpickled").exists()


def test_an_unknown_device_is_one_clear_line(bert: Classifier, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot use device 'quantum'"):
        load_model(str(save(bert, tmp_path)), "quantum")
