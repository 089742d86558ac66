"""Pipelines of transformers, models placed by accelerate, and devices without float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification, TextClassificationPipeline, pipeline

import families
import tiny
from narrows.data.example import Example
from narrows.errors import InputError, ModelError
from narrows.explainer import Explainer
from narrows.models.heads.target import Tag
from narrows.models.predict import predict
from narrows.models.text.encoding import encode
from tiny import Classifier

QUICK: dict[str, Any] = {"method": "information:layer=1:steps=2:samples=2", "prior": "instance"}
PIPELINES = (
    ("text-classification", "Bert", "ForSequenceClassification", "a good film", None),
    ("token-classification", "Bert", "ForTokenClassification", "a good film", Tag("film")),
    ("fill-mask", "Bert", "ForMaskedLM", "a [MASK] film", None),
    ("text-generation", "GPT2", "LMHeadModel", "a good", None),
)


@pytest.mark.parametrize(("task", "stem", "head", "item", "target"), PIPELINES, ids=lambda value: str(value)[:20])
def test_a_pipelines_prediction_is_explained(task: str, stem: str, head: str, item: Any, target: Any) -> None:
    model, tokenizer = families.of_task(stem, head)
    pipe = SimpleNamespace(task=task, model=model, tokenizer=tokenizer)  # not every version has every pipeline
    got = Explainer.from_pipeline(pipe, **QUICK)(item, target)  # type: ignore[arg-type]
    expected = Explainer(model, tokenizer, **QUICK)(item, target)
    np.testing.assert_allclose(got.scores, expected.scores)


def test_a_real_pipeline_says_the_same_and_streams_stay_streams(bert: Classifier) -> None:
    pipe = pipeline("text-classification", model=bert[0], tokenizer=bert[1])
    explainer = Explainer.from_pipeline(pipe, **QUICK)
    texts = ["a good film", "bad", "not very good"]
    taken: list[str] = []

    def stream() -> Iterator[str]:
        for text in texts * 200:
            taken.append(text)
            yield text

    attributions = explainer(stream(), batch_size=2)
    assert isinstance(attributions, Iterator)
    first = next(attributions)
    assert len(taken) < 100
    said = pipe("a good film")[0]
    assert first.predicted == said["label"]
    assert first.probabilities[said["label"]] == pytest.approx(said["score"], rel=1e-5)


@pytest.mark.parametrize(
    ("task", "instead"),
    [
        ("zero-shot-classification", "the text and 'It is {}.', target='entailment'"),
        ("question-answering", r"\{'question': ..., 'context': ...\}"),
        ("image-classification", "those for text-classification, token-classification, fill-mask, text-generation can"),
    ],
)
def test_other_pipelines_are_refused_with_what_can_be_done(task: str, instead: str) -> None:
    pipe = SimpleNamespace(task=task, _preprocess_params={"hypothesis_template": "It is {}."})
    with pytest.raises(ModelError, match=f"'{task}' cannot be explained: .*{instead}"):
        Explainer.from_pipeline(pipe)  # type: ignore[arg-type]


@pytest.mark.parametrize("pipe", [None, "text-classification", 5])
def test_what_is_no_pipeline_is_refused(pipe: Any) -> None:
    with pytest.raises(ModelError, match="cannot be explained"):
        Explainer.from_pipeline(pipe)


# What the pipeline says is what is explained.

SHORT, LONG = "a good film", "not very good, it is bad acting, a film so very bad that it is good"
KINDS: dict[str, dict[str, Any]] = {
    "one of several": {"num_labels": 3},
    "several at once": {"num_labels": 3, "problem_type": "multi_label_classification"},
    "a number": {"num_labels": 1, "problem_type": "regression"},
}
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"top_k": None},
    {"top_k": 2, "batch_size": 4},
    {"return_all_scores": True},
    {"truncation": True},
    {"truncation": True, "max_length": 8},
    {"truncation": "longest_first", "max_length": 8},
    {"max_length": 8},
    {"max_length": 8, "padding": True},
    {"truncation": True, "max_length": 8, "padding": "max_length"},
    {"truncation": False, "max_length": 8},
    {"truncation": True, "max_length": 8, "padding": "max_length", "pad_to_multiple_of": 4},
    {"function_to_apply": "usual"},
)


def classifier_of(kind: str) -> Classifier:
    torch.manual_seed(0)
    tokenizer = tiny.wordpiece_tokenizer()
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertForSequenceClassification(
        BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes, **KINDS[kind])
    )
    for weight in model.parameters():
        weight.data.normal_(0, 0.3)
    return model.eval(), tokenizer


@pytest.mark.filterwarnings("ignore:`max_length` is ignored")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_label_and_score_are_those_of_the_pipeline(kind: str, settings: dict[str, Any]) -> None:
    usual = {"one of several": "softmax", "several at once": "sigmoid", "a number": "none"}[kind]
    settings = {name: usual if value == "usual" else value for name, value in settings.items()}
    model, tokenizer = classifier_of(kind)
    pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, **settings)
    explainer = Explainer.from_pipeline(pipe, "saliency")
    for text in (SHORT, LONG, {"text": SHORT, "text_pair": LONG}):
        said: Any = pipe(text)
        while isinstance(said, list):
            said = said[0]
        found = explainer(text)  # type: ignore[call-overload]
        if kind == "a number":
            assert float(found.predicted) == pytest.approx(said["score"], abs=1e-5)
        else:
            assert found.predicted == said["label"]
            assert found.probabilities[found.predicted] == pytest.approx(said["score"], abs=1e-5)
        assert (
            len(found.tokens)
            == len(tokenizer(**text)["input_ids"] if isinstance(text, dict) else tokenizer(text)["input_ids"])
            - found.truncated
        )


@pytest.mark.parametrize("settings", [{}, {"truncation": True, "max_length": 200}, {"max_length": 8, "padding": True}])
def test_a_text_that_the_pipeline_does_not_cut_is_refused_unless_asked_for(bert: Classifier, settings: Any) -> None:
    pipe = pipeline("text-classification", model=bert[0], tokenizer=bert[1], **settings)
    with pytest.raises(InputError, match="102 tokens, but the model takes 64"):
        Explainer.from_pipeline(pipe, "saliency")("good " * 100)
    assert Explainer.from_pipeline(pipe, "saliency", long_texts="truncate", max_tokens=9)("good " * 100).truncated == 93


@pytest.mark.parametrize(
    ("kind", "settings", "named"),
    [
        ("one of several", {"function_to_apply": "sigmoid"}, "function_to_apply='sigmoid'.*'softmax'.*problem_type"),
        ("one of several", {"function_to_apply": "none"}, "function_to_apply='none'"),
        ("several at once", {"function_to_apply": "softmax"}, "function_to_apply='softmax'.*'sigmoid'"),
        ("a number", {"function_to_apply": "sigmoid"}, "function_to_apply='sigmoid'"),
        ("one of several", {"truncation": "only_first", "max_length": 8}, "truncation='only_first'"),
        ("one of several", {"add_special_tokens": False}, "add_special_tokens=False"),
        ("one of several", {"return_attention_mask": False}, "return_attention_mask=False"),
        ("one of several", {"stride": 2}, "stride=2"),
        ("one of several", {"made_up": 5}, "made_up=5"),
    ],
)
def test_a_setting_that_cannot_be_followed_is_refused_by_name_and_value(kind: str, settings: Any, named: str) -> None:
    model, tokenizer = classifier_of(kind)
    pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, **settings)
    with pytest.raises(ModelError, match=f"^the pipeline has {named}") as caught:
        Explainer.from_pipeline(pipe, "saliency")
    assert "\n" not in str(caught.value)


def test_padding_on_the_left_is_refused_where_it_moves_positions(bert: Classifier) -> None:
    model, tokenizer = bert
    tokenizer.padding_side = "left"
    pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, padding="max_length")
    with pytest.raises(ModelError, match="padding='max_length'"):
        Explainer.from_pipeline(pipe, "saliency")
    assert Explainer.from_pipeline(pipeline("text-classification", model=model, tokenizer=tokenizer), "saliency")


@pytest.mark.parametrize(
    ("task", "head", "settings", "named"),
    [
        ("token-classification", "BertForTokenClassification", {"aggregation_strategy": "average"}, "average.*'first'"),
        ("token-classification", "BertForTokenClassification", {"aggregation_strategy": "max"}, "'max'"),
        (
            "token-classification",
            "BertForTokenClassification",
            {"is_split_into_words": True},
            "is_split_into_words=True",
        ),
        ("fill-mask", "BertForMaskedLM", {"targets": ["good", "bad"]}, "target_ids=array.*as the target"),
        (
            "fill-mask",
            "BertForMaskedLM",
            {"tokenizer_kwargs": {"add_special_tokens": False}},
            "add_special_tokens=False",
        ),
        ("text-generation", "GPT2LMHeadModel", {"repetition_penalty": 1.3}, "repetition_penalty=1.3"),
        ("text-generation", "GPT2LMHeadModel", {"no_repeat_ngram_size": 2}, "no_repeat_ngram_size=2"),
        ("text-generation", "GPT2LMHeadModel", {"prefix": "It is"}, "prefix='It is'"),
        ("text-generation", "GPT2LMHeadModel", {"handle_long_generation": "hole"}, "handle_long_generation='hole'"),
    ],
)
def test_so_are_settings_of_other_tasks(task: str, head: str, settings: Any, named: str) -> None:
    stem = head.removesuffix("LMHeadModel").partition("For")[0]
    model, tokenizer = families.of_task(stem, head.removeprefix(stem))
    pipe = pipeline(task, model=model, tokenizer=tokenizer, **settings)
    with pytest.raises(ModelError, match=f"^the pipeline has .*{named}"):
        Explainer.from_pipeline(pipe, "saliency")


@pytest.mark.parametrize(
    "settings", [{}, {"aggregation_strategy": "first"}, {"stride": 4, "aggregation_strategy": "simple"}]
)
def test_the_tag_of_a_word_is_the_pipelines(settings: Any) -> None:
    model, tokenizer = families.of_task("Bert", "ForTokenClassification")
    pipe = pipeline("token-classification", model=model, tokenizer=tokenizer, ignore_labels=[], **settings)
    explainer = Explainer.from_pipeline(pipe, "saliency")
    said: Any = pipe("good")
    found = explainer("good", Tag("good"))
    assert found.predicted == said[0].get("entity", said[0].get("entity_group"))
    assert found.probabilities[found.predicted] == pytest.approx(float(said[0]["score"]), abs=1e-5)
    if "stride" in settings:  # such a pipeline reads a long text in parts
        with pytest.raises(InputError, match="but the model takes"):
            explainer("good " * 100, Tag(0))
    else:
        assert explainer("good " * 100, Tag(0)).truncated == len(tokenizer("good " * 100)["input_ids"]) - len(
            tokenizer("good " * 100, truncation=True)["input_ids"]
        )


@pytest.mark.parametrize("settings", [{}, {"top_k": 2}, {"tokenizer_kwargs": {"truncation": True, "max_length": 5}}])
def test_what_fills_a_blank_is_the_pipelines(settings: Any) -> None:
    model, tokenizer = families.of_task("Bert", "ForMaskedLM")
    pipe = pipeline("fill-mask", model=model, tokenizer=tokenizer, **settings)
    said: Any = pipe("a [MASK] film is very good")
    found = Explainer.from_pipeline(pipe, "saliency")("a [MASK] film is very good")
    best = sorted(found.probabilities.values(), reverse=True)
    assert best[:2] == pytest.approx([answer["score"] for answer in said[:2]], abs=1e-5)
    assert len(found.tokens) == (5 if settings.get("tokenizer_kwargs") else 8)


@pytest.mark.parametrize(
    "settings", [{}, {"do_sample": False}, {"temperature": 0.5, "top_p": 0.9}, {"max_new_tokens": 1}]
)
def test_how_a_pipeline_chooses_a_continuation_changes_no_probability(settings: Any) -> None:
    model, tokenizer = families.of_task("GPT2", "LMHeadModel")
    pipe = pipeline("text-generation", model=model, tokenizer=tokenizer, **settings)
    found = Explainer.from_pipeline(pipe, "saliency")("a good")
    assert found.probabilities == pytest.approx(
        Explainer(model, tokenizer, "saliency")("a good").probabilities, rel=1e-4
    )
    said: Any = pipe("a good", do_sample=False, max_new_tokens=1, return_tensors=True)
    assert found.predicted == tokenizer.convert_ids_to_tokens(said[0]["generated_token_ids"][-1])


@pytest.mark.parametrize("method", ["preprocess", "_forward", "postprocess", "__call__"])
def test_code_of_the_users_own_in_a_pipeline_is_refused(bert: Classifier, method: str) -> None:
    def own(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(TextClassificationPipeline, method)(self, *args, **kwargs)

    kind = type("Lowering", (TextClassificationPipeline,), {method: own})
    pipe = pipeline("text-classification", model=bert[0], tokenizer=bert[1], pipeline_class=kind)
    with pytest.raises(ModelError, match=rf"own {method}\(\) \(Lowering\) cannot be explained"):
        Explainer.from_pipeline(pipe, "saliency")
    changed = pipeline("text-classification", model=bert[0], tokenizer=bert[1])
    setattr(changed, method, own.__get__(changed))
    with pytest.raises(ModelError, match=rf"own {method}\(\)"):
        Explainer.from_pipeline(changed, "saliency")


def test_a_model_placed_by_accelerate_works_and_keeps_its_hooks(make_classifier: Callable[..., Classifier]) -> None:
    accelerate = pytest.importorskip("accelerate")
    model, tokenizer = make_classifier("bert")
    expected = Explainer(model, tokenizer, **QUICK)("a good film")
    whole = {
        "bert.embeddings": "cpu",
        "bert.encoder": "cpu",
        "bert.pooler": "cpu",
        "classifier": "cpu",
        "dropout": "cpu",
    }
    placed = accelerate.dispatch_model(model, device_map=whole, main_device="cpu", force_hooks=True)
    forwards = [module.__dict__.get("forward") for module in placed.modules()]
    assert any(forwards)
    got = Explainer(placed, tokenizer, **QUICK)("a good film")
    np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-4)
    assert [module.__dict__.get("forward") for module in placed.modules()] == forwards


def test_a_model_whose_weights_are_elsewhere_is_refused(make_classifier: Callable[..., Classifier]) -> None:
    accelerate = pytest.importorskip("accelerate")
    model, tokenizer = make_classifier("bert")
    offloaded = accelerate.cpu_offload(model, execution_device="cpu")
    with pytest.raises(ModelError, match=r"not in memory.*without offloading"):
        Explainer(offloaded, tokenizer, **QUICK)("a good film")


def test_no_double_is_made_on_a_device(bert: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Apple's GPUs know no float64: a tensor may become one only after it came to the CPU, which is marked here."""
    to_cpu, to_double, to = Tensor.cpu, Tensor.double, Tensor.to

    def cpu(self: Tensor) -> Tensor:
        arrived = to_cpu(self)
        arrived.has_arrived = True  # type: ignore[attr-defined]
        return arrived

    def double(self: Tensor) -> Tensor:
        assert getattr(self, "has_arrived", False)
        return to_double(self)

    def checked(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        assert torch.float64 not in (*args, *kwargs.values())
        return to(self, *args, **kwargs)

    monkeypatch.setattr(Tensor, "cpu", cpu)
    monkeypatch.setattr(Tensor, "double", double)
    monkeypatch.setattr(Tensor, "to", checked)
    model, tokenizer = bert
    for method in ("information_signed:layer=1:steps=2:samples=2", "fast:layer=1:steps=2:iterations=2"):
        assert Explainer(model, tokenizer, method, "instance")(["a good film", "bad"])
    assert predict(model, tokenizer, [encode(tokenizer, Example("bad"), None)]).shape == (1, 3)
