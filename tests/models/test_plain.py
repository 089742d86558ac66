"""The comparison with a plain call: once per kind of row, told in one line, and not counted as a cost."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

import tiny
from narrows.errors import ModelError, NarrowsWarning
from narrows.evaluation.cost import measured
from narrows.explainer import Explainer
from narrows.models import padding
from tiny import Classifier

QUICK: dict[str, Any] = {"method": "random", "prior": "instance"}
TEXTS = ["a good film", "bad", "bad", "it is not bad"]


def test_logits_that_are_not_those_of_a_plain_call_are_refused(bert: Classifier, monkeypatch: Any) -> None:
    """Whatever the reason; here the model minds an argument that users do not give."""
    forward = type(bert[0]).forward

    def other(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = forward(self, *args, **kwargs)
        output.logits = output.logits + 1 if "return_dict" in kwargs else output.logits
        return output

    monkeypatch.setattr(type(bert[0]), "forward", other)
    for _ in range(2):  # not only the first time
        with pytest.raises(ModelError, match=r"other logits for .*bad.* than alone: off by 1"):
            Explainer(*bert, **QUICK)("bad")


def test_padding_that_changes_the_prediction_is_refused_should_it_go_unnoticed(
    make_classifier: Callable[..., Classifier], monkeypatch: Any
) -> None:
    model, tokenizer = make_classifier("gpt2")
    model.config.pad_token_id = None
    explainer = Explainer(model, tokenizer, **QUICK)
    monkeypatch.setattr(padding, "sees_padding", lambda *_: False)
    with pytest.raises(ModelError, match=r"in a batch with longer texts than alone.*batch_size=1"):
        explainer(TEXTS)
    assert len(explainer(TEXTS, batch_size=1)) == 4


def test_a_model_that_minds_the_company_of_a_text_is_warned_of(bert: Classifier) -> None:
    """As those do that are quantised on the fly, by the largest value of a batch."""
    bert[0].classifier.register_forward_hook(lambda _, __, output: output + output.mean(dim=0))
    with pytest.warns(NarrowsWarning, match=r"in a batch with others than alone.*batch_size=1"):
        Explainer(*bert, **QUICK)(["bad film", "good film"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Explainer(*bert, **QUICK)(["bad film", "good film"])


def test_it_runs_once_per_kind_of_row_and_counts_as_no_cost(bert: Classifier) -> None:
    tiny.probed(bert)
    explainer, calls = Explainer(*bert, **QUICK), []
    bert[0].classifier.register_forward_hook(lambda _, args, __: calls.append(len(args[0])))
    with measured(bert[0]) as cost:
        explainer(TEXTS)
        explainer(TEXTS)
    assert sorted(calls) == [1, 1, 4, 4]  # a row that is padded, and one that is not
    assert cost.forwards < 2 * len(TEXTS) + 0.01
    assert torch.is_grad_enabled()
