"""One bad row loses one row: of a list, of a stream, of a run, of a file; the others get what they get without it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch

import families
from narrows.attributions import Attributions
from narrows.data.parquet import COLUMNS, read_rows
from narrows.data.source import Source
from narrows.errors import (
    InputError,
    LayerError,
    MemoryLimitError,
    NarrowsError,
    NarrowsWarning,
    NumericsError,
    TargetError,
)
from narrows.explainer import Explainer
from narrows.methods.method import Batch, FunctionMethod
from narrows.models.hub.loading import LoadedModel as Loaded
from narrows.run import ExplainSettings, explain_dataset
from narrows.run.parts import part_file
from tiny import Classifier

GOOD = ["a good film", "bad", "the acting is superb, it is not a bad film", "not very good"]
QUICK = "fast:steps=2:iterations=1"
LONG = "film " * 100


@dataclass(frozen=True)
class Bad:
    """A row that cannot be explained, and what its error says; `settings` are the explainer's."""

    item: Any
    error: type[NarrowsError]
    says: str
    target: Any = None
    long_texts: Any = "truncate"


BAD = {
    "an empty text": Bad("", InputError, "empty"),
    "white space": Bad(" \n", InputError, "empty"),
    "None, as data frames have it": Bad(None, InputError, "NoneType"),
    "NaN, as data frames have it": Bad(float("nan"), InputError, "float"),
    "half of a character": Bad("a \ud800 film", InputError, "surrogate"),
    "a row without a text": Bad({"words": "a film"}, InputError, "text"),
    "a pair whose second text is empty": Bad(("a film", " "), InputError, "text_pair"),
    "special tokens alone": Bad("[SEP] [CLS]", InputError, "no token"),
    "a text that is too long": Bad(LONG, InputError, "102 tokens", long_texts="error"),
    "a pair without room for windows": Bad((LONG, LONG), InputError, "no room", long_texts="windows"),
    "a label that the model lacks": Bad("a film", TargetError, "none such", target="none such"),
    "an index that the model lacks": Bad("a film", TargetError, "no label 7", target=7),
    "gold without a label": Bad("a film", TargetError, "gold", target="gold"),
    "gold whose label is a list": Bad({"text": "a film", "label": np.array([0, 1])}, TargetError, "label", "gold"),
    "NaN in the model": Bad("a film z", NumericsError, "NaN or infinity"),
}


@pytest.fixture
def poisoned(bert: Classifier) -> Classifier:
    """A classifier that computes NaN for texts with a z."""
    model, tokenizer = bert
    with torch.no_grad():
        model.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids("z")] = float("nan")
    return bert


def explainer_of(classifier: Classifier, method: Any = QUICK, **settings: Any) -> Explainer:
    return Explainer(*classifier, method, "instance", **settings)


def same(results: Any, others: Any) -> None:
    assert len(results) == len(others)
    for one, other in zip(results, others, strict=True):
        assert (one.text, one.target, one.tokens) == (other.text, other.target, other.tokens)
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_of_a_list_is_an_error_in_its_place(poisoned: Classifier, name: str, place: int) -> None:
    bad = BAD[name]
    items, targets = [*GOOD], [None] * len(GOOD)
    items.insert(place, bad.item)
    targets.insert(place, bad.target)
    explainer = explainer_of(poisoned, long_texts=bad.long_texts)
    with pytest.warns(NarrowsWarning) as caught:
        found = explainer(items, targets)
    error = found[place]
    assert type(error) is bad.error
    assert str(error).startswith(f"texts[{place}]: ") and bad.says in str(error)
    assert found.errors == {place: error}
    (told,) = caught
    assert "1 of 5" in str(told.message) and str(error) in str(told.message)
    assert told.filename == __file__
    same(found[:place] + found[place + 1 :], explainer(GOOD))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_of_a_stream_is_an_error_in_its_place(poisoned: Classifier, name: str) -> None:
    bad = BAD[name]
    rows = [(bad.item, bad.target)] if bad.target != "gold" else [({"text": "a film"}, "gold")]
    explainer = explainer_of(poisoned, long_texts=bad.long_texts)
    found = list(explainer.each([(GOOD[0], None), *rows, (GOOD[1], None), (GOOD[2], None), *rows], 1))
    assert [type(found[place]) for place in (1, 4)] == [bad.error] * 2
    same([found[0], found[2], found[3]], explainer(GOOD[:3]))


