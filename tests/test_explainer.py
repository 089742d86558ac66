"""The explainer as users hold it: what comes out, on what it may depend, and what it leaves behind."""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

import tiny
from narrows.attribution import Attribution
from narrows.bottleneck.prior import Prior
from narrows.data.example import Example
from narrows.errors import InputError, LayerError, NarrowsWarning, NumericsError, PriorError, TargetError
from narrows.explainer import WINDOW, Explainer
from narrows.methods.information import InformationBottleneck
from narrows.models.corpus import estimate_prior
from tiny import Classifier

TEXTS = ["a good film", "bad", "the acting is superb, it is not a bad film", "not very good", "it is"]
QUICK = InformationBottleneck("token", "auto", steps=3, samples=2, layer=1)


def explainer_of(classifier: Classifier, prior: Any = "instance", **settings: Any) -> Explainer:
    """An explainer by a quick method; settings of the explainer itself, and the method's."""
    own = {key: settings.pop(key) for key in ("max_tokens", "long_texts", "max_tokens_per_batch") if key in settings}
    return Explainer(*classifier, replace(QUICK, **settings), prior, **own)


def same(one: Attribution, other: Attribution, rel: float = 2e-3) -> None:
    """Equal up to the rounding of float32, which three steps of an optimiser magnify."""
    assert (one.text, one.text_pair, one.tokens) == (other.text, other.text_pair, other.tokens)
    assert (one.target, one.predicted, one.layers) == (other.target, other.predicted, other.layers)
    np.testing.assert_allclose(one.scores, other.scores, rtol=rel, atol=1e-2)
    assert one.record["beta"] == pytest.approx(other.record["beta"], rel=rel)
    assert [p.information for p in one.trace] == pytest.approx([p.information for p in other.trace], rel=rel)
    assert [p.cross_entropy for p in one.trace] == pytest.approx([p.cross_entropy for p in other.trace], rel, 1e-4)


# What comes out.


def test_an_attribution_says_what_was_explained(bert: Classifier) -> None:
    model, tokenizer = bert
    attribution = explainer_of(bert)(TEXTS[0], target="neutral")
    with torch.no_grad():
        p = model(**tokenizer(TEXTS[0], return_tensors="pt")).logits.softmax(dim=-1)[0]
    assert attribution.target == "neutral"
    assert attribution.predicted == model.config.id2label[int(p.argmax())]
    assert attribution.probabilities == pytest.approx(
        dict(zip(("negative", "neutral", "positive"), p.tolist(), strict=True)), rel=1e-5
    )
    assert attribution.tokens == ("[CLS]", "a", "good", "film", "[SEP]")
    assert attribution.offsets == (None, (0, 1), (2, 6), (7, 11), None)
    assert attribution.segments == (None, 0, 0, 0, None)
    assert attribution.truncated == 0
    settings = attribution.method["settings"]
    assert (settings["steps"], settings["samples"], settings["seed"], settings["granularity"]) == (3, 2, 0, "token")
    assert (attribution.prior, settings["beta"], attribution.layers) == ("instance", "auto", (1,))
    assert (attribution.record["dtype"], attribution.record["blocks"]) == ("float32", 3)
    json.dumps(attribution.to_dict(), allow_nan=False)


def test_a_text_longer_than_the_model_takes_says_how_many_tokens_were_cut(bert: Classifier) -> None:
    with pytest.warns(NarrowsWarning, match="38 tokens were cut off"):
        attribution = explainer_of(bert)("good " * 100)
    assert len(attribution.tokens) == 64
    assert attribution.truncated == 38


# On what it does not depend: batch, padding, order.


def test_a_batch_gives_what_each_text_gets_alone(any_classifier: Classifier) -> None:
    explainer = explainer_of(any_classifier, sign=True)
    alone = [explainer(text) for text in TEXTS]
    for batch_size in (1, 2, 32):
        for one, other in zip(explainer(TEXTS, batch_size=batch_size), alone, strict=True):
            same(one, other)


