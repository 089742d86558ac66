"""The benchmark data sets in their published layouts: tiny files, and the real ones where they are at hand."""

from __future__ import annotations

import importlib
import io
import random
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from narrows.data import datasets
from narrows.data.example import Example
from narrows.errors import DataError, DependencyError, InputError

REAL = Path(__file__).parents[3] / "shared" / "data"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data in {REAL}")


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    return path


def tsv(path: Path, *rows: str) -> Path:
    return write(path, *(row.replace("|", "\t") for row in rows))


# GLUE


def test_sst2_is_read_with_its_spaces_and_quotation_marks(tmp_path: Path) -> None:
    tsv(tmp_path / "glue/SST-2/dev.tsv", "sentence|label", 'a " charming film |1', "it 's dull|0")
    assert datasets.load("sst2", data_dir=tmp_path) == [
        Example('a " charming film ', label="positive"),
        Example("it 's dull", label="negative"),
    ]


PUBLISHED_MNLI = (
    "index|promptID|pairID|genre|sentence1_binary_parse|sentence2_binary_parse|sentence1_parse|sentence2_parse|"
    "sentence1|sentence2|label1|label2|label3|label4|label5|gold_label"
)


def published_row(first: str, second: str, label: str) -> str:
    return f"0|63735|63735n|slate|( b )|( b )|(ROOT p)|(ROOT p)|{first}|{second}|neutral|neutral|-|-|entailment|{label}"


@pytest.mark.parametrize(
    ("name", "file"), [("mnli_matched", "dev_matched"), ("mnli_mismatched", "dev_mismatched"), ("mnli", "train")]
)
def test_mnli_is_read_from_the_published_columns(name: str, file: str, tmp_path: Path) -> None:
    rows = [published_row("It rains.", 'It\'s "wet".', "entailment"), published_row("A", "B", "-")]
    tsv(tmp_path / f"MNLI/{file}.tsv", PUBLISHED_MNLI, *rows, published_row("C", "D", "contradiction"))
    assert datasets.load(name, data_dir=tmp_path) == [
        Example("It rains.", 'It\'s "wet".', "entailment"),
        Example("C", "D", "contradiction"),
    ]


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    tsv(tmp_path / "glue_data/MNLI/train.tsv", "gold_label|sentence2|x|sentence1", "neutral|B|7|A")
    assert datasets.load("mnli", "train", tmp_path) == [Example("A", "B", "neutral")]


def test_rte_has_its_own_labels(tmp_path: Path) -> None:
    tsv(tmp_path / "RTE/dev.tsv", "index|sentence1|sentence2|label", "0|A|B|not_entailment", "1|C|D|entailment")
    assert [row.label for row in datasets.load("rte", data_dir=tmp_path)] == ["not_entailment", "entailment"]


def test_snli_is_read_from_the_published_file_and_undecided_rows_are_left_out(tmp_path: Path) -> None:
    header = "gold_label|sentence1_binary_parse|sentence1|sentence2|captionID|label1"
    rows = ["neutral|( A )|A|B|1#2|neutral", "-|( C )|C|D|1#3|neutral"]
    tsv(tmp_path / "snli_1.0/snli_1.0_test.txt", header, *rows)
    assert datasets.load("snli", data_dir=tmp_path) == [Example("A", "B", "neutral")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["sentence|label", "fine|1", "bad|2"], "dev.tsv, line 3: label '2' is none of 0, 1|negative, positive"),
        (["sentence|label", "fine|1", "|0"], "dev.tsv, line 3: text is empty"),
        (["sentence|label", "fine|1", "fine", "x|1"], "dev.tsv, line 3: 1 columns where the header has 2"),
        (["words|label", "fine|1"], "dev.tsv: no text column among words, label"),
        (["sentence|score", "fine|1"], "dev.tsv: no column label; it has sentence, score"),
        ([""], "dev.tsv: is empty"),
        (["sentence|label"], "sst2 (dev): the file has no rows"),
    ],
)
def test_a_malformed_file_is_told_by_file_and_line(rows: list[str], message: str, tmp_path: Path) -> None:
    tsv(tmp_path / "SST-2/dev.tsv", *rows)
    with pytest.raises(DataError) as caught:
        datasets.load("sst2", data_dir=tmp_path)
    assert message.split("|")[0] in str(caught.value)
    assert "\n" not in str(caught.value)


