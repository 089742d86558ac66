"""What people hand to an explainer: texts, targets and settings in every form; read, or refused in one line."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch
from transformers import pipeline

import narrows
from narrows.attribution import Attribution
from narrows.attributions import Attributions
from narrows.data.example import Example
from narrows.errors import (
    InputError,
    LayerError,
    ModelError,
    NarrowsError,
    NarrowsWarning,
    PriorError,
    TargetError,
)
from narrows.explainer import Explainer
from narrows.models.corpus import estimate_prior
from tiny import Classifier

library = pytest.importorskip("datasets", reason="the oldest versions are tested without it")
pandas = pytest.importorskip("pandas")

TEXTS = ["a good film", "bad", "not very good"]
LABELS = ["positive", "negative", "neutral"]
FRAME = pandas.DataFrame({"text": TEXTS, "label": LABELS, "n": [1, 2, 3]}, index=[10, 20, 20])
ROWS = library.Dataset.from_pandas(FRAME, preserve_index=False)


@pytest.fixture
def explainer(bert: Classifier) -> Explainer:
    return Explainer(*bert, "saliency")


# Texts.


@pytest.mark.parametrize(
    "inputs",
    [
        FRAME["text"],
        FRAME["text"].astype("string"),
        FRAME["text"].astype("category"),
        FRAME,
        FRAME.to_dict("list"),
        list(FRAME.itertuples()),
        [row for _, row in FRAME.iterrows()],
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        pyarrow.Table.from_pandas(FRAME),
        pyarrow.array(TEXTS),
        ROWS,
        ROWS["text"],
        ROWS[:],
        ROWS.with_format("torch"),
        tuple(TEXTS),
        dict.fromkeys(TEXTS).keys(),
    ],
)
def test_what_has_a_length_gives_a_list_in_its_order(explainer: Explainer, inputs: Any) -> None:
    found = explainer(inputs)
    assert type(found) is Attributions
    assert [attribution.text for attribution in found] == TEXTS
    assert all(attribution.text_pair is None for attribution in found)
    np.testing.assert_allclose(found[0].scores, explainer(TEXTS[0]).scores, rtol=1e-4)


@pytest.mark.parametrize(
    "inputs", [FRAME, ROWS, ROWS.with_format("torch"), FRAME.to_dict("list"), list(FRAME.itertuples(index=False))]
)
def test_the_labels_of_a_table_are_gold(explainer: Explainer, inputs: Any) -> None:
    assert [attribution.target for attribution in explainer(inputs, "gold")] == LABELS


@pytest.mark.parametrize(
    "item",
    [np.array("bad"), np.array(["bad"])[0], FRAME.iloc[1], next(FRAME.iloc[1:].itertuples()), FRAME.iloc[1].to_dict()],
)
def test_one_text_or_row_gives_one_attribution(explainer: Explainer, item: Any) -> None:
    found = explainer(item)
    assert type(found) is Attribution
    assert (found.text, found.text_pair) == ("bad", None)
    assert type(found.text) is str
    json.dumps(found.to_dict())


def test_a_tuple_of_two_texts_is_a_pair_and_a_list_of_two_is_two(explainer: Explainer) -> None:
    assert explainer(("good", "bad")).text_pair == "bad"
    assert [a.text for a in explainer(["good", "bad"])] == ["good", "bad"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (FRAME.rename(columns={"text": "review"}), "no text column among review, label, n; name one 'text'"),
        (ROWS.rename_column("text", "review"), "no text column among review, label, n"),
        (set(TEXTS), "no order"),
        (b"bad", "decode"),
        (Path("texts.csv"), "path"),
        ([{"role": "user", "content": "good"}], "has no chat template"),
        ({"role": "user", "content": "good"}, "apply_chat_template"),
        ({1: "good", 2: "bad"}, "no 'text' column in the row; it has: 1, 2"),
        ({"text": ["good", "bad"], "label": ["positive"]}, "text 2, label 1"),
        ({"input_ids": [1, 2]}, "no 'text' column in the row; it has: input_ids"),
        (np.array([TEXTS, TEXTS]), "shape"),
        (None, "NoneType"),
        (float("nan"), "float"),
    ],
)
def test_other_inputs_are_refused_in_a_line(explainer: Explainer, inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        explainer(inputs)
    assert "\n" not in str(caught.value)


def test_a_prior_is_of_the_texts_of_a_table_not_of_its_column_names(bert: Classifier) -> None:
    expected = estimate_prior(*bert, TEXTS)
    for texts in (FRAME, FRAME["text"], ROWS, iter(TEXTS), np.array(TEXTS)):
        prior = estimate_prior(*bert, texts)
        assert prior.count == expected.count
        torch.testing.assert_close(prior.mean, expected.mean)
    with pytest.raises(InputError, match="not 'bad'"):
        estimate_prior(*bert, "bad")


# Targets.


@pytest.mark.parametrize(
    "target",
    [
        FRAME["label"],
        FRAME["label"].astype("category"),
        np.array(LABELS),
        pyarrow.array(LABELS),
        tuple(LABELS),
        dict.fromkeys(LABELS).keys(),
        np.array([2, 0, 1]),
        torch.tensor([2, 0, 1]),
        pandas.Series([2, 0, 1], dtype="Int64"),
        pandas.Series([2.0, 0.0, 1.0]),
        ROWS["label"],
    ],
)
def test_targets_come_in_any_column(explainer: Explainer, target: Any) -> None:
    assert [attribution.target for attribution in explainer(FRAME["text"], target)] == LABELS


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (pandas.Series(["positive", None, "neutral"]), r"target\[1\] is missing"),
        (np.array([2.0, float("nan"), 1.0]), r"target\[1\] is missing"),
        (np.array([2, 0]), "3 texts but 2 targets"),
        ([], "3 texts but 0 targets"),
        (set(LABELS), "a list"),
    ],
)
def test_targets_that_fit_no_texts_are_refused(explainer: Explainer, target: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        explainer(TEXTS, target)
    with pytest.raises((InputError, TargetError)):
        explainer("bad", target)


# Settings.


@pytest.mark.parametrize("setting", ["max_tokens", "max_tokens_per_batch"])
@pytest.mark.parametrize("value", [0, -1, True, "8", 3.5])
def test_a_number_that_is_none_is_refused_by_its_name(bert: Classifier, setting: str, value: Any) -> None:
    pipe = pipeline("text-classification", model=bert[0], tokenizer=bert[1])
    for make in (
        lambda: Explainer(*bert, "saliency", **{setting: value}),
        lambda: Explainer.from_pipeline(pipe, "saliency", **{setting: value}),
        lambda: Explainer.from_pretrained("sentiment", "saliency", device="cpu", **{setting: value}),
    ):
        with pytest.raises(InputError, match=f"^{setting} must be a whole number of at least 1, not "):
            make()


def test_numbers_of_numpy_are_settings_like_any_other(bert: Classifier) -> None:
    explainer = Explainer(*bert, "saliency", max_tokens=np.int64(4), max_tokens_per_batch=np.int64(100))
    assert len(explainer(["a good film"], batch_size=np.int64(2))[0].tokens) == 4


@pytest.mark.parametrize("limit", [1, 2])
def test_a_limit_without_room_for_a_text_is_refused(bert: Classifier, limit: int) -> None:
    with pytest.raises(InputError, match=f"max_tokens={limit} leaves no room"):
        Explainer(*bert, "saliency", max_tokens=limit)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"method": 5}, InputError, "a method is a name or an object"),
        ({"prior": 5}, PriorError, "a prior is a Prior, a file"),
        ({"prior": True}, PriorError, "a prior is a Prior, a file"),
        ({"long_texts": "trunc"}, InputError, "long_texts must be one of"),
        ({"long_texts": ["truncate"]}, InputError, "long_texts must be one of"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(
    bert: Classifier, settings: dict[str, Any], error: type[NarrowsError], message: str
) -> None:
    with pytest.raises(error, match=message):
        Explainer(*bert, **{"method": "saliency", **settings})


@pytest.mark.parametrize("name", [None, 5, b"sentiment", "", torch.nn.Linear(2, 2)])
def test_a_model_is_loaded_by_a_name(name: Any) -> None:
    with pytest.raises(ModelError, match="a model is loaded by its name or folder") as caught:
        Explainer.from_pretrained(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tokenizer", [None, "sentiment", torch.nn.Linear(2, 2)])
def test_a_tokenizer_is_one(bert: Classifier, tokenizer: Any) -> None:
    with pytest.raises(ModelError, match="a tokenizer of transformers is needed beside the model, not "):
        Explainer(bert[0], tokenizer, "saliency")


@pytest.mark.parametrize("layers", [3, [], "", None.__class__])
def test_layers_are_a_list(bert: Classifier, layers: Any) -> None:
    with pytest.raises(LayerError, match="layers must be a list of some of 0 to 3"):
        Explainer(*bert, "layer_ig:steps=2", "instance").across_layers("bad", layers=layers)


# Copies.


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_and_pickles_explain_the_same(bert: Classifier, again: Any) -> None:
    explainer = Explainer(*bert, "fast:layer=1:steps=2:iterations=1", "instance")
    expected = explainer("a good film")
    other, attribution = again(explainer), again(expected)
    np.testing.assert_allclose(other("a good film").scores, expected.scores, rtol=1e-4)
    np.testing.assert_array_equal(attribution.scores, expected.scores)
    assert attribution.to_dict() == expected.to_dict()
    with pytest.raises(ValueError, match="read-only"):
        attribution.scores[0] = 1.0
    assert type(again(explainer(["bad", "good"]))) is Attributions


def test_every_public_object_says_in_one_line_what_it_is(bert: Classifier) -> None:
    prior = estimate_prior(*bert, TEXTS)
    explainer = Explainer(*bert, "fast:layer=1:steps=2:iterations=1", prior)
    bottleneck = narrows.LayerInformationBottleneck(bert[0], bert[0].bert.encoder.layer[0])
    attributions = explainer(["a\nb", "bad"])
    made = [explainer, prior, bottleneck, attributions, attributions[0], *attributions[0].words(), Example("a\nb")]
    for kind in (narrows.Evidence, narrows.InformationBottleneck, narrows.Optimization, narrows.Distribution):
        made.append(kind())
    made += [narrows.Contrast(0, 1), narrows.Tag("a"), narrows.Answer(0, 1), narrows.Blank()]
    for each in made:
        assert repr(each).startswith(type(each).__name__ + "(")
        assert "\n" not in repr(each)
        assert len(repr(each)) < 250


def test_what_a_frame_or_a_series_is_indexed_by_is_the_id(explainer: Explainer) -> None:
    assert [one.id for one in explainer(FRAME)] == [10, 20, 20]
    assert [one.id for one in explainer(FRAME["text"])] == [10, 20, 20]
    assert [one.id for one in explainer(FRAME.assign(id=["a", "b", "c"]))] == ["a", "b", "c"]
    assert [one.id for one in explainer(FRAME.reset_index(drop=True))] == [None] * 3
    pairs = explainer(pandas.Series([("a good film", "bad"), {"text": "bad", "id": 3}], index=["x", "y"]))
    assert [(one.id, one.text_pair) for one in pairs] == [("x", "bad"), (3, None)]


def test_labels_that_are_read_as_second_texts_are_warned_of(explainer: Explainer) -> None:
    with pytest.warns(NarrowsWarning, match="'positive', a label of the model"):
        explainer(list(zip(TEXTS, LABELS, strict=True)))


def test_data_that_numbers_the_models_classes_in_another_order_is_refused(explainer: Explainer) -> None:
    numbered = library.Dataset.from_dict({"text": TEXTS, "label": [0, 1, 2]})
    model = ["negative", "neutral", "positive"]
    for names, wrong in ((model, False), (["bad", "so-so", "good"], False), (model[::-1], True)):
        rows = numbered.cast_column("label", library.ClassLabel(names=names))
        if wrong:
            with pytest.raises(TargetError, match="label 0 'positive', which is the model's label 2"):
                explainer(rows, target="gold")
            named = explainer(rows, target=[rows.features["label"].names[n] for n in rows["label"]])
            assert [one.target for one in named] == model[::-1]
        else:
            assert [one.target for one in explainer(rows, target="gold")] == model
        assert len(explainer(rows)) == 3
