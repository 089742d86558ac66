"""Runs over whole data sets: the same bytes however they are stopped and shared out, and no text lost."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets as library
import numpy as np
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

import explain_worker
import tiny
from explain_worker import METHOD, SETTINGS
from narrows.attribution import Attribution
from narrows.bottleneck.optimize import text_seed
from narrows.bottleneck.prior import Prior
from narrows.data.example import Example
from narrows.data.output import read_json
from narrows.data.parquet import attribution_schema, from_row, read_rows
from narrows.errors import DataError, InputError, LayerError, NarrowsWarning, TargetError
from narrows.explainer import Explainer
from narrows.methods.method import Batch
from narrows.methods.registry import describe, find_method, spec
from narrows.models.hub.loading import LoadedModel
from narrows.run import ExplainSettings, explain_dataset, read_run
from narrows.run.dataset import LOG
from narrows.run.meter import Meter, Progress
from narrows.run.parts import COSTS, FOLDER, Chunk, Receipt, cost_file, cut, part_file, present_parts, save_part
from narrows.run.settings import Share
from narrows.run.store import LOCK, MANIFEST

HERE = Path(__file__).parents[1] / "support"
WORDS = ("good", "bad", "film", "the", "not", "very", "acting", "superb")


def some_texts(count: int) -> list[str]:
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(WORDS, size)) for size in draw.integers(1, 20, count)]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A file of twenty texts, two of which cannot be explained: one is empty, one is no JSON."""
    lines = [json.dumps({"text": text, "label": "positive"}) for text in some_texts(18)]
    lines[4:4] = ['{"text": " "}']
    lines[11:11] = ["{"]
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def classifier(make_classifier: Callable[..., tiny.Classifier]) -> LoadedModel:
    model, tokenizer = make_classifier("bert")
    return LoadedModel(model, tokenizer, "tiny", None)


def test_labels_numbered_in_another_order_than_the_models_are_refused(classifier: LoadedModel, tmp_path: Path) -> None:
    rows = library.Dataset.from_dict({"text": ["good", "bad"], "label": [0, 1]})
    rows = rows.cast_column("label", library.ClassLabel(names=["positive", "neutral", "negative"]))
    with pytest.raises(TargetError, match="label 0 'positive', which is the model's label 2"):
        explain_dataset(rows, tmp_path / "out", ExplainSettings(method="random", target="gold"), loaded=classifier)


def files_of(out: Path) -> dict[str, bytes]:
    """All files of a run, but for the lock and what was measured: the log and the costs."""
    found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    return {name: own for name, own in found.items() if name not in (LOCK, LOG) and not name.startswith(COSTS)}


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [row for part in present_parts(out) for row in read_rows(part_file(out, part))]


