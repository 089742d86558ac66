"""Evaluations of language models: targets, texts that are left out, and curves with the last token kept."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import families
from narrows import Attribution, Explainer
from narrows.data.output import read_json
from narrows.data.source import Source
from narrows.errors import DataError, InputError, NarrowsWarning, NumericsError, TargetError
from narrows.methods import Batch, FunctionMethod
from narrows.models.hub.loading import Classifier
from narrows.run import Plan, evaluate, explain_dataset, inspect, read_run, write_report, write_summary
from narrows.run.evaluating import curve_file, maps_folder
from narrows.run.results import Results, summarize
from narrows.run.settings import ExplainSettings
from plainly import logits_without, p_continued
from planted_decoder import LETTER, TEXTS, planted_decoder

MODEL, TOKENIZER = planted_decoder()
PLANTED = (MODEL, TOKENIZER)
LOADED = Classifier(MODEL, TOKENIZER, "planted", None)
METHODS = ("occlusion", "random")
GOLD = " bad"


def plan_of(items: Any, *methods: Any, **settings: Any) -> Plan:
    return Plan(Source(items=items), methods or METHODS, prior="instance", rows_per_part=3, **settings)


def rows(**columns: list[Any]) -> list[dict[str, Any]]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize("keep_read", [False, True])
@pytest.mark.parametrize("target", [None, "gold"])
def test_the_summary_is_that_of_a_plain_loop(target: str | None, keep_read: bool, tmp_path: Path) -> None:
    """Of the model's own next token, the default without labels, and of the labels as continuations."""
    labelled = rows(text=list(TEXTS), target=[GOLD, "y", GOLD, GOLD])
    wanted = [TOKENIZER(row["target"] if target else LETTER).input_ids for row in labelled]
    items = labelled if target else list(TEXTS)
    evaluate(LOADED, plan_of(items, removals=("delete", "replace"), keep_read=keep_read), tmp_path)
    write_summary(tmp_path)
    results = Results.read(tmp_path)
    ways = [f"{removal}-keep-read" if keep_read else removal for removal in ("delete", "replace")]
    assert list(results.removals) == ways
    for way in ways:
        summary = summarize(results, way)
        assert (summary["target"], summary["removal"]) == ("gold" if target else "predicted", way)
        assert (summary["instances"], summary.get("left_out")) == (4, 0)
        for name in METHODS:
            explainer = Explainer(*PLANTED, name, "instance")
            curves, flips = [], []
            for text, ids in zip(TEXTS, wanted, strict=True):
                prompt, removal = TOKENIZER(text).input_ids, way.partition("-")[0]
                order = [p for p in explainer(text, ids).ranking if p < len(prompt) - keep_read]
                counts = [0, *(max(1, math.floor(k * len(order) / 9 + 0.5)) for k in range(1, 10))]
                curves.append([p_continued(PLANTED, prompt, order[:count], removal, ids) for count in counts])
                ends = [logits_without(PLANTED, prompt, order[:count], removal)[0].argmax() for count in counts[:2]]
                flips.append(ends[0] != ends[1])
            found = summary["methods"][name]
            assert found["curve_morf"] == pytest.approx(np.mean(curves, axis=0).tolist(), rel=1e-3, abs=1e-9)
            assert found["flips"] == pytest.approx(np.mean(flips))


def test_both_kinds_of_curves_are_made_of_the_same_maps(tmp_path: Path) -> None:
    plan = plan_of(list(TEXTS), "occlusion")
    evaluate(LOADED, plan, tmp_path)
    maps = {path: path.read_bytes() for path in (maps_folder(tmp_path, "occlusion") / "parts").iterdir()}
    evaluate(LOADED, replace(plan, keep_read=True), tmp_path)
    assert all(path.read_bytes() == content for path, content in maps.items())
    for way in ("delete", "delete-keep-read"):
        assert curve_file(tmp_path, way, "occlusion", 1).exists()
    write_summary(tmp_path)
    assert list(read_json(tmp_path / "summary.json")["other_removals"]) == ["delete-keep-read"]
    kept = summarize(Results.read(tmp_path), "delete-keep-read")["methods"]["occlusion"]["curve_morf"]
    plain = summarize(Results.read(tmp_path))["methods"]["occlusion"]["curve_morf"]
    assert kept[0] == pytest.approx(plain[0]) and kept[-1] != pytest.approx(plain[-1], rel=1e-2)
    assert "keep-read" in write_report(tmp_path, removal="delete-keep-read")[0].read_text(encoding="utf-8")


def refusing(*words: str) -> FunctionMethod:
    """A method that cannot explain texts with one of some words."""

    def scores(batch: Batch) -> list[Any]:
        for example in batch.examples:
            if any(word in example.text for word in words):
                raise NumericsError(f"no map of {example.text!r}")
        return [np.arange(len(encoding), dtype=float) for encoding in batch.encodings]

    return FunctionMethod(scores, label="refusing")


