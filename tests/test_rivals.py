"""The rivals that are written anew from their papers compute what the papers say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from decompx import decompose
from value_zeroing import mixing

from narrows import Explainer

TEXT = "The plot is thin, but the acting is superb."


@pytest.fixture(scope="module")
def sentiment() -> Explainer:
    return Explainer.from_pretrained("sentiment", "random")


def encoded(explainer: Explainer) -> dict[str, Any]:
    return dict(explainer.tokenizer(TEXT, return_tensors="pt"))


def test_the_parts_of_decompx_add_up_to_the_logits(sentiment: Explainer) -> None:
    inputs = encoded(sentiment)
    parts = decompose(sentiment.model, inputs)
    with torch.no_grad():
        logits = sentiment.model(**inputs).logits[0]
    assert parts.shape == (inputs["input_ids"].shape[1], 2)
    np.testing.assert_allclose(parts.sum(dim=0), logits, rtol=1e-4)


def test_value_zeroing_agrees_with_zeroing_one_token_after_the_other(sentiment: Explainer) -> None:
    inputs = encoded(sentiment)
    bert = sentiment.model.bert
    tokens = inputs["input_ids"].shape[1]
    with torch.no_grad():
        states = bert(**inputs, output_hidden_states=True).hidden_states
        rows = []
        for state, whole, block in zip(states[:-1], states[1:], bert.encoder.layer, strict=True):
            turned = torch.zeros(tokens, tokens, dtype=torch.float64)
            for place in range(tokens):

                def zero(_: Any, __: Any, values: torch.Tensor, place: int = place) -> torch.Tensor:
                    values = values.clone()
                    values[:, place] = 0
                    return values

                hook = block.attention.self.value.register_forward_hook(zero)
                given = block(state)
                hook.remove()
                without = given if isinstance(given, torch.Tensor) else given[0]
                for own in range(tokens):
                    a, b = whole[0, own].double(), without[0, own].double()
                    turned[own, place] = 1 - (a @ b) / (a.norm() * b.norm())
            rows.append(turned / turned.sum(dim=1, keepdim=True))
    expected = rows[0]
    for row in rows[1:]:
        expected = row @ expected
    np.testing.assert_allclose(mixing(sentiment.model, inputs), expected, atol=1e-4)
