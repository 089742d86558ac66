"""Prefix and suffix: the model's own logits from every layer, and nothing of the model altered afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

import families
import tiny
from narrows.data.example import Example
from narrows.errors import ModelError, NumericsError
from narrows.explainer import Explainer
from narrows.models.cut.blocks import find_blocks
from narrows.models.cut.network import Network
from narrows.models.cut.split import Prefix, check_finite, forward_logits, repeat_inputs, run_prefix, run_suffix
from narrows.models.cut.view import borrowed
from narrows.models.heads.target import Tag
from narrows.models.text.encoding import collate, encode, padding_id
from tiny import Classifier

TEXTS = ("a good film, not bad", "bad", "the acting is superb it is")
ALL = range(tiny.BLOCKS + 1)


def inputs_of(classifier: Classifier, texts: tuple[str, ...] = TEXTS) -> dict[str, Tensor]:
    model, tokenizer = classifier
    encodings = [encode(tokenizer, Example(text), None) for text in texts]
    return collate(encodings, padding_id(model, tokenizer), model.device)


@contextmanager
def lent(classifier: Classifier) -> Iterator[Network]:
    model, _ = classifier
    yield Network.of(borrowed(model))


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("layer", ALL)
def test_the_suffix_on_the_activation_itself_gives_the_models_logits(
    any_classifier: Classifier, attention: str, layer: int
) -> None:
    model, _ = any_classifier
    model.set_attn_implementation(attention)
    inputs = inputs_of(any_classifier)
    with lent(any_classifier) as network, torch.no_grad():
        expected = network.model(**inputs).logits
        prefix = run_prefix(network, inputs, ALL)
        close(prefix.logits, expected)
        close(run_suffix(network, prefix, inputs, layer, prefix.activations[layer]), expected)


def test_the_logits_depend_on_what_is_put_in(any_classifier: Classifier) -> None:
    """Without this, the test above would pass on a model that is deaf to its text."""
    inputs = inputs_of(any_classifier)
    with lent(any_classifier) as network, torch.no_grad():
        prefix = run_prefix(network, inputs, ALL)
        assert (prefix.logits[0] - prefix.logits[1]).abs().max() > 0.05
        for layer in ALL:
            changed = run_suffix(network, prefix, inputs, layer, -prefix.activations[layer])
            assert (changed - prefix.logits).abs().max() > 0.05


def test_the_suffix_equals_the_model_with_the_activation_exchanged_on_the_way(any_classifier: Classifier) -> None:
    """Not only at the model's own activation: another one is put in by a plain hook, and every block runs."""
    inputs = inputs_of(any_classifier)
    with lent(any_classifier) as network, torch.no_grad():
        prefix = run_prefix(network, inputs, ALL)
        for layer in ALL[1:]:
            other = prefix.activations[layer] * 0.3 + torch.randn_like(prefix.activations[layer])
            handle = network.blocks[layer - 1].register_forward_hook(
                lambda _, __, output, other=other: other if isinstance(output, Tensor) else (other, *output[1:])
            )
            expected = network.model(**inputs).logits
            handle.remove()
            close(run_suffix(network, prefix, inputs, layer, other), expected)


def test_activations_of_all_layers_in_one_pass_are_the_models_hidden_states(any_classifier: Classifier) -> None:
    model, _ = any_classifier
    inputs = inputs_of(any_classifier)
    with lent(any_classifier) as network, torch.no_grad():
        states = network.model(**inputs, output_hidden_states=True).hidden_states
        prefix = run_prefix(network, inputs, ALL)
    assert sorted(prefix.activations) == list(ALL)
    last = tiny.BLOCKS if model.config.model_type != "gpt2" else tiny.BLOCKS - 1  # GPT-2 reports the last one normed
    for layer in ALL[: last + 1]:
        assert torch.equal(prefix.activations[layer], states[layer])


def test_only_the_layers_asked_for_are_kept(any_classifier: Classifier) -> None:
    with lent(any_classifier) as network:
        assert sorted(run_prefix(network, inputs_of(any_classifier), [2]).activations) == [2]


def test_a_batch_padded_gives_the_logits_of_each_text_alone(any_classifier: Classifier) -> None:
    with lent(any_classifier) as network:
        together = run_prefix(network, inputs_of(any_classifier), ALL)
        for row, text in enumerate(TEXTS):
            inputs = inputs_of(any_classifier, (text,))
            alone = run_prefix(network, inputs, ALL)
            close(together.logits[row], alone.logits[0])
            length = inputs["input_ids"].shape[1]
            for layer in ALL:
                close(together.activations[layer][row, :length], alone.activations[layer][0])