@pytest.mark.parametrize("prior", ["residual", "corpus"])
def test_a_batch_gives_what_each_text_gets_alone_with_every_prior(
    any_classifier: Classifier, make_prior: Callable[..., Prior], prior: str
) -> None:
    chosen = make_prior(any_classifier[0]) if prior == "corpus" else prior
    explainer = explainer_of(any_classifier, prior=chosen, granularity="feature", beta=0.1)
    for attribution in explainer(TEXTS):
        same(attribution, explainer(attribution.text))


def test_order_and_company_change_nothing(any_classifier: Classifier) -> None:
    explainer = explainer_of(any_classifier)
    forward, backward = explainer(TEXTS), explainer(TEXTS[::-1])
    for one, other in zip(forward, backward[::-1], strict=True):
        same(one, other)


def test_more_padding_changes_nothing(any_classifier: Classifier) -> None:
    explainer = explainer_of(any_classifier)
    text = TEXTS[1]
    lengths = [explainer(["a " * count + "film", text])[1] for count in (2, 10, 25)]
    for other in lengths:
        same(other, explainer(text))


def test_a_pair_in_a_batch_with_a_single_text_gets_the_same(bert: Classifier) -> None:
    explainer = explainer_of(bert)
    pair = {"text": "a good film", "text_pair": "bad"}
    same(explainer([pair, "it is a very very good film"])[0], explainer(pair))


def test_the_token_limit_of_a_batch_changes_nothing(bert: Classifier) -> None:
    expected = explainer_of(bert)(TEXTS)
    for one, other in zip(explainer_of(bert, max_tokens_per_batch=20)(TEXTS), expected, strict=True):
        same(one, other)


# Seeds.


def test_the_same_seed_gives_the_same_map_to_the_last_digit(bert: Classifier) -> None:
    one, other = explainer_of(bert, seed=7)(TEXTS[2]), explainer_of(bert, seed=7)(TEXTS[2])
    assert np.array_equal(one.scores, other.scores)
    assert one.trace == other.trace


def test_another_seed_gives_another_map(bert: Classifier) -> None:
    one, other = explainer_of(bert, seed=7)(TEXTS[2]), explainer_of(bert, seed=8)(TEXTS[2])
    assert one.trace[0].cross_entropy != other.trace[0].cross_entropy
    assert one.trace[0].information == pytest.approx(other.trace[0].information)


def test_the_global_generator_is_neither_read_nor_moved(bert: Classifier) -> None:
    explainer = explainer_of(bert)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = explainer(TEXTS[0])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert np.array_equal(explainer(TEXTS[0]).scores, one.scores)


# The method.


def test_a_method_is_given_by_name_or_as_an_object(bert: Classifier) -> None:
    by_name = Explainer(*bert, "information:steps=3:samples=2:layer=1", "instance")
    assert by_name.method == QUICK
    same(by_name(TEXTS[0]), explainer_of(bert)(TEXTS[0]))
    assert Explainer(*bert, prior="instance").method == Explainer(*bert, "fast", "instance").method
    for wrong in ("fsat", "fast:layers=3", "ig:steps=0"):
        with pytest.raises(InputError):
            Explainer(*bert, wrong, "instance")


def test_an_explainer_says_in_one_line_what_it_is(bert: Classifier) -> None:
    line = repr(Explainer(*bert, "ig:steps=50", "instance"))
    assert "ig:steps=50" in line and "instance" in line and "\n" not in line


def test_no_keyword_of_the_method_is_one_of_the_explainer(bert: Classifier) -> None:
    with pytest.raises(TypeError):
        Explainer(*bert, prior="instance", steps=3)  # type: ignore[call-arg]


# Inputs.


def test_a_list_gives_a_list_in_order(bert: Classifier) -> None:
    attributions = explainer_of(bert)(TEXTS)
    assert isinstance(attributions, list)
    assert [attribution.text for attribution in attributions] == TEXTS


def test_an_empty_list_gives_an_empty_list(bert: Classifier) -> None:
    assert explainer_of(bert)([]) == []