def spawn(texts: Path, out: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen([sys.executable, str(HERE / "explain_worker.py"), str(texts), str(out)], env=environment)


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(texts: Path, tmp_path: Path) -> None:
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    explain_worker.run(texts, undisturbed)
    process = spawn(texts, killed)
    deadline = time.monotonic() + 120
    while not present_parts(killed):
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = files_of(killed)
    assert "result" not in json.loads(before[MANIFEST]), "was done already"
    (killed / FOLDER / ".part-0000003-0a.partial").write_bytes(b"half of a part")  # as a kill while writing leaves it
    explain_worker.run(texts, killed)
    after = files_of(killed)
    assert after == files_of(undisturbed)
    assert {name: after[name] for name in before if name.endswith(".parquet")} == {
        name: content for name, content in before.items() if name.endswith(".parquet")
    }


class Killed(BaseException):
    """Stands for a kill: nothing of the package catches it."""


@pytest.mark.parametrize("step", range(0, 16, 3))
def test_stopped_at_any_step_it_goes_on_to_the_same_bytes(
    texts: Path, tmp_path: Path, classifier: LoadedModel, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Every write to the disk, and every rename, is a place where a run may end."""
    calls = 0

    def breaking(call: Callable[..., Any]) -> Callable[..., Any]:
        def broken(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > step:
                raise Killed
            return call(*arguments)

        return broken

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", breaking(os.fsync))
        patch.setattr(os, "replace", breaking(os.replace))
        with pytest.raises(Killed):
            explain_dataset(texts, tmp_path / "out", SETTINGS, loaded=classifier)
    explain_dataset(texts, tmp_path / "out", SETTINGS, loaded=classifier)
    explain_dataset(texts, tmp_path / "other", SETTINGS, loaded=classifier)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "other")


def test_what_is_written_is_what_the_explainer_gives(texts: Path, tmp_path: Path, classifier: LoadedModel) -> None:
    manifest = explain_dataset(texts, tmp_path / "out", SETTINGS, loaded=classifier)
    explainer = Explainer(classifier.model, classifier.tokenizer, METHOD, "instance")
    rows = rows_of(tmp_path / "out")
    assert [row["row"] for row in rows] == list(range(20))
    assert [row["row"] for row in rows if row["error"]] == [4, 11]
    assert "text is empty" in rows[4]["error"]
    assert "line 12: not JSON" in rows[11]["error"]
    for row in rows:
        if row["error"]:
            assert row["tokens"] is None
            continue
        expected = explainer(row["text"])
        found = Attribution.from_dict(from_row(row))
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(
            found.scores[list(found.ranking)], expected.scores[list(expected.ranking)], rtol=1e-3
        )
        assert (found.tokens, found.offsets, found.segments) == (expected.tokens, expected.offsets, expected.segments)
        assert (found.target, found.predicted, found.layers) == (expected.target, expected.predicted, expected.layers)
        assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
        assert found.record.pop("beta") == pytest.approx(expected.record.pop("beta"), rel=1e-3)
        assert (found.record, found.method) == (expected.record, expected.method)
        assert len(found.trace) == len(expected.trace)
        assert row["seed"] == text_seed(0, row["text"], None)
        assert row["gold"] == "positive"
    result = manifest["result"]
    assert (result["rows"], result["errors"], result["parts"]) == (20, 2, 7)
    assert result["tokens"] == sum(len(row["tokens"] or ()) for row in rows)
    assert read_json(tmp_path / "out" / MANIFEST) == manifest


def test_every_part_has_its_cost_beside_it(texts: Path, tmp_path: Path, classifier: LoadedModel) -> None:
    out = tmp_path / "out"
    explain_dataset(texts, out, replace(SETTINGS, method="ig:steps=4"), loaded=classifier)
    for part in present_parts(out):
        cost = read_json(cost_file(out, part))
        explained = sum(row["error"] is None for row in read_rows(part_file(out, part)))
        assert (cost["texts"], cost["device"]) == (len(list(read_rows(part_file(out, part)))), "cpu")
        # 4 steps forward and backward and a plain run, of the last block only what the head reads
        assert 6 < cost["forward_equivalents"] / explained < 9
        assert cost["seconds"] > 0


def test_what_every_text_would_fail_at_stops_the_run_before_it_starts(
    texts: Path, tmp_path: Path, classifier: LoadedModel
) -> None:
    with pytest.raises(LayerError, match="9"):
        explain_dataset(texts, tmp_path / "out", replace(SETTINGS, method="paper:layer=9"), loaded=classifier)
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_results_are_read_back_in_order_without_the_errors(
    texts: Path, tmp_path: Path, classifier: LoadedModel
) -> None:
    explain_dataset(texts, tmp_path / "out", SETTINGS, loaded=classifier)
    stream = read_run(tmp_path / "out")
    assert isinstance(stream, Iterator)
    found = list(stream)
    assert all(isinstance(one, Attribution) for one in found)
    assert [one.text for one in found] == [row["text"] for row in rows_of(tmp_path / "out") if not row["error"]]


def test_neither_file_nor_list_nor_iterator_matters(texts: Path, tmp_path: Path, classifier: LoadedModel) -> None:
    lines = [{"text": text, "label": "positive"} for text in some_texts(9)]
    path = tmp_path / "same.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    made = []
    for number, data in enumerate((path, lines, iter(lines))):
        out = tmp_path / str(number)
        result = explain_dataset(data, out, SETTINGS, loaded=classifier)["result"]
        made.append(({name: content for name, content in files_of(out).items() if name != MANIFEST}, result))
    assert made[0] == made[1] == made[2]


def test_another_batch_size_gives_the_same_numbers_to_float_tolerance(tmp_path: Path, classifier: LoadedModel) -> None:
    lines = some_texts(12)
    explain_dataset(lines, tmp_path / "one", replace(SETTINGS, batch_size=1), loaded=classifier)
    explain_dataset(lines, tmp_path / "many", replace(SETTINGS, batch_size=8, rows_per_part=12), loaded=classifier)
    for one, other in zip(rows_of(tmp_path / "one"), rows_of(tmp_path / "many"), strict=True):
        assert one["row"] == other["row"] and one["seed"] == other["seed"] and one["tokens"] == other["tokens"]
        np.testing.assert_allclose(one["scores"], other["scores"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": f"{METHOD}:seed=1"}, "method.settings.seed was 0 and is 1"),
        ({"rows_per_part": 4}, "config.rows_per_part was 3 and is 4"),
        ({"batch_size": 3}, "config.batch_size"),
        ({"target": "positive"}, "config.target"),
        ({"method": "ig"}, "method.name was .*information_signed.* and is .*ig"),
    ],
)
def test_other_settings_do_not_go_into_the_same_folder(
    texts: Path, tmp_path: Path, classifier: LoadedModel, change: dict[str, Any], message: str
) -> None:
    explain_dataset(texts, tmp_path / "out", SETTINGS, loaded=classifier)
    before = files_of(tmp_path / "out")
    with pytest.raises(InputError, match=message):
        explain_dataset(texts, tmp_path / "out", replace(SETTINGS, **change), loaded=classifier)
    assert files_of(tmp_path / "out") == before


def test_another_model_prior_or_other_texts_do_not_go_into_the_same_folder(
    texts: Path, tmp_path: Path, classifier: LoadedModel, make_classifier: Callable[..., tiny.Classifier]
) -> None:
    out = tmp_path / "out"
    explain_dataset(texts, out, SETTINGS, loaded=classifier)
    with pytest.raises(InputError, match=r"model\.sha256 was"):
        explain_dataset(texts, out, SETTINGS, loaded=LoadedModel(*make_classifier("bert", 1), "tiny", None))
    with pytest.raises(InputError, match="prior was"):
        explain_dataset(texts, out, replace(SETTINGS, prior="residual"), loaded=classifier)
    with texts.open("a") as file:
        file.write('{"text": "one more"}\n')
    with pytest.raises(InputError, match=r"source\.rows was 20 and is 21"):
        explain_dataset(texts, out, SETTINGS, loaded=classifier)


def test_a_stream_that_is_another_is_refused_by_its_first_other_part(tmp_path: Path, classifier: LoadedModel) -> None:
    lines = some_texts(8)
    explain_dataset(iter(lines), tmp_path / "out", SETTINGS, loaded=classifier)
    other = [*lines[:4], "a bad film", *lines[5:]]
    with pytest.raises(InputError, match=r"part-0000001\.parquet was made from other texts"):
        explain_dataset(iter(other), tmp_path / "out", SETTINGS, loaded=classifier)
    with pytest.raises(InputError, match=r"part-0000002\.parquet is of texts that are no longer in the data"):
        explain_dataset(iter(lines[:6]), tmp_path / "out", SETTINGS, loaded=classifier)


@pytest.mark.parametrize("keep", [-20, 100, 0])
def test_a_truncated_part_is_named_and_made_again(
    texts: Path, tmp_path: Path, classifier: LoadedModel, keep: int
) -> None:
    explain_dataset(texts, tmp_path / "out", SETTINGS, loaded=classifier)
    before = files_of(tmp_path / "out")
    path = part_file(tmp_path / "out", 2)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.warns(NarrowsWarning, match=r"part-0000002\.parquet is damaged.*made again"):
        explain_dataset(texts, tmp_path / "out", SETTINGS, loaded=classifier)
    assert files_of(tmp_path / "out") == before


def test_a_part_with_flipped_bits_is_found(texts: Path, tmp_path: Path, classifier: LoadedModel) -> None:
    explain_dataset(texts, tmp_path / "out", SETTINGS, loaded=classifier)
    before = files_of(tmp_path / "out")
    path = part_file(tmp_path / "out", 0)
    column = pq.read_metadata(path).row_group(0).column(1)
    content = bytearray(path.read_bytes())
    content[column.dictionary_page_offset + column.total_compressed_size - 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.warns(NarrowsWarning, match="made again"):
        explain_dataset(texts, tmp_path / "out", SETTINGS, loaded=classifier)
    assert files_of(tmp_path / "out") == before


def test_a_full_disk_is_told_and_what_was_done_is_kept(
    texts: Path, tmp_path: Path, classifier: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    sync, calls = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 12:  # two for each: of the file, and of the folder; the manifest, then a cost and a part each
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match=r"cannot write .*part-0000002\.parquet: No space left on device"):
            explain_dataset(texts, out, SETTINGS, loaded=classifier)
    assert present_parts(out) == [0, 1]
    assert not list(out.rglob("*.partial"))
    explain_dataset(texts, out, SETTINGS, loaded=classifier)
    explain_dataset(texts, tmp_path / "other", SETTINGS, loaded=classifier)
    assert files_of(out) == files_of(tmp_path / "other")


def test_a_folder_in_use_is_refused(texts: Path, tmp_path: Path, classifier: LoadedModel) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / LOCK), pytest.raises(InputError, match="in use by another run"):
        explain_dataset(texts, out, SETTINGS, loaded=classifier)


def test_strict_stops_at_an_error_and_without_it_the_run_goes_on(
    texts: Path, tmp_path: Path, classifier: LoadedModel
) -> None:
    out = tmp_path / "out"
    for _ in range(2):  # the second time the part with the error is there already
        with pytest.raises(InputError, match=r"text 4: texts\.jsonl, line 5: text is empty"):
            explain_dataset(texts, out, SETTINGS, loaded=classifier, strict=True)
        assert present_parts(out) == [0, 1]
    assert explain_dataset(texts, out, SETTINGS, loaded=classifier)["result"]["errors"] == 2


def test_every_kind_of_bad_text_has_its_error_and_harms_no_other(tmp_path: Path, classifier: LoadedModel) -> None:
    good = some_texts(5)
    bad: list[Any] = [
        "",
        {"no": "text"},
        {"text": good[0], "label": "joyful"},
        {"text": good[1]},  # has no label, and 'gold' is asked for
        {"text": good[0], "label": 1.5},
        " ".join(["good"] * 100),
        "half a character \ud800",
    ]
    labelled = [{"text": text, "label": "positive"} for text in good]
    settings = replace(SETTINGS, target="gold", long_texts="error", rows_per_part=12)
    explain_dataset([*bad, *labelled], tmp_path / "out", settings, loaded=classifier)
    rows = rows_of(tmp_path / "out")
    parts = ["empty", "no 'text' column", "no label 'joyful'", "label", "label must be", "102 tokens", "surrogate"]
    for row, part in zip(rows, parts, strict=False):
        assert part in row["error"], (row["error"], part)
    assert [row["error"] for row in rows[7:]] == [None] * 5
    assert [row["text"] for row in rows[7:]] == good


def test_a_text_that_breaks_its_batch_is_found(
    tmp_path: Path, classifier: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be foreseen, as NaN from the model, costs the text that is to blame, not its neighbours."""
    method = type(find_method(METHOD))
    explain = method.explain

    def fragile(self: Any, batch: Batch) -> Any:
        if any("superb" in example.text for example in batch.examples):
            raise InputError("does not like superb")
        return explain(self, batch)

    monkeypatch.setattr(method, "explain", fragile)
    lines = some_texts(12)
    explain_dataset(lines, tmp_path / "out", replace(SETTINGS, batch_size=8, rows_per_part=12), loaded=classifier)
    rows = rows_of(tmp_path / "out")
    assert [bool(row["error"]) for row in rows] == ["superb" in line for line in lines]


def test_a_label_that_the_model_lacks_is_told_before_anything_is_made(
    texts: Path, tmp_path: Path, classifier: LoadedModel
) -> None:
    with pytest.raises(TargetError, match="no label 'joyful'"):
        explain_dataset(texts, tmp_path / "out", replace(SETTINGS, target="joyful"), loaded=classifier)
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_no_texts_at_all_are_refused(tmp_path: Path, classifier: LoadedModel) -> None:
    with pytest.raises(DataError, match="no texts"):
        explain_dataset([], tmp_path / "out", SETTINGS, loaded=classifier)
    with pytest.raises(InputError, match="no data set 'imbd'"):
        explain_dataset("imbd", tmp_path / "out", SETTINGS, loaded=classifier)


def test_settings_that_are_left_out_and_the_same_spelled_out_are_the_same(
    texts: Path, tmp_path: Path, classifier: LoadedModel
) -> None:
    explain_dataset(texts, tmp_path / "out", SETTINGS, loaded=classifier)
    method = f"{METHOD}:beta=auto:granularity=token"
    spelled = replace(SETTINGS, method=method, max_tokens=64, tokens_per_batch=4096)
    explain_dataset(texts, tmp_path / "out", spelled, loaded=classifier)


@pytest.mark.parametrize("method", ["fast:iterations=1", "information", "information_signed"])
@pytest.mark.parametrize("layer", ["2", "1-2"])
def test_features_add_up_to_the_scores(tmp_path: Path, classifier: LoadedModel, method: str, layer: str) -> None:
    settings = ExplainSettings(prior="instance", method=f"{method}:layer={layer}:features=true")
    explain_dataset(some_texts(4), tmp_path / "out", settings, loaded=classifier)
    plain = replace(settings, method=f"{method}:layer={layer}")
    explain_dataset(some_texts(4), tmp_path / "plain", plain, loaded=classifier)
    for found, other in zip(read_run(tmp_path / "out"), read_run(tmp_path / "plain"), strict=True):
        assert found.features is not None and other.features is None
        assert found.features.dtype == np.float16
        assert found.features.shape == (len(found.tokens), tiny.HIDDEN)
        size = np.abs(found.features.astype(float)).sum(axis=1)
        assert np.all(np.abs(found.features.astype(float).sum(axis=1) - found.scores) <= 2e-3 * size + 1e-4)
        np.testing.assert_array_equal(found.scores, other.scores)
    assert all(one.features is None for one in read_run(tmp_path / "out", features=False))


def test_features_of_windows_are_merged(tmp_path: Path, classifier: LoadedModel) -> None:
    settings = replace(SETTINGS, method=f"{METHOD}:features=true", long_texts="windows", max_tokens=12)
    explain_dataset([" ".join(["good film"] * 12)], tmp_path / "out", settings, loaded=classifier)
    (found,) = read_run(tmp_path / "out")
    assert found.record["windows"] > 1
    assert found.features is not None
    np.testing.assert_allclose(found.features.astype(float).sum(axis=1), found.scores, rtol=1e-2, atol=1e-3)


def test_pairs_priors_and_labels_come_through(
    tmp_path: Path, classifier: LoadedModel, make_prior: Callable[..., Prior]
) -> None:
    path = tmp_path / "prior.safetensors"
    make_prior(classifier.model).save(path)
    pairs = [{"premise": "the film is good", "hypothesis": "it is bad", "label": 2}, ("a film", "the act")]
    manifest = explain_dataset(pairs, tmp_path / "out", ExplainSettings(prior=str(path)), loaded=classifier)
    assert manifest["prior"] == Prior.load(path).name
    first, second = rows_of(tmp_path / "out")
    assert (first["text"], first["text_pair"], first["gold"]) == ("the film is good", "it is bad", "2")
    assert (second["text_pair"], second["gold"]) == ("the act", None)
    assert set(first["segments"]) == {None, 0, 1}


def test_the_parts_load_elsewhere(texts: Path, tmp_path: Path, classifier: LoadedModel) -> None:
    pandas, dataset = pytest.importorskip("pandas"), pytest.importorskip("pyarrow.dataset")
    explain_dataset(texts, tmp_path / "out", replace(SETTINGS, method=f"{METHOD}:features=true"), loaded=classifier)
    folder = tmp_path / "out" / FOLDER
    expected = [row["target"] for row in rows_of(tmp_path / "out")]
    frame = pandas.read_parquet(folder)
    assert list(frame["row"]) == list(range(20))
    assert frame["target"].isna().sum() == 2
    assert dataset.dataset(folder).to_table(columns=["target"]).column(0).to_pylist() == expected


def test_the_parts_load_in_duckdb(texts: Path, tmp_path: Path, classifier: LoadedModel) -> None:
    duckdb = pytest.importorskip("duckdb")
    explain_dataset(texts, tmp_path / "out", SETTINGS, loaded=classifier)
    files = f"{tmp_path / 'out' / FOLDER}/*.parquet"
    (found,) = duckdb.sql(f"select count(*), count(error), sum(len(tokens)) from '{files}'").fetchall()
    assert found == (20, 2, sum(len(row["tokens"] or ()) for row in rows_of(tmp_path / "out")))


def test_the_parts_load_as_a_data_set(texts: Path, tmp_path: Path, classifier: LoadedModel) -> None:
    datasets = pytest.importorskip("datasets")
    explain_dataset(texts, tmp_path / "out", replace(SETTINGS, method=f"{METHOD}:features=true"), loaded=classifier)
    files = f"{tmp_path / 'out' / FOLDER}/*.parquet"
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))["train"]
    assert loaded["text"][:3] == [row["text"] for row in rows_of(tmp_path / "out")][:3]