def test_a_stream_warns_of_each_bad_row_when_it_comes(poisoned: Classifier) -> None:
    stream = explainer_of(poisoned)(iter([GOOD[0], "", GOOD[1], "z"]), batch_size=1)
    with pytest.warns(NarrowsWarning) as caught:
        found = list(stream)
    assert [isinstance(one, NarrowsError) for one in found] == [False, True, False, True]
    assert [str(warning.message).partition("texts[")[2][0] for warning in caught] == ["1", "3"]
    same([found[0], found[2]], explainer_of(poisoned)(GOOD[:2]))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_by_itself_is_raised(poisoned: Classifier, name: str) -> None:
    bad = BAD[name]
    with pytest.raises(bad.error, match=bad.says) as caught:
        explainer_of(poisoned, long_texts=bad.long_texts)(bad.item, bad.target)
    assert "texts[" not in str(caught.value)


def test_a_list_of_nothing_but_bad_rows_says_so(poisoned: Classifier) -> None:
    with pytest.warns(NarrowsWarning, match=r"none of 3 texts could .* texts\[0\]: text is empty"):
        found = explainer_of(poisoned)(["", "z", " "])
    assert list(found.errors) == [0, 1, 2]


@pytest.mark.parametrize("target", ["none such", 7, "Positives"])
def test_a_target_that_no_text_can_have_is_raised_before_the_first(bert: Classifier, target: Any) -> None:
    def texts() -> Iterator[str]:
        raise AssertionError("was read")
        yield ""

    for items in (GOOD, texts()):
        with pytest.raises(TargetError, match="the model has"):
            explainer_of(bert)(items, target)


def test_what_is_wrong_with_the_model_or_the_method_is_raised(bert: Classifier) -> None:
    with pytest.raises(LayerError):
        explainer_of(bert, "fast:layer=9")(GOOD)


def test_a_defect_is_raised(bert: Classifier) -> None:
    def broken(batch: Batch) -> Any:
        raise TypeError("a defect")

    with pytest.raises(TypeError, match="a defect"):
        explainer_of(bert, FunctionMethod(broken))(GOOD)


def test_a_text_whose_scores_are_not_finite_loses_one_row(bert: Classifier) -> None:
    method = FunctionMethod(
        lambda batch: [np.full(len(e), np.nan if "super" in e.tokens else 1) for e in batch.encodings]
    )
    with pytest.warns(NarrowsWarning, match=r"texts\[2\]"):
        found = explainer_of(bert, method)(GOOD)
    assert list(found.errors) == [2] and isinstance(found[2], NumericsError)


def test_a_text_that_does_not_fit_into_memory_loses_one_row(bert: Classifier) -> None:
    def hungry(batch: Batch) -> Any:
        if any(len(encoding) > 10 for encoding in batch.encodings):
            raise torch.cuda.OutOfMemoryError("out of memory, tried to allocate 80 GiB")
        return [np.ones(len(encoding)) for encoding in batch.encodings]

    with pytest.warns(NarrowsWarning, match=r"texts\[2\]"):
        found = explainer_of(bert, FunctionMethod(hungry))(GOOD)
    assert isinstance(found[2], MemoryLimitError) and "max_tokens" in str(found[2])
    assert list(found.errors) == [2]
    with pytest.raises(MemoryLimitError):
        explainer_of(bert, FunctionMethod(hungry))(GOOD[2])


def test_one_window_of_a_text_that_fails_fails_the_text_alone(poisoned: Classifier) -> None:
    explainer = explainer_of(poisoned, long_texts="windows")
    with pytest.warns(NarrowsWarning):
        found = explainer([GOOD[0], LONG + "z", LONG])
    assert list(found.errors) == [1]
    assert found[2].record["windows"] > 1


def test_errors_hold_no_tensors(poisoned: Classifier) -> None:
    with pytest.warns(NarrowsWarning):
        error = explainer_of(poisoned)([GOOD[0], "z"]).errors[1]
    assert (error.__traceback__, error.__context__, error.__cause__) == (None, None, None)


def test_across_layers_raises_what_is_wrong_with_its_text(poisoned: Classifier) -> None:
    with pytest.raises(NumericsError):
        explainer_of(poisoned).across_layers("z")
    with pytest.raises(InputError):
        explainer_of(poisoned).across_layers("")