def test_a_text_that_one_method_cannot_explain_is_left_out_of_all(tmp_path: Path) -> None:
    texts = [*TEXTS, "not at all!", "it is"]
    plan = plan_of(texts, "recency", refusing("not"), target="y")
    with pytest.warns(
        NarrowsWarning, match=r"left out .* as refusing could not .* 2 of 6 texts; the first: text 0: no m"
    ):
        evaluate(LOADED, plan, tmp_path / "some")
    summary = write_summary(tmp_path / "some")
    evaluate(LOADED, plan_of([texts[i] for i in (1, 2, 3, 5)], "recency", target="y"), tmp_path / "others")
    expected = write_summary(tmp_path / "others")["methods"]["recency"]
    assert (summary["instances"], summary["left_out"]) == (4, 2)
    for name in ("recency", "refusing"):
        for figure in ("curve_morf", "curve_lerf", "drop_11_interval", "flips", "instances", "drops"):
            assert summary["methods"][name][figure] == pytest.approx(expected[figure], rel=1e-4)  # type: ignore[literal-required]
    assert json.dumps(read_json(tmp_path / "some" / "summary.json"), allow_nan=False)
    assert list(inspect(maps_folder(tmp_path / "some", "refusing")).errors.values()) == [1, 1]
    assert "2 left out" in write_report(tmp_path / "some")[0].read_text(encoding="utf-8")
    with pytest.warns(NarrowsWarning, match="left out"):  # again: nothing is left to do, and the same is said
        evaluate(LOADED, plan, tmp_path / "some")


def test_a_method_that_explains_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NumericsError, match="method refusing: no map of 'a!'"):
        evaluate(LOADED, plan_of(list(TEXTS), "recency", refusing("!")), tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_methods_that_fail_for_different_texts_leave_nothing(tmp_path: Path) -> None:
    plan = plan_of(list(TEXTS[:2]), refusing("not"), FunctionMethod(refusing("!it").function, label="other"))
    with pytest.warns(NarrowsWarning, match="left out"):
        evaluate(LOADED, plan, tmp_path)
    with pytest.raises(DataError, match="no text that all of refusing, other could explain"):
        write_summary(tmp_path)


def test_labels_are_continuations_and_one_without_is_left_out(tmp_path: Path) -> None:
    items = [{"text": "a film", "label": GOLD}, {"text": "a good film"}, {"text": "it", "label": 3}]
    with pytest.warns(NarrowsWarning, match="2 of 3 texts; the first: text 1: target 'gold' needs a label in words"):
        evaluate(LOADED, plan_of(items, "recency"), tmp_path / "out")
    (own,) = read_run(maps_folder(tmp_path / "out", "recency"))
    assert (own.target, own.gold, own.record["target_ids"]) == (GOLD, GOLD, TOKENIZER(GOLD).input_ids)
    manifest = explain_dataset(
        items, tmp_path / "run", ExplainSettings(method="recency", target="gold"), classifier=LOADED
    )
    assert manifest["result"]["errors"] == 2
    with pytest.raises(TargetError, match="needs a label in words"):
        evaluate(LOADED, plan_of(list(TEXTS), "recency", target="gold"), tmp_path / "none")


def test_a_language_model_has_no_labels_to_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="LlamaForCausalLM has no classes"):
        evaluate(LOADED, plan_of(list(TEXTS), labels=("one", "two")), tmp_path)


def test_a_predicted_token_is_the_one_that_was_explained(tmp_path: Path) -> None:
    """Rows of the output without a token, which have no name to be found by, can be the likeliest."""
    model, tokenizer = families.of_task("GPT2", "LMHeadModel")
    items = ["a good film", "the film is not good", "it is a bad film"]
    evaluate(Classifier(model, tokenizer, "tiny", None), plan_of(items, "recency"), tmp_path)
    found: list[Attribution] = list(read_run(maps_folder(tmp_path, "recency")))
    assert any(own.record["target_ids"][0] >= len(tokenizer) for own in found)
    curves = Results.read(tmp_path).curves("recency", "delete")
    for text, own, p, decided in zip(items, found, curves.morf[:, 0], curves.morf_decisions[:, 0], strict=True):
        assert own.record["target_ids"] == [decided]
        assert p == pytest.approx(
            p_continued((model, tokenizer), tokenizer(text).input_ids, [], "", [decided]), rel=1e-4
        )


@pytest.mark.parametrize("target", ["predicted", "gold", "good"])
def test_masked_language_models_are_evaluated(target: str, tmp_path: Path) -> None:
    classifier = Classifier(*families.of_task("Bert", "ForMaskedLM"), "tiny", None)
    items = rows(text=["a [MASK] film", "it is not [MASK] film, it is bad"], label=["bad", "the"])
    evaluate(classifier, plan_of(items, "occlusion", target=target, removals=("delete", "mask")), tmp_path)
    summary = write_summary(tmp_path)
    named = {"predicted": None, "gold": ["bad", "the"], "good": ["good", "good"]}[target]
    found = list(read_run(maps_folder(tmp_path, "occlusion")))
    assert named is None or [own.target for own in found] == named
    whole = [own.probability for own in found]
    assert summary["methods"]["occlusion"]["curve_morf"][0] == pytest.approx(np.mean(whole), rel=1e-4)  # type: ignore[arg-type]


def test_answers_are_evaluated_and_tags_need_a_word(tmp_path: Path) -> None:
    span = {"num_labels": 2, "id2label": {0: "start", 1: "end"}}
    items = rows(question=["is it bad", "is it"], context=["a good film, not bad", "a very bad film"])
    answering = Classifier(*families.of_task("Bert", "ForQuestionAnswering", **span), "tiny", None)
    evaluate(answering, plan_of(items, "occlusion"), tmp_path / "answers")
    assert write_summary(tmp_path / "answers")["methods"]["occlusion"]["drop_11"] > 0
    tagging = Classifier(*families.of_task("Bert", "ForTokenClassification"), "tiny", None)
    with pytest.raises(TargetError, match="every word has a tag: choose one word"):
        evaluate(tagging, plan_of(list(TEXTS), "recency"), tmp_path / "tags")