def test_a_part_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    receipt = Receipt(0, 1, 1, 0, "a", "b", "text 0: x")
    made = [save_part(part_file(tmp_path, 0), [{"row": 0, "error": "x"}], attribution_schema(), receipt) for _ in "ab"]
    assert made[0] == made[1]
    assert present_parts(tmp_path) == [0]


rows = st.one_of(
    st.builds(
        Example,
        st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip),
        st.none() | st.just("b"),
        st.none() | st.integers(0, 3) | st.just("positive"),
    ),
    st.builds(DataError, st.text(st.characters(codec="utf-8"))),
)


@given(st.lists(rows), st.integers(1, 7))
def test_chunks_cover_a_stream_in_order_and_can_be_written_down(texts: list[Any], size: int) -> None:
    chunks = list(cut(texts, size))
    assert [row for chunk in chunks for row in chunk.rows] == texts
    assert [chunk.part for chunk in chunks] == list(range(len(chunks)))
    assert [chunk.first for chunk in chunks] == [size * number for number in range(len(chunks))]
    for chunk in chunks:
        again = Chunk.from_json(chunk.to_json())
        assert again.digest == chunk.digest
        assert list(map(str, again.rows)) == list(map(str, chunk.rows))


@given(st.integers(1, 9), st.integers(0, 50))
def test_shares_divide_the_parts(count: int, parts: int) -> None:
    shares = [[part for part in range(parts) if Share(index, count).has(part)] for index in range(1, count + 1)]
    assert sorted(part for share in shares for part in share) == list(range(parts))


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2"])
def test_a_wrong_share_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="a shard is written as"):
        Share.parse(text)


