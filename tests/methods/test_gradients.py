"""The gradient methods against captum called by hand, and against what the papers promise."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import captum.attr
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from narrows.data.example import Example
from narrows.errors import DependencyError, InputError, LayerError, ModelError
from narrows.methods import gradients
from narrows.methods.gradients import (
    gradient_shap,
    gradient_x_input,
    integrated_gradients,
    layer_integrated_gradients,
    saliency,
)
from narrows.methods.method import Batch, Method, Scores, check_scores, content_positions, text_generator
from narrows.models.hub.loading import Classifier
from narrows.models.text.encoding import Encoding, collate, padding_id

Make = Callable[..., tuple[Any, Any]]

METHODS: Mapping[str, Method] = {
    "gradient_x_input": gradient_x_input(),
    "saliency": saliency(),
    "ig": integrated_gradients(),
    "layer_ig": layer_integrated_gradients(),
    "layer_ig at 0": layer_integrated_gradients(0),
    "layer_ig at the end": layer_integrated_gradients(3, steps=3),
    "gradient_shap": gradient_shap(),
}

EXAMPLES = [
    Example("good film"),
    Example("the film is not very good, it is bad acting"),
    Example("a"),
    Example("not bad", "superb film"),
    Example("a not very super act"),
]
TARGETS = [0, 1, 2, 1, 0]


def wrap(pair: tuple[Any, Any], dtype: torch.dtype = torch.float64) -> Classifier:
    """A tiny classifier in float64, so that equal means equal."""
    return Classifier(pair[0].to(dtype), pair[1], "tiny", None)


@pytest.fixture
def classifier(any_classifier: tuple[Any, Any]) -> Classifier:
    return wrap(any_classifier)


def hand_inputs(classifier: Classifier, encoding: Encoding) -> dict[str, Tensor]:
    return collate([encoding], padding_id(classifier.model, classifier.tokenizer), classifier.model.device)


def without_content(ids: Tensor, encoding: Encoding, token: int) -> Tensor:
    blank = ids.clone()
    for position in content_positions(encoding):
        blank[0, position] = token
    return blank


def hand_log_p(classifier: Classifier, inputs: Mapping[str, Tensor], target: int) -> Callable[[Tensor], Tensor]:
    """A function from ids to log p(target), as one would write it for captum; GPT-2 must be told what padding is."""
    rest = {name: value for name, value in inputs.items() if name != "input_ids"}

    def log_p(ids: Tensor) -> Tensor:
        repeated = {name: value.expand(len(ids), -1) for name, value in rest.items()}
        return log_softmax(classifier.model(input_ids=ids, **repeated).logits, dim=-1)[:, target]

    if classifier.model.config.pad_token_id is None:
        classifier.model.config.pad_token_id = padding_id(classifier.model, classifier.tokenizer)
    return log_p


def embedding_of(classifier: Classifier) -> nn.Module:
    return classifier.model.get_input_embeddings()


@pytest.mark.parametrize("example", EXAMPLES[2:4], ids=lambda example: example.text)
def test_each_method_gives_what_captum_gives_by_hand(classifier: Classifier, example: Example) -> None:
    batch, target = Batch.of(classifier, [example]), 2
    (encoding,) = batch.encodings
    ours = {name: METHODS[name](classifier, batch, [target])[0] for name in ("gradient_x_input", "saliency", "ig")}
    inputs = hand_inputs(classifier, encoding)
    log_p, ids = hand_log_p(classifier, inputs, target), inputs["input_ids"]
    embedding = embedding_of(classifier)

    by_hand = captum.attr.LayerGradientXActivation(log_p, embedding).attribute(ids)
    np.testing.assert_allclose(ours["gradient_x_input"], by_hand[0].sum(-1).detach(), atol=1e-9)

    captured: list[Tensor] = []
    handle = embedding.register_forward_hook(lambda _, __, output: captured.append(output))
    log_p(ids).sum().backward(inputs=captured)
    handle.remove()
    np.testing.assert_allclose(ours["saliency"], captured[0].grad[0].norm(dim=-1), atol=1e-9)

    blank = without_content(ids, encoding, padding_id(classifier.model, classifier.tokenizer))
    # RoBERTa gives [PAD] another position, so by hand only the embedding sees the baseline.
    layer_ig = captum.attr.LayerIntegratedGradients(log_p, embedding)
    by_hand = layer_ig.attribute(ids, baselines=blank, n_steps=10)
    np.testing.assert_allclose(ours["ig"], by_hand[0].sum(-1).detach(), atol=1e-9)


@pytest.mark.parametrize(("family", "path"), [("bert", "bert.encoder.layer.1"), ("gpt2", "transformer.h.1")])
def test_integration_at_a_layer_is_what_captum_does_there(make_classifier: Make, family: str, path: str) -> None:
    classifier = wrap(make_classifier(family))
    batch = Batch.of(classifier, [EXAMPLES[1]])
    (ours,) = layer_integrated_gradients(2, steps=7)(classifier, batch, [1])
    inputs = hand_inputs(classifier, batch.encodings[0])
    log_p, ids = hand_log_p(classifier, inputs, 1), inputs["input_ids"]
    blank = without_content(ids, batch.encodings[0], padding_id(classifier.model, classifier.tokenizer))
    by_hand = captum.attr.LayerIntegratedGradients(log_p, classifier.model.get_submodule(path))
    np.testing.assert_allclose(ours, by_hand.attribute(ids, baselines=blank, n_steps=7)[0].sum(-1).detach(), atol=1e-9)


def test_the_default_layer_is_at_three_quarters(bert: tuple[Any, Any]) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, EXAMPLES[:1])
    (own,) = layer_integrated_gradients()(classifier, batch, [0])
    np.testing.assert_array_equal(own, layer_integrated_gradients(2)(classifier, batch, [0])[0])


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_the_mask_token_can_be_the_baseline(make_classifier: Make, family: str) -> None:
    classifier = wrap(make_classifier(family))
    batch = Batch.of(classifier, [EXAMPLES[3]])
    (ours,) = integrated_gradients(steps=4, baseline="mask")(classifier, batch, [0])
    inputs = hand_inputs(classifier, batch.encodings[0])
    blank = without_content(inputs["input_ids"], batch.encodings[0], classifier.tokenizer.mask_token_id)
    layer_ig = captum.attr.LayerIntegratedGradients(hand_log_p(classifier, inputs, 0), embedding_of(classifier))
    by_hand = layer_ig.attribute(inputs["input_ids"], baselines=blank, n_steps=4)
    np.testing.assert_allclose(ours, by_hand[0].sum(-1).detach(), atol=1e-9)


def test_gradient_shap_gives_what_captum_gives_by_hand(bert: tuple[Any, Any]) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, [EXAMPLES[3]])
    (ours,) = gradient_shap(samples=6, seed=3)(classifier, batch, [1])
    inputs = hand_inputs(classifier, batch.encodings[0])
    ids, types, mask = inputs["input_ids"], inputs["token_type_ids"], inputs["attention_mask"]
    embedding = embedding_of(classifier)

    def log_p(embedded: Tensor) -> Tensor:
        rest = {"token_type_ids": types.expand(6, -1), "attention_mask": mask.expand(6, -1)}
        return log_softmax(classifier.model(inputs_embeds=embedded, **rest).logits, dim=-1)

    blank = embedding(without_content(ids, batch.encodings[0], 0)).detach()
    state = np.random.get_state()
    np.random.seed(int(text_generator(3, EXAMPLES[3]).integers(2**32)))
    embedded = embedding(ids).detach()
    by_hand = captum.attr.GradientShap(log_p).attribute(embedded, baselines=blank, n_samples=6, target=1)
    np.random.set_state(state)
    np.testing.assert_allclose(ours, by_hand[0].sum(-1).detach(), atol=1e-9)


@pytest.mark.parametrize("layer", [None, 0, 2])
def test_with_many_steps_the_scores_add_up_to_what_the_content_tells(classifier: Classifier, layer: int | None) -> None:
    with torch.no_grad():
        for parameter in classifier.model.parameters():  # a smoother model needs fewer steps
            parameter.mul_(0.7 if parameter.ndim > 1 else 1)
    method = integrated_gradients(100) if layer is None else layer_integrated_gradients(layer, 100)
    batch = Batch.of(classifier, EXAMPLES[3:])
    scores = method(classifier, batch, [1, 2])
    for own, encoding, target in zip(scores, batch.encodings, [1, 2], strict=True):
        inputs = hand_inputs(classifier, encoding)
        log_p, ids = hand_log_p(classifier, inputs, target), inputs["input_ids"]
        embedding = embedding_of(classifier)
        blank = embedding(without_content(ids, encoding, padding_id(classifier.model, classifier.tokenizer)))
        with torch.no_grad():
            full = log_p(ids)
            handle = embedding.register_forward_hook(lambda *_, blank=blank: blank)
            empty = log_p(ids)
            handle.remove()
        kinked = classifier.model.config.model_type == "distilbert"  # the only head with a ReLU
        tolerance = (0.02 if kinked else 2e-3) * np.abs(own).sum()
        assert own.sum() == pytest.approx(float(full - empty), abs=tolerance)


@pytest.mark.parametrize("name", METHODS)
def test_a_text_gets_the_same_alone_in_a_padded_batch_and_in_any_order(classifier: Classifier, name: str) -> None:
    method, batch = METHODS[name], Batch.of(classifier, EXAMPLES)
    together = method(classifier, batch, TARGETS)
    check_scores(name, batch, together)
    assert all(own.dtype == np.float64 for own in together)
    order = [3, 0, 4, 1, 2]
    shuffled = method(classifier, batch.take(order), [TARGETS[row] for row in order])
    for row, own in zip(order, shuffled, strict=True):
        np.testing.assert_allclose(own, together[row], atol=1e-9)
    for row in (0, 3):
        (alone,) = method(classifier, batch.take([row]), [TARGETS[row]])
        np.testing.assert_allclose(alone, together[row], atol=1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_small_passes_give_the_same_and_stay_within_the_budget(
    bert: tuple[Any, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, EXAMPLES)
    plain = METHODS[name](classifier, batch, TARGETS)
    sizes: list[tuple[int, ...]] = []
    whole: list[bool] = []

    def note(_: nn.Module, args: Any, kwargs: Any) -> None:
        sizes.append(tuple(kwargs["input_ids"].shape))
        whole.append(bool(kwargs["attention_mask"].all()))

    monkeypatch.setattr(gradients, "BATCH_TOKENS", 24)
    handle = classifier.model.register_forward_pre_hook(note, with_kwargs=True)
    in_small = METHODS[name](classifier, batch, TARGETS)
    handle.remove()
    assert all(rows == 1 or rows * tokens <= 24 for rows, tokens in sizes)
    if name in ("ig", "layer_ig"):  # steps fill a pass, so that no text has to be padded for it
        assert all(whole)
    if name != "gradient_shap":  # its points are drawn pass by pass
        for small, own in zip(in_small, plain, strict=True):
            np.testing.assert_allclose(small, own, atol=1e-9)


def test_all_samples_of_a_long_text_are_drawn(bert: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, [EXAMPLES[4]])
    (exact,) = integrated_gradients(100)(classifier, batch, [1])
    monkeypatch.setattr(gradients, "BATCH_TOKENS", 700 * len(batch.encodings[0]))
    (drawn,) = gradient_shap(1_500)(classifier, batch, [1])
    np.testing.assert_allclose(drawn, exact, atol=0.1 * np.abs(exact).max())


def test_integration_leaves_special_tokens_at_0_where_the_baseline_keeps_them(classifier: Classifier) -> None:
    batch = Batch.of(classifier, EXAMPLES)
    for method in (integrated_gradients(), layer_integrated_gradients(0, 3), gradient_shap(2)):
        for own, encoding in zip(method(classifier, batch, TARGETS), batch.encodings, strict=True):
            special = [position for position, segment in enumerate(encoding.segments) if segment is None]
            np.testing.assert_array_equal(own[special], 0)


def test_the_seed_decides_what_gradient_shap_draws_and_nothing_else_does(bert: tuple[Any, Any]) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, [EXAMPLES[1], EXAMPLES[4], EXAMPLES[1]])
    np.random.seed(5)
    torch.manual_seed(5)
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()
    first = gradient_shap(seed=1)(classifier, batch, [0, 0, 0])
    assert np.array_equal(np.random.get_state()[1], numpy_before)
    assert torch.equal(torch.get_rng_state(), torch_before)
    np.random.seed(6)
    again = gradient_shap(seed=1)(classifier, batch, [0, 0, 0])
    other = gradient_shap(seed=2)(classifier, batch, [0, 0, 0])
    np.testing.assert_array_equal(first[0], first[2])
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.allclose(a, c, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_it_does_not_matter_whether_the_caller_switched_gradients_off(bert: tuple[Any, Any], name: str) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, EXAMPLES)
    expected = METHODS[name](classifier, batch, TARGETS)
    for switched_off in (torch.no_grad(), torch.inference_mode()):
        with switched_off:
            scores: list[Scores] = METHODS[name](classifier, batch, TARGETS)
        for own, other in zip(scores, expected, strict=True):
            np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_as_it_was(make_classifier: Make, name: str, fails: bool) -> None:
    classifier = wrap(make_classifier("gpt2"))
    model = classifier.model
    model.train()
    model.transformer.h[1].eval()
    model.transformer.wpe.weight.requires_grad_(False)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    before = state_of(model)
    batch = Batch.of(classifier, EXAMPLES[:2])
    if fails:
        handle = model.score.register_forward_hook(stop)
        with pytest.raises(KeyboardInterrupt):
            METHODS[name](classifier, batch, [0, 1])
        handle.remove()
    else:
        METHODS[name](classifier, batch, [0, 1])
    assert state_of(model) == before
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())


def stop(*_: Any) -> None:
    raise KeyboardInterrupt


def state_of(model: nn.Module) -> list[Any]:
    """Whatever a guest could leave behind."""
    modules = [
        (m.training, len(m._forward_hooks), len(m._forward_pre_hooks), sorted(m.__dict__)) for m in model.modules()
    ]
    parameters = [(p.requires_grad, p.grad is None) for p in model.parameters()]
    return [modules, parameters, model.config.to_dict(), model.config._attn_implementation]


def test_bfloat16_models_are_explained_nearly_as_float32_ones(make_classifier: Make) -> None:
    batch = Batch.of(wrap(make_classifier("distilbert")), EXAMPLES)
    for name, method in METHODS.items():
        exact = method(wrap(make_classifier("distilbert")), batch, TARGETS)
        rough = method(wrap(make_classifier("distilbert"), torch.bfloat16), batch, TARGETS)
        check_scores(name, batch, rough)
        assert np.corrcoef(np.concatenate(exact), np.concatenate(rough))[0, 1] > 0.95, name


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: integrated_gradients(0), "steps must be a whole number, at least 1, not 0"),
        (lambda: integrated_gradients("ten"), "steps must be .* not 'ten'"),  # type: ignore[arg-type]
        (lambda: layer_integrated_gradients(steps=1.5), "steps must be .* not 1.5"),  # type: ignore[arg-type]
        (lambda: gradient_shap(samples=-1), "samples must be .* not -1"),
        (lambda: integrated_gradients(baseline="zero"), "baseline must be 'pad' or 'mask', not 'zero'"),  # type: ignore[arg-type]
        (lambda: gradient_shap(baseline="zero"), "baseline must be"),  # type: ignore[arg-type]
        (lambda: layer_integrated_gradients(baseline=1), "baseline must be"),  # type: ignore[arg-type]
    ],
)
def test_options_out_of_range_are_refused(make: Callable[[], Method], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()


def test_a_tokenizer_without_mask_token_cannot_give_that_baseline(make_classifier: Make) -> None:
    classifier = wrap(make_classifier("gpt2"))
    with pytest.raises(InputError, match="has no mask token: choose baseline=pad"):
        integrated_gradients(baseline="mask")(classifier, Batch.of(classifier, EXAMPLES[:1]), [0])


@pytest.mark.parametrize("layer", [-1, 4, "2"])
def test_a_layer_out_of_range_is_refused(bert: tuple[Any, Any], layer: Any) -> None:
    classifier = wrap(bert)
    with pytest.raises(LayerError, match="the model has 3 blocks"):
        layer_integrated_gradients(layer)(classifier, Batch.of(classifier, EXAMPLES[:1]), [0])


def test_a_model_that_passes_its_embedding_by_is_refused(bert: tuple[Any, Any]) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, EXAMPLES[:1])
    spare = nn.Embedding.from_pretrained(embedding_of(classifier).weight.detach())  # type: ignore[arg-type]
    classifier.model.get_input_embeddings = lambda: spare
    with pytest.raises(ModelError, match="does not call its input embedding"):
        integrated_gradients()(classifier, batch, [0])


def test_a_model_that_embeds_other_tokens_than_it_is_given_is_refused(bert: tuple[Any, Any]) -> None:
    classifier = wrap(bert)
    batch = Batch.of(classifier, EXAMPLES[:1])
    embedding = embedding_of(classifier)
    embedding.register_forward_pre_hook(lambda _, args: (args[0].flip(1),))
    with pytest.raises(ModelError, match="rearranges its tokens"):
        gradient_x_input()(classifier, batch, [0])


@pytest.mark.parametrize("make", [gradient_x_input, saliency, integrated_gradients, layer_integrated_gradients])
def test_a_missing_captum_is_told_at_once(make: Callable[[], Method], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Any:
        raise ModuleNotFoundError(name) if name == "captum.attr" else AssertionError(name)

    monkeypatch.setattr("narrows.methods.method.import_module", refuse)
    with pytest.raises(DependencyError, match=r'pip install "narrows\[evaluate\]"'):
        make()
    assert importlib.import_module("captum.attr") is captum.attr
