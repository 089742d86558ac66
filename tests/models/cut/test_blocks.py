"""Finding the blocks by structure, and recognising a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig, PretrainedConfig

import families
import tiny
from narrows.errors import LayerError, ModelError
from narrows.models.cut.blocks import block_count, check_layer, find_blocks, identify, text_config
from tiny import Classifier

PARAMETERS = {"bert": 9859, "distilbert": 9827, "roberta": 12291, "electra": 8571, "gpt2": 15056}


def test_the_tiny_models_are_tiny(family: str, make_classifier: Callable[..., Classifier]) -> None:
    """A misspelt size is ignored by a configuration, and the model then is full-size: so the count is asserted."""
    model, _ = make_classifier(family)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[family]


def test_blocks_are_found_in_order_in_every_family(any_classifier: Classifier) -> None:
    model, tokenizer = any_classifier
    blocks = find_blocks(model)
    assert len(blocks) == tiny.BLOCKS
    order: list[int] = []
    for index, block in enumerate(blocks):
        block.register_forward_hook(lambda *_, index=index: order.append(index))
    with torch.no_grad():
        model(**tokenizer("a good film", return_tensors="pt"))
    assert order == [0, 1, 2]


def test_blocks_are_found_with_and_without_a_head(any_classifier: Classifier) -> None:
    model, _ = any_classifier
    assert find_blocks(model.base_model) == find_blocks(model)


class Model(nn.Module):
    """A model whose configuration counts two blocks."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        self.config = BertConfig(num_hidden_layers=2, hidden_size=4)
        for name, part in parts.items():
            setattr(self, name, part)


def layers(count: int = 2, make: Callable[[], nn.Module] = nn.Identity) -> nn.ModuleList:
    return nn.ModuleList([make() for _ in range(count)])


def test_a_list_of_another_length_is_not_taken_for_the_blocks() -> None:
    model = Model(experts=layers(3), blocks=layers(2), heads=layers(1))
    assert find_blocks(model) == list(model.blocks)


def test_a_list_inside_a_block_is_not_taken_for_the_blocks() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = layers(2)

    model = Model(blocks=layers(2, Block))
    assert find_blocks(model) == list(model.blocks)


def test_no_list_of_that_length_is_an_error() -> None:
    with pytest.raises(LayerError, match=r"blocks of Model.*exactly one.* 2 modules.*none"):
        find_blocks(Model(blocks=layers(3)))


def test_two_lists_of_that_length_are_an_error_that_names_both() -> None:
    with pytest.raises(LayerError, match="found encoder, decoder"):
        find_blocks(Model(encoder=layers(2), decoder=layers(2)))


@pytest.mark.parametrize("config", [None, {"num_hidden_layers": 2}])
def test_a_model_without_a_configuration_is_an_error(config: Any) -> None:
    model = Model(blocks=layers(2))
    model.config = config
    with pytest.raises(ModelError, match="not a Hugging Face model"):
        find_blocks(model)


def test_a_configuration_that_counts_no_blocks_is_an_error() -> None:
    model = Model(blocks=layers(2))
    model.config = PretrainedConfig()
    with pytest.raises(LayerError, match="cannot tell the blocks"):
        find_blocks(model)


@pytest.mark.parametrize("layer", [0, 1, 3])
def test_layers_from_the_embeddings_to_the_last_block_are_valid(layer: int) -> None:
    assert check_layer(layer, 3) == layer


@pytest.mark.parametrize("layer", [-1, 4, 1.5, "1", True, None])
def test_a_layer_out_of_range_is_an_error_that_says_the_range(layer: Any) -> None:
    with pytest.raises(LayerError, match="the model has 3 blocks, so 0 to 3 is valid"):
        check_layer(layer, 3)


def test_the_blocks_of_an_encoder_and_its_decoder_are_counted_together() -> None:
    bart, _ = families.classifier(next(row for row in families.FAMILIES if row.name == "BART"))
    assert block_count(bart) == 5 > bart.config.num_hidden_layers


def test_identity_does_not_depend_on_dtype_but_on_weights(any_classifier: Classifier) -> None:
    model, _ = any_classifier
    before = identify(model)
    assert (before.hidden, before.blocks) == (tiny.HIDDEN, tiny.BLOCKS)
    assert before.probe.dtype == torch.float32
    assert not before.differences(identify(model.to(torch.bfloat16)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    assert before.differences(identify(model))


@pytest.mark.parametrize("rows", [30522, 50265])
def test_identity_of_a_model_with_a_large_embedding(rows: int) -> None:
    """More than 2**24 weights: an index computed in float32 would fall behind the end."""
    model = Model(blocks=layers(2))
    model.embedding = nn.Embedding(1, 1)
    model.embedding.weight = nn.Parameter(torch.zeros(1, 1).expand(rows, 768), requires_grad=False)  # of one stored row
    assert torch.isfinite(identify(model).probe).all()


def test_text_config_of_a_plain_model_is_its_own(any_classifier: Classifier) -> None:
    model, _ = any_classifier
    assert text_config(model) is model.config