# AG News


def test_ag_news_is_read_as_published(tmp_path: Path) -> None:
    rows = [
        '"3","Stocks ""up""","Oil fell, \\ they say."',
        '"4","New chip","Two\nlines"',
        '"1","Talks","One-word"',
        '"2","Cup",""',
    ]
    write(tmp_path / "ag_news_csv/test.csv", *rows)
    assert datasets.load("ag_news", data_dir=tmp_path) == [
        Example('Stocks "up" Oil fell, \\ they say.', label="Business"),
        Example("New chip Two\nlines", label="Sci/Tech"),
        Example("Talks One-word", label="World"),
        Example("Cup", label="Sports"),
    ]


def test_ag_news_is_read_with_title_and_text_joined_already(tmp_path: Path) -> None:
    write(tmp_path / "ag_news/train.csv", '2,"Cup final. They won, again.",train-1', '1,"Talks. No result.",train-2')
    assert datasets.load("ag_news", "train", tmp_path) == [
        Example("Cup final. They won, again.", label="Sports"),
        Example("Talks. No result.", label="World"),
    ]


def test_one_word_as_the_first_description_is_not_dropped(tmp_path: Path) -> None:
    write(tmp_path / "ag_news/test.csv", '2,"Cup final","Won."', '1,"Talks","No result yet."')
    texts = [example.text for example in datasets.load("ag_news", data_dir=tmp_path)]
    assert texts == ["Cup final Won.", "Talks No result yet."]


@pytest.mark.parametrize("number", ["0", "5", "1.0", ""])
def test_a_wrong_class_number_is_told_by_file_and_line(number: str, tmp_path: Path) -> None:
    path = write(tmp_path / "ag_news/test.csv", '1,"A","b c"', '2,"two\nlines","d e"', f'{number},"A","b c"')
    with pytest.raises(DataError) as caught:
        datasets.load("ag_news", data_dir=tmp_path)
    assert str(caught.value) == f"{path}, line 4: label {number!r} is none of 1, 2, 3, 4"


# IMDB

REVIEWS = {"pos/0_9.txt": "Lovely.<br />Caf\u00e9!", "pos/10_7.txt": "Nice.", "neg/0_2.txt": "Awful."}
EXPECTED = [
    Example("Awful.", label="negative"),
    Example("Lovely.<br />Caf\u00e9!", label="positive"),
    Example("Nice.", label="positive"),
]


