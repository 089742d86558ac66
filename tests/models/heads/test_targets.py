"""Targets: classes by name, whatever the order of some data set's labels, and -log p of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import Gemma3Config, Gemma3ForSequenceClassification, Gemma3TextConfig

import reference
from asking import negative_log_likelihood
from narrows.data.example import Example
from narrows.data.labels import find_label
from narrows.errors import NarrowsWarning, TargetError
from narrows.explainer import Explainer
from narrows.models.cut.network import Network
from narrows.models.cut.split import run_prefix
from narrows.models.cut.view import borrowed
from narrows.models.heads.goals import OneOf
from narrows.models.heads.target import Contrast
from narrows.models.heads.targets import class_labels, count_labels, kind_of_outputs, resolve_target
from narrows.models.text.encoding import collate, encode, padding_id
from tiny import Classifier

LABELS = ("contradiction", "Entailment", "neutral")


@pytest.mark.parametrize(
    ("label", "index"),
    [
        ("contradiction", 0),
        ("CONTRADICTION", 0),
        ("entailment", 1),
        (" neutral ", 2),
        (0, 0),
        (2, 2),
        ("1", 1),
        (np.int64(2), 2),
    ],
)
def test_a_label_is_found_by_name_whatever_its_case_or_by_index(label: str | int, index: int) -> None:
    assert find_label(label, LABELS) == index


@pytest.mark.parametrize("label", ["entail", "", "3", 3, -1, "-1", True, 1.0, "1.0"])
def test_an_unknown_label_is_an_error_that_lists_the_labels(label: str | int) -> None:
    with pytest.raises(TargetError, match=r"the model has contradiction \(0\), Entailment \(1\), neutral \(2\)"):
        find_label(label, LABELS)


def test_the_labels_are_counted_by_the_configuration_unless_told_otherwise(bert: Classifier) -> None:
    model, _ = bert
    assert class_labels(model) == class_labels(model, count_labels(model)) == class_labels(model, 3)
    assert class_labels(model, 4)[3] == "LABEL_3"
    assert count_labels(model) == 3


def test_the_labels_of_a_model_of_several_modalities_are_those_of_its_head() -> None:
    text = Gemma3TextConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=20,
    )
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**sizes, "image_size": 28, "patch_size": 14}
    labels = dict(enumerate(LABELS))
    config = Gemma3Config(text_config=text, vision_config=vision, num_labels=3, id2label=labels)
    model = Gemma3ForSequenceClassification(config)
    assert model.score.out_features == count_labels(model)
    assert class_labels(model) == LABELS


def test_a_name_goes_before_an_index_in_digits() -> None:
    assert find_label("1", ["2", "1", "0"]) == 1
    assert find_label("0", ["2", "1", "0"]) == 2


def test_the_exact_name_goes_before_the_same_in_another_case() -> None:
    assert find_label("us", ["US", "us", "uk"]) == 1


@pytest.mark.parametrize("label", [1, np.int64(1)])
def test_an_index_that_is_also_another_classs_name_is_refused(label: int) -> None:
    with pytest.raises(TargetError, match=r"1 could be the label '1' or the one at index 1, '0'"):
        find_label(label, ["1", "0"])
    assert find_label(label, ["0", "1"]) == 1
    assert find_label(2, ["1", "0", "x"]) == 2


@given(labels=st.lists(st.text(st.characters(categories=["L"]), min_size=1), min_size=1, unique_by=str.casefold))
def test_every_label_is_found_by_its_own_name(labels: list[str]) -> None:
    assert [find_label(label, labels) for label in labels] == list(range(len(labels)))


def test_labels_come_from_the_configuration_in_the_order_of_the_logits(bert: Classifier) -> None:
    model, _ = bert
    assert class_labels(model, 3) == ("negative", "neutral", "positive")
    model.config.id2label = {2: "no", 0: "yes"}
    assert class_labels(model, 3) == ("yes", "LABEL_1", "no")


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        ({"0": "x", "1": "y", "2": "z"}, ("x", "y", "z")),
        (["x", "y", "z"], ("x", "y", "z")),
        ({0: "x"}, ("x", "LABEL_1", "LABEL_2")),
        ({0: "x", 1: None, 2: ""}, ("x", "LABEL_1", "LABEL_2")),
        ({0: 1, 1: 0, 2: -1}, ("1", "0", "-1")),
        ({0: "x", 1: "x", 2: "z", 3: "w"}, ("x (0)", "x (1)", "z")),
        (None, ("LABEL_0", "LABEL_1", "LABEL_2")),
    ],
    ids=str,
)
def test_labels_have_one_name_each_however_the_configuration_gives_them(
    bert: Classifier, names: Any, labels: tuple[str, ...]
) -> None:
    model, tokenizer = bert
    model.config.__dict__["id2label"] = names
    assert class_labels(model, 3) == labels
    explainer = Explainer(model, tokenizer, "random", "instance")
    assert tuple(explainer("good").probabilities) == labels
    assert [explainer("good", label).target for label in labels] == list(labels)


@pytest.mark.parametrize(
    ("target", "label", "index"),
    [(None, None, 2), (None, "contradiction", 2), ("entailment", None, 1), (0, None, 0), ("gold", "entailment", 1)],
)
def test_a_target_is_the_predicted_class_or_a_label_or_the_gold_one(
    target: str | int | None, label: str | None, index: int
) -> None:
    assert resolve_target(target, Example("x", label=label), 2, LABELS) == index


def test_gold_without_a_label_is_an_error_that_quotes_the_text() -> None:
    with pytest.raises(TargetError, match=r"'gold' needs a label.*'It rains'"):
        resolve_target("gold", Example("It rains"), 0, LABELS)


def test_a_gold_label_that_the_model_lacks_is_an_error() -> None:
    with pytest.raises(TargetError, match="no label 'sarcasm'"):
        resolve_target("gold", Example("x", label="sarcasm"), 0, LABELS)


@pytest.mark.parametrize("name", ["gold", "Gold"])
def test_a_class_that_is_called_gold_is_a_class_unless_the_text_has_another_label(name: str) -> None:
    assert resolve_target("gold", Example("x"), 0, ["silver", name]) == 1
    assert resolve_target("gold", Example("x", label="gold"), 0, ["silver", name]) == 1
    with pytest.raises(TargetError, match=r"the class of that name or the text's own label, 'silver'.*1 or 0"):
        resolve_target("gold", Example("x", label="silver"), 0, ["silver", name])


@pytest.mark.parametrize(
    ("problem", "outputs", "kind"),
    [
        (None, 3, "classes"),
        ("single_label_classification", 3, "classes"),
        ("multi_label_classification", 3, "labels"),
        ("multi_label_classification", 1, "labels"),
        ("single_label_classification", 1, "labels"),
        ("regression", 3, "numbers"),
        ("regression", 1, "numbers"),
        (None, 1, "numbers"),
    ],
)
def test_what_outputs_are_follows_from_the_problem_type(
    bert: Classifier, problem: str | None, outputs: int, kind: str
) -> None:
    bert[0].config.problem_type = problem
    assert kind_of_outputs(bert[0], outputs) == kind


@pytest.mark.parametrize("target", [np.int64(2), np.array(2), torch.tensor(2), np.str_("positive"), "positive", 2])
def test_numbers_and_names_of_other_libraries_are_indices_and_labels(bert: Classifier, target: Any) -> None:
    explainer = Explainer(*bert, "random", "instance")
    assert explainer("good", target).target == "positive"
    assert explainer("good", Contrast(target, np.int32(0))).target == "positive rather than negative"
    assert [found.target for found in explainer(["good", "bad"], np.array([2, 0]))] == ["positive", "negative"]
    assert [found.target for found in explainer(["good", "bad"], torch.tensor([2, 0]))] == ["positive", "negative"]
    assert explainer(Example("good", label=target), "gold").target == "positive"


@pytest.mark.parametrize("target", [True, np.True_, torch.tensor(True), 1.0, np.float32(1), torch.tensor(1.0)])
def test_truth_and_fractions_are_no_labels(bert: Classifier, target: Any) -> None:
    explainer = Explainer(*bert, "random", "instance")
    for asked in (target, Contrast(target, 0)):
        with pytest.raises(TargetError, match=r"True|1\.0"):
            explainer("good", asked)
    with pytest.warns(NarrowsWarning, match=r"none of 2 texts .*(True|1\.0)"):
        explainer(["good", "bad"], [target, target])
    with pytest.warns(NarrowsWarning, match="none of 2 texts .*True"):
        explainer(["good", "bad"], np.array([True, False]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_negative_log_likelihood_is_that_of_every_texts_own_target(
    make_classifier: Callable[..., Classifier], dtype: torch.dtype
) -> None:
    model, tokenizer = make_classifier("bert")
    model.to(dtype)
    encodings = [encode(tokenizer, Example(text), None) for text in ("a good film", "bad")]
    inputs = collate(encodings, padding_id(model, tokenizer), model.device)
    network = Network.of(borrowed(model))
    with torch.no_grad():
        prefix = run_prefix(network, inputs, [2])
        nll = negative_log_likelihood(network, prefix, inputs, 2, [OneOf(2), OneOf(0)])
        x = prefix.activations[2]
        copies = torch.stack([x, torch.zeros_like(x), x], dim=1)  # (batch, samples, tokens, hidden)
        got = nll(copies)
    assert got.shape == (2, 3)
    assert got.dtype == torch.promote_types(dtype, torch.float32)
    for row, target in enumerate([2, 0]):
        expected = reference.cross_entropy(prefix.logits[row].double().tolist(), target)[0]
        assert got[row, 0].item() == pytest.approx(expected, rel=1e-4 if dtype != torch.bfloat16 else 0.05)
        assert got[row, 2].item() == pytest.approx(got[row, 0].item(), rel=1e-5)
        assert got[row, 1].item() != pytest.approx(got[row, 0].item(), rel=1e-2)