def test_a_decoder_that_knows_another_padding_token_than_its_tokenizer_finds_the_last_token(
    make_classifier: Callable[..., Classifier],
) -> None:
    """The tokenizer has none; the configuration names one: padding must be the model's."""
    classifier = make_classifier("gpt2")
    classifier[0].config.pad_token_id = 3
    explainer = Explainer(*classifier, "paper:layer=1:steps=1:samples=1", "instance")
    together = explainer(["a good film, not bad", "bad"])
    for attribution in together:
        assert attribution.probabilities == pytest.approx(explainer(attribution.text).probabilities, rel=1e-4)


def test_the_suffix_runs_only_the_blocks_after_the_cut(any_classifier: Classifier) -> None:
    inputs = inputs_of(any_classifier)
    calls = [0] * tiny.BLOCKS
    with lent(any_classifier) as network:
        prefix = run_prefix(network, inputs, ALL)
        for index, block in enumerate(network.blocks):
            inner = next(module for module in block.modules() if isinstance(module, nn.LayerNorm))

            def count(*_: Any, index: int = index) -> None:
                calls[index] += 1

            inner.register_forward_pre_hook(count)
        for layer in ALL:
            calls[:] = [0] * tiny.BLOCKS
            run_suffix(network, prefix, inputs, layer, prefix.activations[layer])
            assert calls == [0] * layer + [1] * (tiny.BLOCKS - layer)


@pytest.mark.parametrize("switch", ["output_hidden_states", "output_attentions", "use_cache"])
def test_a_configuration_that_collects_more_changes_nothing(any_classifier: Classifier, switch: str) -> None:
    model, _ = any_classifier
    model.set_attn_implementation("eager")
    inputs = inputs_of(any_classifier)
    with torch.no_grad(), lent(any_classifier) as network:
        expected = network.model(**inputs).logits
    setattr(model.config, switch, True)
    with lent(any_classifier) as network, torch.no_grad():
        prefix = run_prefix(network, inputs, ALL)
        for layer in ALL:
            close(run_suffix(network, prefix, inputs, layer, prefix.activations[layer]), expected)


class TupleBlock(nn.Module):
    """A block as older models have it: keyword arguments, and a tuple for an answer."""

    def __init__(self, index: int, hidden: int, extras: int) -> None:
        super().__init__()
        self.index, self.extras = index, extras
        self.linear = nn.Linear(hidden, hidden)

    def forward(self, *, hidden_states: Tensor, attention_mask: Tensor) -> tuple[Tensor | None, ...]:
        mixed = torch.tanh(self.linear(hidden_states)) + (hidden_states * attention_mask).mean(dim=1, keepdim=True)
        return (mixed, *[None] * self.extras)


class TupleConfig(PretrainedConfig):
    model_type = "tuple-model"

    def __init__(self, num_hidden_layers: int = 3, hidden_size: int = 8, extras: int = 1, **kwargs: Any) -> None:
        self.num_hidden_layers, self.hidden_size, self.extras = num_hidden_layers, hidden_size, extras
        super().__init__(**kwargs)