def archive(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            file.addfile(info)
    return path


@pytest.mark.parametrize("prefix", ["aclImdb/test/", "./aclImdb/test/"])
def test_imdb_is_the_same_from_the_folder_and_from_the_archive(prefix: str, tmp_path: Path) -> None:
    for name, text in REVIEWS.items():
        place = tmp_path / "folder" / "aclImdb" / "test" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    (tmp_path / "folder/aclImdb/test/urls_pos.txt").write_text("http://example.org")
    (tmp_path / "packed").mkdir()
    members = {prefix + name: text.encode() for name, text in reversed(REVIEWS.items())}
    others = {
        "aclImdb/README": b"read me",
        "aclImdb/train/pos/0_9.txt": b"Another split.",
        "aclImdb/test/urls_pos.txt": b"http://example.org",
        "aclImdb/test/unsup/0_0.txt": b"No label.",
    }
    archive(tmp_path / "packed" / "aclImdb_v1.tar.gz", members | others)
    assert datasets.load("imdb", data_dir=tmp_path / "folder") == EXPECTED
    assert datasets.load("imdb", data_dir=tmp_path / "packed") == EXPECTED


def test_names_in_an_archive_that_point_elsewhere_do_nothing(tmp_path: Path) -> None:
    """It is read, never extracted."""
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    secret = write(tmp_path / "secret.txt", "secret")
    members = {
        "aclImdb/test/pos/0_9.txt": b"Fine.",
        "../outside.txt": b"x",
        "/tmp/narrows-outside.txt": b"x",
        "aclImdb/test/pos/../../../../outside.txt": b"Odd name.",
    }
    archive(place / "aclImdb.tar.gz", members, {"aclImdb/test/neg/0_1.txt": str(secret)})
    before = sorted(tmp_path.rglob("*"))
    found = datasets.load("imdb", data_dir=place)
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/tmp/narrows-outside.txt").exists()
    assert {row.text for row in found} <= {"Fine.", "Odd name."}


def test_a_review_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    archive(tmp_path / "aclImdb.tar.gz", {"aclImdb/test/pos/0_9.txt": b"caf\xe9"})
    with pytest.raises(DataError, match=r"aclImdb.tar.gz, pos/0_9.txt: is not UTF-8 \(byte 4\)"):
        datasets.load("imdb", data_dir=tmp_path)


@pytest.mark.parametrize("damage", ["cut", "middle", "flipped", "not gzip", "empty"])
def test_a_damaged_archive_is_told(damage: str, tmp_path: Path) -> None:
    draw = random.Random(0)
    members = {f"aclImdb/test/pos/{i}_9.txt": "".join(draw.choices("abcdefgh .", k=3000)).encode() for i in range(40)}
    path = archive(tmp_path / "aclImdb.tar.gz", members)
    content = path.read_bytes()
    half = len(content) // 2
    middle = content[:half] + bytes(400) + content[half + 400 :]
    flipped = content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
    damaged = {"cut": content[:half], "middle": middle, "flipped": flipped, "not gzip": b"PK", "empty": b""}
    path.write_bytes(damaged[damage])
    with pytest.raises(DataError, match=r"cannot be read as a tar\.gz"):
        datasets.load("imdb", data_dir=tmp_path)


def test_an_archive_without_reviews_is_told(tmp_path: Path) -> None:
    archive(tmp_path / "aclImdb.tar.gz", {"aclImdb/README": b"x"})
    with pytest.raises(DataError, match=r"holds no reviews test/pos/\*\.txt"):
        datasets.load("imdb", data_dir=tmp_path)


# All


def test_a_sample_is_random_the_same_for_a_seed_and_in_the_order_of_the_file(tmp_path: Path) -> None:
    tsv(tmp_path / "SST-2/dev.tsv", "sentence|label", *(f"text {i:03}|{int(i > 50)}" for i in range(100)))
    first = datasets.load("sst2", data_dir=tmp_path, limit=20, seed=1)
    assert len(first) == 20
    assert first == datasets.load("sst2", data_dir=tmp_path, limit=20, seed=1)
    assert first != datasets.load("sst2", data_dir=tmp_path, limit=20, seed=2)
    assert [row.text for row in first] == sorted(row.text for row in first)
    assert {row.label for row in first} == {"negative", "positive"}  # the file is sorted by label
    assert len(datasets.load("sst2", data_dir=tmp_path, limit=1000)) == 100


def test_what_cannot_be_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data set 'sst5'; there are sst2, imdb, ag_news, mnli"):
        datasets.load("sst5", data_dir=tmp_path)
    with pytest.raises(InputError, match="sst2 has no split 'test' with labels; it has train, dev"):
        datasets.load("sst2", "test", tmp_path)
    with pytest.raises(InputError, match="limit must be at least 1, not 0"):
        datasets.load("sst2", data_dir=tmp_path, limit=0)
    with pytest.raises(DataError, match=r"sst2 \(dev\) is not in .*; looked for glue/SST-2/dev.tsv"):
        datasets.load("sst2", data_dir=tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        datasets.load("sst2", data_dir=tmp_path / "nowhere")


@pytest.mark.parametrize("name", list(datasets.DATASETS))
def test_every_data_set_knows_its_tests(name: str) -> None:
    data = datasets.describe(name)
    assert data.report in data.splits
    for test in data.tested_by:
        assert datasets.describe(test).labels == data.labels
    assert set(data.renamed.values()) <= set(data.labels)


# The Hub


def fake_hub(rows: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    asked: list[tuple[object, ...]] = []

    def load_dataset(repository: str, configuration: str | None, split: str) -> list[dict[str, object]]:
        asked.append((repository, configuration, split))
        return rows

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return asked


@pytest.mark.parametrize(
    ("name", "split", "asked", "rows", "expected"),
    [
        (
            "sst2",
            "dev",
            ("nyu-mll/glue", "sst2", "validation"),
            [{"sentence": "fine", "label": 1, "idx": 0}],
            [Example("fine", label="positive")],
        ),
        (
            "mnli_mismatched",
            "dev",
            ("nyu-mll/glue", "mnli", "validation_mismatched"),
            [
                {"premise": "A", "hypothesis": "B", "label": 2},
                {"premise": "A", "hypothesis": "B", "label": -1},
                {"premise": "C", "hypothesis": "D", "label": 0},
            ],
            [Example("A", "B", "contradiction"), Example("C", "D", "entailment")],
        ),
        (
            "rte",
            "train",
            ("nyu-mll/glue", "rte", "train"),
            [{"sentence1": "A", "sentence2": "B", "label": 1}],
            [Example("A", "B", "not_entailment")],
        ),
        (
            "ag_news",
            "test",
            ("fancyzhx/ag_news", None, "test"),
            [{"text": "Cup", "label": 1}],
            [Example("Cup", label="Sports")],
        ),
        (
            "snli",
            "dev",
            ("stanfordnlp/snli", None, "validation"),
            [{"premise": "A", "hypothesis": "B", "label": 1}],
            [Example("A", "B", "neutral")],
        ),
    ],
)
def test_without_a_folder_the_hub_is_asked(
    name: str,
    split: str,
    asked: tuple[object, ...],
    rows: list[dict[str, object]],
    expected: list[Example],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = fake_hub(rows, monkeypatch)
    assert datasets.load(name, split) == expected
    assert calls == [asked]


def test_a_bad_row_of_the_hub_is_told_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_hub([{"text": "fine", "label": 0}, {"text": " ", "label": 0}], monkeypatch)
    with pytest.raises(DataError, match="stanfordnlp/imdb test, row 1: text is empty"):
        datasets.load("imdb")


def test_without_the_package_for_the_hub_both_ways_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DependencyError, match="give a folder with its files, or pip install datasets"):
        datasets.load("imdb")


def test_a_hub_that_gives_nothing_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*arguments: object, **options: object) -> None:
        raise ConnectionError("no route\nto the host")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(DataError, match=r"imdb: the Hub did not give stanfordnlp/imdb .*: no route; .*--data-dir$"):
        datasets.load("imdb")
    assert importlib.import_module("datasets") is sys.modules["datasets"]


# The real files


@needs_real_data
@pytest.mark.parametrize(
    ("name", "split", "rows"),
    [
        ("sst2", "dev", 872),
        ("sst2", "train", 67349),
        ("imdb", "test", 6000),
        ("ag_news", "test", 3800),
        ("ag_news", "train", 10688),
        ("mnli_matched", "dev", 4900),
        ("mnli_mismatched", "dev", 1000),
        ("snli", "train", 29620),
        ("rte", "dev", 277),
        ("rte", "train", 2490),
    ],
)
def test_the_real_files_are_read_whole(name: str, split: str, rows: int) -> None:
    examples = datasets.load(name, split, REAL)
    assert len(examples) == rows
    labels = [example.label for example in examples]
    assert set(labels) == set(datasets.describe(name).labels)
    if name == "imdb":
        assert labels.count("positive") == 3000
