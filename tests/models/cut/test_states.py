"""Activations alone: those of a whole run, without the logits of a vocabulary."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import families
from families import TASKS, TaskRow
from narrows.data.example import Example
from narrows.models.cut.network import Network
from narrows.models.cut.split import run_prefix, run_states
from narrows.models.cut.view import borrowed
from narrows.models.text.encoding import collate, encode, padding_id


@pytest.mark.parametrize("row", TASKS, ids=lambda row: f"{row.stem}{row.head} {row.name}")
def test_states_are_those_of_a_whole_run_and_cost_no_logits(row: TaskRow) -> None:
    model, tokenizer = families.of_task(row.stem, row.head, **row.sizes)
    network = Network.of(borrowed(model))
    encodings = [encode(tokenizer, Example.of(item), None) for item, _ in row.asked]
    inputs = collate(encodings, padding_id(model, tokenizer), model.device)
    layers = range(len(network.blocks) + 1)
    whole = run_prefix(network, inputs, layers).activations
    head, computed = network.model.get_output_embeddings(), list[int]()

    def count(_: nn.Module, __: Any, output: Tensor) -> None:
        computed.append(output.numel())

    handle = head.register_forward_hook(count) if head is not None else None
    states = run_states(network, inputs, layers)
    assert sum(computed) == 0
    assert list(states) == list(layers)
    for layer in layers:
        torch.testing.assert_close(states[layer], whole[layer], rtol=0, atol=0)
    if handle is not None:
        assert len(computed) == 1, "the head did not run at all"
        run_prefix(network, inputs, layers)
        assert computed[1] == inputs["input_ids"].numel() * model.config.vocab_size, "a whole run should count"


def test_a_class_of_the_users_own_gets_all_its_logits() -> None:
    model, tokenizer = families.of_task("GPT2", "LMHeadModel")
    seen = list[Tensor]()

    class Reranker(type(model)):  # type: ignore[misc]
        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
            output = super().forward(input_ids=input_ids, attention_mask=attention_mask)
            seen.append(output.logits[:, -1])
            return output

    model.__class__ = Reranker
    inputs = collate([encode(tokenizer, Example("a film"), None)], 0, model.device)
    run_states(Network.of(borrowed(model)), inputs, [1])
    assert seen[-1].shape == (1, model.config.vocab_size)