@pytest.mark.parametrize(
    "item",
    [
        ("a good film", "bad"),
        {"text": "a good film", "text_pair": "bad"},
        {"premise": "a good film", "hypothesis": "bad", "label": 1},
        Example("a good film", "bad"),
    ],
)
def test_a_pair_is_one_item_however_it_is_given(bert: Classifier, item: Any) -> None:
    attribution = explainer_of(bert)(item)
    assert (attribution.text, attribution.text_pair) == ("a good film", "bad")
    assert attribution.segments == (None, 0, 0, 0, None, 1, None)
    same(attribution, explainer_of(bert)([item])[0])


def test_token_types_reach_the_model_and_its_suffix(bert: Classifier) -> None:
    model, tokenizer = bert
    with torch.no_grad():
        p = model(**tokenizer("a good film", "bad", return_tensors="pt")).logits.softmax(dim=-1)[0]
    attribution = explainer_of(bert, layer=0)(("a good film", "bad"))
    assert list(attribution.probabilities.values()) == pytest.approx(p.tolist(), rel=1e-5)


def test_an_iterator_gives_an_iterator_that_reads_window_by_window(bert: Classifier) -> None:
    read: list[int] = []

    def stream() -> Iterator[str]:
        for number in range(100):
            read.append(number)
            yield TEXTS[number % 5]

    attributions = explainer_of(bert, steps=1, samples=1)(stream(), batch_size=1)
    assert iter(attributions) is attributions
    assert read == []
    assert next(attributions).text == TEXTS[0]
    assert 0 < len(read) < 40
    assert [attribution.text for attribution in attributions] == (TEXTS * 20)[1:]
    assert len(read) == 100


def test_between_two_results_of_a_stream_the_model_is_the_users(bert: Classifier) -> None:
    model, _ = bert
    model.train()
    stream = explainer_of(bert, steps=1)(iter(TEXTS), batch_size=1)
    next(stream)
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    stream.close()  # type: ignore[attr-defined]
    assert all(module.training for module in model.modules())


def test_rows_of_a_data_set_are_taken(bert: Classifier) -> None:
    class Rows:
        """As a data set of the Hub behaves: iterable and sized, neither list nor iterator."""

        def __len__(self) -> int:
            return 2

        def __iter__(self) -> Iterator[dict[str, Any]]:
            yield {"sentence": "a good film", "label": 0, "idx": 1}
            yield {"sentence": "bad", "label": 2, "idx": 2}

    assert [a.target for a in explainer_of(bert)(Rows(), target="gold")] == ["negative", "positive"]


@pytest.mark.parametrize("item", ["", "  ", ("a", ""), {"words": "a"}, {"text": 3}])
def test_nothing_to_explain_is_an_input_error(bert: Classifier, item: Any) -> None:
    with pytest.raises(InputError):
        explainer_of(bert)(item)


@pytest.mark.parametrize("item", [None, 3])
def test_what_is_no_text_at_all_is_an_input_error(bert: Classifier, item: Any) -> None:
    with pytest.raises(InputError):
        explainer_of(bert)(item)


@pytest.mark.parametrize("batch_size", [0, -1, True, "8", 3.5, None])
def test_a_batch_size_below_one_is_an_input_error(bert: Classifier, batch_size: int) -> None:
    with pytest.raises(InputError, match="batch_size must be a whole number of at least 1"):
        explainer_of(bert)(TEXTS, batch_size=batch_size)


# Targets.


@pytest.mark.parametrize(
    ("target", "label"), [(0, "negative"), (1, "neutral"), ("POSITIVE", "positive"), ("2", "positive")]
)
def test_a_target_is_taken_by_index_or_name(bert: Classifier, target: str | int, label: str) -> None:
    assert explainer_of(bert)(TEXTS[0], target).target == label


def test_without_a_target_the_predicted_class_is_explained(bert: Classifier) -> None:
    for attribution in explainer_of(bert)(TEXTS):
        best = max(attribution.probabilities, key=attribution.probabilities.__getitem__)
        assert attribution.target == attribution.predicted == best


