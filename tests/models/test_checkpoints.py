"""Models as they are found: too few embeddings, half precision, weights that are NaN, tied or not in memory."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from narrows.data.example import Example
from narrows.errors import InputError, ModelError, NumericsError
from narrows.explainer import Explainer
from narrows.models.corpus import estimate_prior
from narrows.models.predict import predict
from narrows.models.text.encoding import encode
from tiny import Classifier

TEXT = "the film is not bad"
METHODS = ("fast", "ig", "occlusion")


def explain(classifier: Classifier, method: str = "fast", text: str = TEXT) -> Any:
    return Explainer(*classifier, method=method, prior="instance")(text)


@pytest.fixture
def added(bert: Classifier) -> Classifier:
    """A tokenizer with a token that the model has no embedding for."""
    bert[1].add_tokens(["superfilm"])
    return bert


@pytest.mark.parametrize("method", METHODS)
def test_a_token_without_an_embedding_is_named(method: str, added: Classifier) -> None:
    model, tokenizer = added
    rows, index = model.get_input_embeddings().num_embeddings, tokenizer.convert_tokens_to_ids("superfilm")
    with pytest.raises(InputError, match=rf"{rows} embeddings, and none for the token 'superfilm' with id {index}"):
        explain(added, method, "a superfilm")
    assert explain(added, method).scores.any()


def test_it_is_named_in_priors_and_predictions_too(added: Classifier) -> None:
    model, tokenizer = added
    with pytest.raises(InputError, match="'superfilm'"):
        estimate_prior(model, tokenizer, [TEXT, "a superfilm"])
    with pytest.raises(InputError, match="'superfilm'"):
        predict(model, tokenizer, [encode(tokenizer, Example(text), None) for text in (TEXT, "superfilm")])


def test_a_mask_token_without_an_embedding_is_named(bert: Classifier) -> None:
    bert[1].add_special_tokens({"mask_token": "[HIDE]"})
    for method in ("ig:baseline=mask", "occlusion:removal=mask"):
        with pytest.raises(InputError, match=r"'\[HIDE\]'"):
            explain(bert, method)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("method", METHODS)
def test_half_precision_on_a_cpu(method: str, dtype: torch.dtype, bert: Classifier) -> None:
    expected = explain(copy.deepcopy(bert), method).scores
    bert[0].to(dtype)
    np.testing.assert_allclose(explain(bert, method).scores, expected, atol=0.1 * np.abs(expected).max())


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_are_not_numbers_are_one_line(method: str, bert: Classifier) -> None:
    bert[0].classifier.weight.data[0, 0] = torch.nan
    with pytest.raises(NumericsError, match="logits hold NaN"):
        explain(bert, method)


@pytest.mark.parametrize("method", METHODS)
def test_a_weight_or_a_buffer_that_is_not_in_memory_is_one_line(method: str, bert: Classifier) -> None:
    model, tokenizer = bert
    no_weight, no_buffer = copy.deepcopy(model), copy.deepcopy(model)
    no_weight.bert.pooler.dense.bias = nn.Parameter(torch.empty(16, device="meta"))
    no_buffer.bert.embeddings.position_ids = no_buffer.bert.embeddings.position_ids.to("meta")
    for part in (no_weight, no_buffer):
        with pytest.raises(ModelError, match="not in memory"):
            explain((part, tokenizer), method)


def test_tied_weights_are_used_as_they_are(bert: Classifier) -> None:
    model, tokenizer = bert
    model.bert.encoder.layer[1].load_state_dict(model.bert.encoder.layer[0].state_dict())
    expected = explain((copy.deepcopy(model), tokenizer)).scores
    model.bert.encoder.layer[1].output.dense.weight = model.bert.encoder.layer[0].output.dense.weight
    np.testing.assert_allclose(explain((model, tokenizer)).scores, expected)
    assert model.bert.encoder.layer[1].output.dense.weight is model.bert.encoder.layer[0].output.dense.weight


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of torch's, about its own compiler
def test_attention_without_a_gradient_on_this_machine_is_one_line(bert: Classifier) -> None:
    bert[0].set_attn_implementation("flex_attention")
    if torch.cuda.is_available():
        pytest.skip("it has a gradient on GPUs")
    for method in ("fast", "ig"):
        with pytest.raises(ModelError, match=r"attention\.self .*FlexAttention"):
            explain(bert, method)
