"""What a run reads: mixing data sets, keeping test texts out, choosing the tests."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from narrows.errors import DataError, InputError, NarrowsWarning
from narrows.finetune.data import read_data
from narrows.finetune.settings import FinetuneConfig


def table(path: Path, header: str, *rows: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header.replace(" ", "\t"), *(row.replace("|", "\t") for row in rows)]) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table(tmp_path / "glue/SST-2/train.tsv", "sentence label", "a good film|1", "A  bad film |0", "so so|0")
    table(tmp_path / "glue/SST-2/dev.tsv", "sentence label", "a BAD film|0", "superb|1")
    nli = "sentence1 sentence2 gold_label"
    table(
        tmp_path / "glue/MNLI/train.tsv", nli, "It rains.|It is wet.|entailment", "It rains.|It is dry.|contradiction"
    )
    table(tmp_path / "glue/MNLI/dev_matched.tsv", nli, "I run.|I move.|entailment")
    table(tmp_path / "glue/MNLI/dev_mismatched.tsv", nli, "It rains.|It is dry.|contradiction")
    table(tmp_path / "snli/train.tsv", nli, "A dog runs.|A cat runs.|contradiction", "A dog.|It is red.|neutral")
    return tmp_path


def config(folder: Path | None, *names: str, evaluate: tuple[str, ...] = ()) -> FinetuneConfig:
    return FinetuneConfig(names, Path("out"), data_dir=folder, evaluate=evaluate)


def test_training_rows_that_are_in_a_test_file_are_left_out_whatever_their_case_and_spacing(folder: Path) -> None:
    data = read_data(config(folder, "sst2"))
    assert [example.text for example in data.train] == ["a good film", "so so"]
    assert (data.sources[0].rows, data.sources[0].dropped) == (2, 1)
    assert data.labels == ("negative", "positive")
    assert [example.label for example in data.tests["sst2"]] == ["negative", "positive"]


def test_a_mixture_is_tested_on_what_is_there_and_what_is_not_is_told(folder: Path) -> None:
    with pytest.warns(NarrowsWarning, match=r"no accuracy will be measured on snli: snli \(test\) is not in") as told:
        data = read_data(config(folder, "mnli", "snli"))
    assert len(told) == 1
    assert list(data.tests) == ["mnli_matched", "mnli_mismatched"]
    assert [(source.dataset, source.rows, source.dropped) for source in data.sources] == [
        ("mnli", 1, 1),
        ("snli", 2, 0),
    ]
    assert {example.label for example in data.train} == {"entailment", "contradiction", "neutral"}


def test_with_all_test_files_there_nothing_is_told(folder: Path) -> None:
    table(folder / "snli/test.tsv", "sentence1 sentence2 gold_label", "A|B|neutral")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(read_data(config(folder, "mnli", "snli")).tests) == ["mnli_matched", "mnli_mismatched", "snli"]


def test_without_any_test_file_the_user_has_to_name_one(folder: Path) -> None:
    with (
        pytest.warns(NarrowsWarning, match="no accuracy will be measured on snli"),
        pytest.raises(InputError, match=r"no test file of the data sets to train on is there.*--evaluate"),
    ):
        read_data(config(folder, "snli"))


def test_a_test_that_is_asked_for_must_be_there(folder: Path) -> None:
    with pytest.raises(DataError, match=r"snli \(test\) is not in"):
        read_data(config(folder, "mnli", evaluate=("snli",)))


def test_mnli_stands_for_its_two_dev_files_as_a_test_too(folder: Path) -> None:
    assert list(read_data(config(folder, "snli", evaluate=("mnli",))).tests) == ["mnli_matched", "mnli_mismatched"]


def test_data_sets_of_other_classes_do_not_mix(folder: Path) -> None:
    message = "rte has the classes entailment, not_entailment, not entailment, neutral, contradiction"
    for given in (config(folder, "mnli", "rte"), config(folder, "mnli", evaluate=("rte",))):
        with pytest.raises(InputError, match=message):
            read_data(given)


def test_nothing_left_to_train_on_is_told(folder: Path) -> None:
    table(folder / "glue/SST-2/dev.tsv", "sentence label", "a good film|1", "a bad film|0", "so so|0")
    with pytest.raises(InputError, match="no rows to train on"):
        read_data(config(folder, "sst2"))


def test_an_unknown_data_set_is_told(folder: Path) -> None:
    with pytest.raises(InputError, match="no data set 'sst5'; there are sst2, imdb"):
        read_data(config(folder, "sst5"))