def test_a_list_of_targets_goes_text_by_text(bert: Classifier) -> None:
    explainer = explainer_of(bert)
    attributions = explainer(TEXTS[:3], [2, None, "neutral"])
    assert [attributions[0].target, attributions[2].target] == ["positive", "neutral"]
    assert attributions[1].target == attributions[1].predicted
    for attribution in attributions:
        same(attribution, explainer(attribution.text, attribution.target))


def test_gold_is_the_label_given_with_each_text(bert: Classifier) -> None:
    rows = [{"text": "good", "label": "negative"}, Example("bad", label=2)]
    assert [a.target for a in explainer_of(bert)(rows, "gold")] == ["negative", "positive"]


@pytest.mark.parametrize(
    ("inputs", "target", "error"),
    [
        ("good", "excellent", TargetError),
        ("good", 3, TargetError),
        ("good", -1, TargetError),
        ("good", "gold", TargetError),
        ("good", [0], InputError),
        (["good", "bad"], [0], InputError),
        (iter(["good"]), [0], InputError),
    ],
)
def test_a_target_that_cannot_be_is_an_error(
    bert: Classifier, inputs: Any, target: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        explainer_of(bert)(inputs, target)


# Layers and priors.


@pytest.mark.parametrize("layer", [-1, 4])
def test_a_layer_out_of_range_is_an_error(bert: Classifier, layer: int) -> None:
    with pytest.raises(LayerError, match="0 to 3 is valid"):
        explainer_of(bert, layer=layer)("good")
    with pytest.raises(LayerError, match="0 to 3 is valid"):
        explainer_of(bert).across_layers("good", layers=[layer])


def test_a_method_without_a_layer_cannot_go_across_layers(bert: Classifier) -> None:
    with pytest.raises(InputError, match="random"):
        Explainer(*bert, "random", "instance").across_layers("good")


def test_across_layers_equals_an_explainer_per_layer(
    any_classifier: Classifier, make_prior: Callable[..., Prior]
) -> None:
    prior = make_prior(any_classifier[0])
    across = explainer_of(any_classifier, prior=prior).across_layers(TEXTS[2], "neutral")
    assert [attribution.layers for attribution in across] == [(0,), (1,), (2,), (3,)]
    for attribution in across:
        same(attribution, explainer_of(any_classifier, prior=prior, layer=attribution.layers)(TEXTS[2], "neutral"))


def test_across_layers_with_the_residual_prior_starts_at_one(bert: Classifier) -> None:
    across = explainer_of(bert, prior="residual").across_layers(TEXTS[0])
    assert [attribution.layers for attribution in across] == [(1,), (2,), (3,)]
    for attribution in across:
        same(attribution, explainer_of(bert, prior="residual", layer=attribution.layers)(TEXTS[0]))


def test_the_residual_prior_needs_a_layer_before(bert: Classifier) -> None:
    with pytest.raises(LayerError, match="layer 1"):
        explainer_of(bert, prior="residual", layer=0)("good")
    with pytest.raises(LayerError, match="layer 1"):
        explainer_of(bert, prior="residual").across_layers("good", layers=[1, 0])


def test_without_a_prior_the_instance_prior_is_taken_with_a_warning(bert: Classifier) -> None:
    with pytest.warns(UserWarning, match="no prior given") as caught:
        explainer = Explainer(*bert, QUICK)
    assert caught[0].filename == __file__  # it points at the caller's line
    assert explainer.prior.name == "instance"


@pytest.mark.parametrize("method", ["ig", "random", "released"])
def test_a_method_that_asks_for_no_prior_brings_no_warning(bert: Classifier, method: str) -> None:
    assert Explainer(*bert, method).prior.name == "instance"


def test_a_prior_is_taken_as_an_object_or_a_file(bert: Classifier, tmp_path: Path) -> None:
    prior = estimate_prior(*bert, TEXTS)
    prior.save(tmp_path / "prior.safetensors")
    expected = explainer_of(bert, prior=prior)(TEXTS[0])
    for path in (tmp_path / "prior.safetensors", str(tmp_path / "prior.safetensors")):
        assert np.array_equal(explainer_of(bert, prior=path)(TEXTS[0]).scores, expected.scores)
    assert expected.prior == f"corpus {prior.digest}"


def test_a_prior_of_another_model_is_refused(
    make_classifier: Callable[..., Classifier], make_prior: Callable[..., Prior]
) -> None:
    prior = make_prior(make_classifier("bert", 1)[0])
    with pytest.raises(PriorError, match="another model"):
        explainer_of(make_classifier("bert", 0), prior=prior)
    with pytest.raises(PriorError, match="no such prior"):
        explainer_of(make_classifier("bert", 0), prior="instanse")


# Numbers.


def poison(model: PreTrainedModel, tokenizer: Any, word: str) -> None:
    """Make the embedding of one word NaN."""
    with torch.no_grad():
        model.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids(word)] = float("nan")


