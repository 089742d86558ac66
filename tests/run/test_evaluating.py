"""Evaluations that are interrupted and resumed, in parts that do not depend on it; the numbers against a plain loop."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from filelock import FileLock

import tiny
import worker
from narrows import Attribution, Explainer, Prior
from narrows.data.example import Example
from narrows.data.output import read_json
from narrows.data.parquet import read_rows
from narrows.data.source import Source
from narrows.errors import DataError, InputError, LayerError, NarrowsError, NarrowsWarning, TargetError
from narrows.methods import Batch, FunctionMethod
from narrows.models.hub.loading import LoadedModel
from narrows.run import Plan, evaluate, explain_dataset, read_run, write_report, write_summary
from narrows.run.dataset import LOG
from narrows.run.evaluating import curve_file, maps_folder, slug
from narrows.run.meter import Progress
from narrows.run.parts import COSTS, FOLDER, part_file
from narrows.run.report import find_sweep, grade
from narrows.run.results import Results, summarize
from narrows.run.settings import ExplainSettings, LayerSettings
from narrows.run.store import LOCK, MANIFEST

HERE = Path(__file__).parents[1] / "support"
WORDS = ("good", "bad", "film", "the", "not", "very", "acting", "superb")
LABELS = ("negative", "neutral", "positive")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A file of nine texts of different lengths, two of them alike, one of a single word."""
    draw = np.random.default_rng(0)
    lines = ["good", "the film is good", "the film is good"]
    lines += [" ".join(draw.choice(WORDS, size)) for size in (2, 3, 5, 8, 13, 21)]
    path = tmp_path / "texts.jsonl"
    rows = [{"text": text, "label": ("negative", "positive")[number % 2]} for number, text in enumerate(lines)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def classifier(make_classifier: Callable[..., tiny.Classifier]) -> LoadedModel:
    model, tokenizer = make_classifier("bert")
    return LoadedModel(model, tokenizer, "tiny", None)


def plan_of(texts: Path, *methods: Any) -> Plan:
    return Plan(Source(str(texts)), methods, prior="instance", rows_per_part=4)


def files_of(out: Path) -> dict[str, bytes]:
    """All files of an evaluation but for locks and what was measured: logs and costs."""
    found = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    return {str(path): own for path, own in found.items() if path.name not in (LOCK, LOG) and COSTS not in path.parts}


def spawn(texts: Path, out: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen([sys.executable, str(HERE / "worker.py"), str(texts), str(out)], env=environment)


def test_a_killed_evaluation_resumes_to_the_same_bytes(texts: Path, tmp_path: Path) -> None:
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    process = spawn(texts, killed)
    deadline = time.monotonic() + 120
    while not list(killed.glob("maps/lime*/parts/part-*.parquet")):  # in the midst of the third method
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = files_of(killed)
    assert not list(killed.glob("curves/delete/paper*/*")), "was done already"
    worker.run(texts, killed)
    worker.run(texts, undisturbed)
    after = files_of(killed)
    assert set(after) > set(before)
    kept = {name: content for name, content in before.items() if name.endswith(".parquet")}
    assert {name: after[name] for name in kept} == kept
    assert after == files_of(undisturbed)


def test_units_are_explained_ranked_and_removed_whole(classifier: LoadedModel, tmp_path: Path) -> None:
    """Sentences: the curve against a plain loop, and a folder that knows what its units are."""
    texts = ["A good film. It is bad! Very bad acting.", "The film is good. A superb act."]
    plan = replace(plan_of(tmp_path, "occlusion"), source=Source(items=texts), target="positive", unit_of="sentence")
    evaluate(classifier, plan, tmp_path / "out")
    summary = write_summary(tmp_path / "out")
    assert summary["unit_of"] == "sentence"
    explainer = Explainer(classifier.model, classifier.tokenizer, "occlusion", "instance")
    curves = []
    for text in texts:
        units = sorted(explainer(text, "positive", unit_of="sentence").units, key=lambda unit: unit.rank or 99)
        ids = classifier.tokenizer(text)["input_ids"]
        for count in [0, *(max(1, math.floor(k * len(units) / 9 + 0.5)) for k in range(1, 10))]:
            gone = {place for unit in units[:count] for place in unit.tokens}
            left = [own for place, own in enumerate(ids) if place not in gone]
            curves.append(probabilities(classifier, left)[LABELS.index("positive")])
    found = summary["methods"]["occlusion"]["curve_morf"]
    assert found == pytest.approx(np.array(curves).reshape(2, 10).mean(axis=0).tolist(), abs=1e-5)
    with pytest.raises(InputError, match="unit_of"):
        evaluate(classifier, replace(plan, unit_of="word"), tmp_path / "out")


def probabilities(classifier: LoadedModel, ids: list[int]) -> np.ndarray:
    """One plain forward of one text."""
    with torch.no_grad():
        logits = classifier.model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))).logits
    return logits.double().softmax(-1)[0].numpy()


