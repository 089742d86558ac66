"""What people hand over in place of a model is refused in a line that names the way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn
from transformers import BertConfig, pipeline

import tiny
from narrows.errors import ModelError
from narrows.explainer import Explainer
from narrows.models.corpus import estimate_prior
from tiny import Classifier


class CrossEncoder(nn.Sequential):
    """As sentence-transformers has it: a module, with the parts as attributes."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(nn.Module())
        self[0].auto_model = model  # type: ignore[operator]
        self.tokenizer, self.config = tokenizer, model.config
        self.device, self.dtype, self.get_input_embeddings = model.device, model.dtype, model.get_input_embeddings

    @property
    def model(self) -> Any:
        return self[0].auto_model

    def predict(self, pairs: Any) -> None: ...


class Trainer:
    """As transformers has it."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.processing_class = model, tokenizer

    def predict(self, dataset: Any) -> None: ...


class SentenceTransformer(nn.Sequential):
    config = BertConfig()

    def encode(self, texts: Any) -> None: ...

    def similarity(self, one: Any, other: Any) -> None: ...


class SetFitModel:
    def __init__(self, model: Any) -> None:
        self.model_body, self.model_head = SentenceTransformer(model), object()

    def predict(self, texts: Any) -> None: ...


class Plain(nn.Module):
    def __init__(self, model: Any, config: Any) -> None:
        super().__init__()
        self.inner, self.config = model, config


GIVEN = {
    "a cross-encoder": (CrossEncoder, r"CrossEncoder .* Explainer\(it\.model, its tokenizer\)"),
    "a trainer": (Trainer, r"Trainer .* Explainer\(it\.model, its tokenizer\)"),
    "an embedder": (lambda m, _: SentenceTransformer(m), "it computes embeddings"),
    "setfit": (lambda m, _: SetFitModel(m), "head is outside of the transformer"),
    "a pipeline": (lambda m, t: pipeline("text-classification", model=m, tokenizer=t), "from_pipeline"),
    "a name": (lambda *_: "sentiment", r"from_pretrained\('sentiment'\)"),
    "a tokenizer": (lambda _, t: t, "a model of transformers, then its tokenizer"),
    "nothing": (lambda *_: None, "a model of transformers"),
    "a module": (lambda m, _: Plain(m, m.config), "PreTrainedModel in place of Module"),
    "a module with another config": (lambda m, _: Plain(m, SimpleNamespace(hidden_size=16)), "class SimpleNamespace"),
    "a module without one": (lambda m, _: Plain(m, None), "no config"),
}


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_wrappers_are_refused_with_the_way_named(name: str, bert: Classifier) -> None:
    make, says = GIVEN[name]
    given: Any = make(*bert)
    for use in (lambda: Explainer(given, bert[1], prior="instance"), lambda: estimate_prior(given, bert[1], ["good"])):
        with pytest.raises(ModelError, match=says) as caught:
            use()
        assert "\n" not in str(caught.value)


def test_the_parts_of_a_cross_encoder_are_explained(bert: Classifier) -> None:
    wrapper = CrossEncoder(*bert)
    assert Explainer(wrapper.model, wrapper.tokenizer, prior="instance")(("good", "bad")).scores.any()


def test_a_model_without_a_head_and_a_missing_tokenizer_are_refused(bert: Classifier) -> None:
    with pytest.raises(ModelError, match="BertModel has no head"):
        Explainer(bert[0].base_model, bert[1], prior="instance")("good")
    nothing: Any = None
    with pytest.raises(ModelError, match="a tokenizer of transformers is needed"):
        Explainer(bert[0], nothing, prior="instance")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("labels", [2, 3])
def test_an_adapter_that_is_not_merged_gives_the_map_of_the_merged_model(labels: int) -> None:
    peft = pytest.importorskip("peft")
    model, tokenizer = tiny.classifier("bert")
    model.config.num_labels = labels
    model.classifier, model.num_labels = nn.Linear(tiny.HIDDEN, labels), labels
    settings = peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query", "value"], r=2)
    adapted = peft.get_peft_model(model, settings).eval()
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight, std=0.3)
    apart = {m: Explainer(adapted, tokenizer, method=m, prior="instance")("a good film") for m in ("fast", "ig")}
    merged = adapted.merge_and_unload()
    for method, own in apart.items():
        whole = Explainer(merged, tokenizer, method=method, prior="instance")("a good film")
        assert len(own.probabilities) == labels
        assert own.scores == pytest.approx(whole.scores, rel=1e-3, abs=1e-4)
        assert own.probabilities == pytest.approx(whole.probabilities, rel=1e-4)