def test_nan_in_the_activations_is_an_error_that_names_the_text(bert: Classifier) -> None:
    poison(*bert, "superb" if "superb" in bert[1].get_vocab() else "super")
    with pytest.raises(NumericsError, match=r"NaN or infinity for 'the acting is superb"):
        explainer_of(bert)(TEXTS[2])
    assert len(explainer_of(bert)(TEXTS[:2])) == 2


def test_nan_in_the_head_is_an_error_that_names_the_text(bert: Classifier) -> None:
    with torch.no_grad():
        bert[0].classifier.weight[1] = float("nan")
    with pytest.raises(NumericsError, match="logits hold NaN or infinity for 'a good film'"):
        explainer_of(bert)(TEXTS[0])


def test_infinity_in_the_weights_is_an_error(any_classifier: Classifier) -> None:
    model, _ = any_classifier
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float("inf"))
    with pytest.raises(NumericsError, match="good"):
        explainer_of(any_classifier)("a good film")


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_it_works_where_the_caller_has_switched_gradients_off(bert: Classifier, context: Callable[[], Any]) -> None:
    expected = explainer_of(bert, sign=True)(TEXTS[0])
    with context():
        same(explainer_of(bert, sign=True)(TEXTS[0]), expected)


# The user's model.


def fingerprint(model: PreTrainedModel, tokenizer: Any) -> dict[str, Any]:
    """Everything that must be as it was."""
    weights = hashlib.blake2b()
    for name, value in sorted(model.state_dict().items()):
        weights.update(name.encode() + value.double().numpy().tobytes())
    return {
        "weights": weights.hexdigest(),
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "grad": [parameter.grad for parameter in model.parameters()],
        "training": [module.training for module in model.modules()],
        "attributes": [sorted(module.__dict__) for module in model.modules()],
        "hooks": [
            {
                name: list(value)
                for name, value in module.__dict__.items()
                if "hooks" in name and isinstance(value, dict)
            }
            for module in model.modules()
        ],
        "config": model.config.to_dict(),
        "generator": torch.get_rng_state().tolist(),
        "tokenizer": tokenizer.backend_tokenizer.to_str(),
        "tokenizer settings": (tokenizer.padding_side, tokenizer.truncation_side, dict(tokenizer.special_tokens_map)),
    }


def unusual(model: PreTrainedModel) -> None:
    """A state that model.train() or requires_grad_(True) would not bring back, and a hook of the user's own."""
    for number, module in enumerate(model.modules()):
        module.training = number % 3 == 0
    for number, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(number % 2 == 0)
    next(model.children()).register_forward_hook(lambda *_: None)


