"""Runs that stop and go on, in parts that do not depend on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

import tiny
import worker
from narrows import Explainer
from narrows.data.example import Example
from narrows.errors import DataError, InputError, LayerError, NarrowsWarning, TargetError
from narrows.evaluation.degradation import degrade
from narrows.methods.method import Batch
from narrows.methods.registry import Spec
from narrows.models.hub.loading import Classifier
from narrows.run.evaluate import Plan, evaluate, part_path, slug, split_parts
from narrows.run.instances import Source
from narrows.run.report import grade, write_report
from narrows.run.results import Results, write_summary
from narrows.run.store import LOCK, read_json, read_part, write_part

HERE = Path(__file__).parents[1] / "support"
WORDS = ("good", "bad", "film", "the", "not", "very", "acting", "superb")


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
def classifier(make_classifier: Callable[..., tiny.Classifier]) -> Classifier:
    model, tokenizer = make_classifier("bert")
    return Classifier(model, tokenizer, "tiny", None)


def plan_of(texts: Path, *methods: str) -> Plan:
    return Plan(Source(str(texts)), tuple(map(Spec.parse, methods)), batch_size=4)


def parts_of(out: Path) -> dict[str, bytes]:
    """All files of a run that must not depend on how it went; costs are measured and differ."""
    found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if not name.endswith((".cost.json", LOCK))}


def spawn(texts: Path, out: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    return subprocess.Popen([sys.executable, str(HERE / "worker.py"), str(texts), str(out)], env=environment)


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(texts: Path, tmp_path: Path) -> None:
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    process = spawn(texts, killed)
    deadline = time.monotonic() + 120
    while not list(killed.glob("maps/lime*/part-*.parquet")):  # in the midst of the third method
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = parts_of(killed)
    assert not list(killed.glob("curves/delete/iba*/*")), "was done already"
    worker.run(texts, killed)
    worker.run(texts, undisturbed)
    after = parts_of(killed)
    assert set(after) > set(before)
    kept = {name: content for name, content in before.items() if name.endswith(".parquet")}
    assert {name: after[name] for name in kept} == kept
    assert after == parts_of(undisturbed)


def test_what_is_written_is_what_the_functions_give(texts: Path, classifier: Classifier, tmp_path: Path) -> None:
    evaluate(classifier, plan_of(texts, "gradient_x_input"), tmp_path / "out")
    examples = [Example(**json.loads(line)) for line in texts.read_text().splitlines()]
    batch = Batch.of(classifier, examples)
    targets = [2 * (number % 2) for number in range(len(examples))]  # negative, neutral, positive
    maps = Spec.parse("gradient_x_input").make(0)(classifier, batch, targets)
    curves = degrade(classifier.model, classifier.tokenizer, batch.encodings, maps, targets)
    results = Results.read(tmp_path / "out")
    for own, expected in zip(results.maps("gradient_x_input"), maps, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-3, atol=1e-5)  # batches differ
    saved = results.curves("gradient_x_input", "delete")
    np.testing.assert_allclose(saved.morf, curves.morf, atol=1e-5)
    np.testing.assert_allclose(saved.lerf, curves.lerf, atol=1e-5)
    assert [row["text"] for row in results.instances] == [example.text for example in examples]
    assert [row["target"] for row in results.instances] == targets


def test_a_bottleneck_leaves_its_traces_and_their_mean_is_in_the_summary(
    texts: Path, classifier: Classifier, tmp_path: Path
) -> None:
    out, name = tmp_path / "out", "narrows:preset=complete:prior=instance"
    evaluate(classifier, plan_of(texts, name, "random"), out)
    examples = [Example(**json.loads(line)) for line in texts.read_text().splitlines()]
    explainer = Explainer(classifier.model, classifier.tokenizer, prior="instance", preset="complete")
    targets = [2 * (number % 2) for number in range(len(examples))]
    expected = [explainer(example, target) for example, target in zip(examples, targets, strict=True)]
    results = Results.read(out)
    for trace, attribution in zip(results.traces(name), expected, strict=True):
        assert [point.step for point in trace] == [point.step for point in attribution.trace]
        for what in ("information", "cross_entropy"):
            own, alone = ([getattr(point, what) for point in points] for points in (trace, attribution.trace))
            np.testing.assert_allclose(own, alone, rtol=1e-4, atol=1e-5)
    summary = write_summary(out)
    curves = [attribution.rate_curve() for attribution in expected]
    means = [
        [sum(getattr(curve[place], what) for curve in curves) / len(curves) for place in range(len(curves[0]))]
        for what in ("bits", "probability")
    ]
    own = summary["methods"][name]
    np.testing.assert_allclose([own["rate_bits"], own["rate_probability"]], means, rtol=1e-4)
    assert summary["methods"]["random"]["rate_bits"] == []
    graded = grade(results, name)[5]
    assert [point["information"] for point in graded.attribution["trace"]] == pytest.approx(
        [point.information for point in results.traces(name)[5]]
    )


def test_maps_of_an_earlier_version_are_read_without_traces(
    texts: Path, classifier: Classifier, tmp_path: Path
) -> None:
    out, name = tmp_path / "out", "narrows:preset=complete:prior=instance"
    evaluate(classifier, plan_of(texts, name), out)
    first = part_path(out, "maps", name, 0)
    rows = [{"id": row["id"], "scores": row["scores"]} for row in read_part(first)]
    write_part(first, rows, {"id": "int", "scores": "[float]"})
    results = Results.read(out)
    assert [len(trace) for trace in results.traces(name)].count(0) == len(rows)
    assert len(results.maps(name)) == len(results.instances)
    assert write_summary(out)["methods"][name]["rate_bits"] == []  # of all texts or of none
    assert "rate.png" not in {path.name for path in write_report(out)}


def test_methods_and_removals_are_added_to_a_run(texts: Path, classifier: Classifier, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(classifier, plan_of(texts, "random"), out)
    first = parts_of(out)
    more = replace(plan_of(texts, "random", "occlusion"), removals=("delete", "mask", "attention"))
    evaluate(classifier, more, out)
    after = parts_of(out)
    assert {name for name in after if name not in first} == {
        str(part_path(out, kind, name, part).relative_to(out))
        for part in range(3)
        for kind, name in [
            ("maps", "occlusion"),
            ("curves/delete", "occlusion"),
            ("curves/mask", "occlusion"),
            ("curves/attention", "occlusion"),
            ("curves/mask", "random"),
            ("curves/attention", "random"),
        ]
    }
    unchanged = {name for name in first if name.endswith(".parquet") or name == "manifest.json"}
    assert all(after[name] == first[name] for name in unchanged)
    summary = write_summary(out)
    assert list(summary["methods"]) == ["random", "occlusion"]
    assert set(read_json(out / "summary.json")["other_removals"]) == {"mask", "attention"}


def test_the_summary_has_what_was_promised(texts: Path, classifier: Classifier, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(classifier, plan_of(texts, "random", "occlusion"), out)
    write_summary(out)
    summary = read_json(out / "summary.json")
    assert {"dataset", "split", "instances", "target", "removal", "model", "methods"} <= set(summary)
    assert (summary["instances"], summary["target"], summary["removal"]) == (9, "gold", "delete")
    random, occlusion = summary["methods"]["random"], summary["methods"]["occlusion"]
    promised = {"drop_11", "drop_11_interval", "area_morf", "area_lerf", "flips", "seconds", "forward_equivalents"}
    assert promised <= set(random)
    low, high = occlusion["drop_11_interval"]
    assert low <= occlusion["drop_11"] <= high
    assert random["forward_equivalents"] == 0
    curves = Results.read(out).curves("occlusion", "delete")
    assert occlusion["area_morf"] == pytest.approx(float(curves.morf.mean()))
    assert occlusion["drop_11"] == pytest.approx(float((curves.morf[:, 0] - curves.morf[:, 1]).mean()))
    (drops,) = [each for each in summary["comparisons"] if each["measure"] == "drop_11"]
    assert drops["difference"] == pytest.approx(random["drop_11"] - occlusion["drop_11"])


def test_unfinished_methods_are_named_and_left_out(texts: Path, classifier: Classifier, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(classifier, plan_of(texts, "random", "occlusion"), out)
    part_path(out, "curves/delete", "occlusion", 1).unlink()
    assert list(write_summary(out)["methods"]) == ["random"]
    assert read_json(out / "summary.json")["incomplete"] == ["occlusion"]
    part_path(out, "curves/delete", "random", 0).unlink()
    with pytest.raises(DataError, match="no method is done"):
        write_summary(out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"target": None}, "target"),
        ({"batch_size": 3}, "batch_size was 4 and is 3"),
        ({"max_tokens": 5}, "max_tokens"),
    ],
)
def test_another_run_does_not_go_into_the_same_folder(
    texts: Path, classifier: Classifier, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    evaluate(classifier, plan_of(texts, "random"), tmp_path / "out")
    with pytest.raises(InputError, match=message):
        evaluate(classifier, replace(plan_of(texts, "random"), **change), tmp_path / "out")  # type: ignore[arg-type]


def test_another_model_or_other_texts_do_not_go_into_the_same_folder(
    texts: Path, classifier: Classifier, make_classifier: Callable[..., tiny.Classifier], tmp_path: Path
) -> None:
    evaluate(classifier, plan_of(texts, "random"), tmp_path / "out")
    other = Classifier(*make_classifier("bert", 1), "tiny", None)
    with pytest.raises(InputError, match=r"model\.sha256 was"):
        evaluate(other, plan_of(texts, "random"), tmp_path / "out")
    with texts.open("a") as file:
        file.write('{"text": "one more", "label": "neutral"}\n')
    with pytest.raises(InputError, match="instances was 9 and is 10"):
        evaluate(classifier, plan_of(texts, "random"), tmp_path / "out")


def test_a_folder_in_use_is_refused(texts: Path, classifier: Classifier, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / LOCK), pytest.raises(InputError, match="in use by another run"):
        evaluate(classifier, plan_of(texts, "random"), out)


def test_a_wrong_method_is_told_before_the_work_on_others(texts: Path, classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(LayerError, match="method narrows:layer=9:prior=instance: layer 9 is out of range"):
        evaluate(classifier, plan_of(texts, "random", "narrows:layer=9:prior=instance"), tmp_path / "out")
    assert not list((tmp_path / "out").rglob("part-*"))
    assert not (tmp_path / "out" / "methods.json").exists()
    evaluate(classifier, replace(plan_of(texts, "random"), seed=3), tmp_path / "out")  # the folder is still free


def test_nothing_to_do_is_told(texts: Path, classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name at least one method"):
        evaluate(classifier, plan_of(texts), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_was_changed_makes_another_run(texts: Path, classifier: Classifier, tmp_path: Path) -> None:
    scores, out = tmp_path / "scores.jsonl", tmp_path / "out"
    rows = [json.loads(line)["text"].split() for line in texts.read_text().splitlines()]
    lines = [{"text": " ".join(words), "tokens": words, "scores": [0.0] * len(words)} for words in rows]
    scores.write_text("".join(json.dumps(line) + "\n" for line in lines))
    plan = plan_of(texts, f"file:path={scores}")
    evaluate(classifier, plan, out)
    evaluate(classifier, plan, out)
    with scores.open("a") as file:
        file.write(json.dumps(lines[0]) + "\n")
    with pytest.raises(InputError, match=r"from before .*scores\.jsonl was changed: give another folder"):
        evaluate(classifier, plan, out)
    evaluate(classifier, plan_of(texts, "random"), out)  # the others go on


def test_a_bottleneck_without_a_corpus_prior_is_told_once(texts: Path, classifier: Classifier, tmp_path: Path) -> None:
    with pytest.warns(NarrowsWarning, match="no corpus prior: narrows, iba:samples=1 will take") as told:
        evaluate(classifier, plan_of(texts, "narrows", "iba:samples=1", "narrows:prior=instance"), tmp_path / "out")
    assert len(told) == 1


def test_a_report_says_what_it_leaves_out(texts: Path, classifier: Classifier, tmp_path: Path) -> None:
    for name in ("whole", "part", "begun"):
        evaluate(classifier, plan_of(texts, "random", "occlusion"), tmp_path / "runs" / name)
    part_path(tmp_path / "runs" / "part", "curves/delete", "occlusion", 1).unlink()
    for method in ("random", "occlusion"):
        part_path(tmp_path / "runs" / "begun", "curves/delete", method, 1).unlink()
    with pytest.warns(NarrowsWarning) as told:
        page, *_ = write_report(tmp_path / "runs")
    assert sorted(str(warning.message) for warning in told) == [
        f"{tmp_path}/runs/part: left out, not done yet: occlusion",
        f"left out: {tmp_path}/runs/begun: no method is done yet; run narrows evaluate again to go on",
    ]
    assert "left out, not done yet: occlusion" in page.read_text(encoding="utf-8")
    with pytest.raises(DataError, match="no method is done yet"):
        write_report(tmp_path / "runs" / "begun")


def test_a_damaged_part_is_named(texts: Path, classifier: Classifier, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(classifier, plan_of(texts, "random"), out)
    path = part_path(out, "maps", "random", 1)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"part-00001\.parquet cannot be read.*delete it and run again"):
        Results.read(out).maps("random")
    path.unlink()
    with pytest.raises(DataError, match=r"part-00001\.parquet is missing: the command that made the run"):
        Results.read(out).maps("random")


def test_generic_labels_are_named_by_the_user(texts: Path, classifier: Classifier, tmp_path: Path) -> None:
    classifier.model.config.id2label = {index: f"LABEL_{index}" for index in range(3)}
    plan = plan_of(texts, "random")
    with pytest.raises(TargetError, match=r"no label 'negative'.*--labels"):
        evaluate(classifier, plan, tmp_path / "out")
    with pytest.raises(InputError, match="1 names of labels for the 3 classes"):
        evaluate(classifier, replace(plan, labels=("negative",)), tmp_path / "out")
    evaluate(classifier, replace(plan, labels=("positive", "negative", "neutral")), tmp_path / "out")
    assert [row["target"] for row in read_part(tmp_path / "out" / "instances.parquet")][:2] == [1, 0]


def test_numbers_are_no_labels_of_classes_with_names(texts: Path, classifier: Classifier, tmp_path: Path) -> None:
    texts.write_text('{"text": "good", "label": "2"}\n{"text": "bad", "label": "0"}\n')
    plan = plan_of(texts, "random")
    with pytest.raises(TargetError, match=r"text 1: the label is a number, 2, .*negative, neutral.*--labels 0,1,2"):
        evaluate(classifier, plan, tmp_path / "out")
    evaluate(classifier, replace(plan, labels=("2", "1", "0")), tmp_path / "out")
    assert [row["target"] for row in read_part(tmp_path / "out" / "instances.parquet")] == [0, 2]
    classifier.model.config.id2label = {index: f"LABEL_{index}" for index in range(3)}
    evaluate(classifier, plan, tmp_path / "generic")  # it counts, and so do they
    assert [row["target"] for row in read_part(tmp_path / "generic" / "instances.parquet")] == [2, 0]


def test_a_malformed_row_is_told_by_file_and_line(texts: Path, classifier: Classifier, tmp_path: Path) -> None:
    with texts.open("a") as file:
        file.write('{"text": 3\n')
    with pytest.raises(DataError, match=r"texts\.jsonl, line 10"):
        evaluate(classifier, plan_of(texts, "random"), tmp_path / "out")


def test_progress_ends_where_it_should(texts: Path, classifier: Classifier, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    evaluate(classifier, plan_of(texts, "random"), tmp_path / "out", lambda *told_now: told.append(told_now))
    assert told[0][1] == 0
    assert told[-1][1] == told[-1][2]
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_parts_cover_every_text_once() -> None:
    lengths = [3, 9, 4, 4, 1, 7, 9]
    parts = split_parts(lengths, 3)
    assert sorted(row for part in parts for row in part) == list(range(7))
    assert [lengths[row] for part in parts for row in part] == sorted(lengths, reverse=True)


def test_slugs_are_names_of_files() -> None:
    assert slug("file:path=/tmp/a b.jsonl") == "file_path=_tmp_a_b.jsonl"
