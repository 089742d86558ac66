"""Private views: the model itself in another's hands, with whatever its users put on it, and never altered."""

from __future__ import annotations

import copy
import functools
import gc
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from transformers import PreTrainedModel

from narrows.data.example import Example
from narrows.errors import ModelError
from narrows.explainer import Explainer
from narrows.models.corpus import estimate_prior
from narrows.models.cut.blocks import find_blocks
from narrows.models.cut.network import Network
from narrows.models.cut.split import run_prefix, run_suffix
from narrows.models.cut.view import borrowed, is_view, origin, weights_state
from narrows.models.predict import predict
from narrows.models.text.encoding import encode
from tiny import Classifier, classifier

TEXT = "a good film, not bad"


def inputs_of(tokenizer: Any) -> dict[str, Tensor]:
    return dict(tokenizer(TEXT, return_tensors="pt"))


def logits(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model(**inputs).logits  # type: ignore[no-any-return]


def cut_everywhere(model: PreTrainedModel, inputs: dict[str, Tensor]) -> list[Tensor]:
    """The logits of the parts after each layer, run on a view."""
    network = Network.of(borrowed(model))
    layers = range(len(network.blocks) + 1)
    with torch.no_grad():
        prefix = run_prefix(network, inputs, layers)
        return [prefix.logits, *(run_suffix(network, prefix, inputs, at, prefix.activations[at]) for at in layers)]


def is_explained_as(model: PreTrainedModel, inputs: dict[str, Tensor], expected: Tensor) -> None:
    for own in cut_everywhere(model, inputs):
        torch.testing.assert_close(own, expected, rtol=1e-5, atol=1e-5)


def test_a_view_shares_the_weights_and_no_module(any_classifier: Classifier) -> None:
    model, tokenizer = any_classifier
    view = borrowed(model)
    assert is_view(view)
    assert not is_view(model)
    assert origin(view) is origin(model) is model
    assert borrowed(view) is view
    assert not {id(module) for module in view.modules()} & {id(module) for module in model.modules()}
    for (name, own), (other, shared) in zip(view.named_parameters(), model.named_parameters(), strict=True):
        assert (name, own.data_ptr()) == (other, shared.data_ptr())
        assert isinstance(own, nn.Parameter)
    inputs = inputs_of(tokenizer)
    assert torch.equal(logits(view, inputs), logits(model, inputs))
    with torch.no_grad():
        next(model.parameters()).mul_(2)  # seen at once
    assert torch.equal(logits(view, inputs), logits(model, inputs))


def test_nothing_of_a_view_is_seen_on_the_model(any_classifier: Classifier) -> None:
    model, _ = any_classifier
    model.train()
    config = model.config.to_dict()
    view: Any = borrowed(model)
    for module in view.modules():
        module.register_forward_hook(lambda *_: None)
        module.register_forward_pre_hook(lambda *_: None, with_kwargs=True)
        module.register_full_backward_hook(lambda *_: None)
        module.register_buffer("another", torch.zeros(1))
        module.forward = None
    view.config.num_labels = 9
    for module in model.modules():
        assert module.training
        assert not (module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)
        assert not (module._forward_pre_hooks_with_kwargs or "another" in module._buffers or "forward" in vars(module))
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.config.to_dict() == config


def test_ties_stay_ties_and_every_part_gets_the_same_configuration(bert: Classifier) -> None:
    model: Any = bert[0]
    model.bert.encoder.layer[2] = model.bert.encoder.layer[1]
    model.bert.pooler.dense.weight = model.bert.encoder.layer[0].attention.self.query.weight
    view: Any = borrowed(model)
    assert view.bert.encoder.layer[2] is view.bert.encoder.layer[1]
    assert view.bert.pooler.dense.weight is view.bert.encoder.layer[0].attention.self.query.weight
    configs = {id(module.config) for module in view.modules() if hasattr(module, "config")}
    assert configs == {id(view.config)}
    assert view.config is not model.config


def test_a_view_leaves_nothing_behind(bert: Classifier) -> None:
    view = weakref.ref(borrowed(bert[0]))
    gc.collect()
    assert view() is None


def by_closure(model: Any, scale: float) -> None:
    block = model.bert.encoder.layer[1]
    own = block.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        return own(*args, **kwargs) * scale

    block.forward = forward


def by_partial(model: Any, scale: float) -> None:
    """As accelerate does it."""
    block = model.bert.encoder.layer[1]
    block.own = block.forward

    def forward(module: Any, *args: Any, **kwargs: Any) -> Any:
        return module.own(*args, **kwargs) * scale

    block.forward = functools.update_wrapper(functools.partial(forward, block), block.own)


def by_method(model: Any, scale: float) -> None:
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        return type(self).forward(self, *args, **kwargs) * scale

    block = model.bert.encoder.layer[1]
    block.forward = types.MethodType(forward, block)


def by_default(model: Any, scale: float) -> None:
    own = model.forward

    def forward(*args: Any, own: Any = own, **kwargs: Any) -> Any:
        output = own(*args, **kwargs)
        output.logits = output.logits * scale
        return output

    model.forward = forward


def by_global(model: Any, scale: float) -> None:
    """As in a notebook."""
    names: dict[str, Any] = {"model": model, "own": model.forward, "scale": scale}
    code = """
def forward(*args, **kwargs):
    output = own(*args, **kwargs)
    output.logits = model.classifier(output.logits @ model.classifier.weight) * scale
    return output
"""
    exec(code, names)
    model.forward = names["forward"]


def by_hooks(model: Any, scale: float) -> None:
    model.bert.encoder.layer[1].register_forward_hook(lambda _, __, output: output * scale)
    model.bert.register_forward_pre_hook(lambda _, args, kwargs: (args, kwargs), with_kwargs=True)


def by_compiled_forward(model: Any, scale: float) -> None:
    """Not run by its graph, which knows the original's modules only."""
    model.classifier.weight.data.mul_(scale)
    model.forward = torch.compile(model.forward, backend="eager")


def by_compiled_part(model: Any, scale: float) -> None:
    model.classifier.weight.data.mul_(scale)
    model.bert.encoder.layer[0] = torch.compile(model.bert.encoder.layer[0], backend="eager")
    model.bert.compile(backend="eager")


def by_parametrization(model: Any, scale: float) -> None:
    model.classifier.weight.data.mul_(scale)
    nn.utils.parametrizations.orthogonal(model.bert.pooler.dense)


def by_pruning(model: Any, scale: float) -> None:
    """A hook computes the weight anew before each run."""
    model.classifier.weight.data.mul_(scale)
    prune.l1_unstructured(model.bert.encoder.layer[1].output.dense, "weight", 0.5)


WAYS = (
    *(by_closure, by_partial, by_method, by_default, by_global, by_hooks, by_compiled_forward, by_compiled_part),
    *(by_parametrization, by_pruning),
)


@pytest.mark.parametrize("change", WAYS, ids=lambda way: str(way.__name__))
def test_what_users_put_on_a_model_acts_in_the_view(bert: Classifier, change: Callable[[Any, float], None]) -> None:
    model, tokenizer = bert
    inputs = inputs_of(tokenizer)
    before = logits(model, inputs)
    change(model, 1.7)
    view = borrowed(model)
    expected = logits(view, inputs)
    assert (expected - before).abs().max() > 1e-3
    if "compiled" not in change.__name__:
        torch.testing.assert_close(expected, logits(model, inputs))
    is_explained_as(model, inputs, expected)


def test_a_forward_that_runs_the_original_is_refused(bert: Classifier) -> None:
    class Wrapper:
        def __init__(self, model: Any) -> None:
            self.run = model.forward

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return self.run(*args, **kwargs)

    model: Any = bert[0]
    model.forward = Wrapper(model)
    with pytest.raises(ModelError, match="block 1 of BertForSequenceClassification does not run"):
        Explainer(*bert, "fast", "instance")(TEXT)


def test_hooks_still_write_to_their_users_variables(bert: Classifier) -> None:
    model: Any = bert[0]
    count = 0
    rows: list[Tensor] = []

    def watch(_: nn.Module, __: Any, output: Any, part: nn.Module = model.classifier) -> None:
        nonlocal count
        count += 1
        rows.append(output)

    model.bert.pooler.register_forward_hook(watch)
    Explainer(*bert, "random", "instance")(TEXT)
    assert count == len(rows) > 0


@pytest.mark.parametrize(
    "wrap", [lambda m: torch.compile(m, backend="eager"), nn.DataParallel], ids=["compile", "data"]
)
def test_wrappers_are_taken_off(bert: Classifier, wrap: Callable[[nn.Module], Any]) -> None:
    model, tokenizer = bert
    wrapped = wrap(model)
    expected = Explainer(*bert, "fast", "instance")(TEXT)
    explainer = Explainer(wrapped, tokenizer, "fast", "instance")
    assert explainer.model is model
    found = explainer(TEXT)
    assert found.scores.tolist() == expected.scores.tolist()
    assert estimate_prior(wrapped, tokenizer, [TEXT, "bad"]).name
    encodings = [encode(tokenizer, Example(TEXT), None)]
    assert predict(wrapped, tokenizer, encodings).tolist() == predict(model, tokenizer, encodings).tolist()


def test_hooks_of_accelerate_are_kept(bert: Classifier) -> None:
    accelerate = pytest.importorskip("accelerate")
    model, tokenizer = bert
    expected = Explainer(*bert, "fast", "instance")(TEXT)
    model = accelerate.dispatch_model(model, {"": "cpu"}, force_hooks=True)
    assert hasattr(model, "_hf_hook")
    found = Explainer(model, tokenizer, "fast", "instance")(TEXT)
    assert found.scores == pytest.approx(expected.scores, abs=1e-4)
    inputs = inputs_of(tokenizer)
    is_explained_as(model, inputs, logits(model, inputs))


def test_weights_that_are_elsewhere_are_refused(bert: Classifier) -> None:
    accelerate = pytest.importorskip("accelerate")
    model, tokenizer = bert
    accelerate.cpu_offload(model)
    with pytest.raises(ModelError, match="not in memory: load it without offloading"):
        Explainer(model, tokenizer, "fast", "instance")


@pytest.mark.parametrize("name", ["bert", "gpt2"])
@pytest.mark.parametrize(
    "method", ["fast", "paper:steps=2:samples=2", "ig:steps=3", "layer_ig", "rollout", "occlusion"]
)
def test_a_model_made_under_inference_mode_is_explained_like_any_other(name: str, method: str) -> None:
    expected = Explainer(*classifier(name), method, "instance")(TEXT)
    with torch.inference_mode():
        model, tokenizer = classifier(name)
    assert all(parameter.is_inference() for parameter in model.parameters())
    explainer = Explainer(model, tokenizer, method, "instance")
    for _ in range(2):
        assert explainer(TEXT).scores == pytest.approx(expected.scores, rel=1e-4, abs=1e-5)
    with torch.inference_mode():
        assert explainer(TEXT).scores == pytest.approx(expected.scores, rel=1e-4, abs=1e-5)
    view = borrowed(model)
    assert [p.data_ptr() for p in view.parameters()] == [p.data_ptr() for p in model.parameters()]


def test_weights_changed_under_inference_mode_are_noticed() -> None:
    with torch.inference_mode():
        model, _ = classifier("bert")
    before = weights_state(model)
    assert before == weights_state(model)
    with torch.inference_mode():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    assert weights_state(model) != before


def test_hooks_and_weights_that_come_later_are_seen(bert: Classifier) -> None:
    model, tokenizer = bert
    explainer = Explainer(model, tokenizer, "random", "instance")
    inputs = inputs_of(tokenizer)

    def agrees() -> dict[str, float]:
        found = explainer(TEXT).probabilities
        assert list(found.values()) == pytest.approx(logits(model, inputs)[0].softmax(-1).tolist(), rel=1e-4)
        return dict(found)

    first = agrees()
    handle = find_blocks(model)[1].register_forward_hook(lambda _, __, output: output * 1.5)
    second = agrees()
    handle.remove()
    assert agrees() == pytest.approx(first, rel=1e-5)
    model.load_state_dict({name: value * 1.3 for name, value in model.state_dict().items()})
    third = agrees()
    model.to(torch.float64)
    agrees()
    model.get_submodule("bert.encoder").layer[1] = copy.deepcopy(find_blocks(model)[0])
    agrees()
    assert first != second != third


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_frozen_script_is_shared_and_another_one_refused(bert: Classifier) -> None:
    model: Any = bert[0]
    model.classifier = torch.jit.trace(nn.Linear(16, 3), torch.zeros(1, 16))
    with pytest.raises(ModelError, match=r"compiled by torch.jit and not frozen: freeze it first"):
        borrowed(model)
    model.classifier.eval().requires_grad_(False)
    inputs = inputs_of(bert[1])
    is_explained_as(model, inputs, logits(model, inputs))