def test_a_source_with_rows_that_cannot_be_read_keeps_them_in_their_places(bert: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "good"}\n{\n{"text": "bad"}\n', encoding="utf-8")
    found = list(explainer_of(bert).each((row, None) for row in Source(str(path))))
    assert [type(one).__name__ for one in found] == ["Attribution", "DataError", "Attribution"]
    assert str(found[1]).startswith("texts.jsonl, line 2: ")


# A list with errors.


@pytest.fixture
def mixed(poisoned: Classifier) -> Attributions:
    with pytest.warns(NarrowsWarning):
        return explainer_of(poisoned)([GOOD[0], "<b>z</b>", GOOD[1]])


def test_pictures_leave_errors_out_and_say_so(
    mixed: Attributions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert repr(mixed) == "Attributions(3, 1 of them errors)"
    assert [saved["text"] for saved in mixed.to_dicts()] == GOOD[:2]
    mixed.show()
    assert "1 of 3 texts could not be explained" in " ".join(capsys.readouterr().out.split())
    page = mixed._repr_html_()
    assert "1 of 3 texts could not be explained" in page
    assert "<b>z" not in page
    with pytest.warns(NarrowsWarning, match="leaves out .* 1 of 3 texts could not be explained"):
        mixed.export(tmp_path / "maps.json")
    assert len(json.loads((tmp_path / "maps.json").read_text())) == 2
    nothing = mixed[1:2]
    assert isinstance(nothing, Attributions) and list(nothing.errors) == [0]
    nothing.show()
    assert "none of 1 texts" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(InputError, match="nothing to export"):
        nothing.export(tmp_path / "none.html")


def test_results_are_saved_with_a_row_for_each_text(mixed: Attributions, tmp_path: Path) -> None:
    for suffix in (".jsonl", ".parquet"):
        mixed.save(tmp_path / f"maps{suffix}")
        again = Attributions.load(tmp_path / f"maps{suffix}")
        assert again.to_dicts() == mixed.to_dicts() and [own.text for own in again] == GOOD[:2]
    lines = [json.loads(line) for line in (tmp_path / "maps.jsonl").read_text(encoding="utf-8").splitlines()]
    known = {"text": "<b>z</b>", "text_pair": None, "id": None, "gold": None}
    assert lines[1] == {**known, "error": str(mixed[1]), "row": 1}
    rows = list(read_rows(tmp_path / "maps.parquet"))
    assert [row["error"] for row in rows] == [None, str(mixed[1]), None]
    assert [row["row"] for row in rows] == [0, 1, 2]
    assert rows[1].keys() == COLUMNS.keys() and rows[1]["scores"] is None


ROWS = [
    {"text": "a good film", "id": 7, "label": "positive"},
    {"text": "", "id": 8, "label": "negative"},
    {"text": "z", "idx": "x", "label": 1},
]


@pytest.mark.parametrize("rows", [ROWS, pandas.DataFrame({"text": ["a good film", "", "z"], "id": [7, 8, "x"]})])
def test_a_saved_row_of_an_error_keeps_what_the_data_says_of_its_text(
    poisoned: Classifier, tmp_path: Path, rows: Any
) -> None:
    with pytest.warns(NarrowsWarning, match="2 of 3 texts"):
        found = Explainer(*poisoned, QUICK, "instance")(rows)
    found.save(tmp_path / "maps.jsonl")
    saved = [json.loads(line) for line in (tmp_path / "maps.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["id"], row["text"]) for row in saved] == [(7, "a good film"), (8, None), ("x", "z")]
    if rows is ROWS:
        assert [row["gold"] for row in saved] == ["positive", "negative", "1"]
    found.save(tmp_path / "maps.parquet")
    assert [row["id"] for row in read_rows(tmp_path / "maps.parquet")] == ["7", "8", "x"]


# Runs and files.


def test_a_run_gives_its_good_rows_what_they_get_without_the_bad_ones(poisoned: Classifier, tmp_path: Path) -> None:
    settings = ExplainSettings(model="tiny", method=QUICK, prior="instance", rows_per_part=8)
    loaded = Loaded(*poisoned, "tiny", None)
    bad = ["", "z", "[SEP] [CLS]"]
    explain_dataset([bad[0], *GOOD[:2], bad[1], *GOOD[2:], bad[2]], tmp_path / "mixed", settings, loaded=loaded)
    explain_dataset(GOOD, tmp_path / "good", settings, loaded=loaded)
    mixed, good = (list(read_rows(part_file(tmp_path / name, 0))) for name in ("mixed", "good"))
    errors = [row for row in mixed if row["error"]]
    assert [row["row"] for row in errors] == [0, 3, 6]
    assert [row["text"] for row in errors] == [None, "z", "[SEP] [CLS]"]
    for one, other in zip([row for row in mixed if not row["error"]], good, strict=True):
        assert one["text"] == other["text"]
        assert one["scores"] == other["scores"]  # to the last bit: see tests/run/test_worker.py


# Lists of texts that may not share a batch.


@pytest.mark.parametrize("name", ["BART", "T5"])
def test_a_list_with_other_numbers_of_ends_of_text_gives_what_each_text_gets_alone(name: str) -> None:
    model, tokenizer = families.classifier(next(row for row in families.FAMILIES if row.name == name))
    end = tokenizer.convert_ids_to_tokens(model.config.eos_token_id)
    texts = ["a good film", f"bad {end} good film", "not very good", f"a {end} b {end} c", "it is"]
    explainer = explainer_of((model, tokenizer))
    same(explainer(texts), [explainer(text) for text in texts])


# Streams that end early.


def test_what_a_source_gave_before_it_failed_is_explained_first(bert: Classifier) -> None:
    def texts() -> Iterator[str]:
        yield from GOOD[:3]
        raise OSError("the disk is gone")

    explainer = explainer_of(bert)
    stream, found = explainer(texts()), []
    with pytest.raises(OSError, match="the disk is gone"):
        found.extend(stream)  # appends one by one
    same(found, explainer(GOOD[:3]))
    assert next(iter(stream), None) is None
    with pytest.raises(OSError, match="the disk is gone"):
        next(iter(explainer(failing())))


def failing() -> Iterator[str]:
    raise OSError("the disk is gone")
    yield ""


def test_an_interrupted_source_ends_at_once(bert: Classifier) -> None:
    def texts() -> Iterator[str]:
        yield GOOD[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(iter(explainer_of(bert)(texts())))


def test_a_stream_that_is_abandoned_closes_its_source_and_leaves_the_model(bert: Classifier) -> None:
    closed = []

    def texts() -> Iterator[str]:
        try:
            while True:
                yield GOOD[0]
        finally:
            closed.append(True)

    model, _ = bert
    before = [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    stream = explainer_of(bert)(texts(), batch_size=2)
    next(iter(stream))
    stream.close()  # type: ignore[attr-defined]
    assert closed == [True]
    assert [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()] == before
    assert len(explainer_of(bert)(GOOD)) == 4


# Texts that the model does not read as the user may think.


def test_a_text_of_mostly_unknown_tokens_is_warned_of_and_recorded(bert: Classifier) -> None:
    explainer = explainer_of(bert)
    text = "\u7535\u5f71 \u5f88 good"
    with pytest.warns(NarrowsWarning, match=r"cannot read 3 of the 4 tokens") as caught:
        found = explainer(text)
    assert caught[0].filename == __file__
    assert found.record["unknown"] == 3
    assert json.loads(json.dumps(found.to_dict()))["record"]["unknown"] == 3
    assert "3 of 4 tokens" in found.to_html()
    with pytest.warns(NarrowsWarning) as once:
        explainer([text, text, "good"])
    assert len(once) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert explainer("a good \u7535 film").record["unknown"] == 1  # one of four
        assert "unknown" not in explainer("a good film").record


def test_windows_count_what_is_unknown_once(bert: Classifier) -> None:
    found = explainer_of(bert, long_texts="windows")("good \u7535 " + LONG)
    assert found.record["windows"] > 1 and found.record["unknown"] == 1


@pytest.mark.parametrize(
    ("name", "item", "says"),
    [
        ("nli", "A man sleeps.", "trained on pairs"),
        ("rte", "A man sleeps.", "trained on pairs"),
        ("sentiment", ("A fine film.", "A dull film."), "trained on single texts"),
        ("topic", ("Stocks fell.", "Rates rose."), "trained on single texts"),
    ],
)
def test_a_demo_model_warns_of_a_text_unlike_those_that_it_was_trained_on(name: str, item: Any, says: str) -> None:
    explainer = Explainer.from_pretrained(name, QUICK, device="cpu")
    with pytest.warns(NarrowsWarning, match=says) as caught:
        explainer(item)
    assert len(caught) == 1
    right = item[0] if isinstance(item, tuple) else (item, "Nobody sleeps.")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explainer(right)


def test_a_model_of_entailment_is_known_by_its_labels(bert: Classifier) -> None:
    bert[0].config.id2label = {0: "ENTAILMENT", 1: "NEUTRAL", 2: "CONTRADICTION"}
    with pytest.warns(NarrowsWarning, match="trained on pairs"):
        explainer_of(bert)("a good film")