def test_a_stream_is_read_no_further_than_it_is_explained(tmp_path: Path, classifier: LoadedModel) -> None:
    """Flat memory: one chunk is held, whatever the length of the stream."""
    read = 0
    ahead = []

    def stream() -> Iterator[str]:
        nonlocal read
        for text in some_texts(15):
            read += 1
            yield text

    def watch(progress: Progress) -> None:
        ahead.append(read - progress.rows)

    explain_dataset(stream(), tmp_path / "out", SETTINGS, loaded=classifier, report=watch)
    assert max(ahead) <= SETTINGS.rows_per_part


def test_progress_goes_from_nothing_to_all(texts: Path, tmp_path: Path, classifier: LoadedModel) -> None:
    told: list[Progress] = []
    explain_dataset(texts, tmp_path / "out", SETTINGS, loaded=classifier, report=told.append)
    done = [progress.done for progress in told]
    assert done[0] == 0 and done[-1] == pytest.approx(1) and done == sorted(done)  # type: ignore[type-var]
    assert (told[0].seconds_left, told[-1].seconds_left) == (None, pytest.approx(0))
    assert (told[-1].rows, told[-1].errors) == (20, 2)
    part_file(tmp_path / "out", 6).unlink()
    again: list[Progress] = []
    explain_dataset(texts, tmp_path / "out", SETTINGS, loaded=classifier, report=again.append)
    assert again[0].done is not None and again[0].done > 0.5
    assert again[-1].rows == 2