class TupleModel(PreTrainedModel):
    """A classifier whose blocks return tuples, take keywords, and are looked at by their index."""

    config_class = TupleConfig

    def __init__(self, config: TupleConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(20, config.hidden_size)
        self.layers = nn.ModuleList(
            TupleBlock(index, config.hidden_size, config.extras) for index in range(config.num_hidden_layers)
        )
        self.head = nn.Linear(config.hidden_size, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, return_dict: bool = True) -> Any:
        hidden = self.embedding(input_ids)
        for index, block in enumerate(self.layers):
            assert block.index == index
            output = block(hidden_states=hidden, attention_mask=attention_mask.unsqueeze(-1).to(hidden))
            assert len(output) == 1 + self.config.extras
            hidden = output[0]
        return SequenceClassifierOutput(logits=self.head(hidden[:, 0]))


@pytest.mark.parametrize("extras", [0, 1, 2])
@pytest.mark.parametrize("layer", range(4))
def test_blocks_that_return_tuples_and_take_keywords_work(extras: int, layer: int) -> None:
    network = Network.of(TupleModel(TupleConfig(extras=extras)).eval())
    inputs = {"input_ids": torch.tensor([[1, 2, 3]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
    with torch.no_grad():
        expected = network.model(**inputs).logits
        prefix = run_prefix(network, inputs, range(4))
        assert prefix.others == ((None,) * extras,) * 3
        close(run_suffix(network, prefix, inputs, layer, prefix.activations[layer]), expected)
        other = torch.randn(1, 3, 8)
        assert not torch.allclose(run_suffix(network, prefix, inputs, layer, other), expected)


def test_a_block_that_names_its_activation_otherwise_is_an_error() -> None:
    class Block(nn.Module):
        def forward(self, *, states: Tensor, attention_mask: Tensor) -> tuple[Tensor]:
            return (states,)

    model = TupleModel(TupleConfig(extras=0)).eval()
    for index in range(3):
        model.layers[index] = Block()
    model.forward = lambda input_ids, attention_mask, **_: SequenceClassifierOutput(  # type: ignore[method-assign]
        logits=model.head(
            model.layers[1](
                states=model.layers[0](states=model.embedding(input_ids), attention_mask=attention_mask)[0],
                attention_mask=attention_mask,
            )[0][:, 0]
        )
    )
    inputs = {"input_ids": torch.tensor([[1, 2]]), "attention_mask": torch.ones(1, 2)}
    with pytest.raises(ModelError, match="neither as first argument nor as 'hidden_states'"):
        run_prefix(Network.of(model), inputs, [0])


def test_hooks_of_the_users_own_on_a_block_act_once(any_classifier: Classifier) -> None:
    """Say, a steering vector added to a block's output: it belongs to the model that is explained."""
    model, _ = any_classifier
    inputs = inputs_of(any_classifier)
    steering = torch.randn(tiny.HIDDEN)
    block = find_blocks(model)[1]
    tiny.register_on_output(block, lambda output: output + steering)
    block.register_forward_pre_hook(lambda _, args: (args[0] * 1.5, *args[1:]))
    with lent(any_classifier) as network, torch.no_grad():
        expected = network.model(**inputs).logits
        prefix = run_prefix(network, inputs, ALL)
        for layer in ALL:
            close(run_suffix(network, prefix, inputs, layer, prefix.activations[layer]), expected)


def test_logits_of_another_shape_are_no_classification_head(any_classifier: Classifier) -> None:
    model, _ = any_classifier
    with pytest.raises(ModelError, match=r"no head that can be explained.*a classification"):
        forward_logits(model.base_model, inputs_of(any_classifier))


def test_gradients_reach_what_is_put_in_but_no_weight(any_classifier: Classifier) -> None:
    model, _ = any_classifier
    inputs = inputs_of(any_classifier)
    with lent(any_classifier) as network:
        prefix = run_prefix(network, inputs, ALL)
        assert not any(activation.requires_grad for activation in prefix.activations.values())
        for layer in ALL:
            activation = prefix.activations[layer].clone().requires_grad_()
            run_suffix(network, prefix, inputs, layer, activation).sum().backward()
            assert activation.grad is not None
            assert activation.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.parameters())


def snapshot(model: nn.Module) -> dict[str, Any]:
    """Everything about a model that must come back."""
    return {
        name: (
            module.training,
            sorted(module.__dict__),
            module.__dict__.get("forward"),
            {key: len(value) for key, value in module.__dict__.items() if "hooks" in key and hasattr(value, "__len__")},
            {key: parameter.requires_grad for key, parameter in module.named_parameters(recurse=False)},
        )
        for name, module in model.named_modules()
    }


def mixed_up(model: nn.Module) -> None:
    """Patterns that a plain model.train() or requires_grad_(True) would not bring back."""
    for number, module in enumerate(model.modules()):
        module.training = number % 3 == 0
    for number, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(number % 2 == 0)


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_a_borrowed_model_is_evaluated_frozen_and_comes_back_as_it_was(
    any_classifier: Classifier, error: type[BaseException] | None
) -> None:
    model, _ = any_classifier
    mixed_up(model)
    before, config = snapshot(model), model.config.to_dict()
    try:
        view = borrowed(model)
        assert not any(module.training for module in view.modules())
        assert not any(parameter.requires_grad for parameter in view.parameters())
        assert snapshot(model) == before
        if error:
            raise error
    except (RuntimeError, KeyboardInterrupt):
        pass
    assert snapshot(model) == before
    assert model.config.to_dict() == config


def test_a_decoder_without_padding_token_reads_the_last_token_of_each_row(
    make_classifier: Callable[..., Classifier],
) -> None:
    """Several texts it refuses; but no token of theirs may count as padding, the end of text included."""
    model, tokenizer = make_classifier("gpt2")
    model.config.pad_token_id = None
    ids = torch.tensor([[20, 21, tokenizer.eos_token_id], [22, 23, 24]])
    with torch.no_grad():
        alone = [model(input_ids=row.unsqueeze(0)).logits[0] for row in ids]
        together = borrowed(model)(input_ids=ids).logits
    close(together, torch.stack(alone))
    assert model.config.pad_token_id is None


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("layer", ALL)
def test_blocks_are_whole_again_after_an_error_in_the_suffix(
    any_classifier: Classifier, error: type[BaseException], layer: int
) -> None:
    inputs = inputs_of(any_classifier)
    with lent(any_classifier) as network:
        prefix = run_prefix(network, inputs, ALL)
        before = snapshot(network.model)

        def fail(*_: Any) -> None:
            raise error("inside")

        head = [module for module in network.model.modules() if isinstance(module, nn.Linear)][-1]
        handle = head.register_forward_pre_hook(fail)
        with pytest.raises(error):
            run_suffix(network, prefix, inputs, layer, prefix.activations[layer])
        with pytest.raises(error):
            run_prefix(network, inputs, ALL)
        handle.remove()
        assert snapshot(network.model) == before


def test_a_forward_that_somebody_else_put_on_a_block_comes_back(any_classifier: Classifier) -> None:
    inputs = inputs_of(any_classifier)
    with lent(any_classifier) as network, torch.no_grad():
        block = network.blocks[0]
        original = block.forward

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return original(*args, **kwargs)

        block.forward = wrapped  # as accelerate does it
        prefix = run_prefix(network, inputs, ALL)
        run_suffix(network, prefix, inputs, 2, prefix.activations[2])
        assert block.__dict__["forward"] is wrapped


def test_repeat_inputs_keeps_the_copies_of_a_text_together() -> None:
    repeated = repeat_inputs({"input_ids": torch.tensor([[1, 2], [3, 4]])}, 2)
    assert repeated["input_ids"].tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]


@given(
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    place=st.tuples(st.integers(0, 3), st.integers(0, 4)),
    logits=st.sampled_from([(), (3,), (5, 3), (5, 2), (7, 3)]),  # of one row: a number, classes, of each position
    what=st.sampled_from(["activation", "logits"]),
    value=st.sampled_from([torch.nan, torch.inf, -torch.inf]),
)
def test_only_what_is_read_must_be_finite_and_the_text_at_fault_is_named(
    lengths: list[int], place: tuple[int, int], logits: tuple[int, ...], what: str, value: float
) -> None:
    row, token = place[0] % len(lengths), place[1]
    real = torch.tensor([[position < length for position in range(5)] for length in lengths])
    prefix = Prefix({1: torch.zeros(len(lengths), 5, 2)}, torch.zeros(len(lengths), *(logits or (1,))), ())
    by_token = what == "activation" or logits[:1] == (5,)  # a head of other sizes reads each of its positions
    (prefix.activations[1] if what == "activation" else prefix.logits)[row][token if by_token else -1] = value
    examples = [Example(f"text {number}") for number in range(len(lengths))]
    if by_token and token >= lengths[row]:
        check_finite(prefix, real, examples)
        return
    with pytest.raises(NumericsError, match=rf"{what}.* hold NaN or infinity for 'text {row}'"):
        check_finite(prefix, real, examples)


def test_a_tagger_that_gives_nan_at_padding_explains_every_text_of_a_batch() -> None:
    model, tokenizer = families.of_task("Bert", "ForTokenClassification", num_labels=3)
    texts = [TEXTS[1], TEXTS[0]]
    expected = Explainer(model, tokenizer, "fast", "instance")(texts, Tag(0))

    def spoil(_: nn.Module, __: object, given: dict[str, Tensor], output: Any) -> None:
        output.logits[given["attention_mask"] == 0] = torch.nan

    model.register_forward_hook(spoil, with_kwargs=True)
    found = Explainer(model, tokenizer, "fast", "instance")(texts, Tag(0))
    for own, other in zip(found, expected, strict=True):
        assert own.scores == pytest.approx(other.scores, abs=1e-5)
