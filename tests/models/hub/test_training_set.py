"""What a run reads: mixing data sets, keeping test texts out, choosing the tests."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from narrows.errors import DataError, InputError, NarrowsWarning
from narrows.models.hub.finetune_settings import FinetuneSettings
from narrows.models.hub.training_set import read_training_set


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


def settings(folder: Path | None, *names: str, evaluate: tuple[str, ...] = ()) -> FinetuneSettings:
    return FinetuneSettings(names, Path("out"), data_dir=folder, evaluate=evaluate)


def names_of_tests(settings: FinetuneSettings) -> list[str]:
    return [part.dataset for part in read_training_set(settings).tests]


def test_training_rows_that_are_in_a_test_file_are_left_out_whatever_their_case_and_spacing(folder: Path) -> None:
    data = read_training_set(settings(folder, "sst2"))
    assert [example.text for example in data.train] == ["a good film", "so so"]
    assert (data.sources[0].rows, data.sources[0].dropped) == (2, 1)
    assert data.labels == ("negative", "positive")
    assert [example.label for example in data.tests[0].examples] == ["negative", "positive"]


def test_a_mixture_is_tested_on_what_is_there_and_what_is_not_is_told(folder: Path) -> None:
    with pytest.warns(NarrowsWarning, match=r"no accuracy will be measured on snli: snli \(test\) is not in") as told:
        data = read_training_set(settings(folder, "mnli", "snli"))
    assert len(told) == 1
    assert [part.dataset for part in data.tests] == ["mnli_matched", "mnli_mismatched"]
    assert [(source.dataset, source.rows, source.dropped) for source in data.sources] == [
        ("mnli", 1, 1),
        ("snli", 2, 0),
    ]
    assert {example.label for example in data.train} == {"entailment", "contradiction", "neutral"}


def test_with_all_test_files_there_nothing_is_told(folder: Path) -> None:
    table(folder / "snli/test.tsv", "sentence1 sentence2 gold_label", "A|B|neutral")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names_of_tests(settings(folder, "mnli", "snli")) == ["mnli_matched", "mnli_mismatched", "snli"]


def test_without_any_test_file_the_user_has_to_name_one(folder: Path) -> None:
    with (
        pytest.warns(NarrowsWarning, match="no accuracy will be measured on snli"),
        pytest.raises(InputError, match=r"no test file of the data sets to train on is there.*--evaluate"),
    ):
        read_training_set(settings(folder, "snli"))


def test_a_test_that_is_asked_for_must_be_there(folder: Path) -> None:
    with pytest.raises(DataError, match=r"snli \(test\) is not in"):
        read_training_set(settings(folder, "mnli", evaluate=("snli",)))


def test_mnli_stands_for_its_two_dev_files_as_a_test_too(folder: Path) -> None:
    assert names_of_tests(settings(folder, "snli", evaluate=("mnli",))) == ["mnli_matched", "mnli_mismatched"]


def test_data_sets_of_other_classes_do_not_mix(folder: Path) -> None:
    message = "rte has the classes entailment, not_entailment, not entailment, neutral, contradiction"
    for given in (settings(folder, "mnli", "rte"), settings(folder, "mnli", evaluate=("rte",))):
        with pytest.raises(InputError, match=message):
            read_training_set(given)


def test_nothing_left_to_train_on_is_told(folder: Path) -> None:
    table(folder / "glue/SST-2/dev.tsv", "sentence label", "a good film|1", "a bad film|0", "so so|0")
    with pytest.raises(InputError, match="no rows to train on"):
        read_training_set(settings(folder, "sst2"))


def test_an_unknown_data_set_is_told(folder: Path) -> None:
    with pytest.raises(InputError, match="no data set 'sst5'; there are sst2, imdb"):
        read_training_set(settings(folder, "sst5"))


def reviews(path: Path, rows: int = 30, labels: tuple[str, ...] = ("good", "bad")) -> str:
    path.write_text("text,label\n" + "".join(f"review {i},{labels[i % len(labels)]}\n" for i in range(rows)))
    return str(path)


def test_a_tenth_of_a_file_is_held_out_by_the_seed(tmp_path: Path) -> None:
    name = reviews(tmp_path / "train.csv")
    data = read_training_set(settings(None, name))
    assert data.labels == ("bad", "good")
    (test,) = data.tests
    assert (test.dataset, test.split, len(test.examples), len(data.train)) == (name, "held out", 3, 27)
    assert not {example.text for example in test.examples} & {example.text for example in data.train}
    assert {example.label for example in data.train} == {"good", "bad"}
    assert read_training_set(settings(None, name)) == data
    assert (data.sources[0].dataset, data.sources[0].rows, data.sources[0].dropped) == (name, 27, 0)


def test_a_file_can_be_tested_on_another(tmp_path: Path) -> None:
    train, test = reviews(tmp_path / "train.csv"), reviews(tmp_path / "test.csv", rows=2)
    data = read_training_set(settings(None, train, evaluate=(test,)))
    assert [(part.dataset, len(part.examples)) for part in data.tests] == [(test, 2)]
    assert (len(data.train), data.sources[0].dropped) == (28, 2)
    with pytest.raises(InputError, match=r"other.csv has the label 'awful', which is none of bad, good"):
        read_training_set(settings(None, train, evaluate=(reviews(tmp_path / "other.csv", labels=("awful",)),)))


def test_a_file_mixes_with_a_data_set_of_its_labels(folder: Path) -> None:
    name = reviews(folder / "mine.csv", labels=("negative", "positive"))
    data = read_training_set(settings(folder, name, "sst2"))
    assert data.labels == ("negative", "positive")
    assert [(part.dataset, len(part.examples)) for part in data.tests] == [(name, 3), ("sst2", 2)]
    assert len(data.train) == 29
    with pytest.raises(InputError, match=r"other.csv has the label 'bad', which is none of negative, positive"):
        read_training_set(settings(folder, reviews(folder / "other.csv"), "sst2"))


def test_labels_that_are_numbers_are_in_their_order(tmp_path: Path) -> None:
    assert read_training_set(settings(None, reviews(tmp_path / "a.csv", labels=("10", "2", "1")))).labels == (
        "1",
        "2",
        "10",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\nfine\n", "row 1 has no label; .*'label'"),
        ("text,label\nfine,good\nso so,\n", "row 2 has no label"),
        ("words,label\nfine,good\n", "no text column"),
        ("text,label\nfine,good,more\n", "line 2: 3 columns"),
        ("text,label\n", "no rows"),
        ("text,label\nfine,good\nsuper,good\n", "all texts to train on have the label 'good'"),
        (None, "no such file"),
    ],
)
def test_a_file_that_cannot_be_trained_on_is_refused(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "train.csv").write_text(content)
    with pytest.raises((DataError, InputError), match=message):
        read_training_set(settings(None, str(tmp_path / "train.csv")))