def test_the_time_left_is_that_of_the_work_of_this_start(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    told: list[Progress] = []
    meter = Meter(20.0, told.append)
    meter.skip(10.0)  # done by an earlier start
    now = 2.0
    meter.add(1, 1.0, Receipt(1, 1, 0, 7, "", ""))
    assert told[-1].seconds_left == pytest.approx(2.0 * 9)  # 1 unit took 2 s; 9 are left
    now = 6.0
    meter.tick(2, 3.0)
    assert told[-1].seconds_left == pytest.approx(6.0 / 4 * 6)
    assert told[-1].done == pytest.approx(14 / 20)


def test_where_a_file_lies_changes_nothing(texts: Path, tmp_path: Path, classifier: LoadedModel) -> None:
    elsewhere = tmp_path / "elsewhere" / texts.name
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(texts.read_bytes())
    for name, path in (("one", texts), ("other", elsewhere)):
        explain_dataset(path, tmp_path / name, SETTINGS, loaded=classifier)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "other")


def test_the_manifest_says_what_the_maps_were_made_with(texts: Path, tmp_path: Path, classifier: LoadedModel) -> None:
    manifest = explain_dataset(texts, tmp_path / "out", SETTINGS, loaded=classifier)
    assert set(manifest) == {*("model", "prior", "method", "config", "versions", "format", "source", "shard", "result")}
    assert {"narrows", "torch", "transformers"} <= set(manifest["versions"])
    assert len(manifest["model"]["sha256"]) == len(manifest["model"]["tokenizer_sha256"]) == 64
    assert manifest["source"]["sha256"] == manifest["result"]["texts_sha256"]
    assert (manifest["method"]["spec"], manifest["method"]["settings"]["steps"]) == (spec(find_method(METHOD)), 2)


def test_the_prose_of_a_method_does_not_make_another_run(
    texts: Path, tmp_path: Path, classifier: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it in a folder of an earlier version, whose manifest and parts have the prose in their hashes."""
    out, old = tmp_path / "out", tmp_path / "old"
    manifest = explain_dataset(texts, out, SETTINGS, loaded=classifier)
    assert set(manifest["method"]) == {"spec", "name", "settings"}
    before = files_of(out)
    with monkeypatch.context() as patch:
        patch.setattr(type(find_method(METHOD)), "caption", "Another sentence.")
        explain_dataset(texts, out, SETTINGS, loaded=classifier)
    assert files_of(out) == before
    with monkeypatch.context() as patch:
        told = {"spec": spec(find_method(METHOD)), **describe(find_method(METHOD))}
        patch.setattr("narrows.run.worker.identify_method", lambda _: told)
        explain_dataset(texts, old, SETTINGS, loaded=classifier)
    before = files_of(old)
    part_file(old, 2).unlink()
    explain_dataset(texts, old, SETTINGS, loaded=classifier)
    assert files_of(old) == before