@pytest.mark.parametrize(("prior", "layer"), [("instance", 0), ("instance", 1), ("instance", 3), ("residual", 2)])
def test_the_model_and_tokenizer_are_untouched_after_success(
    any_classifier: Classifier, prior: str, layer: int
) -> None:
    model, _ = any_classifier
    unusual(model)
    before = fingerprint(*any_classifier)
    explainer = explainer_of(any_classifier, prior=prior, layer=layer, sign=True, steps=1)
    explainer(TEXTS)
    explainer.across_layers(TEXTS[0])
    assert fingerprint(*any_classifier) == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_tokenizer_is_untouched_by_a_text_that_is_cut(any_classifier: Classifier) -> None:
    before = fingerprint(*any_classifier)
    explainer_of(any_classifier, steps=1, max_tokens=60)("good film " * 100)
    assert fingerprint(*any_classifier) == before


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("call", [1, 2, 4])
def test_the_model_is_untouched_after_an_error_or_ctrl_c_inside_it(
    any_classifier: Classifier, error: type[BaseException], layer: int, call: int
) -> None:
    """Raised in the prefix (call 1), at the first step or at the last."""
    model, _ = tiny.probed(any_classifier)
    unusual(model)
    calls, armed = [0], [True]
    last = next(m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == tiny.BLOCKS)[-1]
    inner = next(module for module in last.modules() if isinstance(module, nn.LayerNorm))

    def fail(*_: Any) -> None:
        calls[0] += 1
        if armed[0] and calls[0] == call:
            raise error("inside")

    inner.register_forward_pre_hook(fail)
    before = fingerprint(*any_classifier)
    explainer = explainer_of(any_classifier, layer=layer)
    with pytest.raises(error, match="inside"):
        explainer(TEXTS)
    assert fingerprint(*any_classifier) == before
    armed[0] = False
    assert len(explainer(TEXTS[:2])) == 2


# Cost.


@pytest.mark.parametrize("layer", [0, 1, 3])
def test_the_prefix_is_computed_once_and_the_suffix_at_every_step(any_classifier: Classifier, layer: int) -> None:
    model, _ = any_classifier
    tiny.probed(any_classifier, TEXTS[:3])
    rows: list[list[int]] = [[] for _ in range(tiny.BLOCKS)]
    blocks = next(m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == tiny.BLOCKS)
    for index, block in enumerate(blocks):
        inner = next(module for module in block.modules() if isinstance(module, nn.LayerNorm))
        inner.register_forward_pre_hook(lambda _, args, index=index: rows[index].append(len(args[0])))
    explainer_of(any_classifier, layer=layer, steps=5, samples=4)(TEXTS[:3])
    for index in range(tiny.BLOCKS):
        assert rows[index] == ([3] if index < layer else [3, *[12] * 6])  # 5 steps, and once after the last


def test_across_layers_runs_the_prefix_once(bert: Classifier) -> None:
    calls: list[int] = []
    tiny.probed(bert, TEXTS[:1])
    bert[0].bert.encoder.layer[0].attention.output.LayerNorm.register_forward_pre_hook(lambda *_: calls.append(1))
    explainer_of(bert, steps=1).across_layers(TEXTS[0], layers=[1, 2, 3])
    assert len(calls) == 1


def test_a_stream_of_thousands_of_texts_holds_no_more_than_a_few_batches(bert: Classifier) -> None:
    explainer = Explainer(*bert, "fast:layer=2:steps=1:iterations=1", "instance")
    alive: weakref.WeakSet[Attribution] = weakref.WeakSet()
    most, read = 0, 0

    def texts() -> Iterator[str]:
        nonlocal read
        for number in range(2_000):
            read += 1
            yield f"good {number}"

    for count, attribution in enumerate(explainer(texts(), batch_size=50), 1):
        alive.add(attribution)
        most = max(most, len(alive))
        assert read - count <= WINDOW * 50
    assert count == 2_000
    assert most <= WINDOW * 50 + 1


def test_a_list_is_sorted_by_length_as_a_whole(bert: Classifier) -> None:
    """However the texts lie in it, those of one length share their batches, and no token is padding."""
    model, tokenizer = bert
    texts = [" ".join(["good"] * (1 + number % 5)) for number in range(WINDOW * 4 * 5)]
    explainer = Explainer(model, tokenizer, "fast:layer=2:steps=1:iterations=1", "instance")
    explainer(texts[:2])  # the checks of the model are behind it
    padding: list[int] = []

    def count(_: Any, __: Any, inputs: dict[str, torch.Tensor]) -> None:
        padding.append(int((inputs["attention_mask"] == 0).sum()))

    handle = model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        found = explainer(texts, batch_size=4)
    finally:
        handle.remove()
    assert [attribution.text for attribution in found] == texts
    assert padding and not any(padding)
