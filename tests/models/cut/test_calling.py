"""Models of any signature and output: explained as the same model with the usual ones, or refused in one line."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import BertPreTrainedModel

from narrows.errors import ModelError
from narrows.explainer import Explainer
from narrows.models.corpus import estimate_prior
from tiny import Classifier

TEXTS = ["the film is not bad", "good"]
METHODS = ("fast", "ig", "occlusion")


class Wrapped(BertPreTrainedModel):
    """A user's own classifier around a known one."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner.config)
        self.inner = inner

    def get_input_embeddings(self) -> Any:
        return self.inner.get_input_embeddings()

    def logits(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        logits: Tensor = self.inner(input_ids, attention_mask).logits
        return logits


class BareTensor(Wrapped):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.logits(input_ids, attention_mask)


class Dictionary(Wrapped):
    def forward(self, input_ids: Tensor, attention_mask: Tensor, **kwargs: Any) -> dict[str, Tensor]:
        return {"hidden": input_ids.float(), "logits": self.logits(input_ids, attention_mask)}


class LossFirst(Wrapped):
    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None) -> Any:
        return None if labels is None else labels.sum(), self.logits(input_ids, attention_mask)


class FeaturesFirst(Wrapped):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        features = self.inner.bert(input_ids, attention_mask).pooler_output
        return features, self.inner.classifier(features)


class ByPlace(Wrapped):
    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, /) -> Any:
        return self.inner(input_ids, attention_mask)


class OnlyIds(Wrapped):
    def forward(self, input_ids: Tensor) -> Any:
        return self.inner(input_ids)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [BareTensor, Dictionary, LossFirst, FeaturesFirst, ByPlace, OnlyIds])
def test_a_forward_of_ones_own_gives_the_same_map(kind: type[Wrapped], method: str, bert: Classifier) -> None:
    model, tokenizer = bert
    expected = Explainer(copy.deepcopy(model), tokenizer, method=method, prior="instance")(TEXTS)
    found = Explainer(kind(model).eval(), tokenizer, method=method, prior="instance")(TEXTS)
    for own, other in zip(found, expected, strict=True):
        assert own.probabilities == pytest.approx(other.probabilities)
        np.testing.assert_allclose(own.scores, other.scores, rtol=1e-3, atol=1e-5)


class OtherNames(Wrapped):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.logits(x, mask)


class NeedsMore(Wrapped):
    def forward(self, input_ids: Tensor, attention_mask: Tensor, features: Tensor) -> Tensor:
        return self.logits(input_ids, attention_mask) + features


class HandsOn(Wrapped):
    def forward(self, input_ids: Tensor, **kwargs: Any) -> Tensor:
        return self.logits(input_ids, **kwargs)


class Probabilities(Wrapped):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.logits(input_ids, attention_mask).softmax(dim=-1)


class TwoHeads(Wrapped):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.logits(input_ids, attention_mask)
        return logits, 2 * logits


class OtherKey(Wrapped):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        return {"scores": self.logits(input_ids, attention_mask)}


REFUSED = [
    (OtherNames, r"OtherNames\.forward\(x, mask\) takes no input_ids: wrap it"),
    (NeedsMore, r"needs features, which the tokenizer does not give"),
    (HandsOn, r"hands on too many: .*token_type_ids"),
    (Probabilities, r"probabilities in place of logits"),
    (TwoHeads, r"tensors of shapes \(1, 3\), \(1, 3\), of which 2 have 3 labels"),
    (OtherKey, r"no head that can be explained: it gives no logits"),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("kind", "says"), REFUSED)
def test_others_are_refused_in_one_line(kind: type[Wrapped], says: str, method: str, bert: Classifier) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        Explainer(kind(bert[0]).eval(), bert[1], method=method, prior="instance")(TEXTS[0])
    assert "\n" not in str(caught.value)


def test_an_error_of_the_models_own_is_not_hidden(bert: Classifier) -> None:
    class Faulty(Wrapped):
        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            return len(3)  # type: ignore[arg-type, return-value]

    with pytest.raises(TypeError, match="has no len"):
        Explainer(Faulty(bert[0]), bert[1], prior="instance")(TEXTS[0])


def test_a_prior_of_a_model_with_a_forward_of_ones_own(bert: Classifier) -> None:
    model, tokenizer = bert
    expected = estimate_prior(model, tokenizer, TEXTS)
    torch.testing.assert_close(estimate_prior(BareTensor(model), tokenizer, TEXTS).mean, expected.mean)


def test_rollout_says_that_it_needs_attention_weights(bert: Classifier) -> None:
    with pytest.raises(ModelError, match="takes no output_attentions"):
        Explainer(BareTensor(bert[0]), bert[1], method="rollout", prior="instance")(TEXTS[0])


class Unnamed(BareTensor):
    def get_input_embeddings(self) -> Any:
        raise NotImplementedError


class Nothing(BareTensor):
    def get_input_embeddings(self) -> Any:
        return None


@pytest.mark.parametrize("method", ["fast", "occlusion"])
@pytest.mark.parametrize("kind", [Unnamed, Nothing])
def test_a_model_that_names_no_input_embedding_is_explained(kind: type[Wrapped], method: str, bert: Classifier) -> None:
    expected = Explainer(BareTensor(bert[0]).eval(), bert[1], method, "instance")(TEXTS)
    found = Explainer(kind(bert[0]).eval(), bert[1], method, "instance")(TEXTS)
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(own.scores, other.scores, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", ["ig", "saliency"])
@pytest.mark.parametrize("kind", [Unnamed, Nothing])
def test_without_an_input_embedding_there_is_no_gradient_at_it(
    kind: type[Wrapped], method: str, bert: Classifier
) -> None:
    with pytest.raises(ModelError, match=f"{kind.__name__} names no input embedding to take gradients at"):
        Explainer(kind(bert[0]).eval(), bert[1], method, "instance")(TEXTS)
