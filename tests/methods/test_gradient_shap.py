"""GradientSHAP against captum called by hand; what it draws is the text's own."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from asking import scores
from by_hand import EXAMPLES, embedding_of, encoded, inputs_of, padded_ids, widened
from narrows.bottleneck.optimize import text_seed
from narrows.errors import InputError
from narrows.methods import gradient_shap
from narrows.methods.gradient_shap import GradientShap
from tiny import Classifier


def test_it_is_what_captum_gives_by_hand(bert: Classifier) -> None:
    classifier, example = widened(bert), EXAMPLES[3]
    (ours,) = scores(classifier, "gradient_shap:samples=6:seed=3", [example], [1])
    encoding = encoded(classifier, example)
    inputs = inputs_of(classifier, encoding)
    embedding = embedding_of(classifier)

    def log_p(embedded: Tensor) -> Tensor:
        rest = {name: value.expand(6, -1) for name, value in inputs.items() if name != "input_ids"}
        return log_softmax(classifier[0](inputs_embeds=embedded, **rest).logits, dim=-1)

    blank = embedding(padded_ids(classifier, encoding)).detach()
    state = np.random.get_state()
    drawn = np.random.default_rng(text_seed(3, example.text, example.text_pair)).integers(2**32)
    np.random.seed(int(drawn))
    embedded = embedding(inputs["input_ids"]).detach()
    by_hand = captum.attr.GradientShap(log_p).attribute(embedded, baselines=blank, n_samples=6, target=1)
    np.random.set_state(state)
    np.testing.assert_allclose(ours, by_hand[0].sum(-1).detach(), atol=1e-9)


def test_all_samples_of_a_long_text_are_drawn(bert: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = widened(bert)
    (exact,) = scores(classifier, "ig:steps=100", [EXAMPLES[4]], [1])
    monkeypatch.setattr(gradient_shap, "BATCH_TOKENS", 700 * len(encoded(classifier, EXAMPLES[4])))
    (drawn,) = scores(classifier, "gradient_shap:samples=1500", [EXAMPLES[4]], [1])
    np.testing.assert_allclose(drawn, exact, atol=0.1 * np.abs(exact).max())


def test_the_seed_decides_what_is_drawn_and_nothing_global_does(bert: Classifier) -> None:
    items, targets = [EXAMPLES[1], EXAMPLES[4], EXAMPLES[1]], [0, 0, 0]
    np.random.seed(5)
    torch.manual_seed(5)
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # type: ignore[index]
    first = scores(bert, "gradient_shap:seed=1", items, targets)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # type: ignore[index]
    assert torch.equal(torch.get_rng_state(), torch_before)
    np.random.seed(6)
    again = scores(bert, "gradient_shap:seed=1", items, targets)
    other = scores(bert, "gradient_shap:seed=2", items, targets)
    np.testing.assert_array_equal(first[0], first[2])
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.allclose(a, c, atol=1e-6)


@pytest.mark.parametrize("change", [{"samples": -1}, {"samples": 0.5}, {"baseline": "zero"}], ids=str)
def test_a_setting_out_of_range_is_refused(change: dict[str, object]) -> None:
    ((name, value),) = change.items()
    with pytest.raises(InputError, match=f"{name} must be .*{value!r}"):
        GradientShap(**change)  # type: ignore[arg-type]