def test_the_summary_is_that_of_a_plain_loop(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    """Explain, rank, remove and predict text by text, one forward after the other, and average by hand."""
    out, names = tmp_path / "out", ("fast", "gradient_x_input", "random")
    evaluate(classifier, plan_of(texts, *names), out)
    summary = write_summary(out)
    assert list(summary["methods"]) == list(names)
    rows = [json.loads(line) for line in texts.read_text().splitlines()]
    for name in names:
        explainer = Explainer(classifier.model, classifier.tokenizer, name, "instance")
        curves, falls, flips = [], {share: [] for share in ("5", "11", "20", "33", "50")}, []  # type: ignore[var-annotated]
        for row in rows:
            ranking = explainer(row["text"], row["label"]).ranking
            ids, target = classifier.tokenizer(row["text"])["input_ids"], LABELS.index(row["label"])

            def without(gone: tuple[int, ...], ids: list[int] = ids) -> np.ndarray:
                return probabilities(classifier, [own for place, own in enumerate(ids) if place not in gone])

            counts = [0, *(max(1, math.floor(k * len(ranking) / 9 + 0.5)) for k in range(1, 10))]
            p = [without(ranking[:count]) for count in counts]
            curves.append([own[target] for own in p])
            flips.append(p[0].argmax() != p[1].argmax())
            for share, part in (("5", 1 / 20), ("11", 1 / 9), ("20", 1 / 5), ("33", 1 / 3), ("50", 1 / 2)):
                count = max(1, math.floor(part * len(ranking) + 0.5))
                falls[share].append(p[0][target] - without(ranking[:count])[target])
        found = summary["methods"][name]
        morf = np.array(curves)
        assert found["curve_morf"] == pytest.approx(morf.mean(axis=0).tolist(), abs=1e-5)
        assert found["area_morf"] == pytest.approx(morf.mean(), abs=1e-5)
        assert found["drop_11"] == pytest.approx((morf[:, 0] - morf[:, 1]).mean(), abs=1e-5)
        assert found["drops"] == pytest.approx({share: np.mean(own) for share, own in falls.items()}, abs=1e-5)
        assert found["drops"]["11"] == pytest.approx(found["drop_11"])
        assert found["flips"] == pytest.approx(np.mean(flips))
        for share, (low, high) in found["drops_interval"].items():
            assert low <= found["drops"][share] <= high


def test_maps_are_those_of_a_run(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    """The very same engine: the parts of a method are the bytes that narrows run writes."""
    evaluate(classifier, plan_of(texts, "paper:layer=2"), tmp_path / "out")
    settings = ExplainSettings(method="paper:layer=2", target="gold", prior="instance", rows_per_part=4)
    explain_dataset(texts, tmp_path / "run", settings, loaded=classifier)
    folder = maps_folder(tmp_path / "out", "paper:layer=2")
    same = [{path.name: path.read_bytes() for path in (each / FOLDER).iterdir()} for each in (folder, tmp_path / "run")]
    assert same[0] == same[1] and len(same[0]) == 3
    first = next(read_run(folder))
    assert (first.text, first.target, first.method["name"], first.layers) == ("good", "negative", "paper", (2,))


def test_traces_and_their_means_are_in_the_summary(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    out, name = tmp_path / "out", "complete:steps=6:draws=4"
    evaluate(classifier, plan_of(texts, name, "random"), out)
    rows = [json.loads(line) for line in texts.read_text().splitlines()]
    explainer = Explainer(classifier.model, classifier.tokenizer, name, "instance")
    curves = [explainer(row["text"], row["label"]).rate_curve() for row in rows]
    own = write_summary(out)["methods"][name]
    for what, key in (("bits", "rate_bits"), ("probability", "rate_probability")):
        means = [float(np.mean([getattr(point, what) for point in points])) for points in zip(*curves, strict=True)]
        assert own[key] == pytest.approx(means, rel=1e-4)  # type: ignore[literal-required]
    assert all(low <= p <= high for p, (low, high) in zip(own["rate_probability"], own["rate_interval"], strict=True))
    assert own["rate_interval"][0][0] < own["rate_interval"][0][1]
    assert Results.read(out).traces("random") == [()] * 9
    assert "rate.png" in {path.name for path in write_report(out)}


@dataclass(frozen=True)
class Longest:
    """An own method: the longer a token, the higher its score; the last token of all is removed first."""

    power: int = 1
    label: ClassVar[str] = "longest"
    quantity: ClassVar[str] = "score"
    unit: ClassVar[str] = "letters"
    signed: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    caption: ClassVar[str] = "A score is the number of letters."
    how: ClassVar[str] = ""
    copies: ClassVar[int] = 1

    def explain(self, batch: Batch) -> list[Attribution]:
        scores = [np.array([float(len(token) ** self.power) for token in each.tokens]) for each in batch.encodings]
        rankings = [range(len(each) - 2, 0, -1) for each in batch.encodings]
        return batch.attributions(self, scores, rankings=rankings)


def test_own_methods_are_evaluated_by_their_ranking(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    backward = FunctionMethod(lambda batch: [np.arange(len(e), dtype=float) for e in batch.encodings], label="backward")
    evaluate(classifier, plan_of(texts, Longest(), backward, "random"), out)
    summary = write_summary(out)
    assert list(summary["methods"]) == ["longest", "backward", "random"]
    longest, other = (summary["methods"][name] for name in ("longest", "backward"))
    assert (longest["unit"], longest["signed"], longest["method"]["caption"]) == (
        "letters",
        False,
        "A score is the number of letters.",
    )
    assert longest["curve_morf"] == pytest.approx(other["curve_morf"])  # scores differ, the order of removal does not
    with pytest.raises(InputError, match="two methods are called 'longest'"):
        evaluate(classifier, plan_of(texts, Longest(), Longest(2)), tmp_path / "other")


def test_methods_and_removals_are_added(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(classifier, plan_of(texts, "random"), out)
    first = files_of(out)
    more = replace(plan_of(texts, "random", "occlusion"), removals=("delete", "mask", "attention"))
    evaluate(classifier, more, out)
    after = files_of(out)
    occlusion = maps_folder(out, "occlusion")
    assert {name for name in after if name not in first} == {
        str(path.relative_to(out))
        for path in (
            occlusion / MANIFEST,
            *(part_file(occlusion, part) for part in range(3)),
            *(curve_file(out, removal, "occlusion", part) for part in range(3) for removal in more.removals),
            *(curve_file(out, removal, "random", part) for part in range(3) for removal in ("mask", "attention")),
        )
    }
    unchanged = {name for name in first if name != "methods.json"}
    assert all(after[name] == first[name] for name in unchanged)
    summary = write_summary(out)
    assert list(summary["methods"]) == ["random", "occlusion"]
    assert set(read_json(out / "summary.json")["other_removals"]) == {"mask", "attention"}


def test_the_summary_has_what_was_promised(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(classifier, plan_of(texts, "random", "occlusion"), out)
    write_summary(out)
    summary = read_json(out / "summary.json")
    assert {"dataset", "split", "instances", "target", "removal", "model", "methods"} <= set(summary)
    assert (summary["dataset"], summary["instances"], summary["target"]) == ("texts.jsonl", 9, "gold")
    random, occlusion = summary["methods"]["random"], summary["methods"]["occlusion"]
    promised = {"drop_11", "drop_11_interval", "area_morf", "area_lerf", "flips", "seconds", "forward_equivalents"}
    assert promised <= set(random)
    low, high = occlusion["drop_11_interval"]
    assert low <= occlusion["drop_11"] <= high
    assert random["forward_equivalents"] <= 1 < occlusion["forward_equivalents"]
    (drops,) = [each for each in summary["comparisons"] if each["measure"] == "drop_11"]
    assert drops["difference"] == pytest.approx(random["drop_11"] - occlusion["drop_11"])


def test_methods_with_one_label_are_told_apart(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    evaluate(classifier, plan_of(texts, "fast", "best", "random"), tmp_path / "out")
    labels = [method["label"] for method in write_summary(tmp_path / "out")["methods"].values()]
    assert len(set(labels)) == 3
    assert "best" in labels[1] and labels[2] == "random"


def test_unfinished_methods_are_named_and_left_out(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(classifier, plan_of(texts, "random", "occlusion"), out)
    curve_file(out, "delete", "occlusion", 1).unlink()
    assert list(write_summary(out)["methods"]) == ["random"]
    assert read_json(out / "summary.json")["incomplete"] == ["occlusion"]
    curve_file(out, "delete", "random", 0).unlink()
    with pytest.raises(DataError, match="no method is finished"):
        write_summary(out)
    evaluate(classifier, replace(plan_of(texts, "occlusion"), removals=("mask",)), out)
    curve_file(out, "delete", "occlusion", 1).unlink(missing_ok=True)
    assert write_summary(out)["removal"] == "mask"  # the first way that has a finished method


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "predicted"}, "target"),
        ({"rows_per_part": 3}, "rows_per_part was 4 and is 3"),
        ({"max_tokens": 5}, "max_tokens"),
        ({"prior": "residual"}, "prior was"),
    ],
)
def test_another_evaluation_does_not_go_into_the_same_folder(
    texts: Path, classifier: LoadedModel, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    evaluate(classifier, plan_of(texts, "random"), tmp_path / "out")
    with pytest.raises(InputError, match=message):
        evaluate(classifier, replace(plan_of(texts, "random"), **change), tmp_path / "out")


def test_another_model_or_other_texts_do_not_go_into_the_same_folder(
    texts: Path, classifier: LoadedModel, make_classifier: Callable[..., tiny.Classifier], tmp_path: Path
) -> None:
    evaluate(classifier, plan_of(texts, "random"), tmp_path / "out")
    other = LoadedModel(*make_classifier("bert", 1), "tiny", None)
    with pytest.raises(InputError, match=r"model\.sha256 was"):
        evaluate(other, plan_of(texts, "random"), tmp_path / "out")
    with texts.open("a") as file:
        file.write('{"text": "one more", "label": "neutral"}\n')
    with pytest.raises(InputError, match="instances was 9 and is 10"):
        evaluate(classifier, plan_of(texts, "random"), tmp_path / "out")


def test_a_folder_in_use_is_refused(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / LOCK), pytest.raises(InputError, match="in use by another run"):
        evaluate(classifier, plan_of(texts, "random"), out)


def test_a_wrong_method_fails_before_the_work_on_others(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(LayerError, match="layer 9 is out of range"):
        evaluate(classifier, plan_of(texts, "random", "fast:layer=9"), tmp_path / "out")
    assert not list((tmp_path / "out").rglob("part-*"))
    assert not (tmp_path / "out" / "methods.json").exists()
    other = replace(plan_of(texts, "random"), rows_per_part=3)
    evaluate(classifier, other, tmp_path / "out")  # the folder is still free


def test_no_method_is_refused(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name at least one method"):
        evaluate(classifier, plan_of(texts), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_was_changed_makes_another_evaluation(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    scores, out = tmp_path / "scores.jsonl", tmp_path / "out"
    rows = [json.loads(line)["text"].split() for line in texts.read_text().splitlines()]
    lines = [{"text": " ".join(words), "tokens": words, "scores": [0.0] * len(words)} for words in rows]
    scores.write_text("".join(json.dumps(line) + "\n" for line in lines))
    plan = plan_of(texts, f"file:path={scores}")
    evaluate(classifier, plan, out)
    evaluate(classifier, plan, out)
    with scores.open("a") as file:
        file.write(json.dumps(lines[0]) + "\n")
    with pytest.raises(InputError, match=r"method\.files\.path was"):
        evaluate(classifier, plan, out)
    evaluate(classifier, plan_of(texts, "random"), out)  # the others are resumed
    scores.write_text(json.dumps(lines[0]) + "\n")
    with pytest.raises(DataError, match=r"8 of 9 texts have no scores: .*no row for .*and 5 more"):  # before any work
        evaluate(classifier, plan_of(texts, "random", f"file:path={scores}"), tmp_path / "other")
    assert not list((tmp_path / "other").rglob("part-*"))


def test_the_lack_of_a_corpus_prior_is_one_warning(
    texts: Path, classifier: LoadedModel, make_prior: Callable[..., Prior], tmp_path: Path
) -> None:
    plan = replace(plan_of(texts, "fast", "paper:samples=1", "fast:prior=instance", "random"), prior=None)
    with pytest.warns(NarrowsWarning, match="no corpus prior: fast, paper:samples=1 will take") as warned:
        evaluate(classifier, plan, tmp_path / "out")
    assert len(warned) == 1
    make_prior(classifier.model).save(tmp_path / "prior.safetensors")
    evaluate(replace(classifier, prior=tmp_path / "prior.safetensors"), plan, tmp_path / "with")
    assert read_json(tmp_path / "with" / MANIFEST)["prior"].startswith("corpus ")


def test_a_report_shows_the_records_of_the_rows(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(classifier, plan_of(texts, "fast", "lime:samples=20"), out)
    results = Results.read(out)
    for name in ("fast", "lime:samples=20"):
        most, least = grade([results], [summarize(results)], name)
        saved = [one.to_dict() for one in read_run(maps_folder(out, name))]
        assert all(graded.attribution in saved for graded in most)
        falls = [graded.drop for graded in most] + [graded.drop for graded in least][::-1]
        assert falls == sorted(falls, reverse=True)
        assert all(one.p_before - one.p_after == pytest.approx(one.drop) for one in (*most, *least))
    assert most[0].attribution["layers"] is None  # LIME looks at no layer
    page, *_ = write_report(out, method="lime:samples=20")
    assert "20 perturbed texts" in page.read_text(encoding="utf-8") or "LIME" in page.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="there are fast, lime:samples=20"):
        write_report(out, method="ig")


def test_a_report_is_of_the_first_removal_that_is_finished(
    texts: Path, classifier: LoadedModel, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    evaluate(classifier, replace(plan_of(texts, "random", "occlusion"), removals=("delete", "mask")), out)
    for name in ("random", "occlusion"):
        curve_file(out, "delete", name, 1).unlink()
    page, *_ = write_report(out)
    assert page.read_text(encoding="utf-8") == write_report(out, removal="mask")[0].read_text(encoding="utf-8")
    with pytest.raises(DataError, match="no method is finished"):
        write_report(out, removal="delete")


def test_a_report_says_what_it_leaves_out(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    for name in ("whole", "part", "begun"):
        evaluate(classifier, plan_of(texts, "random", "occlusion"), tmp_path / "runs" / name)
    curve_file(tmp_path / "runs" / "part", "delete", "occlusion", 1).unlink()
    for method in ("random", "occlusion"):
        curve_file(tmp_path / "runs" / "begun", "delete", method, 1).unlink()
    with pytest.warns(NarrowsWarning) as warned:
        page, *_ = write_report(tmp_path / "runs")
    messages = sorted(str(warning.message) for warning in warned)
    assert len(messages) == 2
    assert "runs/part" in messages[0] and "occlusion" in messages[0]
    assert "runs/begun" in messages[1] and "no method is finished" in messages[1]
    assert "not finished: occlusion" in page.read_text(encoding="utf-8")
    with pytest.raises(DataError, match="no method is finished"):
        write_report(tmp_path / "runs" / "begun")


def test_a_damaged_part_is_named_and_made_again(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(classifier, plan_of(texts, "random"), out)
    before = files_of(out)
    for path in (part_file(maps_folder(out, "random"), 1), curve_file(out, "delete", "random", 1)):
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(DataError, match=r"part-0000001\.parquet is damaged"):
            write_summary(out)
        with pytest.warns(NarrowsWarning, match=r"part-0000001\.parquet is damaged.*made again"):
            evaluate(classifier, plan_of(texts, "random"), out)
        assert files_of(out) | {"summary.json": b""} == before | {"summary.json": b""}
        path.unlink()
        with pytest.raises(NarrowsError, match=r"part-0000001\.parquet is missing|no method is finished"):
            write_summary(out)
        evaluate(classifier, plan_of(texts, "random"), out)
        assert files_of(out) == before


def test_curves_of_another_map_are_made_again(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    evaluate(classifier, plan_of(texts, "random", "random:seed=1"), tmp_path / "out")
    before = files_of(tmp_path / "out")
    one, other = (curve_file(tmp_path / "out", "delete", name, 2) for name in ("random", "random:seed=1"))
    one.write_bytes(other.read_bytes())
    evaluate(classifier, plan_of(texts, "random", "random:seed=1"), tmp_path / "out")
    assert files_of(tmp_path / "out") == before


def targets_of(out: Path) -> list[str]:
    folder = maps_folder(out, "random") / FOLDER
    return [row["target"] for path in sorted(folder.iterdir()) for row in read_rows(path)]


def test_generic_labels_are_named_by_the_user(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    generic = {index: f"LABEL_{index}" for index in range(3)}
    classifier.model.config.id2label = generic
    plan = plan_of(texts, "random")
    with pytest.raises(TargetError, match=r"no label 'negative'.*--labels"):
        evaluate(classifier, plan, tmp_path / "out")
    with pytest.raises(InputError, match="1 names of labels for the 3 classes"):
        evaluate(classifier, replace(plan, labels=("negative",)), tmp_path / "out")
    evaluate(classifier, replace(plan, labels=("positive", "negative", "neutral")), tmp_path / "out")
    assert targets_of(tmp_path / "out")[:2] == ["negative", "positive"]
    assert classifier.model.config.id2label == generic
    (row, *_) = read_rows(part_file(maps_folder(tmp_path / "out", "random"), 0))
    assert row["labels"] == ["positive", "negative", "neutral"]


def test_numbers_are_no_labels_of_classes_with_names(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    texts.write_text('{"text": "good", "label": "2"}\n{"text": "bad", "label": "0"}\n')
    plan = plan_of(texts, "random")
    with pytest.raises(TargetError, match=r"text 1: the label is a number, 2, .*negative, neutral.*--labels 0,1,2"):
        evaluate(classifier, plan, tmp_path / "out")
    evaluate(classifier, replace(plan, labels=("2", "1", "0")), tmp_path / "out")
    assert targets_of(tmp_path / "out") == ["2", "0"]
    classifier.model.config.id2label = {index: f"LABEL_{index}" for index in range(3)}
    evaluate(classifier, plan, tmp_path / "generic")  # both count
    assert targets_of(tmp_path / "generic") == ["LABEL_2", "LABEL_0"]


def test_a_malformed_row_is_named_by_file_and_line(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    with texts.open("a") as file:
        file.write('{"text": 3\n')
    with pytest.raises(DataError, match=r"texts\.jsonl, line 10"):
        evaluate(classifier, plan_of(texts, "random"), tmp_path / "out")


def test_texts_that_the_caller_holds(classifier: LoadedModel, tmp_path: Path) -> None:
    rows = [Example("good film", label="positive"), Example("bad", label="negative")]
    for name, items in (("list", rows), ("iterator", iter(rows))):
        evaluate(classifier, Plan(Source(items=items), ("random",), prior="instance"), tmp_path / name)
    assert files_of(tmp_path / "list") == files_of(tmp_path / "iterator")


def test_progress_goes_from_nothing_to_all(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    seen: list[Progress] = []
    evaluate(classifier, plan_of(texts, "random", "occlusion"), tmp_path / "out", seen.append)
    done = [progress.done for progress in seen]
    assert done[0] == 0 and done[-1] == pytest.approx(1) and done == sorted(done)  # type: ignore[type-var]
    assert list(dict.fromkeys(progress.doing for progress in seen)) == ["random", "occlusion"]


def test_a_sweep_is_found_by_the_setting_that_differs(texts: Path, classifier: LoadedModel, tmp_path: Path) -> None:
    settings = LayerSettings(dataset=str(texts), out=tmp_path, method="paper:samples=2")
    names = settings.method_names(3)
    assert names == tuple(f"paper:samples=2:layer={layer}" for layer in (1, 2, 3))
    out = tmp_path / "out"
    evaluate(classifier, plan_of(texts, *names), out)
    sweep = find_sweep(Results.read(out))
    assert sweep is not None and sweep.parameter == "layer"
    assert list(sweep.values.values()) == [1, 2, 3]
    assert {"layer_curves.png", "layer_line.png", "layer_rate.png"} <= {path.name for path in write_report(out)}
    evaluate(classifier, plan_of(texts, "random"), out)
    assert find_sweep(Results.read(out)) is None


def test_slugs_are_names_of_files() -> None:
    assert slug("file:path=/tmp/a b.jsonl") == "file_path=_tmp_a_b.jsonl"
